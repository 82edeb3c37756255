"""Statistics of the templates' shares: never seen before, Jensen-Shannon, PSI; all of many blocks at once."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_PSEUDO = 0.5
"""Lines added to each template before PSI's logarithm (Jeffreys' prior), which has none for a share of zero."""


def shares(counts: NDArray[np.int64]) -> Floats:
    """Each row (…, k) divided by its sum; a row of zeros stays one."""
    found: Floats = counts / np.maximum(counts.sum(-1, keepdims=True), 1)
    return found


def jensen_shannon_parts(reference: Floats, current: Floats) -> Floats:
    """What each template adds to the Jensen-Shannon divergence of two distributions, in bits; (…, k).

    Lin, "Divergence measures based on the Shannon entropy", 1991. The sum is between 0 and 1.
    """
    middle = (reference + current) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = np.where(reference > 0, reference * np.log2(reference / middle), 0.0)
        parts += np.where(current > 0, current * np.log2(current / middle), 0.0)
    found: Floats = parts / 2
    return found


def jensen_shannon(reference: NDArray[np.int64], current: NDArray[np.int64]) -> Floats:
    """(…,): the divergence of counts (…, k), in bits."""
    found: Floats = jensen_shannon_parts(shares(reference), shares(current)).sum(-1)
    return found


def psi(reference: NDArray[np.int64], current: NDArray[np.int64]) -> Floats:
    """(…,): the population stability index of counts (…, k).

    The usual reading: below 0.1 no change, above 0.25 a large one (Siddiqi, "Credit Risk Scorecards", 2006).
    """
    used = (reference > 0) | (current > 0)
    before, after = (np.where(used, counts + _PSEUDO, 0.0) for counts in (reference, current))
    before = before / np.maximum(before.sum(-1, keepdims=True), 1)
    after = after / np.maximum(after.sum(-1, keepdims=True), 1)
    ratio = np.where(used, after, 1.0) / np.where(used, before, 1.0)
    found: Floats = ((after - before) * np.log(ratio)).sum(-1)
    return found


def only_here(counts: NDArray[np.int64], block_windows: int) -> Floats:
    """(b,): for each block of the reference, an upper bound of its share of windows with a template of no other block.

    What the rate of templates never seen is by chance; each line counts as a window of its own.
    """
    alone = (counts > 0).sum(0) == 1
    found: Floats = np.minimum(counts[:, alone].sum(1) / block_windows, 1.0)
    return found
