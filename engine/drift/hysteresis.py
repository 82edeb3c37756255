"""Hysteresis: when a statistic at its threshold counts as confirmed, and when it is over."""

from dataclasses import dataclass
from typing import Any


@dataclass(slots=True)
class Trigger:
    """One detector's way from calm to raised and back.

    Attributes:
        above: Evaluations in a row at or above the threshold; while raised, below the release.
        since_ns: Event time of the first of those above.
        raised: Whether drift is confirmed and not over.
        statistic, threshold: As last seen.
    """

    above: int = 0
    since_ns: int = 0
    raised: bool = False
    statistic: float = 0.0
    threshold: float = 0.0

    @property
    def calm(self) -> bool:
        """Whether it is neither raised nor on its way."""
        return not (self.raised or self.above)

    def see(self, statistic: float, threshold: float, since_ns: int, *, confirm: int, release: float) -> None:
        """Takes one evaluation.

        Args:
            statistic: Its value.
            threshold: What it is held against.
            since_ns: Event time at which the change began.
            confirm: Evaluations in a row that it takes to be raised, and to rest.
            release: Share of the threshold below which a raised detector may rest.
        """
        self.statistic, self.threshold = statistic, threshold
        if self.raised:
            self.above = self.above + 1 if statistic < release * threshold else 0
            if self.above >= confirm:
                self.raised, self.above = False, 0
            return
        if statistic < threshold:
            self.above = 0
            return
        if self.above == 0:
            self.since_ns = since_ns
        self.above += 1
        if self.above >= confirm:
            self.raised, self.above = True, 0

    def state(self) -> tuple[Any, ...]:
        """The constructor's arguments."""
        return self.above, self.since_ns, self.raised, self.statistic, self.threshold
