"""Several clocks in one source: a wrong one, hosts in different zones, a clock that was set back.

The lines of a partition are taken to follow one clock. A line more than `JUMP_S` away from it is an exception until
further lines say what it was:

- ahead, and the next lines go on from there: the source was quiet, and its clock moves on;
- ahead or behind, and lines by a known clock come in between: another clock runs in parallel. The difference is
  remembered, and lines by that clock are read as if it showed the time of the first;
- behind, several times in a row: the clock was set back. The difference is remembered in the same way;
- behind by the difference of two time zones, to a few seconds: read as a line of another zone at once, since it
  would be late by its own time.

So a wrong clock costs one line, and hosts in different zones share windows. Everything follows from the order of the
lines alone.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from engine.windows.grouping import Ints
from engine.windows.window_base import NO_TIME

JUMP_NS = 600 * 10**9
"""Differences up to this are ordinary gaps and late lines. Zones differ by 15 minutes at least."""

_QUARTER_NS = 900 * 10**9
_SECOND_NS = 10**9
_ZONE_ERROR_NS = 5 * 10**9
_ZONES_APART_NS = 26 * 3600 * 10**9
"""Between UTC-12 and UTC+14."""

_BACK_LINES = 3
"""Lines in a row after which a clock that is behind counts as set back."""

_MOST_CLOCKS = 64
"""Differences that are remembered; beyond it the one used longest ago is forgotten."""


@dataclass(slots=True)
class SourceClocks:
    """The clocks of one partition.

    Attributes:
        latest_ns: The latest time by the first clock.
        offsets: ns by which other clocks are ahead of it, the one used last at the end.
        strange_ns: The last time that no clock explains, `NO_TIME` if every time is explained.
        strange_lines: Lines in a row around it.
    """

    latest_ns: int = NO_TIME
    offsets: list[int] = field(default_factory=list)
    strange_ns: int = NO_TIME
    strange_lines: int = 0

    def read(self, times: Ints) -> tuple[Ints, Ints]:
        """Times of lines by the first clock, and the latest such time after each line.

        Args:
            times: int64 (n,): as written; `NO_TIME` entries move nothing.
        """
        latest = np.maximum.accumulate(times)
        np.maximum(latest, self.latest_ns, out=latest)
        before = np.concatenate([np.array([self.latest_ns]), latest[:-1]])
        odd = (np.abs(times - before) > JUMP_NS) & (times != NO_TIME)
        odd[0] &= self.latest_ns != NO_TIME
        odd[0] |= self.strange_lines > 0 or bool(self.offsets)
        if not odd.any():
            self.latest_ns = int(latest[-1])
            return times, latest
        first = int(odd.argmax())
        if first:
            self.latest_ns = int(before[first])
        times, latest = times.copy(), latest.copy()
        for row, time in enumerate(times[first:].tolist(), start=first):
            times[row] = self._time(time)
            latest[row] = self.latest_ns
        return times, latest

    def _time(self, time_ns: int) -> int:
        if time_ns == NO_TIME or self.latest_ns == NO_TIME:
            self.latest_ns = max(self.latest_ns, time_ns)
            return time_ns
        offset = self._known(time_ns)
        if offset is not None:
            if self.strange_lines:
                self._remember(self.strange_ns)
            self.strange_lines = 0
            self.latest_ns = max(self.latest_ns, time_ns - offset)
            return time_ns - offset
        near = self.strange_lines and abs(time_ns - self.strange_ns) <= JUMP_NS
        onward = self.strange_lines and self.strange_ns > self.latest_ns and time_ns >= self.strange_ns
        if onward or (near and self.strange_ns > self.latest_ns):
            self.latest_ns, self.strange_lines = max(time_ns, self.strange_ns), 0
            return time_ns
        self.strange_lines = self.strange_lines + 1 if near else 1
        self.strange_ns = time_ns
        if time_ns < self.latest_ns and self.strange_lines >= _BACK_LINES:
            self.strange_lines = 0
            return time_ns - self._remember(time_ns)
        return time_ns - self._zone(time_ns)

    def _zone(self, time_ns: int) -> int:
        """By how much a line that is behind by the difference of two zones is behind (negative); else 0."""
        offset = time_ns - self.latest_ns
        quarters = round(offset / _QUARTER_NS) * _QUARTER_NS
        return quarters if -_ZONES_APART_NS <= offset < 0 and abs(offset - quarters) <= _ZONE_ERROR_NS else 0

    def _known(self, time_ns: int) -> int | None:
        """The offset of the clock that explains a time best; None where none does."""
        if abs(time_ns - self.latest_ns) <= JUMP_NS:
            return 0
        best = min(self.offsets, key=lambda offset: abs(time_ns - offset - self.latest_ns), default=None)
        if best is None or abs(time_ns - best - self.latest_ns) > JUMP_NS:
            return None
        self.offsets.remove(best)
        self.offsets.append(best)
        return best

    def _remember(self, time_ns: int) -> int:
        """Keeps the difference of a clock that shows this time now; whole quarters of an hour where it is near one."""
        offset = time_ns - self.latest_ns
        quarters = round(offset / _QUARTER_NS) * _QUARTER_NS
        offset = quarters if abs(offset - quarters) < _QUARTER_NS // 10 else offset // _SECOND_NS * _SECOND_NS
        self.offsets = [*self.offsets[-_MOST_CLOCKS + 1 :], offset]
        return offset

    def dump(self) -> list[Any]:
        """JSON-compatible state."""
        return [self.latest_ns, self.offsets.copy(), self.strange_ns, self.strange_lines]
