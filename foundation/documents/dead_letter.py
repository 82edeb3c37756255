"""Dead letter: a line or document that cannot be processed."""

from typing import Annotated, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from foundation.documents.base import Count, Id, SchemaVersion, Time


class DeadLetterDocument(TypedDict):
    """A line or document that cannot be processed, with the reason and the place it came from."""

    schema_version: NotRequired[SchemaVersion]
    id: Annotated[Id, Field(description="Hash of place and reason: a replay gives the same id.")]
    place: Annotated[str, Field(description="Its position: topic/partition/offset, or path, line L, byte N.")]
    reason: Annotated[str, Field(description="Why it cannot be processed.")]
    raw: Annotated[str, Field(description=r"Its first bytes as text; bytes that are not UTF-8 are written \xNN.")]
    raw_bytes: Annotated[Count, Field(description="Its full length in bytes.")]
    partition: Annotated[str, Field(description="Partition of the source.")]
    region: Annotated[str, Field(description="Region that read it.")]
    time: Annotated[Time, Field(description="When it was rejected.")]
