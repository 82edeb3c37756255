"""Round result: how a federated round ended, as the ServerApp leaves it in the round's folder."""

from typing import Annotated, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from foundation.documents.base import Count, SchemaVersion, Sha256


class RegionFigures(TypedDict):
    """How well current model and candidate do on a region's holdout windows."""

    region: str
    current: Annotated[list[int], Field(description="Counts of the current model; see `HoldoutFigures`.")]
    candidate: Annotated[list[int], Field(description="Counts of the candidate.")]


class RefusedReply(TypedDict):
    """A reply that was not used."""

    region: Annotated[str, Field(description="The region, or `node N` if it never gave a valid name.")]
    number: Annotated[int, Field(ge=0, description="Pass, from 0; `passes` for the replies after the last pass.")]
    reason: Annotated[str, Field(description="One sentence.")]


class RoundResultDocument(TypedDict):
    """A round that reached the gate; the candidate's weights are in a file next to this document."""

    schema_version: NotRequired[SchemaVersion]
    round_id: Annotated[str, Field(description="Id of the round.")]
    weights: Annotated[Sha256, Field(description="SHA-256 of the file of weights.")]
    threshold: Annotated[
        float, Field(description="Threshold of the candidate, fitted over all regions' calibration windows.")
    ]
    accepted: Annotated[bool, Field(description="Whether the gate accepts the candidate for publication.")]
    reason: Annotated[str, Field(description="Why, or why not, in one sentence.")]
    figures: Annotated[list[RegionFigures], Field(description="Holdout figures by region.")]
    participants: Annotated[list[str], Field(description="Regions with a valid update in the last pass, sorted.")]
    refusals: Annotated[list[RefusedReply], Field(description="Replies that were refused, in order.")]
    missing: Annotated[list[str], Field(description="Regions that did not answer in time, by pass.")]
    examples: Annotated[Count, Field(description="Windows trained on in the last pass.")]
    epsilon: Annotated[
        float | None,
        Field(description="Largest privacy budget spent by a region; null in a privacy mode without a budget."),
    ]


class RoundFailureDocument(TypedDict):
    """A round that ended without a candidate."""

    schema_version: NotRequired[SchemaVersion]
    failed: Annotated[str, Field(description="Why, in one sentence.")]
    present: NotRequired[
        Annotated[list[str] | None, Field(description="Regions that answered to the end; null where unknown.")]
    ]
