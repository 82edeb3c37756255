"""Settings of a round; the same for the real fleet and for the benchmarks."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator

from federation.errors import SetupError
from federation.privacy.registry import privacy_mode
from federation.protocol.records import PrivacySettings


class RoundSettings(BaseModel):
    """How a round is run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    strategy: str = Field(
        "fedavg",
        description="Aggregation strategy: fedavg, fedprox, fedadam, fedtrimmedavg, fedmedian or multikrum.",
    )
    strategy_settings: dict[str, float] = Field(default_factory=dict, description="Settings of the strategy.")
    passes: Annotated[int, Field(ge=1)] = Field(4, description="Number of exchanges: weights out, updates back.")
    local_epochs: Annotated[int, Field(ge=1)] = Field(
        5, description="Epochs over its own windows that a region trains in each pass."
    )
    min_regions: Annotated[int, Field(ge=1)] = Field(
        2, description="Minimum number of regions that take part and judge the candidate; with fewer the current model "
        "stays.",
    )  # fmt: skip
    min_trainers: Annotated[int, Field(ge=1)] = Field(
        1, description="Minimum number of regions with a valid update. One is enough for an incident that one region "
        "has seen; the others judge.",
    )  # fmt: skip
    leave_out: tuple[str, ...] = Field(
        (), description="Regions that neither train nor judge, such as one with wrong labels; they still get versions."
    )
    deadline_s: Annotated[float, Field(gt=0)] = Field(600.0, description="Seconds after which a round fails.")
    hello_s: Annotated[float, Field(gt=0)] = Field(
        20.0, description="Seconds to wait for a region to report its name; without it the region is left out."
    )
    reply_s: Annotated[float, Field(gt=0)] = Field(
        180.0, description="Seconds to wait for the regions' replies of one pass."
    )
    max_examples: Annotated[int, Field(ge=1)] = Field(
        10_000_000, description="Largest number of windows that a region may claim to have trained on."
    )
    max_share: Annotated[float, Field(gt=0, le=1)] = Field(
        0.5, description="Largest share of one region in a mean of updates, in the threshold and in the gate, for any "
        "number of windows. If there are too few regions for this limit, all have equal weight. Not used for the "
        "masked means of secagg.",
    )  # fmt: skip
    norm_factor: Annotated[float, Field(gt=1)] = Field(
        10.0, description="An update is rejected if its norm exceeds this many times the median of the others."
    )
    level: Annotated[float, Field(gt=0, lt=0.5)] = Field(
        0.05, description="Largest probability that the candidate's advantage is luck; at 0.05 it takes at least five "
        "sessions.",
    )  # fmt: skip
    margin_overall: float = Field(
        0.0,
        allow_inf_nan=False,
        description="F1 over all regions that the candidate must gain. Negative: it is taken without proof, unless it "
        "loses more.",
    )
    margin_region: Annotated[float, Field(ge=0)] = Field(
        0.02, description="F1 that a region may lose; with a larger loss it keeps its version."
    )
    cross_fit: bool = Field(
        True, description="Whether a candidate that the holdouts leave open is judged on all labelled sessions, if "
        "these are likely to decide, by two more trainings on half of the sessions each. Not with a privacy budget, "
        "and not for line classifiers.",
    )  # fmt: skip
    threshold: str = Field("auto", description="Threshold rule of the candidate: auto, best_f1 or percentile.")
    privacy: PrivacySettings = Field(PrivacySettings.model_validate({}), description="See `PrivacySettings`.")
    seed: Annotated[int, Field(ge=0)] = Field(0, description="Seed of the round.")

    @field_validator("privacy")
    @classmethod
    def _require_known_mode(cls, privacy: PrivacySettings) -> PrivacySettings:
        try:
            privacy_mode(privacy.mode)
        except SetupError as error:
            raise ValueError(str(error)) from error
        return privacy
