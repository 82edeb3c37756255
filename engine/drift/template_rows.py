"""Template counts of the reference's blocks and of the latest ones: the base of statistics that compare shares."""

import numpy as np

from engine.drift.base import Floats, Setup, Statistic, rolling
from engine.drift.blocks import Blocks
from engine.drift.template_counts import Counts, widened


class TemplateRows(Statistic):
    """A statistic of how many windows hold each template, in the reference and in the latest blocks."""

    watches = "templates"
    kept = ("rows", "recent")

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self.rows: Counts = np.zeros((0, 1), np.int64)  # (b, k): a block of the reference each
        self.recent: Counts = np.zeros((0, 1), np.int64)  # (c, k): the latest blocks, oldest first

    def _learn(self, blocks: Blocks) -> None:
        self.rows = np.concatenate([widened(self.rows, blocks.counts.shape[1]), blocks.counts])
        self.recent = self.rows[-self.settings.current_blocks :]

    def update(self, blocks: Blocks) -> Floats:
        """See `Statistic.update`."""
        columns = blocks.counts.shape[1]
        keep = self.settings.current_blocks
        recent = np.concatenate([widened(self.recent, columns), blocks.counts])
        self.recent = recent[-keep:]
        return self.compare(widened(self.rows.sum(0)[None], columns)[0], rolling(recent, keep))

    def compare(self, reference: Counts, current: Counts) -> Floats:
        """float64 (m,): the values for the reference's counts (k,) and the current ones (m, k)."""
        raise NotImplementedError
