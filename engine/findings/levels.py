"""`levels`: a source that writes more warnings, errors, fatal lines or failed requests than it used to.

Levels and HTTP statuses are counted over all templates: retries that spread over twenty endpoints are few for each of
them.
"""

import math
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from engine.findings.base import Block, Signal, State, TemplateLookup
from engine.findings.counts import TESTS, CountHistory
from engine.findings.rates import Starts
from engine.findings.tails import LEAST
from engine.formats.base import LEVEL_NAMES
from engine.formats.http_status import NAMES

_LEVELS = len(LEVEL_NAMES)
_BAD = [
    *(LEVEL_NAMES.index(name) for name in ("warn", "error", "fatal")),
    *(_LEVELS + status for status in range(NAMES.index("DENIED"), len(NAMES))),
]
"""What is counted: levels by their index, and behind them statuses."""


class LevelShift:
    """Counts of levels and statuses against their own history, see `engine.findings.counts`."""

    name: ClassVar[str] = "levels"
    calibrated: ClassVar[bool] = False

    def __init__(self, state: State | None = None) -> None:
        saved = state or {}
        self._history = CountHistory(saved.get("history"))
        self._starts = Starts(saved.get("starts"))

    def observe(self, block: Block, templates: TemplateLookup) -> Sequence[Signal]:
        """See `engine.findings.base.StreamDetector`."""
        status = templates.status(block.keys)
        levels = np.bincount(block.lines.level, minlength=_LEVELS)
        statuses = np.bincount(status, block.counts, len(NAMES))
        counts = np.zeros(_LEVELS + len(NAMES))
        counts[_BAD] = np.concatenate((levels, statuses))[_BAD]
        things = np.flatnonzero(counts)
        ends = {thing: _ends(block, thing, status) for thing in things.tolist()}
        first = block.lines.row[[first for first, _ in ends.values()]]
        self._starts.add(things, first, counts[things], block, len(counts))
        known = max(1, int((self._history.total > 0).sum()))
        found = []
        for unusual in self._history.observe(counts, block.span_s):
            surprise = unusual.surprise - math.log(known * TESTS)
            for i in np.flatnonzero((surprise > LEAST) & unusual.more).tolist():
                thing, count, usual = int(unusual.index[i]), float(unusual.count[i]), float(unusual.usual[i])
                if thing in ends:
                    start = self._starts.first(thing, unusual.blocks, usual)
                    found.append(_signal(block, ends[thing][1], thing, float(surprise[i]), count, usual, start))
        return found

    def coarsen(self) -> None:
        """See `engine.findings.base.StreamDetector`."""
        self._history.coarsen()
        self._starts.coarsen()

    def snapshot(self) -> State:
        """See `engine.findings.base.StreamDetector`."""
        return {"history": self._history.snapshot(), "starts": self._starts.snapshot()}


def _ends(block: Block, thing: int, status: NDArray[np.int64]) -> tuple[int, int]:
    """The first and last line of a level or status in the block that has some; `status` is that of `block.keys`."""
    if thing < _LEVELS:
        mine = np.flatnonzero(block.lines.level == thing)
        return int(mine[0]), int(mine[-1])
    of = np.flatnonzero(status == thing - _LEVELS)
    return int(block.order[block.starts[of]].min()), int(block.order[block.starts[of + 1] - 1].max())


def _signal(
    block: Block, last: int, thing: int, surprise: float, count: float, usual: float, first: tuple[int, int]
) -> Signal:
    """A signal from the row and time `first` to line `last` of the block."""
    row, time_ns = first
    status = NAMES[thing - _LEVELS] if thing >= _LEVELS else ""
    return Signal(
        LevelShift.name, "level", -1 - thing, surprise, count, usual, int(count), row, int(block.lines.row[last]),
        time_ns, max(time_ns, int(block.lines.time_ns[last])), level=0 if status else thing, note={"status": status},
    )  # fmt: skip
