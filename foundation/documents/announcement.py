"""Announcement: which version of a model is the one to follow."""

from typing import Annotated, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from foundation.documents.base import Id, ModelVersion, Name, SchemaVersion, Sha256, Time

EVENT_TYPE = "io.driftline.model.v1"
"""CloudEvents type; a change of the document that breaks readers gets a new one."""


class AnnouncementDocument(TypedDict):
    """Which version of a model is the one to follow; the message's key is the model's name.

    CloudEvents type io.driftline.model.v1.
    """

    schema_version: NotRequired[SchemaVersion]
    id: Annotated[Id, Field(description="Id; repeated deliveries of one announcement have the same id.")]
    name: Annotated[Name, Field(description="Name of the model.")]
    version: Annotated[ModelVersion, Field(description="The current version from now on.")]
    card_sha256: Annotated[
        Sha256, Field(description="SHA-256 of the version's card, which contains that of the weights.")
    ]
    event: Annotated[Literal["published", "rolled_back"], Field(description="Why this version is current.")]
    round_id: Annotated[str, Field(description="Id of the round that trained it; empty after a rollback.")]
    time: Annotated[Time, Field(description="When it was recorded.")]
    reason: Annotated[str, Field(description="One sentence.")]
    audit_sha256: Annotated[Sha256, Field(description="Hash of the audit log's entry.")]
    held: NotRequired[
        Annotated[
            dict[Name, ModelVersion], Field(description="Regions that keep an earlier version in service, with it.")
        ]
    ]
    traceparent: Annotated[str, Field(description="W3C trace context of the round, or empty.")]
