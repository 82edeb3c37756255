"""ADWIN over the blocks' mean scores (`engine.drift.adaptive_window`).

ADWIN detects that something changed; the distance of the mean from the reference shows whether it matters. The value
is that distance once ADWIN has cut, and 0 before: a large sample makes the smallest change certain, and
the smallest changes do not need a retraining.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from engine.drift.adaptive_window import AdaptiveWindow
from engine.drift.base import Floats, Setup, Watches
from engine.drift.blocks import Blocks
from engine.drift.scores import AlarmMargin
from engine.drift.warmed_up import WarmedUp

_DELTA = 0.002  # the paper's

_MOST_MEANS = 2_000
"""Means after which ADWIN is built again from the last half of them: it bounds the state."""

_USED_SHARE = 12
"""Standard deviations of the blocks' means that are stretched to 0 to 1. ADWIN's bound is made for values that fill
that range, and with a small part of it in use it would need thousands of blocks to cut."""


class Adwin(WarmedUp):
    """Change of the mean alarm margin: 0 to 1, where 0.5 is a window at the model's threshold."""

    name = "adwin"
    watches: ClassVar[Watches] = "scores"
    floor = 0.03
    reach = 1.0
    ways = 2
    kept = ("usual", "scale", "reference", "unit", "means", "cut")

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self.usual = np.zeros((0, self.settings.block_windows), np.float32)  # scores of the reference, until used
        self.scale = (0.0, 0.0, 0.0)  # of the alarm margin
        self.reference = 0.0
        self.unit = 1.0
        self.means: list[float] = []  # the content of ADWIN; feeding it again restores the state
        self.cut = False
        self._adwin = AdaptiveWindow(_DELTA)

    def learn(self, blocks: Blocks) -> None:
        """See `WarmedUp.learn`."""
        self.usual = np.concatenate([self.usual, blocks.scores])

    def complete(self, blocks: Blocks) -> Floats:
        """See `WarmedUp.complete`."""
        self.scale = (float(np.median(self.usual)), blocks.threshold, float(self.usual.std()))
        means: Floats = AlarmMargin(*self.scale).of(self.usual).mean(1)
        self.reference = float(means.mean())
        self.unit = max(_USED_SHARE * float(means.std()), self.least)
        self.usual = self.usual[:0]
        self._feed_all(means.tolist())
        return means

    def compare(self, blocks: Blocks) -> tuple[Floats, Floats]:
        """See `WarmedUp.compare`."""
        means = AlarmMargin(*self.scale).of(blocks.scores).mean(1)
        return np.array([self._add(mean) for mean in means.tolist()]), means

    def restore(self, state: dict[str, Any]) -> None:
        """See `Statistic.restore`."""
        super().restore(state)
        self._feed_all(self.means)

    def _add(self, mean: float) -> float:
        """The value after another block with this mean."""
        if self._feed(mean):
            self.cut = True
        if len(self.means) >= _MOST_MEANS:
            self._feed_all(self.means[-_MOST_MEANS // 2 :])
        return abs(self._adwin.mean - 0.5) * self.unit if self.cut else 0.0

    def _feed_all(self, means: Sequence[float]) -> None:
        self.means, self._adwin = [], AdaptiveWindow(_DELTA)
        for mean in means:
            self._feed(mean)

    def _feed(self, mean: float) -> bool:
        self.means.append(mean)
        if self._adwin.dropped:  # what it kept may be from before the change
            self._adwin = AdaptiveWindow(_DELTA)
        self._adwin.add((mean - self.reference) / self.unit + 0.5)
        return self._adwin.dropped
