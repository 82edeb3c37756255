"""The reference of each series from the first blocks: its usual value, the confidence, and the sum of its bursts.

The limits come from the reference's own blocks, drawn again in runs (Politis and Romano, "The stationary
bootstrap", 1994), so that a restless series has a wider range and a higher limit than a steady one.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

Delta = Callable[[Floats], Floats]
"""Usual values (k,) → the smallest changes that matter, upwards and downwards (2, k)."""

MOST_ROWS = 240
"""Blocks that are kept one by one, to estimate the noise; later ones count in the mean only."""

_GROWTH, _GROWTH_LATER = 1.4, 3.0
"""Factors by which a reference grows between two updates of its limits: while its noise is learnt, and afterwards."""

_RUN_BLOCKS = 5
"""Mean length of the runs that are drawn again."""
_DRAWS = 100_000
"""Sums that a bootstrap works on at once, about: it repeats the more often, the fewer series there are."""
_SAFETY = 1.5
"""Factor on the sums of the drawn runs, since they only repeat observed blocks."""
_YOUNG_BLOCKS = 8.0
"""A limit is doubled for a reference of this many blocks, and nearer to its value for longer ones."""
_YOUNG_LASTS = 40.0
"""The blocks at full height that a change has to last are doubled for a reference of this many blocks."""
_CERTAIN = 14.0
"""Logarithm of one million: independent windows reach a limit by chance once in this many blocks and series."""
_ERRORS = 1.0
"""Standard errors of the mean by which a range is wider than half the smallest change that matters."""
_RARE = 0.02
"""Value below which a share is rare, and is judged by the bursts of all rare ones."""
MOST_ADDED = 4.0
"""Smallest changes that one block adds to a sum at most, and that a sum has to reach: a change lasts for blocks."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How k series are judged; in arrays (2, k) row 0 is upwards and row 1 downwards.

    Attributes:
        mean: float64 (k,): the usual value.
        slack: float64 (2, k): distance from it that adds nothing to a sum.
        most: float64 (2, k): the most that a block adds.
        limit: float64 (2, k): the sum from which a series counts as changed.
        noise: float64 (k,): standard deviation of a block's value next to its neighbours: bursts and rhythms left out.
    """

    mean: Floats
    slack: Floats
    most: Floats
    limit: Floats
    noise: Floats

    def widened(self, new: "Limits", k: int) -> "Limits":
        """The same with the limits `new` of one series that never came, for all series up to `k`."""
        more = k - len(self.mean)
        return Limits(
            np.pad(self.mean, (0, more)),
            np.concatenate([self.slack, np.repeat(new.slack, more, 1)], 1),
            np.concatenate([self.most, np.repeat(new.most, more, 1)], 1),
            np.concatenate([self.limit, np.repeat(new.limit, more, 1)], 1),
            np.pad(self.noise, (0, more)),
        )


class Reference:
    """The first blocks of k series; k grows as templates appear."""

    kept = ("blocks", "total", "rows")

    def __init__(self, delta: Delta, windows: int | None) -> None:
        """Starts empty.

        Args:
            delta: See `Delta`.
            windows: Windows of a block, where the values are shares of them; None for other values.
        """
        self._delta = delta
        self._windows = windows
        self.blocks = 0
        self.total: Floats = np.zeros(0)
        self.rows: NDArray[np.float32] = np.zeros((0, 0), np.float32)

    def fresh(self) -> "Reference":
        """An empty one for the same series."""
        return Reference(self._delta, self._windows)

    def add(self, rows: Floats) -> None:
        """Adds blocks' values (m, k); k is never less than before."""
        more = rows.shape[1] - len(self.total)
        if more:
            self.total, self.rows = np.pad(self.total, (0, more)), np.pad(self.rows, ((0, 0), (0, more)))
        self.blocks += len(rows)
        self.total = self.total + rows.sum(0)
        if len(self.rows) < MOST_ROWS:
            self.rows = np.concatenate([self.rows, rows[: MOST_ROWS - len(self.rows)].astype(np.float32)])

    @property
    def due(self) -> int:
        """Number of blocks at which limits computed at the present number have to be computed again."""
        return math.ceil(self.blocks * (_GROWTH if len(self.rows) < MOST_ROWS else _GROWTH_LATER))

    def limits(self) -> tuple[Limits, Limits]:
        """The limits that follow from the blocks so far, at least one; and those of a series that never came."""
        found, lasts = self._limits()
        delta = self._delta(np.zeros(1))
        most = MOST_ADDED * delta
        limit = np.maximum(lasts * most, self._rare_limit(delta / 2, most))
        return found, Limits(np.zeros(1), delta / 2, most, limit, np.zeros(1))

    def _limits(self) -> tuple[Limits, float]:
        """The limits, and for how many blocks at full height a change has to last."""
        mean = self.total / self.blocks
        delta = self._delta(mean)
        variance, long_run, restless = self._noise(mean)
        young = 1 + _YOUNG_BLOCKS / self.blocks
        slack = delta / 2 + _ERRORS * np.sqrt(young * long_run / self.blocks)
        most = MOST_ADDED * delta
        lasts = 1 + _YOUNG_LASTS / self.blocks + np.log2(restless) / 2
        independent = _CERTAIN * variance / (2 * slack)
        drawn = _SAFETY * young * self._drawn(mean, slack, most)
        limit = np.maximum(np.maximum(lasts * most, independent), drawn)
        rare = mean < _RARE
        limit[0, rare] = np.maximum(limit[0, rare], self._rare_limit(delta[:, rare] / 2, most[:, rare]))
        return Limits(mean, slack, most, limit, self._beside()), lasts

    def _noise(self, mean: Floats) -> tuple[Floats, Floats, float]:
        """Variance of a block's value (k,), the same with what neighbouring blocks have in common, and restlessness.

        The last is how many times more the middle series varies than independent windows would make it; at least 1.
        """
        off = self.rows - mean
        n = len(off)
        variance = (off**2).sum(0) / max(1, n - 1)
        restless = 1.0
        if self._windows is not None:
            by_chance = mean * (1 - mean) / self._windows
            steady = (mean > _RARE) & (mean < 1 - _RARE)
            # For a short reference, the other series show how much one varies.
            if steady.any():
                restless = max(1.0, float(np.median(variance[steady] / by_chance[steady])))
            prior = by_chance * restless
            variance = np.maximum(variance, prior * 4 / (4 + n))
            variance = np.maximum(variance, by_chance)
        long_run = variance.copy()
        lags = min(n // 4, 2 * _RUN_BLOCKS)
        for lag in range(1, lags + 1):
            weight = 1 - lag / (lags + 1)
            long_run += 2 * weight * (off[lag:] * off[:-lag]).sum(0) / n
        return variance, np.maximum(long_run, variance), restless

    def _beside(self) -> Floats:
        """float64 (k,): standard deviation of a block's value, by the differences of neighbouring blocks."""
        found: Floats = np.sqrt((np.diff(self.rows, axis=0) ** 2).sum(0) / (2 * max(1, len(self.rows) - 1)))
        return found

    def _drawn(self, mean: Floats, slack: Floats, most: Floats) -> Floats:
        """float64 (2, k): the largest sums over runs of the reference's blocks, drawn again."""
        n, k = self.rows.shape
        repeats = int(np.clip(_DRAWS // (k * n), 1, 40))
        rng = np.random.default_rng(0)
        # A run continues from where it was drawn, around the end of the reference.
        fresh = rng.random((n, repeats)) < 1 / _RUN_BLOCKS
        fresh[0] = True
        steps = np.arange(n)[:, None]
        last_start = np.maximum.accumulate(np.where(fresh, steps, 0))
        start = np.take_along_axis(rng.integers(0, n, (n, repeats)), last_start, 0)
        off = self.rows[(start + steps - last_start) % n] - mean  # (n, repeats, k)
        ways = zip((off, -off), slack, most, strict=True)
        return np.stack([_largest_sums(way - free, cap).max(0) for way, free, cap in ways])

    def _rare_limit(self, slack: Floats, most: Floats) -> float:
        """What the largest burst of a rare series would add up to, had that series never come before."""
        rare = self.total / self.blocks < _RARE
        if self._windows is None or not rare.any():
            return 0.0
        sums = _largest_sums(self.rows[:, rare] - slack[0].min(), most[0].max())
        return _SAFETY * float(sums.max())

    def state(self) -> dict[str, Any]:
        """Plain data that nothing changes later."""
        return {name: getattr(self, name) for name in self.kept}

    def restore(self, state: dict[str, Any]) -> None:
        """Continues from what `state` returned."""
        for name in self.kept:
            setattr(self, name, state[name])


def _largest_sums(steps: NDArray[Any], most: Any) -> Floats:
    """The largest value of cumulative sums (n, …) that are never below zero, of steps of at most `most`."""
    path = np.cumsum(np.minimum(steps, most), axis=0, dtype=np.float64)
    found: Floats = (path - np.minimum(np.minimum.accumulate(path, axis=0), 0)).max(0)
    return found
