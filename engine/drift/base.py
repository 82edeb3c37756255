"""The contract of a drift statistic: one number for each block of windows, and the limit from which it counts.

A statistic first learns a reference, then says of each later block how far the stream has moved from it.
A new one is a file with a class, and a line in `engine.drift.registry`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from engine.drift.blocks import Blocks
from engine.drift.settings import DriftSettings

Floats = NDArray[np.float64]

Encode = Callable[[int, int], NDArray[np.float32]]
"""Columns from `start` up to `stop` → the vectors (n, hidden) of their templates; hidden is 0 without an encoder."""

Watches = Literal["templates", "embeddings", "scores", "labels"]


@dataclass(frozen=True, slots=True)
class Setup:
    """What statistics are built from."""

    settings: DriftSettings
    encode: Encode


class Statistic(ABC):
    """One statistic of one stream.

    The monitor calls `learn` for the blocks of the reference, then `update` for each later block, in the
    order of the stream and never with the same block twice. The values must not depend on how many blocks
    come in one call.

    Attributes:
        watches: What it looks at. All but `templates` depend on the model, and start again after a swap.
        floor: Smallest limit, in the unit of the statistic; `[drift.floors]` can change it.
        confirm_at_once: Whether a single value at the limit confirms the drift.
    """

    name: ClassVar[str]
    watches: ClassVar[Watches]
    floor: ClassVar[float]
    confirm_at_once: ClassVar[bool] = False
    kept: ClassVar[tuple[str, ...]]
    """Attributes that make up the state: numbers, texts, lists of them, and arrays that are replaced, not changed."""

    def __init__(self, setup: Setup) -> None:
        self.settings = setup.settings
        self.least = setup.settings.floor(self.name)
        self._limit: float | None = None

    def learn(self, blocks: Blocks) -> None:
        """Adds blocks to the reference."""
        self._limit = None
        self._learn(blocks)

    @abstractmethod
    def _learn(self, blocks: Blocks) -> None:
        """The statistic's own part of `learn`."""

    @abstractmethod
    def update(self, blocks: Blocks) -> Floats:
        """The values after each of the m blocks, float64 (m,); finite, and higher means further from the reference."""

    @abstractmethod
    def chance(self) -> float:
        """The largest value that chance alone explains, judged by the reference."""

    @property
    def limit(self) -> float:
        """The value from which the stream counts as changed: the floor, or what chance explains if that is larger."""
        if self._limit is None:
            self._limit = max(self.least, self.chance())
        return self._limit

    def state(self) -> dict[str, Any]:
        """Plain data that nothing changes later."""
        return {name: _copy(getattr(self, name)) for name in self.kept}

    def restore(self, state: dict[str, Any]) -> None:
        """Continues from what `state` returned."""
        for name in self.kept:
            setattr(self, name, _copy(state[name]))
        self._limit = None


def _copy(value: Any) -> Any:
    return value.copy() if isinstance(value, list) else value


def rolling(values: NDArray[Any], width: int) -> NDArray[Any]:
    """Sums of the last `width` rows at each row from number `width` on; (n - width, …)."""
    sums = np.cumsum(values, axis=0)
    found: NDArray[Any] = sums[width:] - sums[:-width]
    return found
