"""Counts, by session and by the origin of its label, of the verdicts of two models on the same holdout."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from federation.protocol.records import HoldoutFigures, LabelledAnomalies, Pairs
from federation.storage.learning import LearningSet, LineSet

ANSWERED = ("feedback", "labels")
"""Origins of labels that are full evidence; labels of rules count half, sessions without a label do not count."""


def window_figures(
    region: str, own: LearningSet, current: NDArray[np.bool_], candidate: NDArray[np.bool_]
) -> HoldoutFigures:
    """Count sessions: one is called anomalous if any of its windows is.

    Args:
        region: Name of the region.
        own: The holdout, n windows.
        current: bool (n,): windows that the current model calls anomalous.
        candidate: The same for the candidate.
    """
    first, sessions = _sessions(own)
    old, new = _any(current, sessions, len(first)), _any(candidate, sessions, len(first))
    truth, origin = own.labels[first], np.array(own.provenance, dtype=object)[first]
    answered, ruled = np.isin(origin, ANSWERED), origin == "rules"
    known = answered | ruled
    return HoldoutFigures(
        region,
        _confusion(old[known], truth[known]),
        _confusion(new[known], truth[known]),
        _pairs(old[answered], new[answered], truth[answered]),
        _pairs(old[ruled], new[ruled], truth[ruled]),
        _agreement(old[~known], new[~known]),
    )


def labelled_anomalies(own: LearningSet) -> LabelledAnomalies:
    """Count the anomalous sessions by the origin of their label."""
    first, _ = _sessions(own)
    return count_labels([own.provenance[i] for i in first.tolist() if own.labels[i]])


def count_labels(origins: Sequence[str]) -> LabelledAnomalies:
    """Count the origins of labels."""
    return LabelledAnomalies(origins.count("feedback"), origins.count("labels"), origins.count("rules"))


def found_by_one(own: LearningSet, current: NDArray[np.bool_], candidate: NDArray[np.bool_]) -> Pairs:
    """Sessions, all of them anomalous, that exactly one model calls anomalous; see `window_figures`."""
    first, sessions = _sessions(own)
    return _pairs(_any(current, sessions, len(first)), _any(candidate, sessions, len(first)), own.labels[first])


def line_pairs(own: LineSet, current: NDArray[np.bool_], candidate: NDArray[np.bool_]) -> tuple[Pairs, Pairs]:
    """Templates that exactly one of two line classifiers classifies right, by answered and by ruled classes.

    Args:
        own: The held-out templates, n of them.
        current: bool (n,): templates that the current model classifies right.
        candidate: The same for the candidate.
    """
    answered = np.isin(np.array(own.provenance, dtype=object), ANSWERED)
    found, lost = candidate & ~current, current & ~candidate
    a, b = (Pairs(int((found & part).sum()), int((lost & part).sum())) for part in (answered, ~answered))
    return a, b


def _sessions(own: LearningSet) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Index of the first window of each session, and the session of each window."""
    if own.sessions is None:
        every = np.arange(len(own))
        return every, every
    _, first, sessions = np.unique(own.sessions, return_index=True, return_inverse=True)
    return first, sessions


def _any(called: NDArray[np.bool_], sessions: NDArray[np.int64], count: int) -> NDArray[np.bool_]:
    return np.asarray(np.bincount(sessions, called, minlength=count) > 0)


def _confusion(called: NDArray[np.bool_], truth: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    return (
        int((called & truth).sum()), int((called & ~truth).sum()),
        int((~called & truth).sum()), int((~called & ~truth).sum()),
    )  # fmt: skip


def _pairs(old: NDArray[np.bool_], new: NDArray[np.bool_], truth: NDArray[np.bool_]) -> Pairs:
    found, lost = new & ~old, old & ~new
    return Pairs(
        int((found & truth).sum()), int((lost & truth).sum()), int((lost & ~truth).sum()), int((found & ~truth).sum())
    )


def _agreement(old: NDArray[np.bool_], new: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    return (
        int((old & new).sum()), int((old & ~new).sum()), int((new & ~old).sum()), int((~old & ~new).sum()),
    )  # fmt: skip
