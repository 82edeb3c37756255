"""Splits of labelled windows and lines."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def stratified(labels: NDArray[Any], share: float, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Splits at random, each class by itself.

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
