"""Jensen-Shannon divergence of the template whose share of windows has moved furthest.

Lin, "Divergence measures based on the Shannon entropy", 1991. By chance all templates move about as
far, whatever their share, so the largest of them tells a single template's change from chance; the
divergence of the whole distribution drowns it in all the others' chance.
"""

import numpy as np

from engine.drift.base import Floats
from engine.drift.chance import apart, bound, draws
from engine.drift.template_counts import Counts
from engine.drift.template_rows import TemplateRows


class JensenShannon(TemplateRows):
    """See the module; 0 to 1 bit."""

    name = "jensen_shannon"
    floor = 0.01

    def compare(self, reference: Counts, current: Counts) -> Floats:
        """See `TemplateRows.compare`."""
        block, keep = self.settings.block_windows, self.settings.current_blocks
        found: Floats = jensen_shannon(reference / (len(self.rows) * block), current / (keep * block)).max(1)
        return found

    def chance(self) -> float:
        """See `Statistic.chance`."""
        block, keep = self.settings.block_windows, self.settings.current_blocks
        rest = (len(self.rows) - keep) * block
        moves = [apart(self.rows, chosen) for chosen in draws(len(self.rows), keep)]
        seen = [jensen_shannon(others / rest, current / (keep * block)).max(1) for others, current in moves]
        return max(bound(values, self.settings.chance) for values in seen)


def jensen_shannon(reference: Floats, current: Floats) -> Floats:
    """How far each template's share (…, k) has moved: the divergence of "holds it" and "does not", in bits, 0 to 1."""
    middle = (reference + current) / 2
    found: Floats = _entropy(middle) - (_entropy(reference) + _entropy(current)) / 2
    return np.maximum(found, 0.0)


def _entropy(share: Floats) -> Floats:
    """Of a yes or no with this probability of yes, in bits."""
    inside = np.clip(share, 1e-12, 1 - 1e-12)
    found: Floats = -(inside * np.log2(inside) + (1 - inside) * np.log2(1 - inside))
    return found
