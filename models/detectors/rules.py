"""`rules`: scores windows by what their templates say, without any training.

Every template has a severity by its words and its HTTP status, see `models.text.severity`. A window scores the
severities of its lines, combined so that one line scores its own severity and equal lines add the logarithm of their
number: ln(1 + sum(exp(2 s) - 1)) / 2. No number of lines saturates it.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from models.base import (
    Explanation,
    FitReport,
    ModelStoreError,
    Progress,
    Templates,
    TrainingData,
    WindowDetector,
    Windows,
)
from models.text.severity import template_severity

THRESHOLD = 2.0
"""A window that reaches it holds a line that sounds like a failure, or several that sound unwell."""


class RuleScoresSettings(BaseModel):
    """No setting."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class RuleScores(WindowDetector):
    """See the module."""

    name = "rules"
    supervised = False
    learns = False

    def __init__(
        self, settings: RuleScoresSettings | None = None, *, device: str = "auto", cache: Path | None = None
    ) -> None:
        """Settings, device and cache are ignored."""
        self._severity: dict[int, float] = {}

    def _fit(self, data: TrainingData, progress: Progress | None) -> FitReport:
        self.learn_templates(data.templates)
        return FitReport(0.0)

    def learn_templates(self, templates: Templates) -> None:
        """See `WindowDetector.learn_templates`."""
        for number, text in templates.items():
            if number not in self._severity:
                self._severity[number] = template_severity(text)

    def knows(self, ids: NDArray[np.int64]) -> NDArray[np.bool_]:
        """See `WindowDetector.knows`."""
        return np.isin(ids, np.fromiter(self._severity, np.int64, len(self._severity)))

    def score(self, windows: Windows) -> NDArray[np.float32]:
        """See `WindowDetector.score`."""
        total = np.concatenate(([0.0], np.cumsum(self._weights(windows))))
        sums = np.maximum(total[windows.offsets[1:]] - total[windows.offsets[:-1]], 0.0)
        scores: NDArray[np.float32] = (np.log1p(sums) / 2).astype(np.float32)
        return scores

    def explain(self, windows: Windows) -> Explanation:
        """Share the score of a window among its lines in proportion to what they add to the sum."""
        weights, scores = self._weights(windows), self.score(windows)
        window = np.repeat(np.arange(len(windows)), windows.lengths())
        sums = np.bincount(window, weights, len(windows))
        shares = weights / np.where(sums > 0, sums, 1.0)[window]
        return Explanation((shares * scores[window]).astype(np.float32), np.zeros(len(windows), np.float32))

    def _weights(self, windows: Windows) -> NDArray[np.float64]:
        """float64 (total,): exp(2 s) - 1 of each line; 0 for an unknown template."""
        ids, inverse = np.unique(windows.ids, return_inverse=True)
        severity = np.array([self._severity.get(number, 0.0) for number in ids.tolist()])
        weights: NDArray[np.float64] = np.expm1(2.0 * severity)[inverse]
        return weights

    def weights(self) -> dict[str, NDArray[Any]]:
        """Nothing is learnt."""
        return {}

    def load_weights(self, weights: Mapping[str, NDArray[Any]], extra: Mapping[str, Any]) -> None:
        """See `Model.load_weights`."""
        if weights:
            raise ModelStoreError(f"rules has no weights; given were {', '.join(sorted(weights))}")

    def settings(self) -> dict[str, Any]:
        """See `Model.settings`."""
        return {}
