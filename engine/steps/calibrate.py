"""Calibrate: which threshold each window meets; see docs/thresholds.md.

The fitted threshold of the model version is corrected from the scores of the stream. A threshold set by the
operator is never touched.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from engine.records import ScoredWindows
from models.thresholds.base import Threshold
from models.thresholds.stream import StreamCalibrator


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
        self, calibrate: bool, model: Callable[[], FittedModel], state: Mapping[str, Any] | None = None
    ) -> None:  # fmt: skip
        """Start from the fitted threshold, or from a `state`.

        Args:
            calibrate: Whether the scores of the stream correct the threshold.
            model: The version in service.
            state: The result of `state`.
        """
        self._calibrate = calibrate
        self._model = model
        self._version: int | None = None
        self._calibrator: StreamCalibrator | None = None
        self._saved = state

    def thresholds(self, scored: ScoredWindows) -> NDArray[np.float64]:
        """float64 (n,): the threshold that each window of the batch meets. Call it once for each batch, in order."""
        calibrator = self._calibrator_of(scored.version) if self._calibrate else None
        return np.full(len(scored.score), scored.threshold) if calibrator is None else calibrator.update(scored.score)

    def _calibrator_of(self, version: int) -> StreamCalibrator | None:
        """The calibrator of a version; a new version starts from the scores of its shadow run."""
        if version == self._version:
            return self._calibrator
        model = self._model()
        if model.version != version or model.fitted is None:
            return None  # scored before a swap, or by a card without held-out scores
        saved, self._saved = self._saved, None
        known = saved["calibrator"] if saved is not None and saved.get("version") == version else None
        self._version, self._calibrator = version, StreamCalibrator(model.fitted, known)
        if known is None:
            for scores in model.shadow_scores:
                self._calibrator.update(scores)
        return self._calibrator

    def state(self) -> dict[str, Any] | None:
        """Plain data from which the same threshold continues; None before the first window."""
        if self._calibrator is None:
            return None if self._saved is None else dict(self._saved)
        return {"version": self._version, "calibrator": self._calibrator.state()}
