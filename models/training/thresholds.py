"""Thresholds fitted on scores: a score at or above the threshold is anomalous.

`percentile`, `stddev`, `iqr` and `pot` take scores of normal or unlabelled windows; `best_f1` takes
labelled ones. Every value is a float32 number, as scores are, so a comparison never rounds.
"""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from foundation.extras import require
from foundation.settings_errors import unknown
from models.base import TrainingError

Scores = NDArray[np.floating]
Labels = NDArray[np.bool_] | None
_PEAKS = 10
"""Excesses that a tail is fitted to at the least."""


class Threshold(BaseModel):
    """A fitted threshold, as a model card keeps it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rule: str = Field(description="Name of the rule in `THRESHOLDS`.")
    value: float = Field(description="A score at or above it is anomalous.")
    settings: dict[str, float] = Field(default_factory=dict, description="Settings of the rule.")
    fitted_on: int = Field(default=0, description="How many scores it was fitted on.")


def percentile(scores: Scores, labels: Labels, *, percent: float = 99.5) -> float:
    """Just above the score below which `percent` % of the normal scores lie."""
    if not 0 <= percent <= 100:
        raise TrainingError(f"threshold percentile: percent is {percent}; it must lie between 0 and 100")
    return _above(float(np.percentile(_normal(scores, labels), percent, method="higher")))


def stddev(scores: Scores, labels: Labels, *, deviations: float = 3.0) -> float:
    """Mean of the normal scores plus `deviations` standard deviations."""
    normal = _normal(scores, labels)
    return _above(float(normal.mean() + deviations * normal.std()))


def iqr(scores: Scores, labels: Labels, *, factor: float = 1.5) -> float:
    """Third quartile plus `factor` times the distance of the quartiles (Tukey's fence)."""
    low, high = np.percentile(_normal(scores, labels), [25, 75])
    return _above(float(high + factor * (high - low)))


def pot(scores: Scores, labels: Labels, *, risk: float = 1e-3, tail_percent: float = 98.0) -> float:
    """Peaks over threshold: the score that a normal window exceeds with probability `risk`.

    A generalised Pareto distribution is fitted to what exceeds the `tail_percent` percentile
    (Siffer et al., "Anomaly Detection in Streams with Extreme Value Theory", 2017,
    https://doi.org/10.1145/3097983.3098144). Where fewer than 10 scores do, or all by the same
    amount, there is no tail to fit, and the value is just above the largest score.
    """
    if not 0 < risk < 1 - tail_percent / 100 < 1:
        raise TrainingError(
            f"threshold pot: risk is {risk} and tail_percent {tail_percent}; risk must lie between 0 and the share "
            f"of the scores above the percentile"
        )
    normal = _normal(scores, labels)
    start = float(np.percentile(normal, tail_percent))
    excess = normal[normal > start] - start
    if len(excess) < _PEAKS or excess.min() == excess.max():
        return _above(float(normal.max()))
    require("train", "the threshold rule pot", "scipy")
    from scipy.stats import genpareto  # type: ignore[import-untyped]

    # In units of their mean, so that the fit's starting point suits scores of any size.
    unit = float(excess.mean())
    shape, _, scale = genpareto.fit(excess / unit, floc=0)
    beyond = float(genpareto.isf(min(1.0, risk * len(normal) / len(excess)), shape, loc=0, scale=scale)) * unit
    return _above(start + beyond) if np.isfinite(beyond) else _above(float(normal.max()))


def best_f1(scores: Scores, labels: Labels) -> float:
    """The middle of the widest gap among those between two scores at which F1 is highest."""
    if labels is None or not 0 < labels.sum() < len(labels):
        raise TrainingError("threshold best_f1 needs labelled windows of both classes; the other rules do not")
    order = np.argsort(-scores.astype(np.float64), kind="stable")
    ranked, hits = scores[order].astype(np.float64), np.cumsum(labels[order])
    called = np.arange(1, len(order) + 1)
    lower = np.append(ranked[1:], -np.inf)
    f1 = np.where(ranked > lower, 2 * hits / (called + hits[-1]), -1.0)
    gap = ranked - np.where(np.isinf(lower), ranked, lower)
    at = int(np.lexsort((gap, f1))[-1])
    middle = float(np.float32(ranked[at] - gap[at] / 2))
    # Two neighbouring float32 scores have no number between them: then the upper one is the threshold.
    return middle if middle > lower[at] and middle <= ranked[at] else float(ranked[at])


Rule = Callable[..., float]
THRESHOLDS: Mapping[str, Rule] = {
    "percentile": percentile,
    "stddev": stddev,
    "iqr": iqr,
    "pot": pot,
    "best_f1": best_f1,
}
"""Rule by name: called with scores (n,), labels (n,) or None, and the rule's own settings."""


def fit_threshold(
    rule: str, scores: Scores, labels: Labels = None, settings: Mapping[str, float] | None = None
) -> Threshold:
    """Fits a threshold.

    Args:
        rule: A name in `THRESHOLDS`.
        scores: (n,), finite.
        labels: bool (n,), True = anomalous; rules for normal scores leave the anomalous out.
        settings: The rule's keyword arguments.

    Raises:
        TrainingError: no such rule, a setting it does not take, no score, a score not finite.
    """
    if rule not in THRESHOLDS:
        raise TrainingError(unknown("threshold rule", rule, THRESHOLDS))
    if not len(scores) or not np.isfinite(scores).all():
        raise TrainingError(f"threshold {rule} needs at least one score, all finite; {len(scores)} were given")
    known = (THRESHOLDS[rule].__kwdefaults__ or {}).keys()
    for name in settings or {}:
        if name not in known:
            raise TrainingError(unknown(f"setting of the threshold rule {rule}:", name, known))
    value = THRESHOLDS[rule](scores, labels, **(settings or {}))
    return Threshold(rule=rule, value=value, settings=dict(settings or {}), fitted_on=len(scores))


def _normal(scores: Scores, labels: Labels) -> NDArray[np.float64]:
    normal = scores.astype(np.float64) if labels is None else scores[~labels].astype(np.float64)
    if not len(normal):
        raise TrainingError("the threshold needs the scores of normal windows, and every window given is anomalous")
    return normal


def _above(value: float) -> float:
    """The float32 next above `value`: where all scores are equal, none of them is called anomalous."""
    return float(np.nextafter(np.float32(value), np.float32(np.inf)))
