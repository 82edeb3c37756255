"""`levels`: a source that writes more warnings, errors or fatal lines than it used to, whatever their templates."""

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from engine.findings.base import Block, Signal, State, TemplateLookup
from engine.findings.counts import SCALES, CountHistory
from engine.parsing.parsed_columns import LEVEL_NAMES

_BAD = tuple(LEVEL_NAMES.index(name) for name in ("warn", "error", "fatal"))


class LevelShift:
    """Counts of levels against their own history, see `engine.findings.counts`."""

    name: ClassVar[str] = "levels"
    calibrated: ClassVar[bool] = False

    def __init__(self, state: State | None = None) -> None:
        self._history = CountHistory((state or {}).get("history"))

    def observe(self, block: Block, templates: TemplateLookup) -> Sequence[Signal]:
        """See `engine.findings.base.StreamDetector`."""
        level = block.lines.level
        counts = np.bincount(level, minlength=len(LEVEL_NAMES)).astype(np.float64)
        counts[: _BAD[0]] = 0.0
        found = []
        for unusual in self._history.observe(counts, block.span_s):
            surprise = unusual.surprise - np.log(len(_BAD) * SCALES)
            for i in np.flatnonzero((surprise > 1.0) & unusual.more).tolist():
                mine = np.flatnonzero(level == unusual.index[i])
                if len(mine):
                    rows, times = block.lines.row[mine], block.lines.time_ns[mine]
                    found.append(
                        Signal(self.name, "level", -1, float(surprise[i]), float(unusual.count[i]),
                               float(unusual.usual[i]), int(unusual.count[i]), int(rows[0]), int(rows[-1]),
                               int(times[0]), max(int(times[0]), int(times[-1])), level=int(unusual.index[i]))
                    )  # fmt: skip
        return found

    def coarsen(self) -> None:
        """See `engine.findings.base.StreamDetector`."""
        self._history.coarsen()

    def snapshot(self) -> State:
        """See `engine.findings.base.StreamDetector`."""
        return {"history": self._history.snapshot()}
