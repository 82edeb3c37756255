"""Population stability index of all templates' shares together.

The usual reading: below 0.1 no change, above 0.25 a large one (Siddiqi, "Credit Risk Scorecards", 2006).
"""

import numpy as np

from engine.drift.base import Floats, Setup, rolling
from engine.drift.blocks import Blocks
from engine.drift.template_counts import Counts, widened
from engine.drift.warmed_up import WarmedUp

_PSEUDO = 0.5
"""Windows added to each template before the logarithm (Jeffreys' prior), which does not exist for a share of zero."""


class Psi(WarmedUp):
    """See the module; 0 upwards."""

    name = "psi"
    watches = "templates"
    floor = 0.05
    kept = ("rows", "recent")

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self.rows: Counts = np.zeros((0, 1), np.int64)  # (b, k): a block of the reference each
        self.recent: Counts = np.zeros((0, 1), np.int64)  # (c, k): the latest blocks, oldest first

    def learn(self, blocks: Blocks) -> None:
        """See `WarmedUp.learn`."""
        self.rows = np.concatenate([widened(self.rows, blocks.counts.shape[1]), blocks.counts])
        self.recent = self.rows[-self.settings.current_blocks :]

    def complete(self, blocks: Blocks) -> Floats:
        """See `WarmedUp.complete`."""
        return psi(self.rows.sum(0) - self.rows, self.rows)

    def compare(self, blocks: Blocks) -> tuple[Floats, Floats]:
        """See `WarmedUp.compare`."""
        columns, keep = blocks.counts.shape[1], self.settings.current_blocks
        recent = np.concatenate([widened(self.recent, columns), blocks.counts])
        self.recent = recent[-keep:]
        usual = widened(self.rows.sum(0)[None], columns)[0]
        return psi(usual, rolling(recent, keep)), psi(usual, blocks.counts)

    def swapped(self, *, raised: bool) -> None:
        """See `Statistic.swapped`: the reference starts again where the new version has learnt a change."""
        if raised:
            self.times, self._cusum, self.rows = [], None, self.rows[:0]


def psi(reference: Counts, current: Counts) -> Floats:
    """(…,): the population stability index of counts (…, k) taken as one distribution."""
    used = (reference > 0) | (current > 0)
    before, after = (np.where(used, counts + _PSEUDO, 0.0) for counts in (reference, current))
    before = before / np.maximum(before.sum(-1, keepdims=True), 1)
    after = after / np.maximum(after.sum(-1, keepdims=True), 1)
    ratio = np.where(used, after, 1.0) / np.where(used, before, 1.0)
    found: Floats = ((after - before) * np.log(ratio)).sum(-1)
    return found
