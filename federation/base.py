"""Contracts of federated retraining: what passes between coordinator, regions and stores.

A *round* is one attempt to give all regions a better model: a Flower run of several *passes*
(weights out, updates back, aggregate), then calibration, the regions' holdout figures and the gate.
Only weights, counts, score quantiles and, for a model with an output for every template, the templates'
hashes leave a region in it; windows, template texts and raw lines do not.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from federation.errors import SetupError
from models.base import Templates, Windows

REGION_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""What a region may be called; the name stands in messages, metrics, paths and the audit log."""


def require_region_name(name: str) -> None:
    """Raises SetupError where a region cannot be called so."""
    if not REGION_NAME.fullmatch(name):
        raise SetupError(
            f"a region's name should be at most 64 letters, digits, '-', '_' and '.', and begin with a letter or a "
            f"digit, got {name!r}"
        )


Weights = Mapping[str, NDArray[Any]]
"""Every learnt array of a model by name, as `WindowDetector.weights` gives them."""

WINDOW_DETECTOR, LINE_CLASSIFIER = "window_detector", "line_classifier"
"""Kinds of models, as their cards call them."""

_FROZEN = ConfigDict(frozen=True, extra="forbid")


class ModelSpec(BaseModel):
    """Which architecture the weights of a round belong to; all that a region needs to build it."""

    model_config = _FROZEN

    name: str = Field(description="Name in the model store.")
    version: int = Field(description="Version that the round starts from.")
    kind: str = Field(
        WINDOW_DETECTOR, description="What the store's card calls it: window_detector or line_classifier."
    )
    detector: str = Field(description="Name in the registry.")
    settings: dict[str, Any] = Field(description="Its settings.")
    extra: dict[str, Any] = Field(description="Learnt facts that are no arrays; see `WindowDetector.extra`.")


class PrivacySettings(BaseModel):
    """What is done so that an update tells less of the region it comes from."""

    model_config = _FROZEN

    mode: Literal["none", "secagg", "dp"] = Field(
        "none", description="none, secagg (the coordinator sees only sums) or dp (DP-SGD in each region)."
    )
    clip: Annotated[float, Field(gt=0)] = Field(
        3.0, description="secagg: largest absolute value of a weight's change; an update beyond it is refused by name."
    )
    epsilon: Annotated[float, Field(gt=0)] = Field(8.0, description="dp: budget of a region over all rounds.")
    delta: Annotated[float, Field(gt=0, lt=1)] = Field(1e-5, description="dp: delta of the budget.")
    noise_multiplier: Annotated[float, Field(ge=0.1, le=1_000)] = Field(
        2.0, description="dp: noise of a step, in clipping norms; below 0.1 no budget would allow a step."
    )
    max_grad_norm: Annotated[float, Field(gt=0)] = Field(1.0, description="dp: clipping norm of one window's gradient.")


class TrainTask(BaseModel):
    """What a region is asked to train, beside the weights to start from."""

    model_config = _FROZEN

    round_id: str = Field(description="Of the round; the same in every message, trace and record of it.")
    number: Annotated[int, Field(ge=0)] = Field(0, description="Pass within the round, from 0.")
    spec: ModelSpec = Field(description="What is trained.")
    local_epochs: Annotated[int, Field(ge=1)] = Field(5, description="Passes over the region's own windows.")
    proximal_mu: Annotated[float, Field(ge=0)] = Field(
        0.0, description="Strength of FedProx's pull to the start; 0: none."
    )
    privacy: PrivacySettings = Field(PrivacySettings.model_validate({}), description="See the class.")
    seed: Annotated[int, Field(ge=0)] = Field(0, description="Of the local training.")
    traceparent: str = Field("", description="W3C trace context of the round.")


class Purpose(StrEnum):
    """Which of a region's stored windows are meant; sessions are split once, by the hash of their key."""

    TRAIN = "train"
    CALIBRATE = "calibrate"
    HOLDOUT = "holdout"


@dataclass(frozen=True, slots=True)
class LearningSet:
    """Labelled windows of one region.

    Attributes:
        windows: The windows.
        labels: bool (n,): True = anomalous.
        templates: The text of every id in `windows`.
        provenance: Where each label comes from (n entries): `feedback`, `labels`, `rules`, or `assumed`
            for a window without any, which counts as normal.
    """

    windows: Windows
    labels: NDArray[np.bool_]
    templates: Templates
    provenance: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, slots=True)
