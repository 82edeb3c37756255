"""ADWIN, a window that drops its oldest values when their mean differs from that of the rest.

Bifet and Gavaldà, "Learning from time-changing data with adaptive windowing", 2007: the second algorithm, whose buckets
hold 1, 2, 4, ... values, so that the state grows with the logarithm of the window. Every value is followed by a look at
all splits between two buckets. It finds the same changes as river's, whose import would load pandas and scikit-learn,
160 MB of an engine at rest.
"""

import math

import numpy as np
from numpy.typing import NDArray

_PER_SIZE = 5
"""Most buckets of one size; the paper's M."""

_LEAST_VALUES = 5
"""Fewest values on each side of a split."""

_GRACE_VALUES = 10
"""Values without a look at the start."""


class AdaptiveWindow:
    """See the module; values have to be finite and should fill 0 to 1, for which the bound is made."""

    def __init__(self, delta: float) -> None:
        """Start empty.

        Args:
            delta: Chance of a cut where nothing has changed.
        """
        self._delta = delta
        self._size: NDArray[np.int64] = np.zeros(0, np.int64)  # of each bucket, oldest first
        self._sum = np.zeros(0)
        self._spread = np.zeros(0)  # sum of squared distances to the bucket's mean
        self.dropped = False
        """Whether the latest value made the mean so different that older ones were dropped."""

    @property
    def width(self) -> int:
        """Number of values in the window."""
        return int(self._size.sum())

    @property
    def mean(self) -> float:
        """Mean of the values in the window; 0 without any."""
        return float(self._sum.sum() / self.width) if len(self._size) else 0.0

    def add(self, value: float) -> None:
        """Add a value, and drop older ones while the means differ."""
        self._size = np.append(self._size, 1)
        self._sum, self._spread = np.append(self._sum, value), np.append(self._spread, 0.0)
        self._merge()
        self.dropped = False
        while self.width > _GRACE_VALUES and self._differs():
            self._size, self._sum, self._spread = self._size[1:], self._sum[1:], self._spread[1:]
            self.dropped = True

    def _merge(self) -> None:
        """Join the two oldest buckets of each size of which there are too many."""
        size = 1
        while len(found := np.flatnonzero(self._size == size)) > _PER_SIZE:
            i, j = found[:2]
            self._spread[j] += self._spread[i] + (self._sum[i] - self._sum[j]) ** 2 / (2 * size)
            self._sum[j] += self._sum[i]
            self._size[j] = size = 2 * size
            self._size, self._sum = np.delete(self._size, i), np.delete(self._sum, i)
            self._spread = np.delete(self._spread, i)

    def _differs(self) -> bool:
        """Whether the means on the two sides of any split differ by more than chance."""
        old, width = np.cumsum(self._size)[:-1], self.width
        new, old_sum, total = width - old, np.cumsum(self._sum)[:-1], self._sum.sum()
        possible = (old >= _LEAST_VALUES) & (new >= _LEAST_VALUES)
        variance = (self._spread.sum() + (self._size * (self._sum / self._size - total / width) ** 2).sum()) / width
        chance = math.log(2 * math.log(width) / self._delta)
        # Half the harmonic mean of both sizes, each less what a side needs at least.
        share = 1 / np.maximum(old - _LEAST_VALUES + 1, 1) + 1 / np.maximum(new - _LEAST_VALUES + 1, 1)
        bound = np.sqrt(2 * share * variance * chance) + 2 / 3 * chance * share
        return bool((possible & (np.abs(old_sum / old - (total - old_sum) / new) > bound)).any())
