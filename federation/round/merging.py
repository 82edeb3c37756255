"""How updates become new weights: by the strategy of the round, or by the detector's own merge of statistics."""

from collections.abc import Sequence
from typing import Protocol

from federation.errors import RoundFailedError, SetupError
from federation.privacy.base import PrivacyMode
from federation.protocol.records import LINE_CLASSIFIER, ModelSpec, Update, Weights
from federation.round.guard import claim_problem, inspect, shares
from federation.round.result import Refusal
from federation.round.settings import RoundSettings
from federation.round.strategies import STRATEGIES, Aggregation
from foundation.errors import DriftlineError
from models.detectors.federated import Part, Statistics, statistics_of
from models.detectors.registry import build


class Merging(Protocol):
    """What a round does with the updates of a pass.

    Attributes:
        passes: Number of passes that the round makes.
        update_bytes: Size of an update's arrays beyond that of the weights that were sent.
        proximal_mu: Weight of the proximal term that regions train with.
    """

    passes: int
    update_bytes: int
    proximal_mu: float

    def inspect(self, updates: Sequence[Update], sent: Weights, number: int) -> tuple[list[Update], list[Refusal]]:
        """The updates that may be merged, sorted by region, and the refusals of the others."""
        ...

    def merge(self, sent: Weights, updates: Sequence[Update], number: int) -> Weights:
        """The new weights.

        Raises:
            RoundFailedError: no weights can be made of these updates.
        """
        ...


class AveragedWeights:
    """Regions train the weights that they receive; the strategy averages the results. See `Merging`."""

    update_bytes = 0

    def __init__(self, settings: RoundSettings) -> None:
        """Build the strategy.

        Raises:
            SetupError: see `federation.round.strategies.build_strategy`.
        """
        self._settings = settings
        self._aggregation = Aggregation(settings)
        self.passes = settings.passes
        self.proximal_mu = self._aggregation.strategy.proximal_mu

    def inspect(self, updates: Sequence[Update], sent: Weights, number: int) -> tuple[list[Update], list[Refusal]]:
        """See `Merging.inspect`."""
        return inspect(updates, sent, self._settings, number)

    def merge(self, sent: Weights, updates: Sequence[Update], number: int) -> Weights:
        """See `Merging.merge`."""
        return self._aggregation.aggregate(sent, updates, number)


class MergedStatistics:
    """Regions send statistics of their windows, to which the coordinator fits the detector. See `Merging`.

    A second pass would bring the same statistics again, so there is one.
    """

    passes = 1
    proximal_mu = 0.0

    def __init__(self, settings: RoundSettings, spec: ModelSpec, statistics: Statistics) -> None:
        """Build nothing yet."""
        self._settings = settings
        self._spec = spec
        self._statistics = statistics
        self.update_bytes = statistics.max_bytes

    def inspect(self, updates: Sequence[Update], sent: Weights, number: int) -> tuple[list[Update], list[Refusal]]:
        """See `Merging.inspect`."""
        ordered = sorted(updates, key=lambda update: update.region)
        problems = {
            u.region: claim_problem(u, self._settings.max_examples) or self._statistics.problem(u.weights)
            for u in ordered
        }
        good = [u for u in ordered if problems[u.region] is None]
        return good, [Refusal(region, number, reason) for region, reason in problems.items() if reason]

    def merge(self, sent: Weights, updates: Sequence[Update], number: int) -> Weights:
        """See `Merging.merge`."""
        counts = shares([update.examples for update in updates], self._settings.max_share)
        parts = [Part(update.weights, float(count)) for update, count in zip(updates, counts, strict=True)]
        try:
            detector = build(self._spec.detector, self._spec.settings, device="cpu")
            detector.load_weights(sent, self._spec.extra)
            self._statistics.merge(detector, parts, seed=self._settings.seed)
        except DriftlineError as error:
            raise RoundFailedError(f"step 5, pass {number}: {error}") from error
        return detector.weights()


def merging_of(settings: RoundSettings, spec: ModelSpec, mode: PrivacyMode) -> Merging:
    """How the updates of a round are merged.

    Raises:
        SetupError: the strategy or one of its settings is unknown, or the model, the strategy and the privacy mode
            do not fit together.
    """
    averaged = Aggregation(settings)
    statistics = statistics_of(spec.detector) if spec.kind != LINE_CLASSIFIER else None
    means = " or ".join(name for name, kind in STRATEGIES.items() if kind.is_mean)
    if mode.hides_updates and not averaged.strategy.is_mean:
        raise SetupError(f"{settings.strategy} compares single updates, which {mode.name} hides; use {means}")
    if statistics is None:
        return AveragedWeights(settings)
    if not averaged.strategy.is_mean:
        raise SetupError(f"{settings.strategy} compares weights, and {spec.detector} sends statistics; use {means}")
    if not mode.covers_statistics:
        raise SetupError(
            f"{spec.detector} sends statistics of its windows, which privacy.mode = {mode.name} does not "
            "cover; use a detector with weights to average, such as lstm_autoencoder"
        )
    return MergedStatistics(settings, spec, statistics)
