"""Places of lines as text, with the number of the line where it is known."""

from collections import deque
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from connectors.line_splitter import UNKNOWN_LINE, Cut

MOST_LINES = 1 << 19
"""Lines whose numbers are known, over all partitions: 4 MiB, shared with the batches while these are kept."""

MOST_BLOCKS = 4096
"""Blocks in which they may have come; each costs about 200 bytes more, and a step of the search."""


def line_place(name: str, byte: int, line: int | None) -> str:
    """The place of a line as text; `line` counts from 1, None where it is not known.

    Both numbers are named: one behind a colon would not show which of them it is.
    """
    return f"{name}, byte {byte}" if line is None else f"{name}, line {line}, byte {byte}"


class _Block(NamedTuple):
    """Positions of some lines, int64 ascending; the first one, the one behind the last, and the lines before them."""

    positions: NDArray[np.int64]
    first: int
    end: int
    before: int


class LineNumbers:
    """Numbers of the lines read last, by partition and position; those of older lines are forgotten."""

    def __init__(self) -> None:
        self._blocks: dict[str, deque[_Block]] = {}
        self._age: deque[str] = deque()
        self._lines = 0

    def add(self, partition: str, cut: Cut, positions: NDArray[np.int64], high: int = 0) -> None:
        """Remembers the lines of a cut.

        Args:
            partition: Where they were read.
            cut: The lines.
            positions: int64 (n,): position of each line that was not rejected, as in `LineBatch`.
            high: What a position is above the byte of the stream.
        """
        if cut.before == UNKNOWN_LINE or not cut:
            return
        if cut.rejects:
            rejected = np.array([byte + high for byte, _, _ in cut.rejects], np.int64)
            positions = np.sort(np.concatenate([positions, rejected]))
        self._blocks.setdefault(partition, deque()).append(
            _Block(positions, int(positions[0]), high + cut.end, cut.before)
        )
        self._age.append(partition)
        self._lines += len(positions)
        while self._lines > MOST_LINES or len(self._age) > MOST_BLOCKS:
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        oldest = self._age.popleft()
        blocks = self._blocks[oldest]
        self._lines -= len(blocks.popleft().positions)
        if not blocks:
            del self._blocks[oldest]

    def line_of(self, partition: str, position: int) -> int | None:
        """The number of the line at a position or around it, from 1; None where it is not known."""
        for positions, first, end, before in reversed(self._blocks.get(partition, ())):
            if first <= position < end:
                return before + int(positions.searchsorted(position, side="right"))
        return None
