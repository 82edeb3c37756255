"""The contract of a drift statistic: one number for each block of windows, and the limit from which it counts.

A statistic learns a reference, then measures for each later block how far the stream has moved from it.
A new one is a file with a class, and a line in `engine.drift.registry`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from engine.drift.blocks import Blocks
from engine.drift.moves import Move
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


@dataclass(frozen=True, slots=True)
class ReferenceProgress:
    """How far a reference is: blocks so far, and blocks that a first verdict needs."""

    blocks: int
    needed: int

    @property
    def ready(self) -> bool:
        """Whether there are verdicts."""
        return self.blocks >= self.needed


class Statistic(ABC):
    """One statistic of one stream.

    The monitor calls `update` with the blocks of the stream in their order. The first ones make the reference, and
    the values are 0 until it is long enough. Values must not depend on how many blocks come in one call.

    Attributes:
        watches: What it examines. All but `templates` depend on the model, and start again after a swap.
        floor: Smallest limit, in the unit of the statistic; `[drift.floors]` can change it.
        reach: The largest distance of a block that there is.
        confirm_at_once: Whether a single value at the limit confirms the drift.
    """

    name: ClassVar[str]
    watches: ClassVar[Watches]
    floor: ClassVar[float]
    reach: ClassVar[float] = float("inf")
    confirm_at_once: ClassVar[bool] = False
    kept: ClassVar[tuple[str, ...]]
    """Attributes that make up the state: numbers, texts, lists of them, and arrays that are replaced, not changed."""

    def __init__(self, setup: Setup) -> None:
        self.settings = setup.settings
        self.least = setup.settings.floor(self.name)

    @abstractmethod
    def update(self, blocks: Blocks) -> Floats:
        """The values after each of the m blocks, float64 (m,); finite, and higher means further from the reference."""

    @property
    @abstractmethod
    def limit(self) -> float:
        """The value from which the stream counts as changed."""

    @property
    @abstractmethod
    def progress(self) -> ReferenceProgress:
        """Blocks of the reference so far, and how many a first verdict needs."""

    def moves_at(self, block: int) -> tuple[Move, ...]:
        """The templates that changed, as of a block of the last `update`, the largest change first."""
        return ()

    @property
    def blind(self) -> bool:
        """Whether the reference varies so much that no change could be distinguished from it."""
        return False

    def swapped(self, *, raised: bool) -> None:
        """Continues under another version of the model; called only where `watches` is `templates`.

        Args:
            raised: Whether the stream counts as changed: the new version has learnt that change.
        """
        del raised

    def state(self) -> dict[str, Any]:
        """Plain data that nothing changes later."""
        return {name: _copy(getattr(self, name)) for name in self.kept}

    def restore(self, state: dict[str, Any]) -> None:
        """Continues from what `state` returned."""
        for name in self.kept:
            setattr(self, name, _copy(state[name]))


def _copy(value: Any) -> Any:
    return value.copy() if isinstance(value, list) else value


def rolling(values: NDArray[Any], width: int) -> NDArray[Any]:
    """Sums of the last `width` rows at each row from number `width` on; (n - width, …)."""
    sums = np.cumsum(values, axis=0)
    found: NDArray[Any] = sums[width:] - sums[:-width]
    return found