class Update:
    """What a region answers to a `TrainTask`.

    Attributes:
        region: Its name.
        weights: After the local training; of the shapes and dtypes that were sent.
        examples: Windows that it trained on: its weight in the mean.
        metrics: Finite figures: `train_s`; without privacy also `loss` and `anomalous`, with dp `epsilon`.
    """

    region: str
    weights: Weights
    examples: int
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ScoreSketch:
    """Scores of a region's calibration windows as quantiles, so that a threshold can be fitted for all regions.

    Attributes:
        region: Its name.
        normal, anomalous: float32, ascending: at most 1,025 evenly spaced quantiles of the scores of
            each class; all scores where there are fewer; empty where there are none.
        normal_count, anomalous_count: Windows that the quantiles stand for.
    """

    region: str
    normal: NDArray[np.float32]
    anomalous: NDArray[np.float32]
    normal_count: int
    anomalous_count: int


@dataclass(frozen=True, slots=True)
class HoldoutFigures:
    """What candidate and current model do on a region's holdout, in counts.

    Each tuple is, of a window detector, the windows that are (true positives, false positives, false
    negatives, true negatives), in the order of `metrics.Confusion`; of a line classifier, the templates by
    class, row by row: how many of the row's class were given the column's.
    """

    region: str
    current: tuple[int, ...]
    candidate: tuple[int, ...]


class RoundSettings(BaseModel):
    """How a round is run; the same for the real fleet, the simulation and the benchmarks."""

    model_config = _FROZEN

    strategy: str = Field(
        "fedavg",
        description="fedavg, fedprox, fedadam, fedtrimmedavg, fedmedian or multikrum; the same guard before all.",
    )
    strategy_settings: dict[str, float] = Field(default_factory=dict, description="Settings of the strategy.")
    passes: Annotated[int, Field(ge=1)] = Field(4, description="Times that weights go out and updates come back.")
    local_epochs: Annotated[int, Field(ge=1)] = Field(
        5, description="Passes over its own windows that a region makes each time."
    )
    min_regions: Annotated[int, Field(ge=1)] = Field(2, description="Good updates without which the old model stays.")
    deadline_s: Annotated[float, Field(gt=0)] = Field(
        600.0, description="Seconds that a round may take; then it has failed."
    )
    hello_s: Annotated[float, Field(gt=0)] = Field(
        20.0, description="Seconds in which a region must say that it is there; who does not is left out of the round."
    )
    reply_s: Annotated[float, Field(gt=0)] = Field(
        180.0, description="Seconds to wait for the regions' replies of one pass."
    )
    max_examples: Annotated[int, Field(ge=1)] = Field(
        10_000_000, description="A region that says it trained on more windows is not believed."
    )
    max_share: Annotated[float, Field(gt=0, le=1)] = Field(
        0.5, description="Share of a mean that one region makes up at the most, whatever its number of windows; "
        "where there are too few regions for that, all count alike. Not with secagg, where single updates are hidden.",
    )  # fmt: skip
    norm_factor: Annotated[float, Field(gt=1)] = Field(
        10.0, description="An update is refused if its norm is more than this many times the median of the others'."
    )
    margin_overall: float = Field(0.0, description="F1 over all regions that the candidate must gain at the least.")
    margin_region: Annotated[float, Field(ge=0)] = Field(0.02, description="F1 that no region may lose more than.")
    margin_windows: Annotated[int, Field(ge=0)] = Field(
        1, description="A region's loss counts if it misjudges more than so many windows more: fewer are chance."
    )
    threshold: str = Field("auto", description="Threshold rule of the candidate: auto, best_f1 or percentile.")
    privacy: PrivacySettings = Field(PrivacySettings.model_validate({}), description="See `PrivacySettings`.")
    seed: Annotated[int, Field(ge=0)] = Field(0, description="Of the round.")


@dataclass(frozen=True, slots=True)
class Refusal:
    """An update that was not aggregated, and the sentence that says why."""

    region: str
    number: int
    reason: str


@dataclass(frozen=True, slots=True)
class RoundResult:
    """What came of a round that reached the gate.

    Attributes:
        round_id: Of the round.
        weights: The candidate's.
        threshold: The candidate's, fitted over all regions' calibration windows.
        accepted: Whether the gate lets it be published.
        reason: One sentence: why, or why not.
        figures: Of each region's holdout.
        participants: Regions with a good update in the last pass, sorted.
        refusals: Updates that the guard refused, in order.
        missing: Regions that were asked and did not answer in time, by pass.
        examples: Windows trained on in the last pass.
        epsilon: Largest budget spent by a region; None without dp.
    """

    round_id: str
    weights: Weights
    threshold: float
    accepted: bool
    reason: str
    figures: tuple[HoldoutFigures, ...]
    participants: tuple[str, ...]
    refusals: tuple[Refusal, ...] = ()
    missing: tuple[str, ...] = ()
    examples: int = 0
    epsilon: float | None = None
