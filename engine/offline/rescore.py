"""Stored windows as another version of the model judges them: agreement with labels, alerts gained and lost."""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from federation.storage.answers import OperatorLabel
from federation.storage.learning import Purpose
from models.base import Windows
from models.training.label_queries import alike


@dataclass(frozen=True, slots=True)
class LabelUse:
    """How a version judges the sessions that operators labelled.

    Attributes:
        labels: Labels of sessions with a complete window in the store.
        agrees: Labels that the version agrees with: it calls a window of the session anomalous, or none.
        purposes: Labels by what their windows are used for.
    """

    labels: int
    agrees: int
    purposes: dict[Purpose, int]


@dataclass(frozen=True, slots=True)
class LostKind:
    """Windows with the same templates that an earlier version calls anomalous and a later one does not.

    Attributes:
        window: Index of the latest of them.
        windows: Indexes of all of them, int64 (m,), ascending.
    """

    window: int
    windows: NDArray[np.int64]


def label_use(
    keys: Sequence[bytes], scores: NDArray[np.float32], threshold: float, labels: Collection[OperatorLabel]
) -> LabelUse:
    """Compare a version's judgement with labels.

    Args:
        keys: Hash of the session key of each window (n).
        scores: float32 (n,): of the version.
        threshold: Score from which a window is anomalous.
        labels: Labels that count.
    """
    highest: dict[bytes, float] = {}
    for key, score in zip(keys, scores.tolist(), strict=True):
        highest[key] = max(score, highest.get(key, score))
    limit = float(np.float32(threshold))
    known = [label for label in labels if label.key in highest]
    agrees = sum((highest[label.key] >= limit) == label.anomalous for label in known)
    return LabelUse(len(known), agrees, dict(Counter(label.purpose for label in known)))


def lost_kinds(windows: Windows, before: NDArray[np.bool_], after: NDArray[np.bool_]) -> list[LostKind]:
    """Kinds of windows that are no longer anomalous, the most frequent first.

    Args:
        windows: The windows, oldest first.
        before: bool (n,): which the earlier version calls anomalous.
        after: bool (n,): the same of the later version.
    """
    lost = np.flatnonzero(before & ~after & (windows.lengths() > 0))
    if not len(lost):
        return []
    _, group = alike(windows.take(lost))
    order = np.argsort(group, kind="stable")
    members = np.split(lost[order], np.cumsum(np.bincount(group))[:-1])
    return sorted((LostKind(int(m[-1]), m) for m in members), key=lambda kind: (-len(kind.windows), -kind.window))


def lost_templates(windows: Windows, before: NDArray[np.bool_], after: NDArray[np.bool_]) -> dict[int, int]:
    """Templates all of whose windows the earlier version calls anomalous, and none the later one.

    Returns:
        Template id to the number of its windows.
    """
    lost = np.flatnonzero(before & ~after)
    elsewhere = set(windows.take(np.flatnonzero(~before | after)).ids.tolist())
    counts = Counter(template for i in lost.tolist() for template in set(windows.row(i).tolist()))
    return {template: count for template, count in counts.items() if template not in elsewhere}


@dataclass(frozen=True, slots=True)
class ThresholdPoint:
    """A threshold, and the sessions that reach it.

    Attributes:
        threshold: A score.
        sessions: Sessions with a window whose score is at or above it.
    """

    threshold: float
    sessions: int


def sessions_by_threshold(
    keys: Sequence[bytes], scores: NDArray[np.float32], points: int
) -> list[ThresholdPoint]:  # fmt: skip
    """How many sessions would raise an alert at a threshold, from the highest score to the lowest.

    Args:
        keys: Hash of the session key of each window (n).
        scores: float32 (n,).
        points: Maximum number of thresholds.
    """
    highest: dict[bytes, float] = {}
    for key, score in zip(keys, scores.tolist(), strict=True):
        highest[key] = max(score, highest.get(key, score))
    values, counts = np.unique(np.array(list(highest.values()), np.float64), return_counts=True)
    reached = np.cumsum(counts[::-1])
    chosen = np.unique(np.linspace(0, len(values) - 1, min(points, len(values))).round().astype(int))
    return [ThresholdPoint(float(values[::-1][i]), int(reached[i])) for i in chosen.tolist()]
