"""Population stability index of all templates' shares together.

The usual reading: below 0.1 no change, above 0.25 a large one (Siddiqi, "Credit Risk Scorecards", 2006).
"""

import numpy as np

from engine.drift.base import Floats
from engine.drift.chance import apart, bound, draws
from engine.drift.template_counts import Counts
from engine.drift.template_rows import TemplateRows

_PSEUDO = 0.5
"""Windows added to each template before the logarithm (Jeffreys' prior), which does not exist for a share of zero."""


class Psi(TemplateRows):
    """See the module; 0 upwards."""

    name = "psi"
    floor = 0.05

    def compare(self, reference: Counts, current: Counts) -> Floats:
        """See `TemplateRows.compare`."""
        return psi(reference, current)

    def chance(self) -> float:
        """See `Statistic.chance`."""
        drawn = draws(len(self.rows), self.settings.current_blocks)
        return max(bound(psi(*apart(self.rows, chosen)), self.settings.chance) for chosen in drawn)


def psi(reference: Counts, current: Counts) -> Floats:
    """(…,): the population stability index of counts (…, k) taken as one distribution."""
    used = (reference > 0) | (current > 0)
    before, after = (np.where(used, counts + _PSEUDO, 0.0) for counts in (reference, current))
    before = before / np.maximum(before.sum(-1, keepdims=True), 1)
    after = after / np.maximum(after.sum(-1, keepdims=True), 1)
    ratio = np.where(used, after, 1.0) / np.where(used, before, 1.0)
    found: Floats = ((after - before) * np.log(ratio)).sum(-1)
    return found
