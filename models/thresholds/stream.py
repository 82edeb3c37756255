"""Thresholds that follow a stream: calibration on recent scores, and a budget of alerts.

Both keep a bounded window of recent scores and plain state, so they go into a snapshot.
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
"""Scores that show whether new normal behaviour floods the stream, and scores between two calibrations: an eighth
of that while it does, since the flood has to fill the window first."""
_RECEDED = 0.5
"""Part of the plausible share below which a flood is over; halfway, so that the threshold does not flap."""
DAY_NS = 86_400_000_000_000


def fitted(threshold: Threshold) -> Fitted | None:
    """What a card's threshold says before the stream begins; None where the card does not hold it."""
    held = threshold.held_out
    if held is None:
        return None
    normal = Distribution(np.array(held.normal_scores), np.array(held.normal_shares))
    return Fitted(threshold.value, normal, held.count, held.labelled, held.max_share)


class StreamCalibrator:
    """The threshold of one model version on one stream; see `models.thresholds.calibration`.

    Whether the fitted threshold is still plausible is asked of the `LATEST` scores, so a flood of new
    normal behaviour is noticed within a few hundred windows; the threshold is chosen on all of `WINDOW`.

    Attributes:
        threshold: For the scores given last, and for those that follow.
        flooded: Whether new normal behaviour lies above the fitted threshold.
    """

    def __init__(self, known: Threshold, state: Mapping[str, Any] | None = None) -> None:
        """Start from the fitted threshold, or from a `state`."""
        self._fitted = fitted(known)
        self.threshold: float = known.value
        self.flooded = False
        self._scores: NDArray[np.float32] = np.zeros(0, np.float32)
        self._weights: NDArray[np.float64] = np.zeros(0)
        self._new = 0
        if state is not None:
            self.threshold, self.flooded = float(state["threshold"]), bool(state["flooded"])
            self._new = int(state["new"])
            self._scores = np.array(state["scores"], np.float32)
            self._weights = np.array(state["weights"], np.float64)

    def update(self, scores: NDArray[np.float32], weights: NDArray[np.float64] | None = None) -> float:
        """Take in scores (n,) in the order of the stream, and return the threshold that holds for them.

        `weights` (n,) say how many windows each score stands for; 1 where None.
        """
        if self._fitted is None or not len(scores):
            return self.threshold
        self._scores = np.concatenate([self._scores, scores])[-WINDOW:]
        self._weights = np.concatenate([self._weights, np.ones(len(scores)) if weights is None else weights])[-WINDOW:]
        self._new += len(scores)
        if len(self._scores) < MIN_SCORES:
            return self.threshold
        flooded = self._is_flooded(self._fitted)
        step = LATEST // 8 if flooded else LATEST
        if flooded != self.flooded or self._new >= min(step, max(1, len(self._scores) // 8)):
            self.flooded, self._new = flooded, 0
            recent = Distribution.from_scores(self._scores, self._weights)
            self.threshold = calibrated(recent, float(self._weights.sum()), self._fitted, flooded=flooded)
        return self.threshold

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
            "threshold": self.threshold, "flooded": self.flooded, "new": self._new,
            "scores": self._scores.tolist(), "weights": self._weights.tolist(),
        }  # fmt: skip


class AlertBudget:
    """The threshold at which a stream raises a number of alerts a day, by adaptive conformal inference.

    The level a is a quantile of the recent scores; after each batch it moves by
    `a += gain * (target - share of the batch that was alerted)` (Gibbs and Candès, "Adaptive Conformal
    Inference Under Distribution Shift", 2021, https://arxiv.org/abs/2106.00170). In the long run the
    share of alerts is the target whatever the scores do, and anomalies among the recent scores cannot
    hold the threshold up for good.

    Any score will do whose higher values are stranger, such as minus the logarithm of a p-value.
    """

    def __init__(self, per_day: float, *, gain: float = 0.02, state: Mapping[str, Any] | None = None) -> None:
        """Start without scores, or from a `state`.

        Args:
            per_day: Alerts a day that are welcome, above 0.
            gain: Step of the level; a larger one follows faster and varies more.
            state: The result of `state`.
        """
        if not per_day > 0:
            raise ValueError(f"the alert budget is {per_day} a day; it must be above 0")
        self._per_day = per_day
        self._gain = gain
        self._level: float | None = None
        self._scores: NDArray[np.float64] = np.zeros(0)
        self._times: NDArray[np.int64] = np.zeros(0, np.int64)
        if state is not None:
            self._level = state["level"]
            self._scores = np.array(state["scores"], np.float64)
            self._times = np.array(state["times_ns"], np.int64)

    @property
    def threshold(self) -> float:
        """A score above it is within the budget; minus infinity until `MIN_SCORES` scores were given."""
        if self._level is None:
            return -np.inf
        return float(np.quantile(self._scores, 1 - self._level, method="higher"))

    def update(self, scores: NDArray[np.floating], times_ns: NDArray[np.int64], alerts: int | None = None) -> float:
        """Take in scores (n,) with their event times, and return the threshold for the next ones.

        Args:
            scores: In the order of the stream.
            times_ns: int64 (n,): nanoseconds since 1970.
            alerts: Alerts that these scores raised; the number of scores above the threshold if None.
        """
        if not len(scores):
            return self.threshold
        raised = int((scores > self.threshold).sum()) if alerts is None else alerts
        self._scores = np.concatenate([self._scores, scores])[-WINDOW:]
        self._times = np.concatenate([self._times, times_ns])[-WINDOW:]
        span = int(self._times.max() - self._times.min())
        if len(self._scores) < MIN_SCORES or span <= 0:
            return self.threshold
        target = min(1.0, self._per_day * span / DAY_NS / len(self._scores))
        if self._level is None:
            self._level = target
        else:
            # In units of the target, so that a budget of one in a million moves as surely as one in ten.
            step = self._gain * len(scores) * (target - raised / len(scores))
            self._level = float(np.clip(self._level + step * target, target / 100, 1.0))
        return self.threshold

    def state(self) -> dict[str, Any]:
        """Plain data from which the same budget continues."""
        return {"level": self._level, "scores": self._scores.tolist(), "times_ns": self._times.tolist()}
