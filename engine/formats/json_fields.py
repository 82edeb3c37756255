"""Reads lines that are JSON objects, one by one (about 3 µs a line; orjson sets the pace)."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import orjson
from pydantic import BaseModel, ConfigDict, Field

from engine.formats.letters import text_of

_TIME = (
    "time", "timestamp", "@timestamp", "ts", "Timestamp", "timeUnixNano", "asctime", "@t", "datetime", "timeMillis",
    "instant.epochSecond", "eventTime", "stageTimestamp", "requestReceivedTimestamp", "lastTimestamp", "StartUTC",
    "time_iso8601", "time_local", "t", "date",
)  # fmt: skip
_MESSAGE = (
    "message", "msg", "log", "body", "Body", "event", "@m", "@mt", "textPayload", "jsonPayload.message",
    "jsonPayload.msg",
)  # fmt: skip
_LEVEL = (
    "level", "severity", "levelname", "severity_text", "severityText", "log.level", "loglevel", "log_level", "lvl",
    "@l", "error_severity", "Level", "Severity", "prio", "priority", "type",
    "level.name", "log.level.name",
)  # fmt: skip
_COMPONENT = ("logger", "component", "service", "service.name", "logger_name", "loggerName", "name", "caller")
_HOST = (
    "host", "hostname", "host.name", "pod", "pod_name", "kubernetes.pod_name", "kubernetes.pod.name", "k8s.pod.name",
    "instance", "node",
)  # fmt: skip


class JsonFields(BaseModel):
    """Where a JSON line keeps what the engine needs; `a.b` names field b of object a."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    time: tuple[str, ...] = Field(
        default=_TIME,
        description="Fields that may hold the time; the first one that can be read wins: ISO 8601, the formats of "
        "access logs and mail, or seconds, milliseconds, microseconds or nanoseconds since the epoch (recognised by "
        "their size).",
    )
    message: tuple[str, ...] = Field(default=_MESSAGE, description="Fields that may hold the message.")
    level: tuple[str, ...] = Field(
        default=_LEVEL, description="Fields that may hold the level; the first one with a known word or number wins."
    )
    session: tuple[str, ...] = Field(
        default=(), description="Fields that may hold the session key (text or number); none: no sessions."
    )
    host: tuple[str, ...] = Field(
        default=_HOST, description="Fields that may hold the host, or the pod where programs run in containers."
    )
    component: tuple[str, ...] = Field(default=_COMPONENT, description="Fields with the component.")
    pid: tuple[str, ...] = Field(default=("pid", "process.pid"), description="Fields with the process number.")


def pick(document: dict[str, Any], names: tuple[str, ...]) -> Any:
    """The value of the first field of `names` that is present, not null and no object, else None."""
    for name in names:
        value = field_of(document, name)
        if value is not None and not isinstance(value, dict):
            return value
    return None


WRAPPERS = (
    "log", "event", "fields", "meta", "metadata", "attributes", "data", "record", "context", "extra", "body", "payload",
    "json", "detail", "details", "log_processed", "jsonPayload", "_source",
)  # fmt: skip
"""Objects into which shippers and libraries put the fields of a record."""

_INNER = {
    "time": ("time", "timestamp", "@timestamp", "ts", "datetime"),
    "message": ("message", "msg", "text"),
    "level": ("level", "severity", "levelname", "log_level", "loglevel", "lvl", "log.level", "severity_text"),
    "host": ("host", "hostname", "host.name"),
    "component": ("logger", "component", "service", "service.name"),
}
"""What is looked for in `WRAPPERS`, where the document itself has none; only text, since numbers may mean anything."""


def texts_inside(document: Mapping[str, Any], kind: str) -> Iterator[str]:
    """The texts that the objects of a document hold for one of the fields of `JsonFields`."""
    for wrapper in WRAPPERS:
        inner = document.get(wrapper)
        if isinstance(inner, dict):
            for name in _INNER[kind]:
                if isinstance(value := field_of(inner, name), str):
                    yield value


def field_of(document: Mapping[str, Any], name: str) -> Any:
    """The field of that name, or of that path (`a.b`, whose rest may hold dots again); None if absent."""
    if name in document:
        return document[name]
    head, dot, rest = name.partition(".")
    inner = document.get(head) if dot else None
    return field_of(inner, rest) if isinstance(inner, dict) else None


class WrittenNumber(float):
    """A number that keeps how it is written: a float has too few digits for an id.

    Attributes:
        text: As in the document.
    """

    text: str

    def __new__(cls, text: str) -> "WrittenNumber":
        """The number that a text of JSON represents."""
        number = super().__new__(cls, text)
        number.text = text
        return number


def scalar_text(value: Any) -> str | None:
    """Text or number as text; None for anything else."""
    if isinstance(value, str):
        return value
    if isinstance(value, WrittenNumber):
        return value.text
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    return None


def parse_object(line: bytes) -> dict[str, Any] | str:
    """The document, or the reason why it cannot be read."""
    try:
        document = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        try:
            document = orjson.loads(text_of(line))  # the same where the line is UTF-8
        except orjson.JSONDecodeError:
            return f"is not JSON: {error}"
    return document if isinstance(document, dict) else f"is JSON, but {type(document).__name__} instead of an object"


def with_written_numbers(line: bytes, document: dict[str, Any]) -> dict[str, Any]:
    """The document of a line again, with its numbers as they are written; the one given if that cannot be read."""
    try:
        exact = json.loads(line, parse_float=WrittenNumber)
    except (ValueError, RecursionError):
        return document
    return exact if isinstance(exact, dict) else document


def parse_journal_object(line: bytes) -> dict[str, Any] | str:
    """As `parse_object`; what the journal writes as a row of bytes, or as null because it is long, is text."""
    document = parse_object(line)
    if isinstance(document, dict):
        for name, value in document.items():
            if isinstance(value, list) and all(type(byte) is int and 0 <= byte < 256 for byte in value):
                document[name] = bytes(value).decode("utf-8", "backslashreplace")
            elif value is None and name == "MESSAGE":
                document[name] = ""
    return document


def place_of(line: bytes, key: str) -> tuple[int, int]:
    """Where the key's bytes are in the line, (0, 0) where escapes hide them."""
    for raw in (key.encode("utf-8", "surrogatepass"), orjson.dumps(key)[1:-1]):
        if raw and (at := line.find(raw)) >= 0:
            return at, at + len(raw)
    return 0, 0
