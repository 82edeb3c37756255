"""Statistics of the templates: never seen before, Jensen-Shannon, PSI; of many blocks at once.

A template's share is that of the windows which hold it.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]

_PSEUDO = 0.5
"""Windows added to each template before PSI's logarithm (Jeffreys' prior), which has none for a share of zero."""


def jensen_shannon(reference: Floats, current: Floats) -> Floats:
    """How far each template's share (…, k) has moved: the divergence of "holds it" and "does not", in bits, 0 to 1.

    Lin, "Divergence measures based on the Shannon entropy", 1991. By chance all templates move about as
    far, whatever their share, so the largest of them tells a single template's change from chance; the
    divergence of the whole distribution drowns it in all the others' chance.
    """
    middle = (reference + current) / 2
    found: Floats = _entropy(middle) - (_entropy(reference) + _entropy(current)) / 2
    return np.maximum(found, 0.0)


def _entropy(share: Floats) -> Floats:
    """Of a yes or no with this probability of yes, in bits."""
    inside = np.clip(share, 1e-12, 1 - 1e-12)
    found: Floats = -(inside * np.log2(inside) + (1 - inside) * np.log2(1 - inside))
    return found


def psi(reference: Counts, current: Counts) -> Floats:
    """(…,): the population stability index of counts (…, k) taken as one distribution.

    The usual reading: below 0.1 no change, above 0.25 a large one (Siddiqi, "Credit Risk Scorecards", 2006).
    """
    used = (reference > 0) | (current > 0)
    before, after = (np.where(used, counts + _PSEUDO, 0.0) for counts in (reference, current))
    before = before / np.maximum(before.sum(-1, keepdims=True), 1)
    after = after / np.maximum(after.sum(-1, keepdims=True), 1)
    ratio = np.where(used, after, 1.0) / np.where(used, before, 1.0)
    found: Floats = ((after - before) * np.log(ratio)).sum(-1)
    return found


def only_here(counts: Counts, block_windows: int) -> Floats:
    """(b,): for each block of the reference, an upper bound of its share of windows with a template of no other block.

    What the rate of templates never seen is by chance.
    """
    alone = (counts > 0).sum(0) == 1
    found: Floats = np.minimum(counts[:, alone].sum(1) / block_windows, 1.0)
    return found
