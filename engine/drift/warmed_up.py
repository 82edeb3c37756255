"""Statistics with a fixed reference: the first blocks after the start or, where they depend on the model, after a swap.

A block's distance to the reference varies without drift, with bursts and with the hour. Cumulative sums over the
blocks' distances (`engine.drift.cusum`) show that it has changed permanently; how far the latest blocks are from the
reference shows whether that matters.
"""

from abc import abstractmethod
from typing import Any, ClassVar

import numpy as np

from engine.drift.base import Floats, ReferenceProgress, Setup, Statistic
from engine.drift.blocks import Blocks
from engine.drift.cusum import Cusum


class WarmedUp(Statistic):
    """A statistic whose reference is the first `warmup_blocks` blocks; the value is 0 while nothing has changed.

    Attributes:
        ways: 1 for a distance, which can only grow by a change; 2 for a level, which can fall as well.
    """

    ways: ClassVar[int] = 1

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self.times: list[int] = []  # when the blocks of the reference began, ns
        self._cusum: Cusum | None = None

    def update(self, blocks: Blocks) -> Floats:
        """See `Statistic.update`."""
        start = min(self.settings.warmup_blocks - len(self.times), len(blocks))
        if start:
            self.times = [*self.times, *blocks.time_ns[:start, 0].tolist()]
            self.learn(blocks.part(0, start))
        if start == len(blocks):
            return np.zeros(start)
        later = blocks.part(start, len(blocks))
        cusum = self._watching(later)
        values, series = self.compare(later)
        found = np.zeros(len(later))
        rows, times_ns = series[:, None], later.time_ns[:, 0]
        i = 0
        while (i := i + cusum.skip(rows[i:], times_ns[i:])) < len(later):
            changed = cusum.add(rows[i], int(times_ns[i]))[: self.ways].any()
            found[i] = values[i] if changed else 0.0
            cusum.grow(raised=bool(changed and values[i] >= self.least))
            i += 1
        return np.concatenate([np.zeros(start), found])

    @abstractmethod
    def learn(self, blocks: Blocks) -> None:
        """Adds blocks to the reference."""

    @abstractmethod
    def complete(self, blocks: Blocks) -> Floats:
        """Ends the reference: each of its blocks' distance to the others, float64 (b,); `blocks` come behind it."""

    @abstractmethod
    def compare(self, blocks: Blocks) -> tuple[Floats, Floats]:
        """The distance of the latest blocks together, and of each block alone, to the reference: float64 (m,) twice."""

    def _watching(self, blocks: Blocks) -> Cusum:
        if self._cusum is None:
            self._cusum = self._new_cusum()
            for distance, time_ns in zip(self.complete(blocks), self.times, strict=True):
                self._cusum.add(np.array([distance]), time_ns)
        return self._cusum

    def _new_cusum(self) -> Cusum:
        return Cusum(lambda usual: np.full((2, len(usual)), self.least), None, self.settings.growth(fixed=True))

    @property
    def limit(self) -> float:
        """See `Statistic.limit`; chance is in the limit of the sum."""
        return self.least

    @property
    def progress(self) -> ReferenceProgress:
        """See `Statistic.progress`."""
        return ReferenceProgress(len(self.times), self.settings.warmup_blocks)

    @property
    def blind(self) -> bool:
        """See `Statistic.blind`."""
        return self._cusum is not None and self._cusum.blind(self.reach, self.ways)

    def state(self) -> dict[str, Any]:
        """See `Statistic.state`."""
        cusum = None if self._cusum is None else self._cusum.state()
        return {**super().state(), "times": list(self.times), "cusum": cusum}

    def restore(self, state: dict[str, Any]) -> None:
        """See `Statistic.restore`."""
        super().restore(state)
        self.times = list(state["times"])
        self._cusum = None if state["cusum"] is None else self._new_cusum()
        if self._cusum is not None:
            self._cusum.restore(state["cusum"])
