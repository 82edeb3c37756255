r"""Cutting byte streams into whole lines, in bulk.

One `np.flatnonzero` per block finds every line end; nothing here runs once per line.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from connectors.base import RAW_BYTES, DeadLetter

NEWLINE = 10


UNKNOWN_LINE = -1
"""Number of lines before a place of which that is not known."""


@dataclass(frozen=True, slots=True)
class Cut:
    r"""Whole lines out of a byte stream.

    Attributes:
        data: The lines, each closed by one `\n`.
        ends: int64 (n,): index in `data` of each closing `\n`.
        starts: int64 (n,): byte of the stream at which each line begins.
        rejects: Lines longer than allowed: (byte of the stream, first bytes, full length).
        before: How many lines of the stream come before the first of these, or `UNKNOWN_LINE`.
        end: Byte of the stream behind the last of these.
    """

    data: bytes = b""
    ends: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    starts: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    rejects: tuple[tuple[int, bytes, int], ...] = ()
    before: int = UNKNOWN_LINE
    end: int = 0

    def __bool__(self) -> bool:
        return len(self.ends) > 0 or len(self.rejects) > 0


def line_ends(data: bytes) -> NDArray[np.int64]:
    r"""int64 (n,): index of every `\n` in `data`."""
    return np.flatnonzero(np.frombuffer(data, np.uint8) == NEWLINE).astype(np.int64, copy=False)


def line_starts(ends: NDArray[np.int64]) -> NDArray[np.int64]:
    """int64 (n,): index at which each line begins, given where each ends."""
    starts = np.empty_like(ends)
    if len(ends):
        starts[0] = 0
        starts[1:] = ends[:-1] + 1
    return starts


def keep_lines(data: bytes, ends: NDArray[np.int64], keep: NDArray[np.bool_]) -> tuple[bytes, NDArray[np.int64]]:
    """The blob and its line ends without the lines where `keep` (bool, (n,)) is False."""
    starts = line_starts(ends)
    kept = b"".join(data[s : e + 1] for s, e in zip(starts[keep].tolist(), ends[keep].tolist(), strict=True))
    return kept, np.cumsum((ends - starts + 1)[keep]) - 1


def too_long(length: int, max_line_bytes: int) -> str:
    """The reason of a dead letter for a line of `length` bytes."""
    return f"line of {length} bytes is longer than max_line_bytes={max_line_bytes}"


def reject_long(
    data: bytes,
    ends: NDArray[np.int64],
    positions: NDArray[np.int64],
    max_line_bytes: int,
    place: Callable[[int], str],
) -> tuple[bytes, NDArray[np.int64], NDArray[np.int64], tuple[DeadLetter, ...]]:
    """Takes lines longer than `max_line_bytes` out of a blob and makes dead letters of them.

    Args:
        data: Closed lines.
        ends: int64 (n,): their ends.
        positions: int64 (n,): their places.
        max_line_bytes: Longest line allowed, without its line end.
        place: A position as text.

    Returns:
        data, ends and positions of the lines kept, and the dead letters.
    """
    starts = line_starts(ends)
    lengths = ends - starts
    if not len(ends) or int(lengths.max()) <= max_line_bytes:
        return data, ends, positions, ()
    keep = lengths <= max_line_bytes
    letters = tuple(
        DeadLetter(
            place(int(positions[i])),
            too_long(int(lengths[i]), max_line_bytes),
            data[starts[i] : min(starts[i] + RAW_BYTES, ends[i])],
            int(lengths[i]),
        )
        for i in np.flatnonzero(~keep)
    )
    kept, kept_ends = keep_lines(data, ends, keep)
    return kept, kept_ends, positions[keep], letters


class LineCutter:
    r"""Cuts one byte stream, fed in blocks, into lines; holds back the last line until its `\n`.

    A line longer than `max_line_bytes` is skipped while it streams by: memory stays below
    `max_line_bytes` plus one block however long the line is.

    Attributes:
        byte: Place in the stream behind the last line handed out: where to resume.
        line: How many lines of the stream come before `byte`, or `UNKNOWN_LINE`.
    """

    def __init__(self, byte: int, max_line_bytes: int, line: int = UNKNOWN_LINE) -> None:
        self.byte = byte
        self.line = line if byte else 0
        self._max = max_line_bytes
        self._carry = b""
        self._head: bytes | None = None
        self._skipped = 0

    @property
    def held_bytes(self) -> int:
        """Bytes fed that belong to a line whose end has not come yet."""
        return self._skipped if self._head is not None else len(self._carry)

    def feed(self, block: bytes) -> Cut:
        """The lines that `block` completes; an empty `Cut` if there are none."""
        rejects: list[tuple[int, bytes, int]] = []
        if self._head is not None:
            end = block.find(b"\n")
            if end < 0:
                self._skip(block)
                return Cut()
            self._skip(block[:end])
            rejects.append(self._end_skip())
            block = block[end + 1 :]
        data = self._carry + block if self._carry else block
        ends = line_ends(data)
        used = int(ends[-1]) + 1 if len(ends) else 0
        self._carry = data[used:]
        starts = line_starts(ends) + self.byte
        whole, base = data[:used], self.byte
        self.byte += used
        if len(ends) and int((ends - starts + base).max()) > self._max:
            whole, ends, starts, long = self._drop_long(whole, ends, starts)
            rejects.extend(long)
        if len(self._carry) > self._max:
            self._head, self._skipped, self._carry = self._carry[:RAW_BYTES], len(self._carry), b""
        return self._numbered(whole, ends, starts, tuple(rejects))

    def finish(self) -> Cut:
        """The last line although no line end follows it; the stream has ended."""
        if self._head is not None:
            rejected = self._end_skip()
            self.byte -= 1
            return self._numbered(b"", line_ends(b""), line_ends(b""), (rejected,))
        if not self._carry:
            return Cut()
        data, start = self._carry + b"\n", self.byte
        self.byte += len(self._carry)
        self._carry = b""
        return self._numbered(data, np.array([len(data) - 1], np.int64), np.array([start], np.int64), ())

    def _numbered(
        self, data: bytes, ends: NDArray[np.int64], starts: NDArray[np.int64],
        rejects: tuple[tuple[int, bytes, int], ...],
    ) -> Cut:  # fmt: skip
        before = self.line
        if before != UNKNOWN_LINE:
            self.line += len(ends) + len(rejects)
        return Cut(data, ends, starts, rejects, before, self.byte)

    def _skip(self, part: bytes) -> None:
        head = self._head or b""
        self._head = head + part[: RAW_BYTES - len(head)]
        self._skipped += len(part)

    def _end_skip(self) -> tuple[int, bytes, int]:
        rejected = (self.byte, self._head or b"", self._skipped)
        self.byte += self._skipped + 1
        self._head, self._skipped = None, 0
        return rejected

    def _drop_long(
        self, data: bytes, ends: NDArray[np.int64], starts: NDArray[np.int64]
    ) -> tuple[bytes, NDArray[np.int64], NDArray[np.int64], list[tuple[int, bytes, int]]]:
        inside = line_starts(ends)
        lengths = ends - inside
        keep = lengths <= self._max
        long = [
            (int(starts[i]), data[inside[i] : min(inside[i] + RAW_BYTES, ends[i])], int(lengths[i]))
            for i in np.flatnonzero(~keep)
        ]
        kept, kept_ends = keep_lines(data, ends, keep)
        return kept, kept_ends, starts[keep], long
