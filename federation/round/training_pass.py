"""One pass of a round: weights out, updates back, guard, strategy; see `federation.privacy.base.PassOperations`."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from federation.protocol import messages
from federation.protocol.records import Counted, TrainTask, Update, Weights
from federation.round.fleet import Fleet
from federation.round.merging import Merging
from federation.round.settings import RoundSettings


class TrainingPass:
    """What a privacy mode uses to make one pass.

    Attributes:
        weights: Weights that the regions start from.
        regions: Regions that are asked, sorted.
        refused: Number of updates that the guard refused.
    """

    def __init__(
        self, fleet: Fleet, settings: RoundSettings, task: TrainTask, weights: Weights, merging: Merging,
        regions: Sequence[str],
    ) -> None:  # fmt: skip
        """Create the pass without sending anything.

        Args:
            fleet: Regions of the round.
            settings: Settings of the round.
            task: Task of this pass.
            weights: Weights to start from.
            merging: How the updates become new weights.
            regions: Regions to ask; those that are no longer part of the round are skipped.
        """
        self._fleet = fleet
        self._settings = settings
        self._task = task
        self._merging = merging
        self.weights = weights
        self.regions = tuple(sorted(set(regions) & fleet.regions.keys()))
        self.refused = 0

    def collect(self) -> tuple[Update, ...]:
        """See `federation.privacy.base.PassOperations`."""
        question, number = messages.train(self.weights, self._task), self._task.number
        extra = self._merging.update_bytes
        updates = self._fleet.collect(question, messages.read_update, self.regions, number, extra_bytes=extra)
        good, refusals = self._merging.inspect(list(updates.values()), self.weights, number)
        self._fleet.refuse(refusals)
        self.refused = len(refusals)
        self._fleet.require(self._fleet.regions, f"step 4, pass {number}")  # without judges a candidate is of no use
        self._fleet.require([update.region for update in good], f"step 4, pass {number}", self._settings.min_trainers)
        return tuple(good)

    def combine(self, updates: Sequence[Update]) -> Weights:
        """See `federation.privacy.base.PassOperations`."""
        return self._merging.merge(self.weights, updates, self._task.number)

    def masked_mean(self, threshold: int) -> tuple[NDArray[np.float64], Mapping[str, Counted]]:
        """See `federation.privacy.base.PassOperations`."""
        threshold = max(threshold, self._settings.min_trainers)
        change, counted = self._fleet.masked_mean(self.regions, self._task, self.weights, threshold)
        self._fleet.require(counted, f"step 4, pass {self._task.number}", self._settings.min_trainers)
        return change, counted
