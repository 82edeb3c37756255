"""Corrects a fitted threshold from the unlabelled scores of a stream.

A threshold is fitted on the past. On the stream the scores of normal windows may move, and the share
of anomalous windows is unknown. Three questions are answered from the recent scores alone:

1. Is the fitted threshold still plausible? More windows above it than could be anomalous (`max_share`)
   mean that normal behaviour has moved above it: a new version floods the stream. This question is about
   order, so `models.thresholds.stream` answers it.
2. If so, where does the flood end? Anomalies are rare and lie beyond it, so the threshold goes into
   the first wide, nearly empty interval of scores that no more windows than expected exceed.
3. If not, and the threshold was fitted without labels: which threshold has the highest F1 if every
   window beyond the expected number of normal ones is an anomaly? Windows above a score, minus the
   share of held-out normal windows above it, are the anomalies found; the largest such excess is the
   number there are. Both are counts, so two standard errors are taken off. This is the two-groups model
   of multiple testing with a known null (Efron, "Large-Scale Inference", 2010, chapter 2). Siffer et
   al., 2017 (https://doi.org/10.1145/3097983.3098144) fit the tail of the stream itself instead, which
   anomalies distort where they are frequent.

All of it is a function of score ranks and, in step 2, of distances between scores. Equal scores are
never split.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.thresholds.base import just_above

MIN_SCORES = 200
"""With fewer recent scores the fitted threshold stays: their tail would be a handful."""
_NEARLY_EMPTY = 0.1
"""Share of the windows above an interval that may lie inside it for it to count as nearly empty."""
_WIDE = 0.8
"""The first interval of at least this share of the widest one's width is taken: gaps also lie between anomalies."""
_INSIDE = 1 / 3
"""Where in the interval the threshold lies: nearer to the normal windows, since few anomalies are known."""
_PLATEAU = 0.05
"""Thresholds within this share of the highest estimated F1 are equally good; the widest gap among them is taken."""
_EXPECTED = 0.5
"""Part of `max_share` that may lie above an interval: twice what is expected is plausible, but a flood that is
itself spread over several scores has gaps inside it."""
_MIN_PART = 0.1
"""Part of `max_share` that must lie above an interval: anomalies differ among each other, and gaps between the
strangest of them say nothing."""


@dataclass(frozen=True, slots=True)
class Distribution:
    """Weighted scores: `values` float64 (m,) ascending and distinct, `share` (m,) of the windows at each."""

    values: NDArray[np.float64]
    share: NDArray[np.float64]

    @staticmethod
    def from_scores(scores: NDArray[np.floating]) -> "Distribution":
        """Of finite scores (n,), n > 0."""
        values, amount = np.unique(scores.astype(np.float64), return_counts=True)
        return Distribution(values, amount / len(scores))

    def exceeding(self) -> NDArray[np.float64]:
        """Float64 (m,): share of the windows with at least each value."""
        return np.cumsum(self.share[::-1])[::-1]

    def share_from(self, thresholds: NDArray[np.float64]) -> NDArray[np.float64]:
        """Share of the windows at or above each threshold, its shape."""
        return np.append(self.exceeding(), 0.0)[np.searchsorted(self.values, thresholds, side="left")]


@dataclass(frozen=True, slots=True)
class Fitted:
    """What is known before the stream begins.

    Attributes:
        threshold: The fitted threshold.
        normal: Scores of held-out normal windows.
        count: How many those were.
        labelled: Whether the threshold was fitted on labels of both classes.
        max_share: Highest plausible share of windows at or above the threshold, 0 to 1.
    """

    threshold: float
    normal: Distribution
    count: int
    labelled: bool
    max_share: float


def calibrated(recent: Distribution, count: int, fitted: Fitted, *, flooded: bool) -> float:
    """The threshold for the stream; a score at or above it is anomalous.

    Args:
        recent: Recent scores of the stream, anomalies included.
        count: How many windows they are.
        fitted: See the class.
        flooded: The answer to question 1; see `models.thresholds.stream`.
    """
    if flooded:
        return _beyond_the_flood(recent, fitted)
    if fitted.labelled or count < MIN_SCORES:
        return fitted.threshold
    return _highest_excess(recent, count, fitted)


def _inside(low: float, high: float, part: float) -> float:
    """The float32 number at `part` of the way between two scores, above the lower one."""
    value = float(np.float32(low + part * (high - low)))
    return value if low < value <= high else high


def _beyond_the_flood(recent: Distribution, fitted: Fitted) -> float:
    """Step 2."""
    values, above = recent.values, np.append(recent.exceeding(), 0.0)
    scale = _spread(values)
    intervals: list[tuple[float, int, int]] = []  # width, and the scores at both ends
    for low in np.flatnonzero(above[1:-1] <= _EXPECTED * fitted.max_share).tolist():
        # The interval reaches up while little lies inside it, measured by what lies above it.
        beyond = above[low + 1 : -1]
        fits = (beyond[0] - beyond <= _NEARLY_EMPTY * beyond) & (beyond >= _MIN_PART * fitted.max_share)
        if not fits[0]:
            break
        high = low + int(np.flatnonzero(fits)[-1]) + 1
        intervals.append((float(scale[high] - scale[low]), low, high))
    if not intervals:  # next to nothing lies beyond the flood
        allowed = np.flatnonzero(above <= _MIN_PART * fitted.max_share)[0]
        return float(values[allowed]) if allowed < len(values) else just_above(float(values[-1]))
    widest = max(width for width, _, _ in intervals)
    _, low, high = next(i for i in intervals if i[0] >= _WIDE * widest)
    return _inside(float(values[low]), float(values[high]), _INSIDE)


def _spread(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scores on the scale on which gaps are compared: log-odds where all are probabilities."""
    if values[0] < 0 or values[-1] > 1:
        return values
    inner = values.clip(1e-6, 1 - 1e-6)
    return np.asarray(np.log(inner / (1 - inner)), np.float64)


def _highest_excess(recent: Distribution, count: int, fitted: Fitted) -> float:
    """Step 3: the threshold with the highest F1 by the excess over the held-out normal windows."""
    every = np.unique(np.concatenate([recent.values, fitted.normal.values]))
    thresholds = np.append((every[1:] + every[:-1]) / 2, np.inf)
    called = recent.share_from(thresholds)
    # Half a window is added, so that beyond the highest of them false alarms stay possible.
    expected = (fitted.normal.share_from(thresholds) * fitted.count + 0.5) / (fitted.count + 1)
    error = np.sqrt(called / count + expected / fitted.count)
    found = np.where(called <= fitted.max_share, np.maximum(called - expected - 2 * error, 0), 0)
    if not found.any():
        return fitted.threshold
    f1 = 2 * found / (called + found.max())
    good = np.flatnonzero(f1 >= (1 - _PLATEAU) * f1.max())
    good = good[good < len(every) - 1]
    best = int(good[np.diff(every)[good].argmax()])
    return _inside(float(every[best]), float(every[best + 1]), 0.5)
