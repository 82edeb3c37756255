"""Novelty: the share of windows that hold a template which the reference does not."""

from typing import ClassVar

import numpy as np

from engine.drift.base import Floats, Setup, Statistic, Watches, rolling
from engine.drift.blocks import Blocks
from engine.drift.chance import bound
from engine.drift.template_counts import Counts, widened


class Novelty(Statistic):
    """See the module; 0 to 1. By chance, each block holds some templates that no other block has."""

    name = "novelty"
    watches: ClassVar[Watches] = "templates"
    floor = 0.02
    kept = ("rows", "recent")

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self.rows: Counts = np.zeros((0, 1), np.int64)  # a block of the reference each
        self.recent: Floats = np.zeros(self.settings.current_blocks)

    def _learn(self, blocks: Blocks) -> None:
        self.rows = np.concatenate([widened(self.rows, blocks.counts.shape[1]), blocks.counts])

    def update(self, blocks: Blocks) -> Floats:
        """See `Statistic.update`."""
        keep = self.settings.current_blocks
        unknown = widened(self.rows, blocks.counts.shape[1]).sum(0) == 0
        recent = np.concatenate([self.recent, blocks.share_with(unknown)])
        self.recent = recent[-keep:]
        found: Floats = rolling(recent, keep) / keep
        return found

    def chance(self) -> float:
        """See `Statistic.chance`."""
        alone = only_here(self.rows, self.settings.block_windows)
        return bound(alone / np.sqrt(self.settings.current_blocks), self.settings.chance)


def only_here(counts: Counts, block_windows: int) -> Floats:
    """(b,): for each block, an upper bound of its share of windows with a template that no other block holds."""
    alone = (counts > 0).sum(0) == 1
    found: Floats = np.minimum(counts[:, alone].sum(1) / block_windows, 1.0)
    return found
