"""`silence`: templates that used to come again and again, and stop.

The gap since a template's last line is compared with the longest gaps it ever had. Above the smallest of these a
Pareto tail is assumed, with the exponent of Hill (1975, https://doi.org/10.1214/aos/1176343247): a heartbeat's longest
gaps are all alike, so twice as long is strange, while a template that comes in bursts has gaps of all lengths. A
template that keeps time is judged by the clock: each further tick that it misses is as unlikely as the one before, so
the tail of its gaps is also taken as exponential, and the thinner of the two tails holds. Any other template must also
be absent for more lines than ever, because lines caused by traffic stop when traffic stops.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from engine.findings.base import Block, Signal, State, TemplateLookup
from engine.findings.block_loops import add_gaps, find_gaps

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_LONGEST = 8
"""Longest gaps that are kept of each template."""
_MIN_RECORDS = 6
"""Blocks with a gap before a template is judged."""
_MAX_EXPONENT = 10.0
_LEAST_SCALE = 0.25
"""Least scale of the exponential tail, in usual gaps: a quarter of a gap more makes it at most e times less likely."""
_REGULAR = 0.4
"""Greatest half distance between the 16 and 84 % quantiles of the gaps of a template that keeps time, by the median."""
_BUCKETS, _PER_OCTAVE, _FIRST_OCTAVE = 84, 4, -4
"""Gaps from 1/16 s to 12 days in steps of 19 %."""
_PRESENT = 0.25
"""Share of the log's time until its last line for which a template must have come to be missed."""
_NAMES = ("row", "ns", "since", "gaps", "total", "records")


def _bucket(gap_ns: Ints) -> Ints:
    """int64: the bucket of each gap."""
    octave = np.log2(np.maximum(gap_ns / 1e9, 1e-3)) - _FIRST_OCTAVE
    bucket: Ints = np.clip((octave * _PER_OCTAVE).round(), 0, _BUCKETS - 1).astype(np.int64)
    return bucket


def _least_ns() -> Ints:
    """int64 (buckets - 1,): the shortest gap of each bucket but the first."""
    low, high = np.zeros(_BUCKETS - 1, np.int64), np.full(_BUCKETS - 1, 1 << 61)
    while (low < high).any():
        middle = (low + high) >> 1
        reached = _bucket(middle) >= np.arange(1, _BUCKETS)
        low, high = np.where(reached, low, middle + 1), np.where(reached, middle, high)
    return low


_LEAST_NS = _least_ns()


