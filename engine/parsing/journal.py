r"""Convert each entry of systemd's journal in its export format to one line.

An entry is a block of lines `KEY=value`, closed by an empty line. A value that is not plain text is
written as `KEY`, a line end, its length as eight bytes (little-endian), its bytes and a line end; it
may contain any bytes, line ends too (https://systemd.io/JOURNAL_EXPORT_FORMATS/). The result is the
entry as `journalctl -o json` would write it, at the place of the block's last line, which the format
`journald` reads. Lines that belong to no entry are left as they are.
"""

import re
from dataclasses import dataclass, replace

import numpy as np
import orjson

from connectors.base import LineBatch

JOURNALD = "journald"
"""The format that reads entries."""

_FIRST = (b"__CURSOR=", b"__REALTIME_TIMESTAMP=")
"""How an entry begins; journalctl writes the cursor first, other writers may leave it out."""

_UNDERSCORE = ord("_")
_KEY = re.compile(rb"[A-Z_][A-Z0-9_]{0,63}")
_SIZE_BYTES = 8


@dataclass(slots=True)
class _Entry:
    """The part of an entry that was read: where to continue in the text, its fields, and whether it is whole."""

    at: int
    fields: dict[str, str]
    whole: bool = False
    broken: bool = False


class JournalEntries:
    """Finds the entries in the lines of one partition, in order.

    Attributes:
        open: The bytes of an entry whose end has not been read yet; what a snapshot keeps.
    """

    def __init__(self, max_bytes: int, open: bytes = b"") -> None:
        """Takes how long an entry may get before it is given up, and what a snapshot kept."""
        self._max_bytes = max_bytes
        self.open = open

    def join(self, batch: LineBatch) -> LineBatch:
        """The batch with each entry in one line; the same object where it has none."""
        if not len(batch) or not (self.open or self._begins(batch)):
            return batch
        base = len(self.open)
        text = self.open + batch.data
        ends = batch.ends + base
        self.open = b""
        lines: list[tuple[int, bytes]] = []
        at = 0
        while at < len(text):
            if not text.startswith(_FIRST, at):
                row = int(np.searchsorted(ends, at))
                stop = int(ends[row]) if row < len(ends) else len(text)
                # Behind a broken entry several lines of the batch before may be left; they have one position.
                lines.append((int(batch.positions[row]), text[at:stop].replace(b"\n", b" ")))
                at = stop + 1
                continue
            entry = _read(text, at)
            if not (entry.whole or entry.broken) and len(text) - at <= self._max_bytes:
                self.open = text[at:]
                break
            # One that the first line here shows to be over ended before that line.
            row, before = int(np.searchsorted(ends, entry.at - 1)), entry.at <= base
            position = int(batch.positions[0]) - 1 if before else int(batch.positions[row])
            lines.append((position, orjson.dumps(entry.fields)))
            at = entry.at
        return batch_of(batch, lines)

    def rest(self, batch: LineBatch) -> tuple[int, bytes]:
        """Position and line of the entry that is open at the end of a source, whose last batch is given."""
        text, self.open = self.open, b""
        return int(batch.positions[-1]), orjson.dumps(_read(text, 0).fields)

    @staticmethod
    def _begins(batch: LineBatch) -> bool:
        bytes_ = np.frombuffer(batch.data, np.uint8)
        starts = np.concatenate(([0], batch.ends[:-1] + 1))
        found = starts[bytes_[starts] == _UNDERSCORE].tolist()
        return any(batch.data.startswith(_FIRST, at) for at in found)


def _read(text: bytes, at: int) -> _Entry:
    """Reads an entry as far as it goes; it is broken before the first line that cannot belong to it."""
    entry = _Entry(at, {})
    while (stop := text.find(b"\n", entry.at)) >= 0:
        line = text[entry.at : stop]
        if line in (b"", b"\r"):
            entry.at, entry.whole = stop + 1, True
            return entry
        key, equals, value = line.partition(b"=")
        again = bool(entry.fields) and line.startswith(_FIRST[0])
        if again or not _KEY.fullmatch(key.removesuffix(b"\r") if not equals else key):
            entry.broken = True
            return entry
        next_at = stop + 1
        if not equals:
            first = next_at + _SIZE_BYTES
            size = int.from_bytes(text[next_at:first], "little")
            next_at = first + size + 1
            if next_at > len(text):
                return entry
            value = text[first : next_at - 1]
            if text[next_at - 1 : next_at] != b"\n":
                entry.broken, entry.at = True, stop + 1
                return entry
        entry.fields.setdefault(key.decode("ascii"), value.removesuffix(b"\r").decode("utf-8", "backslashreplace"))
        entry.at = next_at
    return entry


def batch_of(batch: LineBatch, lines: list[tuple[int, bytes]]) -> LineBatch:
    """The batch with its lines replaced by these, each with its position."""
    ends = np.cumsum([len(line) + 1 for _, line in lines], dtype=np.int64) - 1
    data = b"".join(line + b"\n" for _, line in lines)
    return replace(batch, data=data, ends=ends, positions=np.array([at for at, _ in lines], np.int64))
