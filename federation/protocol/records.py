"""Records that the coordinator and the regions exchange.

Only weights, counts, score quantiles and, for a model with one output per template, template hashes leave a
region. Windows, template texts and raw lines do not.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

Weights = Mapping[str, NDArray[Any]]
"""Every learned array of a model by name, as `Model.weights` returns them."""

WINDOW_DETECTOR, LINE_CLASSIFIER = "window_detector", "line_classifier"
"""Kinds of models, as their cards name them."""

_FROZEN = ConfigDict(frozen=True, extra="forbid")


def floating(weights: Weights) -> list[str]:
    """Names of the floating-point arrays, sorted: these are averaged, all others must be equal in every region."""
    return sorted(name for name, array in weights.items() if np.issubdtype(array.dtype, np.floating))


class ModelSpec(BaseModel):
    """The architecture that the weights of a round belong to: all that a region needs to build the model."""

    model_config = _FROZEN

    name: str = Field(description="Name in the model store.")
    version: int = Field(description="Version that the round starts from.")
    kind: str = Field(WINDOW_DETECTOR, description="Kind on the model card: window_detector or line_classifier.")
    detector: str = Field(description="Name in the registry of detectors or line classifiers.")
    settings: dict[str, Any] = Field(description="Settings of the detector.")
    extra: dict[str, Any] = Field(description="Learned values that are not arrays; see `Model.extra`.")


class PrivacySettings(BaseModel):
    """How the updates of a region are protected."""

    model_config = _FROZEN

    mode: str = Field(
        "none", description="none, secagg (the coordinator sees only sums) or dp (DP-SGD in each region)."
    )
    clip: Annotated[float, Field(gt=0)] = Field(
        3.0, description="secagg: largest absolute change of a weight; a region refuses to send a larger one."
    )
    epsilon: Annotated[float, Field(gt=0)] = Field(8.0, description="dp: budget of a region over all rounds.")
    delta: Annotated[float, Field(gt=0, lt=1)] = Field(1e-5, description="dp: delta of the budget.")
    noise_multiplier: Annotated[float, Field(ge=0.1, le=1_000)] = Field(
        2.0, description="dp: noise of a step in clipping norms; below 0.1 no budget would allow a step."
    )
    max_grad_norm: Annotated[float, Field(gt=0)] = Field(1.0, description="dp: clipping norm of one window's gradient.")


class TrainTask(BaseModel):
    """What a region is asked to train; the weights to start from travel next to it."""

    model_config = _FROZEN

    round_id: str = Field(description="Id of the round; the same in all its messages, traces and records.")
    number: Annotated[int, Field(ge=0)] = Field(0, description="Pass within the round, from 0.")
    passes: Annotated[int, Field(ge=1)] = Field(1, description="Number of passes of the round.")
    spec: ModelSpec = Field(description="Model to train.")
    local_epochs: Annotated[int, Field(ge=1)] = Field(5, description="Epochs over the region's own windows.")
    proximal_mu: Annotated[float, Field(ge=0)] = Field(
        0.0, description="Weight of FedProx's proximal term; 0 turns it off."
    )
    privacy: PrivacySettings = Field(PrivacySettings.model_validate({}), description="See `PrivacySettings`.")
    left_out: Literal[0, 1] | None = Field(
        None, description="Half of the sessions that is left out of the training, to be judged on; None: no half."
    )
    seed: Annotated[int, Field(ge=0)] = Field(0, description="Seed of the local training.")
    traceparent: str = Field("", description="W3C trace context of the round.")


@dataclass(frozen=True, slots=True)
class Update:
    """A region's answer to a `TrainTask`.

    Attributes:
        region: Name of the region.
        weights: Weights after the local training, with the shapes and dtypes that were sent.
        examples: Windows trained on: the region's weight in a mean.
        metrics: Finite figures: `train_s`, and what the privacy mode lets out of a region.
    """

    region: str
    weights: Weights
    examples: int
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ScoreSketch:
    """Quantiles of a region's calibration scores, from which one threshold is fitted for all regions.

    Attributes:
        region: Name of the region.
        normal, anomalous: float32, ascending: at most 1,025 evenly spaced quantiles of the scores of each
            class. Fewer scores are sent as they are; an empty array means no window of that class.
        normal_count, anomalous_count: Windows that the quantiles represent.
        labelled: Whether labels can support a threshold; see `federation.protocol.calibration.supports_threshold`.
    """

    region: str
    normal: NDArray[np.float32]
    anomalous: NDArray[np.float32]
    normal_count: int
    anomalous_count: int
    labelled: bool = True


@dataclass(frozen=True, slots=True)
class Pairs:
    """Sessions of a holdout on which exactly one of two models is right; the others do not show which is better.

    For a line classifier `found` and `lost` count templates, and the others are 0.

    Attributes:
        found: Anomalies that only the candidate calls anomalous.
        lost: Anomalies that only the current model calls anomalous.
        cleared: Normal sessions that only the current model calls anomalous.
        raised: Normal sessions that only the candidate calls anomalous.
    """

    found: int = 0
    lost: int = 0
    cleared: int = 0
    raised: int = 0

    @property
    def better(self) -> int:
        """Sessions on which only the candidate is right."""
        return self.found + self.cleared

    @property
    def worse(self) -> int:
        """Sessions on which only the current model is right."""
        return self.lost + self.raised

    def __add__(self, other: "Pairs") -> "Pairs":
        return Pairs(
            self.found + other.found, self.lost + other.lost, self.cleared + other.cleared, self.raised + other.raised
        )

    def scaled(self, share: float) -> "Pairs":
        """Every count times `share`, rounded down."""
        return Pairs(*(int(share * n) for n in (self.found, self.lost, self.cleared, self.raised)))


@dataclass(frozen=True, slots=True)
class LabelledAnomalies:
    """Anomalous sessions, or templates with a class, that have a label, by its origin.

    Attributes:
        feedback: By operators' answers.
        labels: By external ground truth.
        rules: By rules.
    """

    feedback: int = 0
    labels: int = 0
    rules: int = 0

    @property
    def strength(self) -> int:
        """2 with a label by a person or by ground truth, 1 with labels of rules only, 0 without any."""
        return 2 if self.feedback or self.labels else int(self.rules > 0)

    def __add__(self, other: "LabelledAnomalies") -> "LabelledAnomalies":
        return LabelledAnomalies(self.feedback + other.feedback, self.labels + other.labels, self.rules + other.rules)


UNLABELLED = LabelledAnomalies()


@dataclass(frozen=True, slots=True)
class HoldoutFigures:
    """Counts of candidate and current model on a region's holdout, of sessions with a label.

    Attributes:
        region: Name of the region.
        current, candidate: For a window detector (true positives, false positives, false negatives, true
            negatives) in sessions, or in windows without one, in the order of `metrics.Confusion`. For a line
            classifier the confusion matrix in templates, row by row: rows are true classes, columns predicted ones.
        answered: Where the two differ, by labels of people and of ground truth (`feedback`, `labels`).
        ruled: Where the two differ, by labels that rules have given.
        unlabelled: Alerts on sessions without a label, which are evidence of neither error: (of both models, of
            the current one alone, of the candidate alone, of neither).
        made_up: Incidents made up in recent windows without a label that only one model finds, as `found` and `lost`.
        strange: Recent windows without a label that are beyond nearly all of a model's calibration windows: (of the
            current model, of the candidate, all that were compared). A calibrated model has one in a hundred.
        known: Anomalies with a label in all of the region's sessions, those that it trains on included.
        anchors: Of those outside the holdout, the ones that only one model finds, as `found` and `lost`; counted where
            no session of the holdout is a labelled anomaly, or most have no label. The candidate has trained on them.
    """

    region: str
    current: tuple[int, ...]
    candidate: tuple[int, ...]
    answered: Pairs = Pairs()
    ruled: Pairs = Pairs()
    unlabelled: tuple[int, int, int, int] = (0, 0, 0, 0)
    made_up: Pairs = Pairs()
    strange: tuple[int, int, int] = (0, 0, 0)
    known: LabelledAnomalies = UNLABELLED
    anchors: Pairs = Pairs()


MIN_MASKED_REGIONS = 3
"""Regions that a masked sum needs: of two, each could subtract its own change from the sum."""


Counted = tuple[int, Mapping[str, float]]
"""Windows that a region trained on, and its metrics."""


@dataclass(frozen=True, slots=True)
class MaskedMean:
    """The outcome of a secure aggregation, in which the change of a single region stays hidden.

    Attributes:
        change: float64 (n,): mean change of the floating-point arrays, flattened and joined in the order of
            `floating`; None if too few regions took part until the end.
        counted: Each region in the mean.
        failed: Why a region's app failed, by region.
        silent: Regions that did not answer in time, sorted.
    """

    change: NDArray[np.float64] | None
    counted: Mapping[str, Counted]
    failed: Mapping[str, str]
    silent: tuple[str, ...]
