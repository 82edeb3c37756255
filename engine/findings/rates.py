"""`rates`: templates that come far more often, or far less often, than they used to."""

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from engine.findings.base import Block, Signal, State, TemplateLookup
from engine.findings.counts import SCALES, CountHistory, Unusual, share_of_tests
from engine.findings.tails import LEAST

_RING = 1 << (SCALES - 1)


class Rates:
    """Counts of templates against their own history, see `engine.findings.counts`."""

    name: ClassVar[str] = "rates"
    calibrated: ClassVar[bool] = False

    def __init__(self, state: State | None = None) -> None:
        saved = state or {}
        self._history = CountHistory(saved.get("history"))
        self._starts = Starts(saved.get("starts"))
        self._last = LastSeen(saved.get("last"))

    def observe(self, block: Block, templates: TemplateLookup) -> Sequence[Signal]:
        """See `engine.findings.base.StreamDetector`."""
        counts = np.zeros(len(templates))
        counts[block.keys] = block.counts
        first = block.lines.row[block.first]
        self._starts.add(block.keys, first, block.counts, block, len(templates))
        found: list[Signal] = []
        known = np.flatnonzero(self._history.total > 0)
        for unusual in self._history.observe(counts, block.span_s):
            surprise = unusual.surprise + np.log(share_of_tests(templates, unusual.index, known))
            for i in np.flatnonzero(surprise > LEAST).tolist():
                found.append(self._signal(block, unusual, i, float(surprise[i])))
        self._last.add(block.keys, block, len(templates))
        return found

    def _signal(self, block: Block, unusual: Unusual, i: int, surprise: float) -> Signal:
        key = int(unusual.index[i])
        count, usual = float(unusual.count[i]), float(unusual.usual[i])
        lines, last = block.lines, len(block) - 1
        if unusual.more[i]:
            first, first_ns = self._starts.first(key, unusual.blocks, usual)
            mine = block.index_of(key)
            last = int(mine[-1]) if len(mine) else last
            kind = "more"
        else:
            first, first_ns = self._last.of(key, block)
            kind = "fewer" if count else "silent"
        return Signal(
            self.name, kind, key, surprise, count, usual, int(count), first, max(first, int(lines.row[last])),
            first_ns, max(first_ns, int(lines.time_ns[last])),
        )  # fmt: skip

    def coarsen(self) -> None:
        """See `engine.findings.base.StreamDetector`."""
        self._history.coarsen()
        self._starts.coarsen()

    def snapshot(self) -> State:
        """See `engine.findings.base.StreamDetector`."""
        return {"history": self._history.snapshot(), "starts": self._starts.snapshot(), "last": self._last.snapshot()}


class Starts:
    """Where each thing began, and how often it came, in each of the last blocks."""

    def __init__(self, state: State | None = None) -> None:
        saved = state or {}
        self._n: int = saved.get("n", 0)
        empty = np.zeros((_RING, 0), np.int64)
        self._row: NDArray[np.int64] = saved.get("row", empty).copy()
        self._ns: NDArray[np.int64] = saved.get("ns", empty).copy()
        self._count: NDArray[np.int64] = saved.get("count", empty).copy()

    def add(
        self, index: NDArray[Any], first_row: NDArray[np.int64], counts: NDArray[Any], block: Block, size: int
    ) -> None:
        """Adds a block in which the things `index` first occur at these rows, and that often."""
        more = size - self._row.shape[1]
        if more > 0:
            wider = [
                np.concatenate((a, np.zeros((_RING, more), np.int64)), axis=1)
                for a in (self._row, self._ns, self._count)
            ]
            self._row, self._ns, self._count = wider
        at = self._n % _RING
        self._count[at] = 0
        self._row[at, index] = first_row
        self._ns[at, index] = block.lines.time_ns[first_row - block.lines.row[0]]
        self._count[at, index] = counts
        self._n += 1

    def first(self, key: int, blocks: int, usual: float) -> tuple[int, int]:
        """Row and time of the thing's first line in the block where the excess began.

        That is the block from which on the sum of what exceeds twice the usual count is greatest, as in a CUSUM.
        """
        ages = np.arange(self._n - 1, max(-1, self._n - 1 - blocks), -1) % _RING
        excess = np.cumsum(self._count[ages, key] - 2.0 * usual / blocks)
        at = ages[int(np.argmax(excess))]
        return int(self._row[at, key]), int(self._ns[at, key])

    def coarsen(self) -> None:
        """Blocks are twice as long from now on; the counts of shorter ones are dropped."""
        self._count[:] = 0

    def snapshot(self) -> State:
        """The state."""
        return {"n": self._n, "row": self._row.copy(), "ns": self._ns.copy(), "count": self._count.copy()}


class LastSeen:
    """Row and time of each thing's last line."""

    def __init__(self, state: State | None = None) -> None:
        saved = state or {}
        self._row: NDArray[np.int64] = saved.get("row", np.zeros(0, np.int64)).copy()
        self._ns: NDArray[np.int64] = saved.get("ns", np.zeros(0, np.int64)).copy()

    def add(self, index: NDArray[np.int32], block: Block, size: int) -> None:
        """Notes the last lines of a block's templates."""
        more = size - len(self._row)
        if more > 0:
            self._row, self._ns = (np.append(a, np.zeros(more, np.int64)) for a in (self._row, self._ns))
        self._row[index], self._ns[index] = block.lines.row[block.last], block.lines.time_ns[block.last]

    def of(self, key: int, block: Block) -> tuple[int, int]:
        """Row and time of the thing's last line; of the block's first line where it has none."""
        if key < len(self._row) and self._ns[key]:
            return int(self._row[key]), int(self._ns[key])
        return int(block.lines.row[0]), int(block.lines.time_ns[0])

    def snapshot(self) -> State:
        """The state."""
        return {"row": self._row.copy(), "ns": self._ns.copy()}
