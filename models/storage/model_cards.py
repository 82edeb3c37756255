"""Cards: all that is known of a version in the model store, as JSON."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, TypeAdapter

from foundation.time_text import NS_PER_S
from models.thresholds.base import Threshold


class ModelNotes(BaseModel):
    """Facts about a version that its publisher adds to those of the model."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: dict[str, int | float | str] = Field(
        default_factory=dict, description="What it was trained on: counts, source."
    )
    metrics: dict[str, dict[str, float]] = Field(default_factory=dict, description="Figures by split.")
    labels: dict[str, int] | None = Field(
        default=None,
        description="Labelled anomalies that it was trained or judged with, by origin of the label (`feedback`, "
        "`labels`, `rules`); {} without any, None where it is not recorded.",
    )
    preprocessing: dict[str, str] = Field(
        default_factory=dict,
        description="Settings that its windows or lines were made with (masks, template miner, kind of window), by "
        "name and as JSON; {} where they are not recorded.",
    )
    seed: int | None = Field(default=None, description="Seed of the training.")
    round: int | None = Field(default=None, description="Federated round that made it.")
    participants: tuple[str, ...] = Field(default=(), description="Regions that took part in the round.")
    epsilon: float | None = Field(
        default=None, description="Differential-privacy budget spent; None without that protection."
    )
    delta: float | None = Field(default=None, description="Delta that belongs to epsilon.")

    @property
    def labelled_anomalies(self) -> dict[str, int]:
        """`labels`, or what the figures of a card without them show."""
        if self.labels is not None:
            return self.labels
        figures = self.metrics.get("holdout") or self.metrics.get("validation") or {}
        found = int(figures.get("true_positives", 0) + figures.get("false_negatives", 0))
        return {"labels": found} if found else {}


class Notes(ModelNotes):
    """Facts about a version of a window detector that its publisher adds."""

    threshold: Threshold = Field(description="Calibrated threshold.")
    thresholds: dict[str, float] = Field(
        default_factory=dict,
        description="Thresholds of single regions instead of `threshold`, which their own labels proved in a round.",
    )

    def threshold_in(self, region: str) -> Threshold:
        """The threshold that a region serves the version with."""
        own = self.thresholds.get(region)
        return self.threshold if own is None else self.threshold.model_copy(update={"value": own})

    @property
    def f1(self) -> float | None:
        """F1 on the regions' holdouts, or on the held-out windows of the training; None without labels."""
        figures = self.metrics.get("holdout") or self.metrics.get("validation") or {}
        return figures.get("f1")


class ModelCard(ModelNotes):
    """The fields of every model's card."""

    format: int = Field(default=1, description="Of the card itself.")
    name: str = Field(description="Name in the store.")
    version: int = Field(description="Number of the version.")
    parent: int | None = Field(description="The version that was current when this one was published.")
    created_at: datetime = Field(description="When it was published.")
    detector: str = Field(description="Name of the model in the registry of its kind.")
    settings: dict[str, Any] = Field(description="Settings of the model.")
    extra: dict[str, Any] = Field(description="Learnt facts other than arrays, and the encoder with its fingerprint.")
    weights_sha256: str = Field(description="Of weights.safetensors.")
    weights_bytes: int | None = Field(default=None, description="Its size; None where it is not recorded.")

    @property
    def created_ns(self) -> int:
        """`created_at` in nanoseconds since 1970."""
        return int(self.created_at.timestamp() * NS_PER_S)


class Card(Notes, ModelCard):
    """All that is known about a version of a window detector."""

    kind: Literal["window_detector"] = Field(default="window_detector", description="Of model.")

    @property
    def gap_s(self) -> float | None:
        """Session gap of the training windows in seconds; None where they were not sessions."""
        gap_s = self.data.get("gap_s")
        return None if gap_s is None else float(gap_s)


class ClassifierCard(ModelCard):
    """All that is known about a version of a line classifier, which has no threshold."""

    kind: Literal["line_classifier"] = Field(default="line_classifier", description="Of model.")


def _kind(card: Any) -> str:
    found = card.get("kind", "window_detector") if isinstance(card, dict) else getattr(card, "kind", None)
    return str(found)


AnyCard = Card | ClassifierCard
CARDS: TypeAdapter[AnyCard] = TypeAdapter(
    Annotated[
        Annotated[Card, Tag("window_detector")] | Annotated[ClassifierCard, Tag("line_classifier")],
        Discriminator(_kind),
    ]
)
"""Reads a card of either kind; one without a kind is of a window detector."""
