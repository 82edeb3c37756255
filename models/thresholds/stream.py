"""A threshold that follows a stream: calibration on recent scores, one window at a time.

The state is bounded and plain, so it goes into a snapshot.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.thresholds.base import Threshold
from models.thresholds.calibration import MIN_SCORES, Distribution, Fitted, calibrated

WINDOW = 8192
"""Recent scores kept; older ones are forgotten, so the threshold follows what is normal now."""
STEP = 512
"""Scores between two calibrations."""
STEP_IN_FLOOD = 32
"""Scores between two calibrations while new behaviour floods the stream: there is little to go by at first."""
ONSET = 256
"""Scores that are kept when a flood begins; the older ones are of a time without it."""
ALARM = 30.0
"""Limit of the cumulative sum. Of independent windows ln(100,000) = 11.5 would do: without a flood the limit is
reached at most once in e to the power of it windows on average (Lorden, 1971). But the windows of one incident come
together, and it must not be taken for a flood, so 13 in a row are needed where 5 % are plausible."""
_RECEDED, _RISEN = 0.5, 1.5
"""Multiples of the plausible share: a flood is over below the first, and starts above the second. They lie apart,
so that the threshold does not flap."""


def fitted(threshold: Threshold) -> Fitted | None:
    """What the card's threshold holds before the stream begins; None where the card lacks it."""
    held = threshold.held_out
    if held is None:
        return None
    normal = Distribution(np.array(held.normal_scores), np.array(held.normal_shares))
    return Fitted(threshold.value, normal, held.count, held.labelled, held.max_share)


class StreamCalibrator:
    """The threshold of one model version on one stream; see `models.thresholds.calibration`.

    A flood of new normal behaviour is noticed by a cumulative sum (Page, 1954,
    https://doi.org/10.1093/biomet/41.1-2.100), which needs the fewest windows for a given rate of false alarms:
    each window adds the logarithm of how much likelier it is in a flood, where most windows are above the fitted
    threshold, than at the highest plausible share of them. Scores from before the flood are then forgotten, as in
    adaptive windowing (Bifet and Gavaldà, 2007, https://doi.org/10.1137/1.9781611972771.42).

    Two cases need the share of all remembered scores instead. New behaviour that is less than half of the stream never
    brings the sum to its limit. And a flood that recurs is still known: while its scores are remembered and frequent,
    a window that scores like them is most likely another one of it.

    Every step depends on the scores so far alone, so a window meets the same threshold however the stream is cut
    into batches.

    Attributes:
        threshold: For the next score.
        flooded: Whether new normal behaviour lies above the fitted threshold.
    """

    def __init__(self, known: Threshold, state: Mapping[str, Any] | None = None) -> None:
        """Start from the fitted threshold, or from a `state`."""
        self._fitted = fitted(known)
        self.threshold: float = known.value
        self.flooded = False
        self._scores: NDArray[np.float32] = np.zeros(0, np.float32)
        self._left = MIN_SCORES  # scores until the next calibration
        self._sum = 0.0  # evidence of a flood
        if state is not None:
            self.threshold, self.flooded = float(state["threshold"]), bool(state["flooded"])
            self._left, self._sum = int(state["left"]), float(state["sum"])
            self._scores = np.array(state["scores"], np.float32)

    def update(self, scores: NDArray[np.float32]) -> NDArray[np.float64]:
        """Take in scores (n,) in the order of the stream, and return the threshold that each meets (n,)."""
        found = np.full(len(scores), self.threshold)
        if self._fitted is None:
            return found
        start = 0
        while start < len(scores):
            stop, start_here = self._next_look(scores, start, self._fitted)
            found[start:stop] = self.threshold
            self._scores = np.concatenate([self._scores, scores[start:stop]])[-WINDOW:]
            self._left -= stop - start
            self._look(self._fitted, start_here=start_here)
            start = stop
        return found

    def _next_look(self, scores: NDArray[np.float32], start: int, known: Fitted) -> tuple[int, bool]:
        """Up to which score the threshold stays as it is, and whether a flood begins with the last of them."""
        stop = min(len(scores), start + self._left)
        if not self.flooded:
            up, down = _evidence(known.max_share)
            for i, above in enumerate((scores[start:stop] >= known.threshold).tolist(), start + 1):
                self._sum = max(0.0, self._sum + (up if above else down))
                if self._sum > ALARM and len(self._scores) + i - start >= STEP_IN_FLOOD:
                    return i, True
        return stop, False

    def _look(self, known: Fitted, *, start_here: bool) -> None:
        """Calibrate if it is time to."""
        if start_here:
            self.flooded, self._sum, self._scores = True, 0.0, self._scores[-ONSET:]
        elif self._left > 0:
            return
        else:
            above = float((self._scores >= known.threshold).mean())
            self.flooded = above > (_RECEDED if self.flooded else _RISEN) * known.max_share
        self._left = STEP_IN_FLOOD if self.flooded else min(STEP, max(1, len(self._scores) // 8))
        recent = Distribution.from_scores(self._scores)
        self.threshold = calibrated(recent, len(self._scores), known, flooded=self.flooded)

    def state(self) -> dict[str, Any]:
        """Plain data from which the same calibrator continues."""
        return {
            "threshold": self.threshold, "flooded": self.flooded, "left": self._left, "sum": self._sum,
            "scores": self._scores.tolist(),
        }  # fmt: skip


def _evidence(share: float) -> tuple[float, float]:
    """Log-likelihood ratios of a window above the fitted threshold and of one below, for a flood against `share`.

    In a flood more than half of the windows are above, and more than halfway from `share` to all of them.
    """
    share = min(max(share, 1e-6), 1 - 1e-6)
    flood = (1 + share) / 2
    return math.log(flood / share), math.log((1 - flood) / (1 - share))
