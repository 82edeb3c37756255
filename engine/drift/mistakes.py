"""Mistakes: labels show that the model is wrong more often than its card states."""

from math import lgamma, log

from engine.drift.base import Setup
from engine.drift.labelled import LabelCounts, LabelStatistic

CHANCE = 0.01
"""Probability that the bound is ever above the true share, however often it is looked at."""

_HALVINGS = 30  # to less than a billionth


class Mistakes(LabelStatistic):
    """Lower bound of the share of mistakes among the sessions with an anomaly or an alert.

    The share is 1 - TP / (TP + FP + FN), which does not depend on how many normal sessions have a label. Its limit is
    the share that the card's F1 amounts to, and at least the floor.
    """

    name = "mistakes"
    floor = 0.05
    kept = ("value", "expected", "cases")

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self.value, self.expected, self.cases = 0.0, 0.0, 0

    def judge(self, counts: LabelCounts) -> float:
        """See `LabelStatistic.judge`."""
        self.expected, self.cases = counts.expected, counts.cases
        self.value = lower_bound(min(counts.mistakes, counts.cases), counts.cases, CHANCE)
        return self.value

    def count(self) -> int:
        """See `LabelStatistic.count`."""
        return self.cases

    @property
    def limit(self) -> float:
        """See `Statistic.limit`."""
        return max(self.least, self.expected)


def mistakes_of(f1: float) -> float:
    """The share of mistakes that an F1 amounts to."""
    return 2 * (1 - f1) / (2 - f1)


def lower_bound(count: int, of: int, chance: float) -> float:
    """Lower confidence bound of a share that holds at all times together: labels may be looked at one by one.

    A share p is excluded when a mixture of all shares, weighted by Jeffreys' prior, explains the counts 1 / `chance`
    times as well as p does: Robbins, "Statistical methods related to the law of the iterated logarithm", 1970.

    Args:
        count: Cases of the kind in question, at most `of`.
        of: All cases.
        chance: Probability that the bound is ever above the true share.
    """
    if not count:
        return 0.0
    mixture = _log_beta(count + 0.5, of - count + 0.5) - _log_beta(0.5, 0.5)
    low, high = 0.0, count / of
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        explained = count * log(middle) + (of - count) * log(1 - middle)
        low, high = (middle, high) if mixture - explained >= -log(chance) else (low, middle)
    return low


def _log_beta(a: float, b: float) -> float:
    return lgamma(a) + lgamma(b) - lgamma(a + b)
