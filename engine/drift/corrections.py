"""Corrections: so many labels contradict the model that a round may prove a better one."""

from engine.drift.base import Setup
from engine.drift.labelled import LabelCounts, LabelStatistic

GROWTH = 1.5
"""How many times as many labels as at the last event it takes at least for another one."""


class Corrections(LabelStatistic):
    """Number of sessions whose label contradicts the model since it went into service.

    A round is worth its cost even where the model is as good as its card states: it can learn from these labels, and
    its gate decides. Another event is due each time that as many labels again contradict the model, and at least half
    as many as so far: a model that many labels contradict for long does not cause a round every few minutes.
    """

    name = "corrections"
    floor = 5.0  # as many as the test of the gate needs at least: federation.round.paired_test
    kept = ("value", "last")

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self.value, self.last = 0.0, 0.0

    def judge(self, counts: LabelCounts) -> float:
        """See `LabelStatistic.judge`."""
        self.value = float(counts.mistakes)
        return self.value

    def count(self) -> int:
        """See `LabelStatistic.count`."""
        return int(self.value)

    @property
    def fresh(self) -> bool:
        """See `LabelStatistic.fresh`."""
        return self.value >= max(self.last + self.least, GROWTH * self.last)

    def reported(self) -> None:
        """See `LabelStatistic.reported`."""
        self.last = self.value
