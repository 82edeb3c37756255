"""Turn records over several lines into one line each, before lines are parsed.

The kinds of such records are in `engine.parsing.text_blocks`, `json_blocks`, `table_blocks` and `audit_lines`; each
knows how its records begin, which lines belong to them, and what line they become. A line that begins none and
belongs to none is left as it is. Of a batch without such lines nothing is copied: whether a line can begin a block is
seen from its first bytes, for all lines at once.

A record is bounded by its kind. What an unfinished record holds is kept in the snapshot, and comes out at the end of
the source or after a time without further lines (`flush`).
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from connectors.base import LineBatch
from engine.formats.registry import AUTO
from engine.parsing.audit_lines import AuditKind
from engine.parsing.json_blocks import JsonKind
from engine.parsing.record_block import BlockKind, Placed, RecordBlock
from engine.parsing.table_blocks import TABLE_KINDS
from engine.parsing.text_blocks import TEXT_KINDS

KINDS: dict[str, BlockKind] = {kind.name: kind for kind in (JsonKind(), AuditKind(), *TABLE_KINDS, *TEXT_KINDS)}

_BOM = b"\xef\xbb\xbf"


class RecordBlocks:
    """Joins the records of one partition, in order.

    Attributes:
        waits: Whether lines are held for which others have to come.
        version: Changes whenever the result of `snapshot` does.
    """

    def __init__(self, format: str, saved: Sequence[Any] | None = None) -> None:
        """Takes the name of the format that lines are in (or `auto`), and what a snapshot kept."""
        self._kinds = [kind for kind in KINDS.values() if format in (AUTO, *kind.formats)]
        self._open: tuple[BlockKind, RecordBlock] | None = None
        self._last = -1
        self.version = 0
        if saved:
            name, self._last, state = saved
            self._open = (KINDS[name], KINDS[name].restore(state))

    @property
    def waits(self) -> bool:
        """See the class."""
        return self._open is not None and self._open[1].waits

    def join(self, batch: LineBatch) -> LineBatch:
        """The batch with each record in one line; the same object where all lines are left as they are."""
        if not len(batch) or not self._kinds:
            return batch
        rows = _candidates(batch)
        if batch.positions[0] == 0 and not (len(rows) and rows[0] == 0):
            rows = np.concatenate([np.zeros(1, np.int64), rows])  # names of columns may begin as anything
        joined = batch if self._open is None and not len(rows) else self._joined(batch, rows)
        if len(joined):
            self._last = int(joined.positions[-1])
        return joined

    def _joined(self, batch: LineBatch, candidates: NDArray[np.int64]) -> LineBatch:
        out = _Output(batch)
        row, changed = 0, False
        while row < len(batch):
            if self._open is None:
                at = int(np.searchsorted(candidates, row))
                begin = int(candidates[at]) if at < len(candidates) else len(batch)
                out.keep(row, begin)
                row = begin
                if row == len(batch):
                    break
                line = _line(batch, row)
                self._open = self._begin(line)
                if self._open is None or not self._feed(int(batch.positions[row]), line, out):
                    out.keep(row, row + 1)
                else:
                    changed = True
                row += 1
                continue
            changed = True
            if self._feed(int(batch.positions[row]), _line(batch, row), out):
                row += 1
        self.version += changed
        return out.batch(self._last) if changed else batch

    def _begin(self, line: bytes) -> tuple[BlockKind, RecordBlock] | None:
        for kind in self._kinds:
            if (block := kind.begin(line)) is not None:
                return kind, block
        return None

    def _feed(self, position: int, line: bytes, out: "_Output") -> bool:
        """Gives a line to the open block; False where the line has to be looked at again, as one behind the block."""
        assert self._open is not None
        block = self._open[1]
        found = block.take(position, line)
        if found is None:
            out.add(block.rest())
            self._open = None
            return False
        out.add(found)
        if block.done:
            out.add(block.rest())
            self._open = None
        return True

    def flush(self, batch: LineBatch) -> LineBatch | None:
        """What is held, as a batch of its own like the one given; None where nothing is."""
        if self._open is None or not self.waits:
            return None
        self.version += 1
        out = _Output(replace(batch, data=b"", ends=batch.ends[:0], positions=batch.positions[:0], rejects=()))
        out.add(self._open[1].rest())
        return out.batch(self._last)

    def snapshot(self) -> list[Any]:
        """Plain data for a new object; empty where nothing is open."""
        return [] if self._open is None else [self._open[0].name, self._last, self._open[1].state()]


class _Output:
    """The lines of a batch as they come out: parts of it as they are, and lines of records."""

    def __init__(self, batch: LineBatch) -> None:
        self._batch = batch
        self._data: list[bytes] = []
        self._lengths: list[NDArray[np.int64]] = []
        self._positions: list[NDArray[np.int64]] = []

    def keep(self, start: int, stop: int) -> None:
        """Rows that are left as they are."""
        if start == stop:
            return
        first = self._batch.start_of(start)
        self._data.append(self._batch.data[first : self._batch.start_of(stop)])
        self._lengths.append(np.diff(self._batch.ends[start:stop], prepend=first - 1))
        self._positions.append(self._batch.positions[start:stop])

    def add(self, lines: Sequence[Placed]) -> None:
        """Lines of records."""
        if lines:
            self._data += [line + b"\n" for _, line in lines]
            self._lengths.append(np.array([len(line) + 1 for _, line in lines], np.int64))
            self._positions.append(np.array([position for position, _ in lines], np.int64))

    def batch(self, last: int) -> LineBatch:
        """All of it, with positions that ascend from the one behind `last`."""
        lengths = np.concatenate([np.zeros(0, np.int64), *self._lengths])
        positions = np.concatenate([np.array([last], np.int64), *self._positions])
        # Each position is at least one more than the one before it.
        index = np.arange(len(positions))
        positions = (np.maximum.accumulate(positions - index) + index)[1:]
        return replace(self._batch, data=b"".join(self._data), ends=np.cumsum(lengths) - 1, positions=positions)


def _line(batch: LineBatch, row: int) -> bytes:
    return batch.line(row).removesuffix(b"\r").removeprefix(_BOM)


Bytes = Callable[[int], NDArray[np.uint8]]
"""Place in the line → that byte of every line looked at, or its line end where it is shorter."""


def _set(first: bytes) -> NDArray[np.bool_]:
    found = np.zeros(256, np.bool_)
    found[list(first)] = True
    return found


def _is(byte: Bytes, place: int, values: bytes) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = _set(values)[byte(place)]
    return found


def _object(byte: Bytes, before_end: Callable[[int], NDArray[np.uint8]]) -> NDArray[np.bool_]:
    """An object that is not closed in its line, or one whose name of the first field may be that of a batch."""
    end = np.where(before_end(1) == ord("\r"), before_end(2), before_end(1))
    found: NDArray[np.bool_] = (end != ord("}")) | _is(byte, 2, b"Rrlekma") | _is(byte, 3, b"Rrlekma")
    return found


def _digits(byte: Bytes, before_end: Callable[[int], NDArray[np.uint8]]) -> NDArray[np.bool_]:
    commas = [byte(place) == ord(",") for place in (26, 27, 28, 29)]
    general_log = (byte(6) == ord(" ")) & ((byte(15) == ord("\t")) | (byte(14) == ord("\t")))
    alone = (byte(10) == ord("T")) & (byte(36) == ord("\n"))
    console = before_end(1) == ord("]")
    db2 = (byte(10) == ord("-")) & (byte(13) == ord("."))
    csv = (byte(19) == ord(".")) & np.logical_or.reduce(commas)
    found: NDArray[np.bool_] = csv | general_log | alone | console | db2
    return found


_RULES: tuple[tuple[NDArray[np.bool_], Callable[[Bytes, Bytes], NDArray[np.bool_]]], ...] = (
    (_set(b"{"), _object),
    (_set(b"["), lambda byte, _: _is(byte, 1, b"{ \r\n") | (byte(5) == ord("/")) | (byte(3) == ord("-"))),
    (_set(b"JFMASOND"), lambda byte, _: (byte(5) == ord(",")) | (byte(6) == ord(","))),
    (_set(b"tdiwfc"), lambda byte, _: (byte(4) == ord(":")) & (byte(5) == ord(" "))),
    (_set(b"tn"), lambda byte, _: (byte(4) == ord("=")) & (byte(3) == ord("e"))),
    (_set(b"#"), lambda byte, _: _is(byte, 1, b" SVFDERTGLNsefpotuc")),
    (_set(b"vais"), lambda byte, _: _is(byte, 7, b" -tceard")),
    (_set(b"="), lambda byte, _: _is(byte, 1, b"ECSPWI")),
    (_set(b"S"), lambda byte, _: byte(5) == ord("-")),
    (_set(b"MTWFS"), lambda byte, _: (byte(3) == ord(" ")) & (byte(24) == ord("\n"))),
    (_set(b"<"), lambda byte, _: byte(1) == ord("E")),
    (_set(b"IWECVAFK"), lambda byte, _: np.logical_or.reduce([byte(place) == ord(",") for place in range(5, 16)])),
    (_set(b"0123456789"), _digits),
    (_set(b"/m"), lambda byte, _: _is(byte, 1, b"uyao")),
    (_set(b'vLK"'), lambda byte, _: _is(byte, 3, b"sewyL")),
    (_set(b"\xef"), lambda byte, _: byte(1) == 0xBB),
)
"""First bytes, and what else has to hold for a line that begins with one of them."""

_FIRST_BYTES: NDArray[np.bool_] = np.logical_or.reduce([marks for marks, _ in _RULES])


def _candidates(batch: LineBatch) -> NDArray[np.int64]:
    """Rows that may begin a block, ascending; cheap, and wrong only by naming too many."""
    data = np.frombuffer(batch.data, np.uint8)
    starts = np.zeros(len(batch), np.int64)
    starts[1:] = batch.ends[:-1] + 1
    rows = np.flatnonzero(_FIRST_BYTES[data[starts]])
    if not len(rows):
        return rows
    starts, ends = starts[rows], batch.ends[rows]

    def byte(i: int) -> NDArray[np.uint8]:
        found: NDArray[np.uint8] = data[np.minimum(starts + i, ends)]
        return found

    def before_end(i: int) -> NDArray[np.uint8]:
        found: NDArray[np.uint8] = data[np.maximum(ends - i, starts)]
        return found

    first = byte(0)
    found = (first == ord("{")) & (b"}{" in batch.data)
    for marks, rule in _RULES:
        mine = marks[first]
        if mine.any():
            found |= mine & rule(byte, before_end)
    candidates: NDArray[np.int64] = rows[found]
    return candidates
