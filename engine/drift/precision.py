"""Precision under operator feedback: the share of wrong alerts among those that operators judged."""

from engine.drift.base import Setup
from engine.drift.labelled import LabelCounts, LabelStatistic

_Z = 2.326
"""One-sided 99 % of the normal distribution."""

MIN_JUDGED = 10
"""Minimum number of judgements for a result."""


class Precision(LabelStatistic):
    """Lower bound (99 % confidence) of the share of wrong alerts; 0 with too few judgements."""

    name = "precision"
    floor = 0.5
    kept = ("value", "judgements", "known")

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self.value = 0.0
        self.known = [0, 0]  # right and wrong so far
        self.judgements: list[tuple[int, int]] = []  # the latest right and wrong ones, oldest first

    def judge(self, counts: LabelCounts) -> float:
        """See `LabelStatistic.judge`; only the latest `judged` judgements count."""
        right, wrong = max(0, counts.right - self.known[0]), max(0, counts.wrong - self.known[1])
        self.known = [counts.right, counts.wrong]
        if right or wrong:
            self.judgements.append((right, wrong))
        while len(self.judgements) > 1 and sum(map(sum, self.judgements[1:])) >= self.settings.judged:
            del self.judgements[0]
        wrongs = sum(wrong for _, wrong in self.judgements)
        self.value = surely(wrongs, self.count())
        return self.value

    def count(self) -> int:
        """See `LabelStatistic.count`."""
        return sum(map(sum, self.judgements))


def surely(count: int, of: int) -> float:
    """Lower bound (99 %) of the share `count` / `of`, 0 with too few: Wilson, "Probable inference", 1927."""
    if of < MIN_JUDGED:
        return 0.0
    share, square = count / of, _Z * _Z
    spread: float = _Z * (share * (1 - share) / of + square / (4 * of * of)) ** 0.5
    return max(0.0, (share + square / (2 * of) - spread) / (1 + square / of))
