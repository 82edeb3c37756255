"""`silence`: templates that used to come again and again, and stop.

The gap since a template's last line is compared with the longest gaps it ever had. Above the smallest of these a
Pareto tail is assumed, with the exponent of Hill (1975, https://doi.org/10.1214/aos/1176343247): a heartbeat's longest
gaps are all alike, so twice as long is strange, while a template that comes in bursts has gaps of all lengths. A
template that keeps time is judged by the clock; any other must also be missed for more lines than ever, because what
traffic causes stops when traffic stops.
"""

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from engine.findings.base import Block, Signal, State, Templates

Floats = NDArray[np.float64]

_LONGEST = 8
"""Longest gaps that are kept of each template."""
_MIN_RECORDS = 12
"""Blocks with a gap before a template is judged."""
_MAX_EXPONENT = 10.0
_REGULAR = 0.4
"""Greatest coefficient of variation of the gaps of a template that keeps time."""
_NAMES = ("row", "ns", "gaps", "total", "square", "records")


class Silence:
    """See the module."""

    name: ClassVar[str] = "silence"
    calibrated: ClassVar[bool] = False

    def __init__(self, state: State | None = None) -> None:
        saved = state or {}
        self._row: NDArray[np.int64] = saved.get("row", np.zeros(0, np.int64)).copy()
        self._ns: NDArray[np.int64] = saved.get("ns", np.zeros(0, np.int64)).copy()
        self._gaps: Floats = saved.get("gaps", np.zeros(0)).copy()
        self._total: Floats = saved.get("total", np.zeros(0)).copy()
        self._square: Floats = saved.get("square", np.zeros(0)).copy()
        self._records: Floats = saved.get("records", np.zeros(0)).copy()
        self._longest: Floats = saved.get("longest", np.zeros((2, 0, _LONGEST))).copy()
        self._clock_ns: int = saved.get("clock_ns", 0)

    def observe(self, block: Block, templates: Templates) -> Sequence[Signal]:
        """See `engine.findings.base.Detector`."""
        self._grow(len(templates))
        clock = np.maximum(np.maximum.accumulate(block.lines.time_ns), self._clock_ns)
        self._clock_ns = int(clock[-1])
        found = self._test(block)
        self._learn(block, clock)
        return found

    def _test(self, block: Block) -> list[Signal]:
        """Tests the gaps that are still open at the end of the block."""
        absent = self._records >= _MIN_RECORDS
        absent[block.keys] = False
        at = np.flatnonzero(absent)
        if not len(at):
            return []
        last_row = int(block.lines.row[-1])
        seconds, lines = (self._clock_ns - self._ns[at]) / 1e9, (last_row - self._row[at]).astype(np.float64)
        mean = self._total[at] / self._gaps[at]
        spread = np.sqrt(np.maximum(0.0, self._square[at] / self._gaps[at] - mean * mean)) / np.maximum(mean, 1e-9)
        by_clock = self._surprise(0, at, seconds)
        by_lines = self._surprise(1, at, lines)
        regular = (spread < _REGULAR) & (mean > 0)
        surprise = np.where(regular & (by_lines > 0), by_clock, np.minimum(by_clock, by_lines))
        surprise -= np.log(max(1, int((self._records >= _MIN_RECORDS).sum())))
        found = []
        for i in np.flatnonzero(surprise > 1.0).tolist():
            key = int(at[i])
            missed = int(seconds[i] / mean[i]) if mean[i] > 0 else 0
            found.append(
                Signal(self.name, "silent", key, float(surprise[i]), float(seconds[i]), float(mean[i]), missed,
                       int(self._row[key]) + 1, last_row, int(self._ns[key]), self._clock_ns, unit="s",
                       note={"every": bool(regular[i])})
            )  # fmt: skip
        return found

    def _surprise(self, which: int, at: NDArray[np.int64], gap: Floats) -> Floats:
        """-ln of the chance of so long a gap; 0 where it is no longer than those seen."""
        longest = self._longest[which, at]
        least = np.maximum(longest[:, 0], 1e-3)
        spread = np.log(np.maximum(longest, 1e-3) / least[:, None]).sum(axis=1) / (_LONGEST - 1)
        exponent = np.minimum(_MAX_EXPONENT, 1.0 / np.maximum(spread, 1e-6))
        over = np.log(np.maximum(gap, 1e-3) / np.maximum(longest[:, -1], 1e-3))
        # Beyond the longest gap seen: one gap in all records was as long, and the tail goes on from there.
        surprise = np.log(self._records[at] + 1) + exponent * over
        return np.where(over > 0, surprise, 0.0)

    def _learn(self, block: Block, clock: NDArray[np.int64]) -> None:
        keys, starts, order = block.keys, block.starts, block.order
        times, rows = clock[order], block.lines.row[order]
        gap_s, gap_lines = np.empty(len(order)), np.empty(len(order))
        gap_s[1:], gap_lines[1:] = np.diff(times) / 1e9, np.diff(rows)
        begin = starts[:-1]
        known = self._ns[keys] > 0
        gap_s[begin] = np.where(known, (times[begin] - self._ns[keys]) / 1e9, 0.0)
        gap_lines[begin] = np.where(known, rows[begin] - self._row[keys], 0.0)
        real = gap_s > 0
        self._gaps[keys] += np.add.reduceat(real.astype(np.float64), begin)
        self._total[keys] += np.add.reduceat(gap_s, begin)
        self._square[keys] += np.add.reduceat(gap_s * gap_s, begin)
        longest = np.maximum.reduceat(gap_s, begin), np.maximum.reduceat(gap_lines, begin)
        has = np.flatnonzero(longest[0] > 0)
        self._records[keys[has]] += 1
        for which, gaps in enumerate(longest):
            kept = self._longest[which, keys[has]]
            # The least of those kept makes room for a longer one; each row stays sorted.
            kept[:, 0] = np.maximum(kept[:, 0], gaps[has])
            self._longest[which, keys[has]] = np.sort(kept, axis=1)
        ends = starts[1:] - 1
        self._ns[keys], self._row[keys] = times[ends], rows[ends]

    def _grow(self, size: int) -> None:
        more = size - len(self._row)
        if more > 0:
            self._row, self._ns = (np.append(a, np.zeros(more, np.int64)) for a in (self._row, self._ns))
            for name in ("_gaps", "_total", "_square", "_records"):
                setattr(self, name, np.append(getattr(self, name), np.zeros(more)))
            self._longest = np.concatenate((self._longest, np.zeros((2, more, _LONGEST))), axis=1)

    def coarsen(self) -> None:
        """See `engine.findings.base.Detector`; gaps do not depend on the length of blocks."""

    def snapshot(self) -> State:
        """See `engine.findings.base.Detector`."""
        state = {name: getattr(self, f"_{name}").copy() for name in (*_NAMES, "longest")}
        return {**state, "clock_ns": self._clock_ns}
