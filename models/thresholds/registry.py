"""Every threshold rule by name, and how a threshold is fitted.

`best_f1` takes labelled windows; the other rules take scores of normal or unlabelled windows.
"""

import importlib
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from foundation.settings_errors import unknown
from models.base import TrainingError
from models.thresholds.base import HeldOut, Labels, Scores, Threshold, ThresholdRule
from models.thresholds.calibration import Distribution

RULES: Mapping[str, str] = {
    "percentile": "models.thresholds.percentile:percentile",
    "stddev": "models.thresholds.stddev:stddev",
    "iqr": "models.thresholds.iqr:iqr",
    "pot": "models.thresholds.pot:pot",
    "best_f1": "models.thresholds.best_f1:best_f1",
}
"""Name → `module:function`, a `models.thresholds.base.ThresholdRule`."""
LABELLED = ("best_f1",)
"""Rules that are fitted on labels of both classes."""

UNLABELLED_SHARE = 0.05
"""Share of anomalous windows that is plausible where no labels say how many there are; in published log sets with
rare anomalies it is .03 (HDFS) at most."""
_KEPT = 512
"""Scores of normal windows that a card keeps: the highest half of them one by one, since the tail decides."""


def rule_named(name: str) -> ThresholdRule:
    """The rule registered under a name.

    Raises:
        TrainingError: the name is unknown.
    """
    if name not in RULES:
        raise TrainingError(unknown("threshold rule", name, RULES))
    module, _, function = RULES[name].partition(":")
    rule: ThresholdRule = getattr(importlib.import_module(module), function)
    return rule


def auto_rule(labels: Labels) -> str:
    """The rule that uses what is known: `best_f1` where labels of both classes are, else `percentile`."""
    return "best_f1" if labels is not None and 0 < labels.sum() < len(labels) else "percentile"


def fit_threshold(
    rule: str,
    scores: Scores,
    labels: Labels = None,
    settings: Mapping[str, float] | None = None,
    *,
    highest: float = np.inf,
) -> Threshold:
    """Fit a threshold on held-out scores.

    Args:
        rule: A name in `RULES`, or `auto`; see `auto_rule`.
        scores: (n,), finite.
        labels: bool (n,), True = anomalous; rules for normal scores leave the anomalous out.
        settings: The rule's keyword arguments.
        highest: The highest score that the detector can give.

    Raises:
        TrainingError: the rule or a setting is unknown, no score or one that is not finite was given, or no score
            could reach the threshold.
    """
    rule = auto_rule(labels) if rule == "auto" else rule
    function = rule_named(rule)
    if not len(scores) or not np.isfinite(scores).all():
        raise TrainingError(f"threshold {rule} needs at least one score, all finite; {len(scores)} were given")
    known = (function.__kwdefaults__ or {}).keys()
    for name in settings or {}:
        if name not in known:
            raise TrainingError(unknown(f"setting of the threshold rule {rule}:", name, known))
    value = function(scores, labels, **(settings or {}))
    if value > highest:
        raise TrainingError(
            f"threshold {rule} would be {value:.6g}, and no score exceeds {highest:.6g}: nothing could be anomalous"
        )
    return Threshold(
        rule=rule,
        value=value,
        settings=dict(settings or {}),
        fitted_on=len(scores),
        held_out=_held_out(rule, value, scores, labels),
    )


def _held_out(rule: str, value: float, scores: Scores, labels: Labels) -> HeldOut | None:
    normal = scores if labels is None else scores[~labels]
    if not len(normal):
        return None
    share = UNLABELLED_SHARE
    if labels is not None:
        # Twice as many as in training may be anomalous before normal behaviour is thought to have changed.
        share = 2 * max(float(labels.mean()), float((scores >= value).mean()), UNLABELLED_SHARE / 2)
    kept = thinned(Distribution.from_scores(normal))
    return HeldOut(
        normal_scores=tuple(kept.values.tolist()),
        normal_shares=tuple(kept.share.tolist()),
        count=len(normal),
        labelled=rule in LABELLED,
        max_share=min(share, 1.0),
    )


def thinned(whole: Distribution) -> Distribution:
    """At most `_KEPT` values: the highest half as they are, below them evenly chosen ones that represent the others."""
    if len(whole.values) <= _KEPT:
        return whole
    half = _KEPT // 2
    low = np.linspace(0, len(whole.values) - half - 1, half).round().astype(np.int64)
    index: NDArray[np.int64] = np.append(low, np.arange(len(whole.values) - half, len(whole.values)))
    shares = np.diff(np.append(0.0, np.cumsum(whole.share)[index]))
    return Distribution(whole.values[index], shares)
