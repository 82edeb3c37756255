"""Calibrate: which threshold the windows of a batch meet; see docs/thresholds.md.

The fitted threshold of the model version is corrected from the scores of the stream, and raised where
more alerts than the budget would follow. A threshold set by the operator is never touched.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from engine.records import ScoredWindows
from models.thresholds.base import Threshold
from models.thresholds.stream import AlertBudget, StreamCalibrator


class FittedModel(Protocol):
    """The model version in service, as calibration reads it."""

    @property
    def version(self) -> int:
        """In the model store."""
        ...

    @property
    def fitted(self) -> Threshold | None:
        """The card's threshold."""
        ...

    @property
    def shadow_scores(self) -> Sequence[NDArray[np.float32]]:
        """Scores of the shadow run, in the order of the stream; empty without one."""
        ...


class StreamThreshold:
    """The threshold of one stream of scored windows."""

    def __init__(
        self,
        calibrate: bool,
        alerts_per_day: float | None,
        model: Callable[[], FittedModel],
        state: Mapping[str, Any] | None = None,
    ) -> None:
        """Start from the fitted threshold of the model in service, or from a `state`.

        Args:
            calibrate: Whether scores of the stream correct the threshold.
            alerts_per_day: Budget of alerts, or None.
            model: The model version in service.
            state: The result of `state`.
        """
        self._calibrate = calibrate
        self._model = model
        self._version: int | None = None
        self._calibrator: StreamCalibrator | None = None
        self._saved = state.get("calibration") if state else None
        saved_budget = state.get("budget") if state else None
        self._budget = None if alerts_per_day is None else AlertBudget(alerts_per_day, state=saved_budget)

    def apply(self, scored: ScoredWindows) -> ScoredWindows:
        """The batch with the threshold that holds for it."""
        threshold = scored.threshold
        if self._calibrate and (calibrator := self._calibrator_of(scored.version)) is not None:
            threshold = calibrator.update(scored.score)
        if self._budget is not None:
            threshold = max(threshold, float(np.nextafter(np.float32(self._budget.threshold), np.float32(np.inf))))
        return scored if threshold == scored.threshold else replace(scored, threshold=threshold)

    def _calibrator_of(self, version: int) -> StreamCalibrator | None:
        """The calibrator of a version; a new version starts from the scores of its shadow run."""
        if version == self._version:
            return self._calibrator
        model = self._model()
        if model.version != version or model.fitted is None:
            return None  # scored before a swap, or by a card without held-out scores
        saved, self._saved = self._saved, None
        known = saved["calibrator"] if saved is not None and saved["version"] == version else None
        self._version, self._calibrator = version, StreamCalibrator(model.fitted, known)
        if known is None:
            for scores in model.shadow_scores:
                self._calibrator.update(scores)
        return self._calibrator

    def alerted(self, scored: ScoredWindows, alerts: int) -> None:
        """Report how many alerts a batch raised, for the budget."""
        if self._budget is not None:
            self._budget.update(scored.score, scored.batch.last_ns, alerts)

    def state(self) -> dict[str, Any]:
        """Plain data from which the same threshold continues."""
        calibration = None
        if self._calibrator is not None:
            calibration = {"version": self._version, "calibrator": self._calibrator.state()}
        return {"calibration": calibration, "budget": None if self._budget is None else self._budget.state()}
