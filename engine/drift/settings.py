"""Settings of the drift detectors."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from engine.drift.registry import STATISTICS, statistic_class


@dataclass(frozen=True, slots=True)
class Growth:
    """How a reference grows.

    Attributes:
        first_blocks: Blocks before the first verdict.
        blocks: Blocks until the reference is complete, if it also spans `hours` of event time.
        hours: See `blocks`.
        delay_blocks: Blocks that a block waits before it joins: those in which a change would show.
    """

    first_blocks: int
    blocks: int
    hours: float
    delay_blocks: int


class DriftSettings(BaseModel):
    """When a stream counts as drifted.

    Complete windows are taken in blocks; every statistic compares the last blocks with the reference, which
    are the first blocks after a model went into service. A threshold is the larger of the floor given here
    and what the reference shows by chance, so a restless stream raises its own thresholds.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    detectors: tuple[str, ...] = Field(
        tuple(STATISTICS), description="Detectors in use; an empty list disables drift detection."
    )
    block_windows: Annotated[int, Field(ge=10)] = Field(
        100, description="Complete windows in a block; the detectors are updated once per block."
    )
    first_blocks: Annotated[int, Field(ge=4)] = Field(
        8,
        description="Blocks before the first verdict on templates; the reference then grows while nothing changes.",
    )
    warmup_blocks: Annotated[int, Field(ge=4)] = Field(
        40,
        description="Blocks in the reference of scores, embeddings and `psi`, after the start and, if they depend "
        "on the model, after each change of the model.",
    )
    reference_blocks: Annotated[int, Field(ge=4)] = Field(
        240, description="Blocks until the reference of templates is complete, if it spans `reference_hours` as well."
    )
    reference_hours: Annotated[float, Field(ge=0)] = Field(
        24.0, description="Hours of event time that the complete reference of templates spans: a day has a rhythm."
    )
    current_blocks: Annotated[int, Field(ge=1)] = Field(
        10, description="Latest blocks that are compared with the reference."
    )
    confirm_blocks: Annotated[int, Field(ge=1)] = Field(
        3,
        description="Consecutive blocks at or above the threshold before a detector is raised, and below it before "
        "it is cleared.",
    )
    release: Annotated[float, Field(gt=0, le=1)] = Field(
        0.8, description="A raised detector is cleared when its statistic is below this share of the threshold."
    )
    cooldown_windows: Annotated[int, Field(ge=0)] = Field(
        10_000,
        description="Minimum number of complete windows between two events, over all detectors; ongoing drift is "
        "reported again.",
    )
    floors: Mapping[str, Annotated[float, Field(gt=0)]] = Field(
        {},
        description="Minimum threshold by detector, such as `novelty = 0.05`; the other detectors keep their defaults.",
    )
    judged: Annotated[int, Field(ge=5)] = Field(
        200, description="Number of the latest rated alerts that the detector `precision` uses."
    )
    texts: bool = Field(
        True,
        description="Whether events contain the texts of templates, which then leave the region, or only their ids.",
    )
    max_templates: Annotated[int, Field(ge=1)] = Field(
        10, description="Maximum number of templates in an event; those with the largest change come first."
    )

    def growth(self, *, fixed: bool = False) -> Growth:
        """How the reference of shares grows; `fixed`: how that of distances to a fixed reference does."""
        first = self.warmup_blocks if fixed else self.first_blocks
        return Growth(first, self.reference_blocks, self.reference_hours, self.current_blocks)

    def floor(self, name: str) -> float:
        """The smallest threshold of a detector in `STATISTICS`."""
        return self.floors.get(name, statistic_class(name).floor)

    @model_validator(mode="after")
    def _names_are_known(self) -> "DriftSettings":
        for key, names in (("detectors", self.detectors), ("floors", self.floors)):
            if unknown := sorted(set(names) - set(STATISTICS)):
                raise ValueError(f"{key}: no detector is named {', '.join(unknown)}; known are {', '.join(STATISTICS)}")
        return self

    @model_validator(mode="after")
    def _reference_is_longer(self) -> "DriftSettings":
        if self.current_blocks * 2 > self.warmup_blocks:
            raise ValueError(
                f"current_blocks = {self.current_blocks} must be at most half of warmup_blocks = {self.warmup_blocks}, "
                "or chance cannot be distinguished from drift"
            )
        return self
