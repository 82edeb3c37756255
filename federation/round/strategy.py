"""The contract of an aggregation strategy: how the updates of one pass become new weights.

`federation.round.strategies` lists the strategies; `tests/federation/round/test_strategies.py` checks each of them.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

Changes = Mapping[str, NDArray[np.float64]]
"""Difference of a region's weights from those that were sent, by the name of the array."""


class Strategy(ABC):
    """One object serves all passes of a round and may keep state between them.

    A strategy is given changes instead of weights: equal updates then return exactly themselves, and distances
    between updates lose no digits. The guard has checked all updates before, so every value is finite.

    Attributes:
        defaults: Settings of the strategy with their defaults; an int default makes an int setting.
        is_mean: Whether the result is the mean of the changes weighted by counts, which a masked sum can replace.
    """

    defaults: ClassVar[Mapping[str, float]] = {}
    is_mean: ClassVar[bool] = False

    @abstractmethod
    def __init__(self, settings: Mapping[str, float]) -> None:
        """Take a value for every name in `defaults`.

        Raises:
            ValueError: a value is out of range.
        """

    @abstractmethod
    def combine(self, changes: Sequence[Changes], counts: Sequence[int], number: int) -> Changes | None:
        """The change of the common weights.

        Args:
            changes: Change of each region, sorted by its name; at least one, all with the same names and shapes.
            counts: Weight of each region, from 1; already bounded by `max_share`.
            number: Pass, from 0.

        Returns:
            Arrays of the same names and shapes, or None if no result can be made of these changes.
        """

    @property
    def proximal_mu(self) -> float:
        """Weight of the proximal term that regions train with."""
        return 0.0
