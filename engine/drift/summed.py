"""Statistics whose reference grows: cumulative sums detect that the stream changed, and in which templates."""

from abc import abstractmethod
from typing import Any

from engine.drift.base import Floats, ReferenceProgress, Setup, Statistic
from engine.drift.cusum import Cusum
from engine.drift.moves import Move


class Summed(Statistic):
    """A statistic over cumulative sums (`engine.drift.cusum`) that names the templates that changed.

    Attributes:
        moves: What the last `update` found, a block each.
    """

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self.moves: list[tuple[Move, ...]] = []
        self._growth = self.settings.growth()
        self._cusum = Cusum(self._smallest, self.settings.block_windows, self._growth)

    @abstractmethod
    def _smallest(self, usual: Floats) -> Floats:
        """float64 (2, k): the smallest moves of usual values (k,) that matter, upwards and downwards."""

    def moves_at(self, block: int) -> tuple[Move, ...]:
        """See `Statistic.moves_at`."""
        return self.moves[block] if self.moves else ()

    @property
    def limit(self) -> float:
        """See `Statistic.limit`; chance is in the limits of the sums."""
        return self.least

    @property
    def progress(self) -> ReferenceProgress:
        """See `Statistic.progress`."""
        return self._cusum.progress

    def swapped(self, *, raised: bool) -> None:
        """See `Statistic.swapped`."""
        if raised:
            self._cusum.adopt()

    def state(self) -> dict[str, Any]:
        """See `Statistic.state`."""
        return {**super().state(), "moves": self.moves[-1:], "cusum": self._cusum.state()}

    def restore(self, state: dict[str, Any]) -> None:
        """See `Statistic.restore`."""
        super().restore(state)
        self.moves = list(state["moves"])
        self._cusum.restore(state["cusum"])
