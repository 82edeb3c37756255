"""What the drift detectors are told."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Detector = Literal["novelty", "jensen_shannon", "psi", "adwin", "kswin", "mmd", "precision"]

DETECTORS: tuple[Detector, ...] = ("novelty", "jensen_shannon", "psi", "adwin", "kswin", "mmd", "precision")


class DriftSettings(BaseModel):
    """When a stream counts as drifted.

    Complete windows are taken in blocks; every statistic compares the last blocks with the reference, which
    are the first blocks after a model went into service. A threshold is the larger of the floor given here
    and what the reference shows by chance, so a restless stream raises its own thresholds.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    detectors: tuple[Detector, ...] = Field(DETECTORS, description="Detectors in use; an empty list uses none.")
    block_windows: Annotated[int, Field(ge=10)] = Field(
        100, description="Complete windows in a block; the detectors look once a block."
    )
    warmup_blocks: Annotated[int, Field(ge=4)] = Field(
        40, description="Blocks that make the reference, after the start and after each change of the model."
    )
    current_blocks: Annotated[int, Field(ge=1)] = Field(
        10, description="Latest blocks that are compared with the reference."
    )
    confirm_blocks: Annotated[int, Field(ge=1)] = Field(
        3,
        description="Blocks in a row at or above the threshold before a detector is raised, and below before it rests.",
    )
    release: Annotated[float, Field(gt=0, le=1)] = Field(
        0.8, description="A raised detector rests once its statistic is below this share of the threshold."
    )
    cooldown_windows: Annotated[int, Field(ge=0)] = Field(
        10_000,
        description="Complete windows between two events at the least, whatever the detectors; drift that lasts "
        "longer is told again.",
    )
    chance: Annotated[float, Field(gt=0)] = Field(
        6.0, description="A threshold is at least so many standard deviations above what the reference shows by chance."
    )
    novelty: Annotated[float, Field(gt=0, le=1)] = Field(
        0.02, description="Floor: share of windows with a template that the reference does not hold."
    )
    jensen_shannon: Annotated[float, Field(gt=0, le=1)] = Field(
        0.01, description="Floor: Jensen-Shannon divergence of one template's share of windows, in bits (0 to 1)."
    )
    psi: Annotated[float, Field(gt=0)] = Field(
        0.05, description="Floor: population stability index of the templates' shares, all together."
    )
    adwin: Annotated[float, Field(gt=0, le=1)] = Field(
        0.03,
        description="Floor: change of the mean alarm margin (0 to 1, 0.5 at the model's threshold) after ADWIN cut.",
    )
    kswin: Annotated[float, Field(gt=0, le=1)] = Field(
        0.25, description="Floor: Kolmogorov-Smirnov distance of recent scores to the reference's after KSWIN cut."
    )
    mmd: Annotated[float, Field(gt=0)] = Field(
        0.06, description="Floor: squared maximum mean discrepancy of the windows' embeddings."
    )
    precision: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.5, description="Share of wrong alerts, surely exceeded (99 %) among the last that operators judged."
    )
    judged: Annotated[int, Field(ge=5)] = Field(
        200, description="Latest judged alerts that the detector `precision` looks at."
    )
    texts: bool = Field(
        True,
        description="Whether events carry the templates' texts, which leave the region with them, or only their ids.",
    )
    max_templates: Annotated[int, Field(ge=1)] = Field(
        10, description="Templates listed in an event at the most, those that carry most of the change first."
    )

    @model_validator(mode="after")
    def _reference_is_longer(self) -> "DriftSettings":
        if self.current_blocks * 2 > self.warmup_blocks:
            raise ValueError(
                f"current_blocks = {self.current_blocks} must be at most half of warmup_blocks = {self.warmup_blocks}, "
                "or chance cannot be told from drift"
            )
        return self
