"""The templates, by hash, that a model with one output per template has in common over all regions."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

MAX_TEMPLATES = 4096
"""Templates that a region may name, and outputs that a round gives a model: at 384 numbers each, 6 MB."""

_NOT_NAMED = np.iinfo(np.int64).max


def most_frequent(ids: NDArray[np.int64]) -> NDArray[np.int64]:
    """The distinct ids, ascending; if there are more than `MAX_TEMPLATES`, the most frequent ones."""
    distinct, counts = np.unique(ids, return_counts=True)
    return np.sort(distinct[np.argsort(-counts, kind="stable")[:MAX_TEMPLATES]])


def allocate_outputs(
    known: NDArray[np.int64], named: Mapping[str, NDArray[np.int64]]
) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Choose the templates that a model gets outputs for, of those that it has and those that regions named.

    If there are more than `MAX_TEMPLATES`, or than the model has, regions choose in turn, each the template first
    that most regions named. Each region thus gets an equal part, whichever the others name, in this round or in
    earlier ones; known templates that no region names are dropped first. The order of regions does not matter.

    Args:
        known: int64 (V,): distinct ids that the model has outputs for.
        named: Ids by region, int64 each.

    Returns:
        bool (V,): which of the known ones stay; int64 (n,), ascending: the new ones.
    """
    lists = [np.unique(ids) for ids in named.values()]
    given, regions = np.unique(np.concatenate([np.zeros(0, np.int64), *lists]), return_counts=True)
    turns = np.full(len(given), _NOT_NAMED)
    for ids in lists:
        at = np.searchsorted(given, ids)
        order = np.lexsort((ids, -regions[at]))
        turns[at[order]] = np.minimum(turns[at[order]], np.arange(len(ids)))
    not_named = np.setdiff1d(known, given)
    every = np.concatenate([given, not_named])
    turn = np.concatenate([turns, np.full(len(not_named), _NOT_NAMED)])
    shares = np.concatenate([regions, np.zeros(len(not_named), np.int64)])
    chosen = every[np.lexsort((every, ~np.isin(every, known), -shares, turn))[: max(MAX_TEMPLATES, len(known))]]
    return np.isin(known, chosen), np.sort(chosen[~np.isin(chosen, known)])
