"""Precision under operator feedback: the share of wrong alerts among those that operators judged."""

from typing import ClassVar

import numpy as np

from engine.drift.base import Floats, ReferenceProgress, Setup, Statistic, Watches
from engine.drift.blocks import Blocks

_Z = 2.326
"""One-sided 99 % of the normal distribution."""

MIN_JUDGED = 10
"""Minimum number of judgements for a result."""


class Precision(Statistic):
    """Lower bound (99 % confidence) of the share of wrong alerts; 0 with too few judgements.

    It needs no reference, and judgements are the only evidence, so the first value at the limit counts.
    """

    name = "precision"
    watches: ClassVar[Watches] = "labels"
    floor = 0.5
    confirm_at_once = True
    kept = ("judgements",)

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self.judgements: list[tuple[int, int]] = []  # right and wrong, oldest first

    def judge(self, right: int, wrong: int) -> float:
        """The value after this many more judgements on alerts of the model in service."""
        if right or wrong:
            self.judgements.append((right, wrong))
        while len(self.judgements) > 1 and sum(map(sum, self.judgements[1:])) >= self.settings.judged:
            del self.judgements[0]
        rights, wrongs = (sum(column) for column in zip(*self.judgements, strict=True)) if self.judgements else (0, 0)
        return surely(wrongs, rights + wrongs)

    def update(self, blocks: Blocks) -> Floats:
        """See `Statistic.update`."""
        return np.full(len(blocks), self.judge(0, 0))

    @property
    def limit(self) -> float:
        """See `Statistic.limit`."""
        return self.least

    @property
    def progress(self) -> ReferenceProgress:
        """See `Statistic.progress`."""
        return ReferenceProgress(0, 0)

    def count(self) -> int:
        """Judgements that the value is over."""
        return sum(map(sum, self.judgements))


def surely(count: int, of: int) -> float:
    """Lower bound (99 %) of the share `count` / `of`, 0 with too few: Wilson, "Probable inference", 1927."""
    if of < MIN_JUDGED:
        return 0.0
    share, square = count / of, _Z * _Z
    spread: float = _Z * (share * (1 - share) / of + square / (4 * of * of)) ** 0.5
    return max(0.0, (share + square / (2 * of) - spread) / (1 + square / of))
