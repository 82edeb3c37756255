"""The templates that a model with an output for each has in common over all regions, by hash."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

MAX_TEMPLATES = 4096
"""Templates that a region may name, and that such a model may have an output for: at 384 numbers each, 6 MB."""


def most_frequent(ids: NDArray[np.int64]) -> NDArray[np.int64]:
    """The distinct ids, ascending; of more than `MAX_TEMPLATES` those that occur most."""
    distinct, counts = np.unique(ids, return_counts=True)
    return np.sort(distinct[np.argsort(-counts, kind="stable")[:MAX_TEMPLATES]])


def missing(known: NDArray[np.int64], named: Mapping[str, NDArray[np.int64]]) -> NDArray[np.int64]:
    """What the model has to learn to know: ids that a region named and that are not `known`, ascending.

    Where there is no place for all, those that most regions named go first. The order of regions does not matter.
    """
    given = np.concatenate([np.zeros(0, np.int64), *(np.unique(ids) for ids in named.values())])
    ids, regions = np.unique(given[~np.isin(given, known)], return_counts=True)
    place = max(0, MAX_TEMPLATES - len(known))
    return np.sort(ids[np.argsort(-regions, kind="stable")[:place]])
