"""What a region demands of a round before it takes part: its own word, which no coordinator can change."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from federation.base import PrivacySettings


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
