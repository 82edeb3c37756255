"""How often things occur in blocks, at several time scales, and how surprising a count is.

Counts of log lines are over-dispersed: one session, one retry loop or one job writes many lines at once. A count is
therefore compared with a negative binomial whose mean and dispersion come from the thing's own history (method of
moments, shrunk towards the dispersion that is typical of the source), widened by what is not known of a mean that
was measured on few lines.

A count is surprising only if neither the clock nor the other lines explain it: its chance is the greater of the
chance given the seconds of the window and the chance given the lines of the window (an intersection-union test,
Berger 1982). Daily traffic, replays and pauses move all lines together or the clock alone, so they explain
themselves. An explanation that fits the thing's past worse than the other one counts for less, by the ratio of their
likelihoods: what follows the traffic of the day is not explained by a clock that knows no hours.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc  # type: ignore[import-untyped]

from engine.findings.base import State, TemplateLookup
from engine.findings.count_loops import COLUMNS, FEWEST, LOW, SUSPECT_Z, close_window, far_counts, learn_counts

Floats = NDArray[np.float64]
Index = NDArray[np.int64]

LINES, CLOCK = 0, 1
"""What a count is expected in proportion to: the lines of a window, or its seconds."""
SCALES = 6
"""Windows of 1, 2, 4, … 32 blocks are tested; every one but the first begins at half its length."""
TESTS = 1.0 + sum(1.0 / max(1, 1 << scale >> 1) for scale in range(1, SCALES))
"""Windows that end with a block, on average."""
KEPT = 11
"""Scales whose history is kept, so that blocks may double a few times without losing it."""
RING = 1 << (SCALES - 1)
"""Blocks that are remembered one by one: the longest window."""
_MIN_BLOCKS = 12
"""Blocks of history before anything is tested."""
_USUAL_DISPERSION = 0.5
_ENOUGH_LINES = 20
_TINY = 1e-300
_NO_FAMILIES: Index = np.zeros(0, np.int64)
_MOMENTS = ("square", "by_span", "part", "last", "last_span")


@dataclass(frozen=True, slots=True)
class Unusual:
    """Counts of one window that are far from usual.

    Attributes:
        blocks: Length of the window.
        index: Which things.
        count, usual: How often now, and how often in a window as long by its clock and its lines.
        surprise: -ln of the chance.
        more: True where the count is too high, False where it is too low.
    """

    blocks: int
    index: NDArray[np.int64]
    count: Floats
    usual: Floats
    surprise: Floats
    more: NDArray[np.bool_]


class CountHistory:
    """Counts of up to `limit` things, numbered from 0, block by block."""

    def __init__(self, state: State | None = None) -> None:
        saved = state or {}
        self._n: int = saved.get("n", 0)
        self._span: float = saved.get("span", 0.0)
        self._total: Floats = _copy(saved, "total", (0,))
        self._moments = {name: _copy(saved, name, (KEPT, 0)) for name in _MOMENTS[:-1]}
        self._span_square: Floats = _copy(saved, "span_square", (KEPT,))
        self._span_part: Floats = _copy(saved, "span_part", (KEPT,))
        self._span_last: Floats = _copy(saved, "span_last", (KEPT,))
        self._ring: Floats = _copy(saved, "ring", (RING, 0))
        self._ring_span: Floats = _copy(saved, "ring_span", (RING,))
        self._pool: Floats = _copy(saved, "pool", (2, SCALES), _USUAL_DISPERSION)
        self._families: Index | None = None

    def __len__(self) -> int:
        return len(self._total)

    @property
    def blocks(self) -> int:
        """Blocks seen, in units of today's block size."""
        return self._n

    @property
    def total(self) -> Floats:
        """float64: how often each thing has occurred."""
        return self._total

    def observe(self, counts: Floats, span_s: float, families: Index | None = None) -> Iterator[Unusual]:
        """What is unusual in the windows that end with this block; exhaust it, since it learns at its end.

        Args:
            counts: How often each thing occurs in the block; more things than before are new ones.
            span_s: Seconds that the block took.
            families: int64: number of the family of each thing, whose members are alike in how they burst.
        """
        self._grow(len(counts))
        self._families = families
        for scale in range(SCALES):
            blocks = 1 << scale
            if self._n - blocks < max(_MIN_BLOCKS, 3 * blocks):
                break
            if (self._n + 1) % max(1, blocks // 2) == 0:
                yield from self._test(scale, counts, span_s)
        self._learn(counts, span_s)

    def _test(self, scale: int, counts: Floats, span_s: float) -> Iterator[Unusual]:
        """Tests the window of a scale that ends with a block of these counts."""
        at, (window, total, *means, lines, clock, took) = self._far(scale, counts, span_s)
        if not len(at):
            return
        blocks = 1 << scale
        expected, dispersion = np.array(means), np.array((lines, clock))
        both, low = _tails(window, expected, total, dispersion)
        groups = (self._n - (blocks - 1)) / blocks
        better = _better(total / groups, dispersion, groups) if took[0] else np.zeros(len(at))
        both[CLOCK] += np.maximum(better, 0.0)
        both[LINES] -= np.minimum(better, 0.0)
        # The kinder of the two explanations holds.
        more = np.where(both[LINES] < both[CLOCK], expected[LINES], expected[CLOCK])
        usual = np.where(window > expected[LINES], more, expected.min(axis=0))
        high = both.min(axis=0)
        surprise = np.maximum(high, low.min(axis=0))
        index = np.flatnonzero(surprise > 0)
        if len(index):
            yield Unusual(blocks, at[index], window[index], usual[index], surprise[index], high[index] > 0)

    def _far(self, scale: int, counts: Floats, span_s: float) -> tuple[Index, Floats]:
        """The things whose counts are far from usual, and seven columns about them, see `far_counts`."""
        m, families = self._moments, _NO_FAMILIES if self._families is None else self._families
        of_families = np.zeros((int(families.max()) + 1 if len(families) else 0, 7))
        found, columns = np.empty(len(counts), np.int64), np.empty((COLUMNS, len(counts)))
        used = far_counts(
            counts, span_s, self._ring, self._ring_span, self._n, scale, self._total, self._span, m["part"],
            m["square"], m["by_span"], m["last"], self._span_part, self._span_square, self._span_last, self._pool,
            families, of_families, found, columns,
        )  # fmt: skip
        return found[:used], columns[:7, :used]

    def _excess(self, scale: int, at: Index) -> tuple[Floats, Floats]:
        """Variance above that of a Poisson count, and the mean's square; their ratio is the dispersion.

        Returns:
            Both float64 (2, k): given the lines, and given the seconds, of a window.
        """
        m, groups = self._moments, self._n >> scale
        square, by_span = m["square"][scale, at], m["by_span"][scale, at]
        summed = self._total[at] - m["part"][scale, at]
        span_square, span = float(self._span_square[scale]), float(self._span - self._span_part[scale])
        mean, rate = summed / max(1, groups), summed / max(span, 1e-9)
        squares = square - 2 * rate * by_span + rate * rate * span_square
        excess = np.array((square / max(1, groups) - mean * mean - mean, squares - summed))
        return excess, np.array((mean * mean, rate * rate * span_square))

    def _update_pool(self) -> None:
        """The dispersion that is typical of the source: the median over things with enough lines."""
        at = np.flatnonzero(self._total >= _ENOUGH_LINES)
        if len(at) < 3:
            return
        for scale in range(SCALES):
            self._pool[:, scale] = np.median(_ratio(*self._excess(scale, at)), axis=1)

    def _learn(self, counts: Floats, span_s: float) -> None:
        m = self._moments
        learn_counts(counts, self._total, self._ring[self._n % RING], m["part"])
        self._span += span_s
        self._span_part += span_s
        self._ring_span[self._n % RING] = span_s
        self._n += 1
        if self._n % 32 == 0 or self._n == _MIN_BLOCKS:
            self._update_pool()
        for scale in range(KEPT):
            if self._n % (1 << scale):
                break
            part_s = self._span_part[scale]
            close_window(*(m[name][scale] for name in ("part", "square", "by_span", "last")), part_s)
            self._span_square[scale] += part_s * part_s
            self._span_last[scale] = part_s
            self._span_part[scale] = 0.0

    def coarsen(self) -> None:
        """Blocks are twice as long from now on: every scale takes the place of the one below it."""
        self._n //= 2
        for array in (*self._moments.values(), self._span_square, self._span_part, self._span_last):
            array[:-1] = array[1:].copy()
            array[-1] = 0.0
        ages = np.arange(1, RING // 2 + 1)
        # Ring entries by age: the two that are 2k - 1 and 2k blocks old become the one that is k old.
        old, old_span, n = self._ring.copy(), self._ring_span.copy(), 2 * self._n
        self._ring[:], self._ring_span[:] = 0.0, 0.0
        newer, older = (n - 2 * ages + 1) % RING, (n - 2 * ages) % RING
        self._ring[(self._n - ages) % RING] = old[newer] + old[older]
        self._ring_span[(self._n - ages) % RING] = old_span[newer] + old_span[older]

    def _grow(self, size: int) -> None:
        more = size - len(self._total)
        if more > 0:
            self._total = np.append(self._total, np.zeros(more))
            self._ring = np.concatenate((self._ring, np.zeros((RING, more))), axis=1)
            for name, array in self._moments.items():
                self._moments[name] = np.concatenate((array, np.zeros((KEPT, more))), axis=1)

    def snapshot(self) -> State:
        """The state."""
        names = {
            "total": self._total, "span_square": self._span_square, "span_part": self._span_part,
            "span_last": self._span_last, "ring": self._ring, "ring_span": self._ring_span, "pool": self._pool,
            **self._moments,
        }  # fmt: skip
        return {"n": self._n, "span": self._span, **{name: array.copy() for name, array in names.items()}}


_INDEPENDENT = 1 / 8
"""How many independent windows one of the past counts as: neighbouring ones are alike.

Of the incidents of eight logs of the benchmark, .944 are found with 0 and .968 from 1/10 on; the other alerts of
Apache rise from 1/6 on.
"""


def share_of_tests(
    templates: TemplateLookup, keys: NDArray[np.integer[Any]], tested: NDArray[np.integer[Any]]
) -> Floats:
    """float64: the share of a block's chance of a false alarm that the tests of each of `keys` may use up.

    Tests are weighted by how likely their templates are to matter; the weights are at most 1 on average (Genovese,
    Roeder and Wasserman 2006, https://doi.org/10.1093/biomet/93.3.509).

    Args:
        templates: What is known of the templates.
        keys: The templates of some tests.
        tested: Those of all tests that are made.
    """
    mean = float(templates.weight(tested).mean()) if len(tested) else 1.0
    return templates.weight(keys) / (max(1.0, mean) * max(1, len(tested)) * TESTS)


def _better(mean: Floats, dispersion: Floats, groups: float) -> Floats:
    """By how much the lines explain the past of counts better than the clock does: logarithm of a likelihood ratio.

    Args:
        mean: (k,): of the counts of a window.
        dispersion: (2, k): by the lines and by the clock.
        groups: Windows of the past.
    """
    lines, clock = np.log1p(dispersion * mean)
    better: Floats = _INDEPENDENT / 2 * groups * (clock - lines)
    return better


def _ratio(excess: Floats, square: Floats) -> Floats:
    ratio: Floats = np.maximum(0.0, excess / np.maximum(square, 1e-12))
    return ratio


def _tails(count: Floats, mean: Floats, total: Floats, dispersion: Floats) -> tuple[Floats, Floats]:
    """-ln of the chance of so high, and of so low, a count; 0 where it is plainly usual.

    Args:
        count: (k,): the counts.
        mean: (2, k): what is to be expected, by the lines and by the clock.
        total: (k,): counts from which the means were estimated.
        dispersion: (2, k): by the lines and by the clock.
    """
    size = 1.0 / (1.0 / (total + 0.5) + dispersion)
    sigma = np.sqrt(mean + mean * mean / size)
    count = np.array((count, count))
    high, low = np.zeros(mean.shape), np.zeros(mean.shape)
    up = (count > mean + SUSPECT_Z * sigma) & (count >= 2)
    if up.any():
        chance = betainc(count[up], size[up], mean[up] / (mean[up] + size[up]))
        high[up] = -np.log(np.maximum(chance, _TINY))
    down = (mean >= FEWEST) & (count < LOW * mean)
    if down.any():
        chance = betainc(size[down], count[down] + 1.0, size[down] / (mean[down] + size[down]))
        low[down] = -np.log(np.maximum(chance, _TINY))
    return high, low


def _copy(state: State, name: str, shape: tuple[int, ...], fill: float = 0.0) -> Floats:
    return state[name].copy() if name in state else np.full(shape, fill)
