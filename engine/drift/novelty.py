"""Novelty: the share of windows that hold a template which the reference does not.

Each block of a reference holds some templates that no other block has. Cumulative sums (`engine.drift.cusum`)
distinguish that from more of them than usual.
"""

import numpy as np
from numpy.typing import NDArray

from engine.drift.base import Floats, ReferenceProgress, Setup
from engine.drift.blocks import Blocks
from engine.drift.jensen_shannon import jensen_shannon
from engine.drift.moves import Move
from engine.drift.summed import Summed
from engine.drift.template_counts import Counts, widened


class Novelty(Summed):
    """See the module; 0 to 1. The value is 0 while no more windows than usual hold such a template."""

    name = "novelty"
    watches = "templates"
    floor = 0.02
    reach = 1.0
    kept = ("first", "known", "waiting")

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self.first: Counts = np.zeros((0, 1), np.int64)  # the first blocks (b, k), until there are enough
        self.known: NDArray[np.bool_] = np.zeros(1, bool)  # templates of the reference
        self.waiting: list[NDArray[np.bool_]] = []  # those of the latest blocks, oldest first

    def update(self, blocks: Blocks) -> Floats:
        """See `Statistic.update`."""
        start = min(self._growth.first_blocks - len(self.first), len(blocks)) if not self._cusum.progress.ready else 0
        if start:
            self._learn(blocks.part(0, start))
        self.moves = [()] * start
        return np.concatenate([np.zeros(start), self._later(blocks.part(start, len(blocks)))])

    def _later(self, blocks: Blocks) -> Floats:
        """The values behind the first blocks."""
        found, i = np.zeros(len(blocks)), 0
        self.known = np.pad(self.known, (0, blocks.counts.shape[1] - len(self.known)))
        new = blocks.share_with(~self.known) > 0
        while i < len(blocks):
            # While all templates are known, it does not matter which of them join the reference.
            end = i + int(new[i:].argmax()) if new[i:].any() else len(blocks)
            growing = self._cusum.growing
            skipped = self._cusum.skip(np.zeros((end - i, 1)), blocks.time_ns[i:end, 0])
            self._wait(blocks.counts[i : i + skipped] > 0, join=growing)
            self.moves += [()] * skipped
            i += skipped
            if i < len(blocks):
                found[i] = self._add(blocks.part(i, i + 1))
                i += 1
        return found

    def _learn(self, blocks: Blocks) -> None:
        self.first = np.concatenate([widened(self.first, blocks.counts.shape[1]), blocks.counts])
        if len(self.first) == self._growth.first_blocks:
            self.known = self.first.sum(0) > 0
            time_ns = int(blocks.time_ns[-1, 0])
            for share in only_here(self.first, self.settings.block_windows):
                self._cusum.add(np.array([share]), time_ns)
            self.first = self.first[:0]

    def _add(self, block: Blocks) -> float:
        """The value after another block."""
        columns = block.counts.shape[1]
        self.known = np.pad(self.known, (0, columns - len(self.known)))
        growing = self._cusum.growing
        row = block.share_with(~self.known)
        changed = bool(self._cusum.add(row, int(block.time_ns[0, 0]))[0, 0])
        value = float(self._cusum.current(row)[0, 0]) if changed else 0.0
        raised = value >= self.least
        self.moves.append(self._moves(block) if raised else ())
        self._cusum.grow(raised=raised)
        self._wait(block.counts > 0, join=growing and not raised)
        return value

    def _wait(self, held: NDArray[np.bool_], *, join: bool) -> None:
        """Takes which templates blocks (m, k) held; those that have waited long enough may join the reference."""
        delay = self._growth.delay_blocks
        leaving = self.waiting[: max(0, len(self.waiting) + len(held) - delay)]
        self.waiting = [*self.waiting[len(leaving) :], *held[-delay:]]
        if join and leaving:
            self.known = self.known.copy()
            for row in leaving:
                self.known[: len(row)] |= row

    def _moves(self, block: Blocks) -> tuple[Move, ...]:
        """The templates of a block that the reference does not hold, the most frequent first."""
        shares = np.where(self.known, 0.0, block.shares()[0])
        since = int(self._cusum.since[0, 0])
        order = np.argsort(-shares, kind="stable")[: int((shares > 0).sum())]
        far = jensen_shannon(np.zeros(len(shares)), shares)
        return tuple(Move(i, float(far[i]), 0.0, float(shares[i]), since) for i in order.tolist())

    def _smallest(self, usual: Floats) -> Floats:
        return np.full((2, len(usual)), self.least)

    @property
    def progress(self) -> ReferenceProgress:
        """See `Statistic.progress`."""
        return ReferenceProgress(len(self.first) or self._cusum.reference.blocks, self._growth.first_blocks)

    def swapped(self, *, raised: bool) -> None:
        """See `Statistic.swapped`: what came lately is known to the new version."""
        if raised:
            self.known = self.known.copy()
            for row in self.waiting:
                self.known[: len(row)] |= row
        super().swapped(raised=raised)


def only_here(counts: Counts, block_windows: int) -> Floats:
    """(b,): for each block, an upper bound of its share of windows with a template that no other block holds."""
    alone = (counts > 0).sum(0) == 1
    found: Floats = np.minimum(counts[:, alone].sum(1) / block_windows, 1.0)
    return found
