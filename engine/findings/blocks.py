"""Cuts a source's lines into blocks.

A block has `size` lines. The size doubles whenever the lines so far fill `MAX_BLOCKS` blocks of it, so a short log is
seen in fine steps, and a long one costs few blocks.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.findings.base import Block, LineColumns, State, Values
from engine.findings.lines import ReadLines

FIRST_SIZE = 25
"""Lines of the first blocks: 1,000 lines give 40 blocks, enough to learn what is usual."""
MAX_BLOCKS = 600
LONG_SIZE, LONG_BLOCKS = 1600, 200
"""From this size on, reached after 480,000 lines, the size doubles after fewer blocks: on a fast stream the work for
each block is most of what findings cost."""
MAX_SIZE = 12_800
"""The size never exceeds this: a finding comes at the end of its block, and on a slow stream that takes long."""


Sample = Callable[[ReadLines, int, int, int], Values]
"""See `engine.findings.lines.ColumnReader.sample`."""


class Blocker:
    """Collects lines and hands out blocks.

    Attributes:
        size: Lines of a block.
    """

    def __init__(self, sample: Sample, state: State | None = None) -> None:
        """`sample` reads the numbers in lines."""
        saved = state or {}
        self._sample = sample
        self.size: int = saved.get("size", FIRST_SIZE)
        self._count: int = saved.get("count", 0)
        self._number: int = saved.get("number", 0)
        self._clock_ns: int | None = saved.get("clock_ns")
        self._parts: list[LineColumns] = [_from_state(saved["open"])] if "open" in saved else []
        self._lines = sum(map(len, self._parts))

    @property
    def open(self) -> int:
        """Lines that wait for their block to be complete."""
        return self._lines

    def add(self, lines: ReadLines) -> Iterator[Block]:
        """The blocks that these lines complete, in order; `must_coarsen` may be called between two of them."""
        at, n = 0, len(lines.columns)
        while at < n:
            stop = min(n, at + self.size - self._lines)
            values = self._sample(lines, at, stop, self._stride())
            self._parts.append(part_of(lines.columns, at, stop, values))
            self._lines += stop - at
            at = stop
            if self._lines == self.size:
                yield self._close()

    def _stride(self) -> int:
        """Distance in lines between two that are read for their numbers; it doubles with the size from some size on."""
        return max(1, self.size // (FIRST_SIZE * 2))

    def finish(self) -> Iterator[Block]:
        """The block of the lines that are left, if there are any."""
        if self._lines:
            yield self._close()

    def must_coarsen(self) -> bool:
        """Doubles the size when it is time to; True where it did."""
        if self.size >= MAX_SIZE or self._count < (MAX_BLOCKS if self.size < LONG_SIZE else LONG_BLOCKS):
            return False
        self.size, self._count = self.size * 2, self._count // 2
        return True

    def _close(self) -> Block:
        lines = self._parts[0] if len(self._parts) == 1 else join(self._parts)
        # Time never runs backwards here: lines of several writers are seldom in exact order.
        clock = int(lines.time_ns.max())
        before = self._clock_ns if self._clock_ns is not None else int(lines.time_ns[0])
        block = Block(self._number, lines, max(0, clock - before) / 1e9)
        self._clock_ns = max(clock, before)
        self._number, self._count, self._parts, self._lines = self._number + 1, self._count + 1, [], 0
        return block

    def snapshot(self) -> State:
        """The state, with the columns of the open block."""
        found = {"size": self.size, "count": self._count, "number": self._number, "clock_ns": self._clock_ns}
        return {**found, "open": _to_state(join(self._parts))} if self._lines else found


COLUMNS = ("row", "time_ns", "key", "level", "node", "session")
"""The columns of `LineColumns` with one entry for each line, in order."""


def part_of(lines: LineColumns, start: int, stop: int, values: Values) -> LineColumns:
    """The lines [start, stop), with these numbers read from them."""
    columns: list[NDArray[Any]] = [getattr(lines, name)[start:stop] for name in COLUMNS]
    return _columns(columns, values)


def join(parts: list[LineColumns]) -> LineColumns:
    """The lines of all parts (at least one)."""
    columns = [np.concatenate([getattr(part, name) for part in parts]) for name in COLUMNS]
    values = Values(*(np.concatenate([getattr(p.values, name) for p in parts]) for name in ("row", "slot", "value")))
    return _columns(columns, values)


def _to_state(lines: LineColumns) -> State:
    columns = {name: getattr(lines, name).copy() for name in COLUMNS}
    return {**columns, "values": [lines.values.row.copy(), lines.values.slot.copy(), lines.values.value.copy()]}


def _from_state(state: State) -> LineColumns:
    return _columns([state[name] for name in COLUMNS], Values(*state["values"]))


def _columns(columns: list[NDArray[Any]], values: Values) -> LineColumns:
    row, time_ns, key, level, node, session = columns
    return LineColumns(row, time_ns, key, level, node, session, values)
