"""The message of a document: the one it has, or one composed of the fields that identify the event.

An access log in JSON, a Kubernetes audit event or a CloudTrail record has no message. Its record gets one from
its fields as `name=value`, so that documents of one shape share a template. A request's HTTP status ends the
message as `status=502`, regardless of the name of its field: `engine.formats.http_status` names it in the template.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from engine.formats.field_names import STATUS, TIME, fields_of, kind_of
from engine.formats.http_status import FIELD
from engine.formats.json_fields import field_of, scalar_text

STATUS_FIELDS = (
    "status", "status_code", "statusCode", "http_status", "http.status_code", "http.response.status_code",
    "httpRequest.status", "DownstreamStatus", "response.status", "response.status_code", "response.statusCode",
    "res.statusCode", "res.status", "responseStatus.code", "resp_status", "response_code", "elb_status_code",
    "sc-status",
)  # fmt: skip
"""Where documents of web servers, proxies and API servers hold the HTTP status."""

_STATUS_KEYS = frozenset(STATUS_FIELDS) | {name.partition(".")[0] for name in STATUS_FIELDS}
"""Keys without any of which a document has no such field: few documents have one, and each field costs a look-up."""

LEADING_FIELDS = (
    "eventSource", "eventName", "errorCode", "errorMessage", "verb", "objectRef.resource", "objectRef.namespace",
    "protoPayload.methodName", "protoPayload.status.message", "protoPayload.resourceName", "class_name",
    "activity_name", "status_detail", "reason", "method", "request_method", "RequestMethod", "request.method",
    "cs-method", "cs-uri-stem", "httpRequest.requestMethod", "request", "uri", "path", "url", "requestURI",
)  # fmt: skip
"""Fields that describe the event; they come first, since templates depend most on how a message begins."""

_CODES = range(100, 600)
_LONGEST_VALUE = 200
_LONGEST_MESSAGE = 2_000
_DEEPEST = 3
_IDS = ("id", "ID", "Id", "uuid", "Uuid", "cursor", "Timestamp", "timestamp", "Time", "signature")
"""Endings of names whose values differ in every document and do not describe the event."""


def composed_message(document: Mapping[str, Any], used: frozenset[str]) -> str:
    """The fields of a document as `name=value`, up to 2,000 characters.

    Args:
        document: As decoded.
        used: Names of the fields that the record already has elsewhere, such as its time; they are left out.
    """
    skipped = {*used, *STATUS_FIELDS}
    parts = []
    for name in LEADING_FIELDS:
        value = None if name in skipped else _text(field_of(document, name))
        if value:
            parts.append(f"{name}={value}")
        skipped.add(name)
    size = sum(map(len, parts))
    for name, raw in _leaves(document, "", _DEEPEST):
        named = name.rpartition(".")[2]
        if name in skipped or name.startswith("#") or name.endswith(_IDS) or kind_of(named) == TIME:
            continue
        if not (value := _text(raw)):
            continue
        size += len(name) + len(value) + 2
        if size > _LONGEST_MESSAGE:
            break
        parts.append(f"{' '.join(name.split())}={value}")
    return " ".join(parts)


def with_status(message: str, document: Mapping[str, Any]) -> str:
    """The message, followed by the document's HTTP status if it has one that the message does not end with."""
    status = http_status_of(document)
    if status is None or message.endswith(f"{FIELD}{status}"):
        return message
    return f"{message} {FIELD}{status}" if message else f"{FIELD}{status}"


def http_status_of(document: Mapping[str, Any]) -> int | None:
    """The HTTP status that a document holds in a field of `STATUS_FIELDS` or of such a name; None without one."""
    if not _STATUS_KEYS.isdisjoint(document):
        for name in STATUS_FIELDS:
            if (code := _code(field_of(document, name))) is not None:
                return code
    return next((code for _, value in fields_of(document, STATUS) if (code := _code(value)) is not None), None)


def _code(value: Any) -> int | None:
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) == len("200"):
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and value in _CODES else None


def _leaves(document: Mapping[str, Any], prefix: str, depth: int) -> Iterator[tuple[str, Any]]:
    for name, value in document.items():
        if isinstance(value, dict):
            if depth > 1:
                yield from _leaves(value, f"{prefix}{name}.", depth - 1)
        else:
            yield f"{prefix}{name}", value


def _text(value: Any) -> str:
    text = str(value).lower() if isinstance(value, bool) else scalar_text(value)
    if not text or text == "-":
        return ""
    text = " ".join(text[:_LONGEST_VALUE].split())
    return f'"{text}"' if " " in text else text
