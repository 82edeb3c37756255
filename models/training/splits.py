"""Splits of labelled windows and lines."""

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.base import TrainingData, Windows
from models.text.ragged import distinct


def stratified(labels: NDArray[Any], share: float, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Split at random, each class separately.

    Args:
        labels: (n,): class of each window or line, bool or whole numbers.
        share: Part of each class that goes to the second index, 0 to 1; at least one member of a
            class that has two or more.
        seed: Of the shuffle.

    Returns:
        Two ascending int64 indexes, which together hold everything once.
    """
    rng = np.random.default_rng(seed)
    second = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        count = round(len(members) * share)
        if 0 < share < 1 and len(members) > 1:
            count = min(max(count, 1), len(members) - 1)
        second[members[:count]] = True
    return np.flatnonzero(~second), np.flatnonzero(second)


LabelledRows = tuple[Windows, NDArray[np.bool_]]
"""Windows with their labels (n,)."""


def with_validation(data: TrainingData, share: float) -> tuple[LabelledRows, LabelledRows]:
    """What to train on and what to stop by: the given validation set, else a share of each class of the windows."""
    if data.validation is not None:
        return (data.windows, data.labels), data.validation
    kept, held = stratified(data.labels, share, data.seed)
    return (data.windows.take(kept), data.labels[kept]), (data.windows.take(held), data.labels[held])


def by_group(
    labels: NDArray[Any], groups: Sequence[Hashable], share: float, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Split whole groups at random, each class separately; see `stratified`.

    Args:
        labels: (n,): the class of a group is that of its first member.
        groups: To which group each belongs.
        share: Part of each class's groups that goes to the second index.
        seed: Of the shuffle.
    """
    first, inverse = distinct(groups)
    _, held = stratified(labels[first], share, seed)
    second = np.isin(inverse, held)
    return np.flatnonzero(~second), np.flatnonzero(second)


def folds(labels: NDArray[np.bool_], count: int, seed: int, *, blocks: bool = False) -> list[NDArray[np.int64]]:
    """Split into `count` parts of equal size, each class separately.

    Args:
        labels: bool (n,): class of each window.
        count: Number of parts.
        seed: Of the shuffle.
        blocks: Cut each class into stretches of its own order instead of shuffling. Neighbouring windows of
            one log are alike, so a shuffled fold is easier than later lines will be.

    Returns:
        Ascending int64 indexes, which together hold every window once.
    """
    rng = np.random.default_rng(seed)
    part = np.zeros(len(labels), np.int64)
    for label in (False, True):
        members = np.flatnonzero(labels == label)
        if blocks:
            part[members] = np.arange(len(members)) * count // max(len(members), 1)
        else:
            part[rng.permutation(members)] = np.arange(len(members)) % count
    return [np.flatnonzero(part == i) for i in range(count)]
