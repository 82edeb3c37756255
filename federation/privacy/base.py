"""The contract of a privacy mode.

A mode is one object for both sides of a round. In a region it decides what is trained on, how a step is made and
which figures leave the region. At the coordinator it decides how the updates of a pass become new weights.
`federation.privacy.registry` lists the modes; `tests/federation/privacy/test_contract.py` checks each of them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from federation.errors import TrainerError
from federation.protocol.records import Counted, TrainTask, Update, Weights
from federation.storage.learning import LearningSet, LearningStore
from models.base import Model
from models.detectors.federated import statistics_of

if TYPE_CHECKING:  # torch takes seconds to import, and the coordinator does without it
    from torch.nn import Module
    from torch.optim import Optimizer

    from models.training.local_training import Stepper

    StepperFactory = Callable[[Module, Optimizer, int], Stepper]


@dataclass(frozen=True, slots=True)
class PassResult:
    """The outcome of one pass: the new weights, and the updates that are in them."""

    weights: Weights
    updates: tuple[Update, ...]


class PassOperations(Protocol):
    """What a mode may do with one pass of a round; `federation.round.training_pass` implements it."""

    @property
    def weights(self) -> Weights:
        """Weights that the regions start from."""
        ...

    @property
    def regions(self) -> tuple[str, ...]:
        """Regions that are asked, sorted."""
        ...

    def collect(self) -> tuple[Update, ...]:
        """Ask for plain updates and return those that the guard accepts, sorted by region.

        Raises:
            RoundFailedError: too few updates are valid.
        """
        ...

    def combine(self, updates: Sequence[Update]) -> Weights:
        """The weights that the round's aggregation strategy makes of these updates."""
        ...

    def masked_mean(self, threshold: int) -> tuple[NDArray[np.float64], Mapping[str, Counted]]:
        """Let the regions train and return the mean of their changes, without revealing a single one.

        Returns:
            The mean change, float64 (n,), in the order of `floating`; the regions in it.

        Raises:
            RoundFailedError: fewer than `threshold` regions took part until the end.
        """
        ...


class PrivacyMode:
    """A privacy mode; this class itself protects nothing.

    Attributes:
        name: Value of `privacy.mode`.
        hides_updates: Whether the coordinator sees no single update, so that strategies which compare updates
            cannot be used.
        has_budget: Whether trainings spend `privacy.epsilon`.
        covers_statistics: Whether the mode also holds for detectors that send statistics instead of weights.
    """

    name: ClassVar[str]
    hides_updates: ClassVar[bool] = False
    has_budget: ClassVar[bool] = False
    covers_statistics: ClassVar[bool] = False

    # In a region, in this order.

    def accepts(self, asked: str) -> bool:
        """Whether a region that requires this mode takes part in a round of the mode `asked`."""
        return asked == self.name

    def require_supported(self, model: Model) -> None:
        """Raise TrainerError if training this model would reveal more than the mode allows."""
        if not self.covers_statistics and statistics_of(model.name) is not None:
            raise TrainerError(f"{model.name} sends statistics of its windows, which {self.name} does not cover")

    def prepare(self, own: LearningSet) -> LearningSet:
        """The windows to train on, of all that the region would use."""
        return own

    def stepper(self, task: TrainTask, store: LearningStore) -> "StepperFactory | None":
        """How a training step is made; None for the optimizer's own step.

        Raises:
            TrainerError: the mode cannot train as the task asks.
        """
        return None

    def report(self, task: TrainTask, store: LearningStore, figures: Mapping[str, float]) -> dict[str, float]:
        """The metrics that leave the region, of `figures`, which describe the region's own windows."""
        return {}

    # At the coordinator.

    def aggregate(self, training_pass: PassOperations) -> PassResult:
        """Make the new weights of one pass.

        Raises:
            RoundFailedError: too few regions gave a valid update.
        """
        updates = training_pass.collect()
        return PassResult(training_pass.combine(updates), updates)

    def spent(self, updates: Sequence[Update]) -> float | None:
        """Largest epsilon that a region has spent; None without a budget."""
        return None
