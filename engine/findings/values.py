"""`values`: numbers inside templates that become larger or smaller than they used to be.

Each place of a number (latency, bytes, queue length) has a histogram with buckets of equal ratio, as DDSketch has
(Masson et al., VLDB 2019, https://doi.org/10.14778/3352063.3352135). A new value becomes its distance from the median
of the values before it, in logarithms and in units of half the distance between their 16 and 84 % quantiles, limited
as in a location estimate by Huber (1964, https://doi.org/10.1214/aoms/1177703732). So neither units nor outliers
matter, but size does: a place that drifts by a third is not one that grows sixfold. A value also counts as high if it
is among the top tenth, or fiftieth, of those before it. The sums of the distances and of the high values in a window,
centred and over the root of their variance, would be standard normal if values were independent. How far they are from
that is measured on the place itself: counters, ids and all that drifts by nature have large sums every day and are
quiet here.
"""

import math
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc, stdtr  # type: ignore[import-untyped]

from engine.findings.base import Block, Signal, State, TemplateLookup
from engine.findings.value_loops import learn_values, score_values

Floats = NDArray[np.float64]

_BUCKETS = 160
_PER_OCTAVE = 5
_MIN_VALUES = 40.0
_MIN_BLOCKS = 12
_FEWEST = 5
"""Minimum number of values in a window."""
WINDOWS = (1, 4, 16)
"""Windows in blocks."""
_TESTS = sum(1.0 / max(1, length // 2) for length in WINDOWS)
"""Windows that end with a block, on average."""
_RING = 16
_HIGH = (0.1, 0.02)
"""Shares of the values before that count as high."""
STATISTICS = 1 + len(_HIGH)
_FAR = 8.0
"""Distance from the median beyond which a value counts no more."""
_FULL = 4000.0
"""Values at which a histogram is halved, so that it follows its place slowly."""
_PRIOR, _PRIOR_SQUARE = 4.0, 4.0
"""Until a place has shown otherwise, its sums are taken to spread twice as far as those of independent values."""
_HAZARD = math.sqrt(2 / math.pi)
"""Hazard rate of the distance of a standard normal value from 0, at 0; its slope is never above 1."""
_ARRAYS = ("histogram", "seen", "scores", "numbers", "spread", "tested")


class ValueShifts:
    """See the module."""

    name: ClassVar[str] = "values"
    calibrated: ClassVar[bool] = False

    def __init__(self, state: State | None = None) -> None:
        saved = state or {}
        self._n: int = saved.get("n", 0)
        self._histogram: Floats = saved.get("histogram", np.zeros((0, _BUCKETS))).copy()
        self._seen: Floats = saved.get("seen", np.zeros(0)).copy()
        self._scores: Floats = saved.get("scores", np.zeros((STATISTICS, _RING, 0))).copy()
        self._numbers: Floats = saved.get("numbers", np.zeros((_RING, 0))).copy()
        self._spread: Floats = saved.get("spread", np.zeros((STATISTICS, len(WINDOWS), 0))).copy()
        self._tested: Floats = saved.get("tested", np.zeros((len(WINDOWS), 0))).copy()

    def observe(self, block: Block, templates: TemplateLookup) -> Sequence[Signal]:
        """See `engine.findings.base.StreamDetector`."""
        values = block.lines.values
        at = self._n % _RING
        if len(values.slot):
            self._grow(int(values.slot.max()) + 1)
        self._scores[:, at], self._numbers[at] = 0.0, 0.0
        bucket = _bucket(values.value)
        score_values(
            values.slot, bucket, self._histogram, self._seen, _MIN_VALUES, _FAR, np.array(_HIGH), self._scores[:, at],
            self._numbers[at],
        )  # fmt: skip
        self._n += 1
        found = self._test(block)
        learn_values(values.slot, bucket, self._histogram, self._seen, _FULL)
        return found

    def _test(self, block: Block) -> list[Signal]:
        found: list[Signal] = []
        tests = max(1, int((self._seen >= _MIN_VALUES).sum())) * _TESTS * STATISTICS
        present = np.zeros(len(self._seen), np.bool_)
        present[block.lines.values.slot] = True
        for scale, length in enumerate(WINDOWS):
            if self._n < _MIN_BLOCKS or self._n % max(1, length // 2):
                continue
            rows = (self._n - 1 - np.arange(length)) % _RING
            number = self._numbers[rows].sum(axis=0)
            some = np.flatnonzero(number >= _FEWEST)
            if not len(some):
                continue
            tested = self._tested[scale, some]
            freedom = np.minimum(2.0 + tested / 2, 40.0)
            total = self._scores[:, rows][:, :, some].sum(axis=1) / np.sqrt(number[some])
            spread = np.sqrt((self._spread[:, scale, some] + _PRIOR * _PRIOR_SQUARE) / (tested + _PRIOR))
            ratio = np.abs(total) / np.maximum(spread, 1.0)
            # No tail of a t distribution is thinner than this bound on that of the normal one.
            maybe = (ratio * (ratio / 2 + _HAZARD) > 1.0 + np.log(tests)) & (tested >= _MIN_BLOCKS) & present[some]
            for statistic, i in np.argwhere(maybe).tolist():
                sure = float(-np.log(max(2 * stdtr(freedom[i], -ratio[statistic, i]), 1e-300)) - np.log(tests))
                if statistic > 0:
                    high = _many(total[statistic, i], number[some[i]], _HIGH[statistic - 1])
                    sure = min(sure, float(high - np.log(tests)))
                if sure > 1.0:
                    found.append(self._signal(block, int(some[i]), sure, float(total[statistic, i]), rows))
            # A strange window must not teach that strange windows are usual.
            self._spread[:, scale, some] += np.minimum(total * total, 16.0 * spread * spread)
            self._tested[scale, some] += 1
        return found

    def _signal(self, block: Block, slot: int, surprise: float, total: float, rows: NDArray[np.int64]) -> Signal:
        values = block.lines.values
        mine = np.flatnonzero(values.slot == slot)
        row = values.row[mine]
        times = block.lines.time_ns[row - block.lines.row[0]]
        now = float(np.median(values.value[mine]))
        number = int(self._numbers[rows, slot].sum())
        return Signal(
            self.name, "value", -1, surprise, now, self._median(slot), number, int(row[0]), int(row[-1]),
            int(times[0]), max(int(times[0]), int(times[-1])),
            unit="value", note={"slot": slot, "higher": total > 0},
        )  # fmt: skip

    def _median(self, slot: int) -> float:
        below = np.cumsum(self._histogram[slot])
        return float(2.0 ** (np.searchsorted(below, below[-1] / 2) / _PER_OCTAVE) - 1.0)

    def _grow(self, size: int) -> None:
        more = size - len(self._seen)
        if more > 0:
            self._histogram = np.concatenate((self._histogram, np.zeros((more, _BUCKETS))))
            self._seen = np.append(self._seen, np.zeros(more))
            for name in ("_scores", "_numbers", "_spread", "_tested"):
                array = getattr(self, name)
                setattr(self, name, np.concatenate((array, np.zeros((*array.shape[:-1], more))), axis=-1))

    def coarsen(self) -> None:
        """See `engine.findings.base.StreamDetector`; a block holds as many sampled values as before."""

    def snapshot(self) -> State:
        """See `engine.findings.base.StreamDetector`."""
        return {"n": self._n, **{name: getattr(self, f"_{name}").copy() for name in _ARRAYS}}


def _many(total: float, number: float, share: float) -> float:
    """-ln of the chance of the observed count of high values among `number` independent ones; 0 if not above usual.

    High values are rare, so with few values their sum is far from normal.
    """
    high = round(total * math.sqrt(number * share * (1 - share)) + number * share)
    if total <= 0 or high < 1:
        return 0.0
    return -math.log(max(float(betainc(high, number - high + 1.0, share)), 1e-300))


def _bucket(value: Floats) -> NDArray[np.int64]:
    """int64: the bucket of each value; negative ones share the first."""
    found: NDArray[np.int64] = (np.log2(1.0 + np.maximum(value, 0.0)) * _PER_OCTAVE).round().astype(np.int64)
    return np.minimum(found, _BUCKETS - 1)
