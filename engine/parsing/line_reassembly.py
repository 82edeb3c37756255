"""Reassemble lines that a container runtime wrote in pieces.

The runtime reads what a container prints into a buffer. A line that does not fit, or is not finished
when the runtime writes it down, becomes several, each with a header of its own: in CRI logs all but
the last are marked `P`, in Docker's only the last ends with a line end. Pieces of one stream follow
each other; those of the other stream may be between them.

The result is one line at the place of the last piece, with the header of the first. A line that
reaches `max_bytes` ends with that piece, and the next piece begins another line. So nothing is lost,
and no more than `max_bytes` and one piece is kept.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from connectors.base import LineBatch
from engine.formats.registry import FORMATS, Format
from engine.parsing.parsed_columns import PIECE, STREAM, Rows

Key = tuple[str, int]
"""Name of the format and number of the stream."""


class Held(NamedTuple):
    """A line whose last piece has not been read: the first piece as it was read, and the messages of all."""

    position: int
    head: bytes
    text: bytearray


class LineReassembler:
    """Reassembles the lines of one partition, in order.

    Attributes:
        version: Changes whenever the result of `snapshot` does.
    """

    def __init__(self, max_bytes: int, saved: Sequence[Any] = ()) -> None:
        """Takes how long a line may get, and what a snapshot kept."""
        self._max_bytes = max_bytes
        self._held: dict[Key, Held] = {}
        for format, stream, position, head, text in saved:
            self._held[format, stream] = Held(position, head.encode("latin-1"), bytearray(text.encode("latin-1")))
        self.version = 0

    def join(self, batch: LineBatch, found: Rows, formats: Sequence[str]) -> tuple[dict[int, bytes], list[int]]:
        """Row → line, for rows with the last piece of a line that has several; and the rows of the other pieces.

        Args:
            batch: The lines.
            found: The columns of these lines; `container` is 0 where a row is bad.
            formats: Names of the formats by number.
        """
        whole: dict[int, bytes] = {}
        pieces: list[int] = []
        for key, row in sorted(self._asked(found, formats), key=lambda asked: asked[1]):
            held, piece = self._held.pop(key, None), bool(found.container[row] & PIECE)
            if held is None and not piece:
                continue
            self.version += 1
            format, line = FORMATS[key[0]], batch.line(row).removesuffix(b"\r")
            head, text = (line, bytearray()) if held is None else (held.head, held.text)
            text += _text(format, line)
            if piece and len(text) < self._max_bytes:
                self._held[key] = Held(int(batch.positions[row]), head, text)
                pieces.append(row)
            elif held is not None:
                whole[row] = _whole(format, head, bytes(text))
        return whole, pieces

    def _asked(self, found: Rows, formats: Sequence[str]) -> Iterator[tuple[Key, int]]:
        """The pieces, and the row that comes next in the stream of each."""
        wrapped = np.flatnonzero(found.container)
        codes = found.container[wrapped]
        if not (self._held or (codes & PIECE).any()):
            return
        for number in np.unique(found.format[wrapped]).tolist():
            for stream in range(1, STREAM):
                rows = wrapped[(found.format[wrapped] == number) & (codes & STREAM == stream)]
                key = formats[number], stream
                asked = found.container[rows] & PIECE > 0
                asked[1:] |= asked[:-1].copy()
                asked[:1] |= key in self._held
                yield from ((key, row) for row in rows[asked].tolist())

    def rest(self) -> list[tuple[int, bytes]]:
        """Position and line of what is held at the end of a source, in order."""
        lines = [
            (held.position, _whole(FORMATS[key[0]], held.head, bytes(held.text))) for key, held in self._held.items()
        ]
        self._held.clear()
        self.version += 1
        return sorted(lines)

    def snapshot(self) -> list[list[Any]]:
        """Plain data for a new object."""
        return [
            [*key, held.position, held.head.decode("latin-1"), held.text.decode("latin-1")]
            for key, held in self._held.items()
        ]


def _text(format: Format, line: bytes) -> bytes:
    """The message of a line that was read."""
    if format.header is None:
        return str(orjson.loads(line)["log"]).encode()
    match = format.header.match(line)
    return b"" if match is None else match["message"]


def _whole(format: Format, head: bytes, text: bytes) -> bytes:
    """The line that begins with the piece `head` and has all of the message."""
    if format.header is None:
        return orjson.dumps({**orjson.loads(head), "log": text.removesuffix(b"\n").decode() + "\n"})
    match = format.header.match(head)
    if match is None or match["piece"] is None:
        return head
    start, end = match.span("piece")
    return head[:start] + b"F" + head[end : match.start("message")] + text


def starts(batch: LineBatch) -> NDArray[np.int64]:
    """int64 (n,): where each line begins in the batch's data."""
    found = np.zeros(len(batch), np.int64)
    found[1:] = batch.ends[:-1] + 1
    return found


def with_lines(batch: LineBatch, lines: Mapping[int, bytes]) -> LineBatch:
    """The batch with other lines at some rows."""
    parts: list[bytes] = []
    length = np.diff(batch.ends, prepend=-1) - 1
    at = 0
    for row in sorted(lines):
        parts += [batch.data[at : int(batch.ends[row] - length[row])], lines[row]]
        at = int(batch.ends[row])
        length[row] = len(lines[row])
    ends: NDArray[np.int64] = np.cumsum(length + 1) - 1
    return replace(batch, data=b"".join([*parts, batch.data[at:]]), ends=ends)
