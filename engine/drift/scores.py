"""Scores of any detector on a common scale, and as a histogram."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

QUANTILES = 65
"""Most scores of the reference that become edges of bins: a distance is off by 1/64, where 0.25 is the floor."""

_STEEPNESS = 4.0
"""A window half way between a usual score and the threshold has the margin 0.12, one at the threshold 0.5."""


class AlarmMargin:
    """A detector's score on a common scale: 0 to 1, 0.5 at the threshold, near 0 for the usual window."""

    def __init__(self, usual: float, threshold: float, spread: float) -> None:
        """Takes what the scale is made of.

        Args:
            usual: Median score of the reference.
            threshold: From which a window is anomalous.
            spread: Standard deviation of the reference's scores: the unit where the usual score is not below
                the threshold.
        """
        self.state = (usual, threshold, spread)
        unit = threshold - usual if threshold > usual else spread
        self._threshold, self._factor = threshold, _STEEPNESS / (unit if unit > 0 else 1.0)

    def of(self, scores: NDArray[np.floating[Any]]) -> Floats:
        """float64 (n,): the margin of each score."""
        found: Floats = 1 / (1 + np.exp(np.clip((self._threshold - scores) * self._factor, -50.0, 50.0)))
        return found


class ScoreBins:
    """The reference's scores as a histogram, so that distances of many blocks cost a few sums.

    Every edge is a bin of its own, and so is what lies between two of them: at the edges of the
    reference's own jumps the Kolmogorov-Smirnov distance is exact.
    """

    def __init__(self, edges: Floats, counts: NDArray[np.int64]) -> None:
        """Takes ascending edges, each once, and the reference's counts (2 * edges + 1,)."""
        self.edges = edges
        self.reference = counts
        self._below = np.cumsum(counts) / counts.sum()

    def __len__(self) -> int:
        return len(self.reference)

    @staticmethod
    def of(scores: NDArray[np.floating[Any]]) -> "ScoreBins":
        """The bins of a reference (n,)."""
        ordered = np.sort(scores, axis=None).astype(np.float64)
        places = np.linspace(0, len(ordered) - 1, min(QUANTILES, len(ordered))).round().astype(np.int64)
        edges = np.unique(ordered[places])
        return ScoreBins(edges, _binned(edges, ordered[None])[0])

    def counts(self, scores: NDArray[np.floating[Any]]) -> NDArray[np.int64]:
        """int64 (m, bins): scores of each row (m, n) in each bin."""
        return _binned(self.edges, scores)

    def distance(self, counts: NDArray[np.int64]) -> Floats:
        """(…,): largest difference of the distribution functions, of counts (…, bins)."""
        below = np.cumsum(counts, axis=-1) / counts.sum(-1, keepdims=True)
        found: Floats = np.abs(below - self._below).max(-1)
        return found


def _binned(edges: Floats, scores: NDArray[np.floating[Any]]) -> NDArray[np.int64]:
    bins = np.searchsorted(edges, scores, "left") + np.searchsorted(edges, scores, "right")
    width = 2 * len(edges) + 1
    at = bins + np.arange(len(scores))[:, None] * width
    found: NDArray[np.int64] = np.bincount(at.ravel(), minlength=len(scores) * width).reshape(len(scores), width)
    return found
