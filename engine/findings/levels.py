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
from engine.findings.block_loops import group_lines
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
_OTHERS = np.delete(np.arange(_LEVELS + len(NAMES)), _BAD)


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
        lines = self._things(block, templates.status(block.keys))
        things = np.flatnonzero(lines[0])
        counts = lines[0].astype(np.float64)
        self._starts.add(things, block.lines.row[lines[1, things]], counts[things], block, len(counts))
        known = max(1, int((self._history.total > 0).sum()))
        found = []
        for unusual in self._history.observe(counts, block.span_s):
            surprise = unusual.surprise - math.log(known * TESTS)
            for i in np.flatnonzero((surprise > LEAST) & unusual.more).tolist():
                thing, count, usual = int(unusual.index[i]), float(unusual.count[i]), float(unusual.usual[i])
                if counts[thing]:
                    start = self._starts.first(thing, unusual.blocks, usual)
                    last = int(lines[2, thing])
                    found.append(_signal(block, last, thing, float(surprise[i]), count, usual, start))
        return found

    def _things(self, block: Block, status: NDArray[np.int64]) -> NDArray[np.int64]:
        """int64 (3, things): how many lines each has, and the first and last of them; `status` is that of `keys`."""
        found = np.zeros((3, _LEVELS + len(NAMES)), np.int64)
        group_lines(block.lines.level, *found[:, :_LEVELS])
        of_status = found[:, _LEVELS:]
        of_status[1] = len(block)
        np.add.at(of_status[0], status, block.counts)
        np.minimum.at(of_status[1], status, block.first)
        np.maximum.at(of_status[2], status, block.last)
        found[:, _OTHERS] = 0
        return found

    def coarsen(self) -> None:
        """See `engine.findings.base.StreamDetector`."""
        self._history.coarsen()
        self._starts.coarsen()

    def snapshot(self) -> State:
        """See `engine.findings.base.StreamDetector`."""
        return {"history": self._history.snapshot(), "starts": self._starts.snapshot()}


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
