"""What chance does: some blocks of the reference compared with the rest of it."""

import numpy as np
from numpy.typing import NDArray

from engine.drift.base import Floats
from engine.drift.template_counts import Counts

_DRAWS = 200
"""Times that blocks are drawn at random."""


def draws(blocks: int, current: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which blocks are taken as current ones: at random (_DRAWS, blocks), and every run of neighbours.

    Neighbours are alike in a stream that changes slowly by itself, and differ more from the rest.
    """
    order = np.random.default_rng(0).random((_DRAWS, blocks)).argsort(1)
    starts = np.arange(blocks - current + 1)[:, None]
    places = np.arange(blocks)
    runs = (places >= starts) & (places < starts + current)
    return order < current, runs


def apart(counts: Counts, chosen: NDArray[np.bool_]) -> tuple[Counts, Counts]:
    """(draws, k) twice: sums over the other blocks, and over the chosen."""
    current = chosen.astype(np.int64) @ counts
    return counts.sum(0) - current, current


def bound(seen: Floats, deviations: float) -> float:
    """So many standard deviations above the mean of the values that chance brings."""
    return float(seen.mean() + deviations * seen.std())
