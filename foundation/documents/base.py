"""What documents share: the types of their fields, how one is read, and its attributes as a message."""

import re
from collections.abc import Hashable
from functools import cache
from typing import Annotated, Any, TypeVar, cast

from pydantic import AfterValidator, Field, TypeAdapter, ValidationError

from foundation.time_text import parse_time

T = TypeVar("T")

SCHEMA_VERSION = 1
"""Grows with every change of a document's fields; a change that breaks readers gets a new CloudEvents type too."""

SchemaVersion = Annotated[int, Field(ge=1, description="Version of this schema; absent before 0.2.")]

Id = Annotated[str, Field(pattern="^[0-9a-f]{32}$")]
TemplateId = Annotated[str, Field(pattern="^[0-9a-f]{16}$", description="Hash of the text, the same in every region.")]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Name = Annotated[str, Field(min_length=1, max_length=256)]
"""Of a region, a model or a statistic: the receiver keeps it in databases and logs, hence the bound."""

ModelVersion = Annotated[int, Field(ge=1, lt=1 << 31)]
Count = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Traceparent = Annotated[str, Field(description="W3C trace context, or empty.")]

TimeNs = Annotated[str, Field(pattern=r"^-?[0-9]{4,}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{9}Z$")]
"""RFC 3339 in UTC with nanoseconds; see `foundation.time_text.iso_time`."""


def _check_time(text: str) -> str:
    parse_time(text)
    return text


Time = Annotated[str, AfterValidator(_check_time), Field(json_schema_extra={"format": "date-time"})]
"""RFC 3339 with a time zone; see `foundation.time_text.parse_time`."""


def template_id_text(template: int) -> str:
    """Return a template's id (`models.base.template_id`) as documents write it: 16 hex digits."""
    return f"{template & 0xFFFFFFFFFFFFFFFF:016x}"


@cache
def adapter(kind: Hashable) -> TypeAdapter[Any]:
    """Return an object that checks documents of a kind and has their schema."""
    return TypeAdapter(cast(Any, kind))


def read(kind: type[T], document: object) -> T:
    """Check a decoded JSON document, without fields that its kind does not declare.

    Args:
        kind: The `TypedDict` of the document.
        document: What was decoded; numbers in text are not converted.

    Raises:
        ValueError: it is not such a document. The message names the first wrong field and does not repeat its
            content, which may be a secret of the sender.
    """
    try:
        return cast(T, adapter(cast(Hashable, kind)).validate_python(document, strict=True))
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"])) or "document"
        raise ValueError(f'"{place}" {_predicate(first["msg"])}') from error


def _predicate(message: str) -> str:
    """Return pydantic's message as the end of a sentence that begins with the name of the field."""
    if message == "Field required":
        return "is missing"
    return re.sub(r"^(Value error,|(Input|String|List|Dictionary)(?= should)) ", "", message)


def message_headers(
    *, type: str, source: str, id: str, time: str, subject: str = "", traceparent: str = ""
) -> dict[str, str]:
    """Return a document's CloudEvents 1.0 attributes as headers, in the binary mode of the Kafka protocol binding.

    https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/kafka-protocol-binding.md

    Args:
        type: CloudEvents type of the document.
        source: A URI reference.
        id: Of the document.
        time: RFC 3339.
        subject: What it is about, left out where empty.
        traceparent: W3C trace context, left out where empty.
    """
    headers = {
        "ce_specversion": "1.0",
        "ce_type": type,
        "ce_source": source,
        "ce_id": id,
        "ce_time": time,
        "content-type": "application/json",
    }
    if subject:
        headers["ce_subject"] = subject
    if traceparent:
        headers["traceparent"] = traceparent
    return headers
