"""`levels`: a source that writes more warnings, errors, fatal lines or failed requests than it used to.

Levels and HTTP statuses are counted over all templates: retries that spread over twenty endpoints are few for each of
them.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from engine.findings.base import Block, Signal, State, TemplateLookup
from engine.findings.counts import TESTS, CountHistory
from engine.findings.rates import Starts
from engine.formats.base import LEVEL_NAMES
from engine.formats.http_status import NAMES

Floats = NDArray[np.float64]
Ints = NDArray[np.integer[Any]]

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
        columns = block.lines.level, _LEVELS + templates.status(block.lines.key)
        counts = np.zeros(_LEVELS + len(NAMES))
        for column in columns:
            counts += np.bincount(column, minlength=len(counts))
        bad = np.zeros(len(counts), np.bool_)
        bad[_BAD] = True
        counts[~bad] = 0.0
        self._note_starts(block, columns, counts)
        known = max(1, int((self._history.total > 0).sum()))
        found = []
        for unusual in self._history.observe(counts, block.span_s):
            surprise = unusual.surprise - np.log(known * TESTS)
            for i in np.flatnonzero((surprise > 1.0) & unusual.more).tolist():
                thing, count, usual = int(unusual.index[i]), float(unusual.count[i]), float(unusual.usual[i])
                mine = np.flatnonzero(columns[thing >= _LEVELS] == thing)
                if len(mine):
                    first = self._starts.first(thing, unusual.blocks, usual)
                    found.append(_signal(block, int(mine[-1]), thing, float(surprise[i]), count, usual, first))
        return found

    def _note_starts(self, block: Block, columns: "tuple[Ints, Ints]", counts: Floats) -> None:
        things = np.flatnonzero(counts)
        first = [int(np.argmax(columns[thing >= _LEVELS] == thing)) for thing in things.tolist()]
        self._starts.add(things, block.lines.row[first], counts[things], block, len(counts))

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
