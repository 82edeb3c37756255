"""Records of a fitted threshold, and what rules share. A score at or above a threshold is anomalous.

Every threshold is a float32 number, as scores are, so a comparison never rounds.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from models.base import TrainingError

Scores = NDArray[np.floating]
Labels = NDArray[np.bool_] | None
ThresholdRule = Callable[..., float]
"""Called with scores (n,), labels (n,) or None, and the rule's own settings as keyword arguments."""


class HeldOut(BaseModel):
    """Scores of held-out windows, as calibration on a stream needs them; see `models.thresholds.calibration`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    normal_scores: tuple[float, ...] = Field(description="Distinct scores of normal windows, ascending; a sample.")
    normal_shares: tuple[float, ...] = Field(description="Share of the normal windows that each score represents.")
    count: int = Field(description="Normal windows in all.")
    labelled: bool = Field(description="Whether the threshold was fitted on labels of both classes.")
    max_share: float = Field(description="Highest plausible share of windows at or above the threshold.")


class Threshold(BaseModel):
    """A fitted threshold, as a model card keeps it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rule: str = Field(description="Name of the rule.")
    value: float = Field(description="A score at or above it is anomalous.")
    settings: dict[str, float] = Field(default_factory=dict, description="Settings of the rule.")
    fitted_on: int = Field(default=0, description="Number of scores that it was fitted on.")
    held_out: HeldOut | None = Field(
        default=None, description="Data for calibration on a stream; without it, the threshold is not calibrated."
    )


def normal_scores(scores: Scores, labels: Labels) -> NDArray[np.float64]:
    """The scores of windows that are not labelled anomalous.

    Raises:
        TrainingError: every window is anomalous.
    """
    normal = scores.astype(np.float64) if labels is None else scores[~labels].astype(np.float64)
    if not len(normal):
        raise TrainingError("the threshold needs the scores of normal windows, and every window given is anomalous")
    return normal


def just_above(value: float) -> float:
    """The float32 next above `value`: where all scores are equal, none of them is anomalous."""
    return float(np.nextafter(np.float32(value), np.float32(np.inf)))
