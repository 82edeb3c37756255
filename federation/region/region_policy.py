"""Policy of a region: which rounds it takes part in. A coordinator cannot override it."""

from collections.abc import Iterable
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from federation.privacy.registry import PrivacyModeName, privacy_mode
from federation.protocol.records import LINE_CLASSIFIER, ModelSpec, PrivacySettings
from models.base import ModelError
from models.detectors.federated import statistics_of
from models.storage.store import ModelStore


class PrivacyDemand(BaseModel):
    """The privacy that a region requires; the region itself refuses other rounds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    require: PrivacyModeName = Field(
        "none", description="Privacy mode (`secagg`, `dp`) of the rounds in which the region takes part; `none`: all."
    )
    max_epsilon: Annotated[float, Field(gt=0)] | None = Field(
        None, description='Largest `epsilon` that a round may request, over all rounds; needs `require = "dp"` and '
                          "`max_delta`.",
    )  # fmt: skip
    max_delta: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        None, description='Largest `delta` that a round may request; needs `require = "dp"` and `max_epsilon`.',
    )  # fmt: skip

    @model_validator(mode="after")
    def _require_both_ceilings(self) -> "PrivacyDemand":
        ceilings = (self.max_epsilon, self.max_delta)
        if not privacy_mode(self.require).has_budget and ceilings != (None, None):
            raise ValueError('max_epsilon and max_delta need require = "dp": a round without a budget ignores them')
        if ceilings.count(None) == 1:
            raise ValueError("set max_epsilon and max_delta together: a round could raise one to lower the other")
        return self

    @property
    def masked_only(self) -> bool:
        """Whether the region sends updates by secure aggregation only."""
        return privacy_mode(self.require).hides_updates

    def refusal(self, region: str, asked: PrivacySettings) -> str | None:
        """Why the region refuses a round with these settings; None if it takes part.

        Spending is added up at the round's own delta, so a smaller delta never buys more than the ceiling.
        """
        if not privacy_mode(self.require).accepts(asked.mode):
            return f"region {region} accepts only privacy.mode = {self.require}; this round has {asked.mode}"
        for name, ceiling in (("epsilon", self.max_epsilon), ("delta", self.max_delta)):
            value = getattr(asked, name)
            if ceiling is not None and value > ceiling:
                return f"the round asks for privacy.{name} = {value:g}; region {region} allows at most {ceiling:g}"
        return None


class AllowedModels:
    """The models that a round may ask a region to train, judged by the region's own models.

    A text encoder's name is a folder, or a model that is downloaded from a hub, so a coordinator must not choose it.
    Statistics reveal more about a region's windows than averaged weights do, so a region sends them only for a detector
    that it serves itself.
    """

    def __init__(self, models: Iterable[tuple[str, str]], encoders: Iterable[str] = ()) -> None:
        """Open no store yet.

        Args:
            models: Store and name of each model whose current version the region follows.
            encoders: Further encoders that may be named.
        """
        self._models = tuple(models)
        self._encoders = tuple(encoders)
        self._detectors: tuple[str, ...] = ()

    def refusal(self, region: str, spec: ModelSpec) -> str | None:
        """Why the region does not train this model; None if it does. A model without an encoder has the default one.

        The stores are read for names that are not known yet, and not again for names that are.
        """
        encoder = spec.settings.get("encoder")
        sends = spec.kind != LINE_CLASSIFIER and statistics_of(spec.detector) is not None
        if self._knows(encoder, spec.detector if sends else None):
            return None
        asked = f"the text encoder {encoder!r}" if encoder is not None else f"statistics for {spec.detector}"
        try:
            cards = [
                ModelStore(url).any_card(name)
                for url, name in self._models
                if ModelStore(url).current(name) is not None
            ]
        except ModelError as error:
            return f"region {region} cannot check whether {asked} is that of its own model: {error}"
        found = (own for card in cards if (own := card.settings.get("encoder")))
        self._encoders = tuple(dict.fromkeys((*self._encoders, *found)))
        self._detectors = tuple(dict.fromkeys(card.detector for card in cards))
        if self._knows(encoder, spec.detector if sends else None):
            return None
        if encoder is None:
            return f"the round asks for {asked}; region {region} sends them only for a detector that it serves"
        accepted = " and ".join(map(repr, self._encoders))
        own = f"accepts only {accepted}" if accepted else "has no model with an encoder"
        return f"the round asks for {asked}; region {region} {own}"

    def _knows(self, encoder: object, sender: str | None) -> bool:
        return (encoder is None or encoder in self._encoders) and (sender is None or sender in self._detectors)
