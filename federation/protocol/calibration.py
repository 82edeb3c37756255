"""One threshold for all regions, from quantiles of each region's scores."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from federation.errors import RoundFailedError
from federation.protocol.records import ScoreSketch
from models.base import TrainingError
from models.thresholds.base import Threshold
from models.thresholds.registry import UNLABELLED_SHARE, fit_threshold

SKETCH_SIZE = 1025
"""Maximum number of quantiles of a class in a `ScoreSketch`."""

MAX_SCORES = 200_000
"""Maximum number of scores that the sketches of all regions together are expanded to."""

MIN_ANOMALIES = 5
"""Labelled anomalies that support a threshold where most other windows are only assumed to be normal."""


def supports_threshold(labels: NDArray[np.bool_], known: NDArray[np.bool_]) -> bool:
    """Whether a region's labels can support a threshold: half of its windows, or some anomalies, have one.

    A few answers do not. Anomalies that nobody labelled are among the windows assumed to be normal, and the highest F1
    on one labelled anomaly lies above all of them.

    Args:
        labels: bool (n,): True = anomalous.
        known: bool (n,): windows with a label; the others are assumed to be normal.
    """
    return bool(2 * known.sum() >= max(1, len(known)) or labels.sum() >= MIN_ANOMALIES)


def sketch_scores(
    region: str, scores: NDArray[np.float32], labels: NDArray[np.bool_], *, labelled: bool = True
) -> ScoreSketch:
    """Reduce scores (n,) with labels, bool (n,), to quantiles of each class; see `ScoreSketch` for `labelled`."""
    normal, anomalous = scores[~labels], scores[labels]
    return ScoreSketch(region, _quantiles(normal), _quantiles(anomalous), len(normal), len(anomalous), labelled)


def _quantiles(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    if len(scores) <= SKETCH_SIZE:
        return np.sort(scores).astype(np.float32)
    return np.quantile(scores.astype(np.float64), np.linspace(0, 1, SKETCH_SIZE)).astype(np.float32)


def shared_threshold(sketches: Sequence[ScoreSketch], rule: str) -> Threshold:
    """Fit one threshold over all regions' calibration windows, each region weighted by its number of windows.

    If the regions whose labels support a threshold have windows of both classes, the others are left out: what is only
    assumed to be normal is not evidence against it.

    Args:
        sketches: Sketches, one for each region.
        rule: A rule of `models.thresholds.registry`, or `auto`: `best_f1` where labels support a threshold, else
            `percentile`.

    Raises:
        RoundFailedError: there is no calibration window, or the rule cannot be fitted.
    """
    labelled = [s for s in sketches if s.labelled]
    supported = any(s.normal_count for s in labelled) and any(s.anomalous_count for s in labelled)
    sketches = labelled if supported else sketches
    share = min(1.0, MAX_SCORES / max(1, sum(s.normal_count + s.anomalous_count for s in sketches)))
    normal = np.concatenate([_expand(s.normal, round(share * s.normal_count)) for s in sketches])
    anomalous = np.concatenate([_expand(s.anomalous, round(share * s.anomalous_count)) for s in sketches])
    normal = normal if supported else _plausible(normal, anomalous)
    scores = np.concatenate([normal, anomalous])
    labels = np.arange(len(scores)) >= len(normal)
    if rule == "auto":
        rule = "best_f1" if supported else "percentile"
    try:
        return fit_threshold(rule, scores, labels)
    except TrainingError as error:
        raise RoundFailedError(f"step 6, threshold: {error}") from error


def _plausible(normal: NDArray[np.float32], anomalous: NDArray[np.float32]) -> NDArray[np.float32]:
    """The scores of windows assumed to be normal, without those as high as labelled anomalies if these are few.

    Such windows are more likely anomalies that nobody has labelled. With them, a percentile lies above every anomaly
    of a kind that is more frequent than the percentile allows. Of the scores of labelled anomalies, the cut is the one
    with the highest recall² / share called, which ranks thresholds as F1 does where only anomalies are labelled (Lee
    and Liu, 2003, "Learning with positive and unlabeled examples using weighted logistic regression"). At most
    `UNLABELLED_SHARE` is cut off, or twice as much where at least `MIN_ANOMALIES` labels say so.
    """
    most = UNLABELLED_SHARE * (2 if len(anomalous) >= MIN_ANOMALIES else 1)
    every, best, cut = np.concatenate([normal, anomalous]), 0.0, np.inf
    for score in np.unique(anomalous):
        if (normal >= score).mean() <= most:
            value = (anomalous >= score).mean() ** 2 / (every >= score).mean()
            best, cut = max((best, cut), (value, float(score)))
    return np.asarray(normal[normal < cut])


def _expand(quantiles: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """`count` scores, evenly spaced along the quantiles."""
    if len(quantiles) in (0, count):
        return quantiles
    return np.interp(np.linspace(0, 1, count), np.linspace(0, 1, len(quantiles)), quantiles).astype(np.float32)


def sketch_problem(sketch: ScoreSketch, max_examples: int) -> str | None:
    """Why a region's calibration scores cannot be used; None if they can."""
    classes: Mapping[str, tuple[np.ndarray, int]] = {
        "normal": (sketch.normal, sketch.normal_count),
        "anomalous": (sketch.anomalous, sketch.anomalous_count),
    }
    for name, (scores, count) in classes.items():
        if scores.dtype != np.float32 or scores.ndim != 1 or len(scores) > SKETCH_SIZE:
            return f"its {name} scores are {scores.dtype}{list(scores.shape)}, not float32 of at most {SKETCH_SIZE}"
        if not np.isfinite(scores).all() or (np.diff(scores) < 0).any():
            return f"its {name} scores are not finite or do not ascend"
        if not len(scores) <= count <= max_examples or (count and not len(scores)):
            return f"it claims that {len(scores)} {name} scores represent {count} windows"
    return None
