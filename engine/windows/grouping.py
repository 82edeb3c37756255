"""Vectorised grouping of lines and addressing of ragged rows."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Groups:
    """Rows brought together by id, in their old order within each group.

    Attributes:
        order: int64 (n,): the row at each grouped place.
        starts: int64 (g,): grouped place at which each group begins.
        lengths: int64 (g,): rows of each group.
        numbers: int64 (n,): the group of each grouped place.
    """

    order: Ints
    starts: Ints
    lengths: Ints
    numbers: Ints


def group(ids: Ints) -> Groups:
    """Groups equal ids; needs at least one.

    The row number replaces the lowest bits of the id, so that one plain sort (vectorised in numpy, about ten times
    as fast as a stable argsort) groups and keeps the order. Two different ids that agree in all other bits would
    mix; they are looked for, and then the stable argsort does it.
    """
    n = len(ids)
    low = (1 << n.bit_length()) - 1
    packed = np.sort((ids & ~low) | np.arange(n))
    order = packed & low
    ordered = ids[order]
    change = ordered[1:] != ordered[:-1]
    if np.any(change & (((packed[1:] ^ packed[:-1]) & ~low) == 0)):
        order = np.argsort(ids, kind="stable")
        ordered = ids[order]
        change = ordered[1:] != ordered[:-1]
    starts = np.concatenate([np.zeros(1, np.int64), change.nonzero()[0] + 1])
    numbers = np.zeros(n, np.int64)
    np.cumsum(change, out=numbers[1:])
    return Groups(order, starts, np.diff(starts, append=n), numbers)


def ragged_index(starts: Ints, lengths: Ints) -> Ints:
    """int64 (sum of lengths,): for each row the places start, start + 1, … of its `lengths` entries."""
    ends = np.cumsum(lengths)
    total = int(ends[-1]) if len(ends) else 0
    rows: Ints = np.arange(total) + np.repeat(starts - (ends - lengths), lengths)
    return rows


def running_max(values: Ints, groups: Groups) -> Ints:
    """int64 (n,): the maximum so far within each group, for values in grouped order."""
    numbers = groups.numbers
    low, high = int(values.min()), int(values.max())
    span = high - low + 1
    if span * len(groups.starts) < 1 << 62:
        # Each group is lifted above all before it, so one accumulation serves all groups.
        lift = numbers * span - low
        return np.maximum.accumulate(values + lift) - lift
    # Times decades apart would overflow the lift: the same with ranks instead of times.
    distinct, ranks = np.unique(values, return_inverse=True)
    lift = numbers * len(distinct)
    return distinct[np.maximum.accumulate(ranks + lift) - lift]


def range_reduce(ufunc: np.ufunc, values: Ints, starts: Ints, ends: Ints) -> Ints:
    """int64 (k,): `ufunc` over `values[start:end]` for ranges of at least one entry, which may overlap."""
    pairs = np.stack([starts, ends], axis=1).ravel()
    padded = np.append(values, values[-1])
    reduced: Ints = ufunc.reduceat(padded, pairs)
    return reduced[::2]
