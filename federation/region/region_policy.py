"""What a region demands of a round before it takes part: its own word, which no coordinator can change."""

from collections.abc import Iterable, Iterator
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from federation.protocol.records import ModelSpec, PrivacySettings
from models.base import ModelError
from models.storage.store import ModelStore


class PrivacyDemand(BaseModel):
    """Rounds that ask for less privacy than this are refused by the region itself."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    require: Literal["none", "secagg", "dp"] = Field(
        "none", description="`secagg` or `dp`: the region takes part in rounds of this mode only; `none`: in all."
    )
    max_epsilon: Annotated[float, Field(gt=0)] | None = Field(
        None, description="Largest `epsilon` that a round may ask for, over all rounds; needs `require = \"dp\"` "
        "and `max_delta`.",
    )  # fmt: skip
    max_delta: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        None, description="Largest `delta` that a round may ask for; needs `require = \"dp\"` and `max_epsilon`.",
    )  # fmt: skip

    @model_validator(mode="after")
    def _ceilings_hold(self) -> "PrivacyDemand":
        if self.require != "dp" and (self.max_epsilon is not None or self.max_delta is not None):
            raise ValueError(
                'max_epsilon and max_delta need require = "dp": a round without noise would pass below them'
            )
        if (self.max_epsilon is None) != (self.max_delta is None):
            raise ValueError(
                "max_epsilon and max_delta go together: by the one that is left free a round could buy what the other "
                "forbids"
            )
        return self

    def refusal(self, region: str, asked: PrivacySettings) -> str | None:
        """Why the region takes no part in a round that asks for this; None where it does.

        What was spent is added up at the round's own delta, so a smaller delta never buys more than the ceiling.
        """
        if self.require not in ("none", asked.mode):
            return f"region {region} takes part where privacy.mode = {self.require} only; this round's is {asked.mode}"
        for name, ceiling in (("epsilon", self.max_epsilon), ("delta", self.max_delta)):
            value = getattr(asked, name)
            if ceiling is not None and value > ceiling:
                return f"the round asks for privacy.{name} = {value:g}; region {region} allows {ceiling:g} at the most"
        return None


class OwnEncoders:
    """The text encoders that a round may name: those of the region's own models.

    An encoder's name is a folder, or a model to be fetched from a hub: not for a coordinator to choose.
    """

    def __init__(self, models: Iterable[tuple[str, str]], others: Iterable[str] = ()) -> None:
        """Looks at nothing yet.

        Args:
            models: Store and name of each model whose current version the region follows.
            others: Encoders that may be named beside theirs.
        """
        self._models = tuple(models)
        self._known = tuple(others)

    def refusal(self, region: str, spec: ModelSpec) -> str | None:
        """Why the region does not build this model; None where it does. One that names no encoder has the default.

        The stores are asked about a name that was not theirs so far, and not again about one that was.
        """
        asked = spec.settings.get("encoder")
        if asked is None or asked in self._known:
            return None
        try:
            self._known = tuple(dict.fromkeys((*self._known, *self._current())))
        except ModelError as error:
            return f"region {region} cannot tell whether the text encoder {asked!r} is that of its own model: {error}"
        if asked in self._known:
            return None
        own = f"takes {' and '.join(map(repr, self._known))} only" if self._known else "has no model that names one"
        return f"the round asks for the text encoder {asked!r}; region {region} {own}"

    def _current(self) -> Iterator[str]:
        for url, name in self._models:
            store = ModelStore(url)
            if store.current(name) is not None and (own := store.any_card(name).settings.get("encoder")):
                yield own