@dataclass(frozen=True, slots=True)
class _Gaps:
    """The gaps before the lines of a block; arrays have one entry for each of the block's templates.

    Attributes:
        longest_ns: int64: the longest gap of each template.
        at, end_ns, lines: int64: the first line that ends a gap as long, the clock there, and the lines from the one
            before it to it.
        most_lines: int64: the most lines of a gap.
        total_ns: int64: sum of all gaps.
        first_ns, last_ns, last_row: int64: the clock at the first and last line, and the last line's number.
        each, used: Template and bucket of each gap longer than nothing, see `find_gaps`.
    """

    longest_ns: Ints
    at: Ints
    end_ns: Ints
    lines: Ints
    most_lines: Ints
    total_ns: Ints
    first_ns: Ints
    last_ns: Ints
    last_row: Ints
    each: NDArray[np.int32]
    used: int


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
        self._since: NDArray[np.int64] = saved.get("since", np.zeros(0, np.int64)).copy()
        self._histogram: NDArray[np.float32] = saved.get("histogram", np.zeros((0, _BUCKETS), np.float32)).copy()
        self._records: Floats = saved.get("records", np.zeros(0)).copy()
        self._longest: Floats = saved.get("longest", np.zeros((2, 0, _LONGEST))).copy()
        self._clock_ns: int = saved.get("clock_ns", 0)
        self._begin_ns: int = saved.get("begin_ns", 0)
        self._lines: int = saved.get("lines", 0)

    def observe(self, block: Block, templates: TemplateLookup) -> Sequence[Signal]:
        """See `engine.findings.base.StreamDetector`."""
        self._grow(len(templates))
        self._begin_ns = self._begin_ns or int(block.lines.time_ns[0])
        gaps = self._gaps_of(block)
        self._clock_ns = int(gaps.last_ns.max())
        judged = self._judged()
        found = self._closed(block, gaps, judged) + self._open(block, judged)
        self._learn(block, gaps)
        self._lines += len(block)
        return found

    def _gaps_of(self, block: Block) -> "_Gaps":
        lines, size = block.lines, len(self._row)
        found, ends = np.zeros((size, 6), np.int64), np.zeros((size, 4), np.int64)
        each = np.empty((len(block), 2), np.int32)
        used = find_gaps(
            lines.key, lines.row, lines.time_ns, self._clock_ns, self._ns, self._row, _LEAST_NS, found, each, ends
        )
        longest_ns, at, end_ns, between, most, total_ns = found[block.keys].T
        first_ns, last_ns, last_row = ends[block.keys, 1:].T
        return _Gaps(longest_ns, at, end_ns, between, most, total_ns, first_ns, last_ns, last_row, each, used)

    def _open(self, block: Block, judged: NDArray[np.bool_]) -> list[Signal]:
        """Gaps that have not ended with the block."""
        absent = judged & self._longer((self._clock_ns - self._ns) / 1e9, slice(None))
        absent[block.keys] = False
        at = np.flatnonzero(absent)
        if not len(at):
            return []
        last_row = int(block.lines.row[-1])
        seconds, lines = (self._clock_ns - self._ns[at]) / 1e9, (last_row - self._row[at]).astype(np.float64)
        surprise, mean, regular = self._judge(at, seconds, lines)
        return [
            self._signal(int(at[i]), float(surprise[i]), float(seconds[i]), float(mean[i]), int(self._row[at[i]]) + 1,
                         last_row, int(self._ns[at[i]]), self._clock_ns, regular=bool(regular[i]), open=True)
            for i in np.flatnonzero(surprise > 1.0).tolist()
        ]  # fmt: skip

    def _closed(self, block: Block, gaps: "_Gaps", judged: NDArray[np.bool_]) -> list[Signal]:
        """The longest gap of each template that ended within the block."""
        at = np.flatnonzero(judged[block.keys] & self._longer(gaps.longest_ns / 1e9, block.keys))
        if not len(at):
            return []
        found = []
        keys, where, gap_s = block.keys[at], gaps.at[at].tolist(), gaps.longest_ns[at] / 1e9
        surprise, mean, regular = self._judge(keys, gap_s, gaps.lines[at].astype(np.float64))
        for i in np.flatnonzero(surprise > 1.0).tolist():
            row, lines = int(block.lines.row[where[i]]), int(gaps.lines[at[i]])
            end_ns = int(gaps.end_ns[at[i]])
            found.append(
                self._signal(int(keys[i]), float(surprise[i]), float(gap_s[i]), float(mean[i]),
                             row - lines + 1, row, end_ns - int(gap_s[i] * 1e9), end_ns, regular=bool(regular[i]),
                             open=False)
            )  # fmt: skip
        return found

    def _longer(self, gap_s: Floats, keys: NDArray[np.int32] | slice) -> NDArray[np.bool_]:
        """Whether gaps are longer than all that were seen of their templates; others surprise nobody."""
        longer: NDArray[np.bool_] = gap_s > self._longest[0, keys, -1]
        return longer

    def _judged(self) -> NDArray[np.bool_]:
        """Templates that came often enough, and for long enough, to be missed."""
        present: NDArray[np.bool_] = self._ns - self._since >= _PRESENT * (self._ns - self._begin_ns)
        return (self._records >= _MIN_RECORDS) & present

    def _judge(
        self, at: NDArray[np.integer[Any]], seconds: Floats, lines: Floats
    ) -> tuple[Floats, Floats, NDArray[np.bool_]]:
        """Surprise of gaps, usual gap, and whether the template keeps time."""
        gaps = np.maximum(self._gaps[at], 1.0)
        mean = self._total[at] / gaps
        low, median, high = self._quantiles(at)
        by_clock = self._surprise(0, at, seconds)
        by_lines = self._surprise(1, at, lines)
        by_ticks = self._surprise_of_ticks(at, seconds, median)
        regular = (high - low < 2 * _REGULAR * median) & (mean > 0)
        # While a whole log pauses, no template misses more than the lines of its usual gap.
        missed = lines > 2.0 * (self._lines + 1) / gaps
        surprise = np.where(regular & missed, np.maximum(by_clock, by_ticks), np.minimum(by_clock, by_lines))
        return surprise - np.log(max(1, int((self._records >= _MIN_RECORDS).sum()))), mean, regular

    def _quantiles(self, at: NDArray[np.integer[Any]]) -> list[Floats]:
        """The 16, 50 and 84 % quantile of the gaps of templates in seconds."""
        below = np.cumsum(self._histogram[at], axis=1)
        buckets = (np.argmax(below >= q * below[:, -1:], axis=1) for q in (0.16, 0.5, 0.84))
        return [2.0 ** (bucket / _PER_OCTAVE + _FIRST_OCTAVE) for bucket in buckets]

    def _signal(
        self, key: int, surprise: float, seconds: float, usual: float, first: int, last: int, first_ns: int,
        last_ns: int, *, regular: bool, open: bool,
    ) -> Signal:  # fmt: skip
        missed = int(seconds / usual) if usual > 0 else 0
        return Signal(
            self.name, "silent", key, surprise, seconds, usual, missed, min(first, last), last, first_ns,
            max(first_ns, last_ns), unit="s", note={"every": regular, "open": open},
        )  # fmt: skip

    def _surprise(self, which: int, at: NDArray[np.integer[Any]], gap: Floats) -> Floats:
        """-ln of the chance of so long a gap; 0 where it is no longer than those seen."""
        longest = self._longest[which, at]
        kept = np.minimum(self._records[at], _LONGEST)
        least = np.where(longest > 0, longest, np.inf).min(axis=1)
        spread = np.where(longest > 0, np.log(np.maximum(longest, 1e-9) / least[:, None]), 0.0).sum(axis=1) / (kept - 1)
        exponent = np.minimum(_MAX_EXPONENT, 1.0 / np.maximum(spread, 1e-6))
        over = np.log(np.maximum(gap, 1e-3) / np.maximum(longest[:, -1], 1e-3))
        # Beyond the longest gap seen: one gap in all records was as long, and the tail continues from there.
        surprise = np.log(self._records[at] + 1) + exponent * over
        return np.where(over > 0, surprise, 0.0)

    def _surprise_of_ticks(self, at: NDArray[np.integer[Any]], gap: Floats, median: Floats) -> Floats:
        """The same of a template that keeps time, whose longest gaps are beyond the least of them by an exponential."""
        longest = self._longest[0, at]
        kept = np.minimum(self._records[at], _LONGEST)
        least = np.where(longest > 0, longest, np.inf).min(axis=1)
        excess = np.where(longest > 0, longest - least[:, None], 0.0).sum(axis=1) / (kept - 1)
        over = gap - longest[:, -1]
        surprise = np.log(self._records[at] + 1) + over / np.maximum(excess, _LEAST_SCALE * median)
        return np.where(over > 0, surprise, 0.0)

    def _learn(self, block: Block, gaps: "_Gaps") -> None:
        keys = block.keys
        add_gaps(gaps.each, gaps.used, self._histogram, self._gaps)
        self._total[keys] += gaps.total_ns / 1e9
        has = np.flatnonzero(gaps.longest_ns > 0)
        self._records[keys[has]] += 1
        for which, longest in enumerate((gaps.longest_ns / 1e9, gaps.most_lines)):
            kept = self._longest[which, keys[has]]
            # The least of those kept makes room for a longer one; each row stays sorted.
            kept[:, 0] = np.maximum(kept[:, 0], longest[has])
            self._longest[which, keys[has]] = np.sort(kept, axis=1)
        new = self._ns[keys] == 0
        self._since[keys[new]] = gaps.first_ns[new]
        self._ns[keys], self._row[keys] = gaps.last_ns, gaps.last_row

    def _grow(self, size: int) -> None:
        more = size - len(self._row)
        if more > 0:
            for name in ("_row", "_ns", "_since"):
                setattr(self, name, np.append(getattr(self, name), np.zeros(more, np.int64)))
            for name in ("_gaps", "_total", "_records"):
                setattr(self, name, np.append(getattr(self, name), np.zeros(more)))
            self._histogram = np.concatenate((self._histogram, np.zeros((more, _BUCKETS), np.float32)))
            self._longest = np.concatenate((self._longest, np.zeros((2, more, _LONGEST))), axis=1)

    def coarsen(self) -> None:
        """See `engine.findings.base.StreamDetector`; gaps do not depend on the length of blocks."""

    def snapshot(self) -> State:
        """See `engine.findings.base.StreamDetector`."""
        state = {name: getattr(self, f"_{name}").copy() for name in (*_NAMES, "longest", "histogram")}
        return {**state, "clock_ns": self._clock_ns, "begin_ns": self._begin_ns, "lines": self._lines}
