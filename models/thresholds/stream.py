"""A threshold that follows a stream: calibration on recent scores, in blocks of a fixed number of windows.

The state is bounded and plain, so it goes into a snapshot.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.thresholds.base import Threshold
from models.thresholds.calibration import MIN_SCORES, Distribution, Fitted, calibrated, is_flooded

WINDOW = 8192
"""Recent scores kept; older ones are forgotten, so the threshold follows what is normal now."""
LATEST = 512
"""Scores that show whether new normal behaviour floods the stream, and scores between two calibrations."""
BLOCK = 32
"""Scores after which the threshold may change. Blocks are counted from the first score of the model version, so a
window meets the same threshold however the stream is cut into batches."""
_RECEDED = 0.5
"""Part of the plausible share below which a flood is over; halfway, so that the threshold does not flap."""


def fitted(threshold: Threshold) -> Fitted | None:
    """What a card's threshold states before the stream begins; None where the card does not hold it."""
    held = threshold.held_out
    if held is None:
        return None
    normal = Distribution(np.array(held.normal_scores), np.array(held.normal_shares))
    return Fitted(threshold.value, normal, held.count, held.labelled, held.max_share)


class StreamCalibrator:
    """The threshold of one model version on one stream; see `models.thresholds.calibration`.

    Whether the fitted threshold is still plausible is asked of the `LATEST` scores after every block, so a
    flood of new normal behaviour is noticed within a few dozen windows. Scores older than those are then
    forgotten, as in adaptive windowing (Bifet and Gavaldà, 2007, https://doi.org/10.1137/1.9781611972771.42):
    they are of a time when the flood was not there, and would take hundreds of windows to be outnumbered.

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
        self._weights: NDArray[np.float64] = np.zeros(0)
        self._open = 0  # scores of the block that is not complete
        self._new = 0  # scores since the last calibration
        if state is not None:
            self.threshold, self.flooded = float(state["threshold"]), bool(state["flooded"])
            self._open, self._new = int(state["open"]), int(state["new"])
            self._scores = np.array(state["scores"], np.float32)
            self._weights = np.array(state["weights"], np.float64)

    def update(self, scores: NDArray[np.float32], weights: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
        """Take in scores (n,) in the order of the stream, and return the threshold that each meets (n,).

        `weights` (n,) say how many windows each score represents; 1 where None.
        """
        found = np.full(len(scores), self.threshold)
        if self._fitted is None:
            return found
        weights = np.ones(len(scores)) if weights is None else weights
        start = 0
        while start < len(scores):
            stop = min(len(scores), start + BLOCK - self._open)
            found[start:stop] = self.threshold
            self._scores = np.concatenate([self._scores, scores[start:stop]])[-WINDOW:]
            self._weights = np.concatenate([self._weights, weights[start:stop]])[-WINDOW:]
            self._open += stop - start
            if self._open == BLOCK:
                self._open = 0
                self._close(self._fitted)
            start = stop
        return found

    def _close(self, known: Fitted) -> None:
        """Update the threshold after a block."""
        self._new += BLOCK
        if len(self._scores) < MIN_SCORES:
            return
        flooded = self._is_flooded(known)
        if flooded and not self.flooded:
            self._scores, self._weights = self._scores[-LATEST:], self._weights[-LATEST:]
        step = BLOCK if flooded else LATEST
        if flooded != self.flooded or self._new >= min(step, len(self._scores) // 8):
            self.flooded, self._new = flooded, 0
            recent = Distribution.from_scores(self._scores, self._weights)
            self.threshold = calibrated(recent, float(self._weights.sum()), known, flooded=flooded)

    def _is_flooded(self, known: Fitted) -> bool:
        weights = self._weights[-LATEST:]
        above = float(weights[self._scores[-LATEST:] >= known.threshold].sum() / weights.sum())
        independent = float(weights.sum() ** 2 / np.square(weights).sum())  # Kish's effective sample size
        return is_flooded(above, independent, known) or (
            self.flooded and above > _RECEDED * known.max_share
        )  # fmt: skip

    def state(self) -> dict[str, Any]:
        """Plain data from which the same calibrator continues."""
        return {
            "threshold": self.threshold, "flooded": self.flooded, "open": self._open, "new": self._new,
            "scores": self._scores.tolist(), "weights": self._weights.tolist(),
        }  # fmt: skip
