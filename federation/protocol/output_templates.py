"""The templates that a model with an output for each has in common over all regions, by hash."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

MAX_TEMPLATES = 4096
"""Templates that a region may name, and that a round gives a model outputs for: at 384 numbers each, 6 MB."""

_UNNAMED = np.iinfo(np.int64).max


def most_frequent(ids: NDArray[np.int64]) -> NDArray[np.int64]:
    """The distinct ids, ascending; of more than `MAX_TEMPLATES` those that occur most."""
    distinct, counts = np.unique(ids, return_counts=True)
    return np.sort(distinct[np.argsort(-counts, kind="stable")[:MAX_TEMPLATES]])


def allocate_outputs(
    known: NDArray[np.int64], named: Mapping[str, NDArray[np.int64]]
) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Which templates a model that has outputs for those `known` gets outputs for, of all that regions named.

    Where there is no place for all (`MAX_TEMPLATES`, or as many as it has), regions choose in turn, each
    first what most regions named. So each gets its equal part, whatever the others name, in this round or
    in earlier ones; known templates that no region names give way first. The order of regions does not matter.

    Args:
        known: int64 (V,): distinct ids.
        named: Ids by region, int64 each.

    Returns:
        bool (V,): which of the known ones stay; int64 (n,), ascending: what is new.
    """
    lists = [np.unique(ids) for ids in named.values()]
    given, regions = np.unique(np.concatenate([np.zeros(0, np.int64), *lists]), return_counts=True)
    turns = np.full(len(given), _UNNAMED)
    for ids in lists:
        at = np.searchsorted(given, ids)
        order = np.lexsort((ids, -regions[at]))
        turns[at[order]] = np.minimum(turns[at[order]], np.arange(len(ids)))
    silent = np.setdiff1d(known, given)
    every = np.concatenate([given, silent])
    turn = np.concatenate([turns, np.full(len(silent), _UNNAMED)])
    shares = np.concatenate([regions, np.zeros(len(silent), np.int64)])
    chosen = every[np.lexsort((every, ~np.isin(every, known), -shares, turn))[: max(MAX_TEMPLATES, len(known))]]
    return np.isin(known, chosen), np.sort(chosen[~np.isin(chosen, known)])
