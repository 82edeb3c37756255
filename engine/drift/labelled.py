"""What labels show of the model in service, and the contract of the statistics that watch them."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from engine.drift.base import Floats, ReferenceProgress, Statistic, Watches
from engine.drift.blocks import Blocks


@dataclass(frozen=True, slots=True)
class LabelCounts:
    """Labels that arrived since the model went into service, counted by session.

    Attributes:
        right, wrong: Alerts that operators judged.
        found: Anomalies that the model found.
        false: Normal sessions on which it raised an alert.
        missed: Anomalies that it did not find. Of `found`, `false` and `missed`, a label of a rule counts half.
        expected: Share of `false` and `missed` among the three that the model's card leads to expect.
    """

    right: int = 0
    wrong: int = 0
    found: float = 0.0
    false: float = 0.0
    missed: float = 0.0
    expected: float = 0.0

    @property
    def mistakes(self) -> int:
        """Sessions that the model judged wrong; a half is rounded down."""
        return int(self.false + self.missed)

    @property
    def cases(self) -> int:
        """Sessions with an anomaly or an alert: the others show neither a miss nor a false alarm."""
        return int(self.found + self.false + self.missed)


class LabelStatistic(Statistic):
    """A statistic of labels. It needs no reference, and labels are evidence, so the first value at the limit counts."""

    watches: ClassVar[Watches] = "labels"
    confirm_at_once = True
    value: float

    @abstractmethod
    def judge(self, counts: LabelCounts) -> float:
        """The value with these labels; they are all labels since the model went into service."""

    @abstractmethod
    def count(self) -> int:
        """Labels that the value is over."""

    @property
    def fresh(self) -> bool:
        """Whether there is so much evidence since the last event that another one is due before the cool-down ends."""
        return False

    def reported(self) -> None:
        """Notes that an event was emitted."""
        return

    def update(self, blocks: Blocks) -> Floats:
        """See `Statistic.update`."""
        return np.full(len(blocks), self.value)

    @property
    def limit(self) -> float:
        """See `Statistic.limit`."""
        return self.least

    @property
    def progress(self) -> ReferenceProgress:
        """See `Statistic.progress`."""
        return ReferenceProgress(0, 0)
