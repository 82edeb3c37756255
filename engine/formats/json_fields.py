"""Reads lines that are JSON objects, one by one (about 3 µs a line; orjson sets the pace)."""

import datetime as dt
import math
from typing import Any

import orjson
from pydantic import BaseModel, ConfigDict, Field

_TIME = (
    "time", "timestamp", "@timestamp", "ts", "Timestamp", "timeUnixNano", "asctime", "@t", "datetime", "timeMillis",
    "instant.epochSecond",
)  # fmt: skip
_MESSAGE = ("message", "msg", "log", "body", "Body", "event", "@m", "@mt", "textPayload", "jsonPayload.message")
_LEVEL = (
    "level", "severity", "levelname", "severity_text", "severityText", "log.level", "loglevel", "log_level", "lvl",
    "@l",
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
        description="Fields that may hold the time, first one present wins: ISO 8601, or seconds, milliseconds, "
        "microseconds or nanoseconds since the epoch (recognised by their size).",
    )
    message: tuple[str, ...] = Field(default=_MESSAGE, description="Fields that may hold the message.")
    level: tuple[str, ...] = Field(default=_LEVEL, description="Fields that may hold the level.")
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


def field_of(document: dict[str, Any], name: str) -> Any:
    """The field of that name, or of that path (`a.b`, whose rest may hold dots again); None if absent."""
    if name in document:
        return document[name]
    head, dot, rest = name.partition(".")
    inner = document.get(head) if dot else None
    return field_of(inner, rest) if isinstance(inner, dict) else None


def scalar_text(value: Any) -> str | None:
    """Text or number as text; None for anything else."""
    if isinstance(value, str):
        return value
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    return None


_EPOCH_DIGITS, _NS_DIGITS = 9, 19  # shorter ones may be dates without hyphens
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def time_ns(value: Any, zone: dt.tzinfo) -> int | None:
    """UTC ns of an ISO 8601 text or of a number since the epoch, also in digits; None if it is neither.

    Numbers are distinguished by size: below 1e11 seconds, below 1e14 ms, below 1e17 µs, else ns.
    """
    if isinstance(value, str):
        if not (value.isascii() and value.isdecimal() and _EPOCH_DIGITS <= len(value) <= _NS_DIGITS):
            return _iso_ns(value, zone)
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    for limit, factor in ((1e11, 1_000_000_000), (1e14, 1_000_000), (1e17, 1_000)):
        if abs(value) < limit:
            # A float of this many seconds is good to a microsecond at best.
            return value * factor if isinstance(value, int) else round(value * (factor // 1000)) * 1000
    return int(value)


def _iso_ns(text: str, zone: dt.tzinfo) -> int | None:
    try:
        moment = dt.datetime.fromisoformat(text.strip())
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=zone)
        since = moment - _EPOCH
    except (ValueError, OverflowError):
        return None
    return (since.days * 86_400 + since.seconds) * 1_000_000_000 + since.microseconds * 1000 + _below_micro(text)


def _below_micro(text: str) -> int:
    """The digits 7 to 9 of the fraction, which datetime drops, as ns."""
    at = text.find(".")
    if at < 0:
        return 0
    digits = ""
    for char in text[at + 1 :]:
        if not char.isdecimal():
            break
        digits += char
    return int(digits[6:9].ljust(3, "0"))


def parse_object(line: bytes) -> dict[str, Any] | str:
    """The document, or the reason why it cannot be read."""
    try:
        document = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        return f"is not JSON: {error}"
    return document if isinstance(document, dict) else f"is JSON, but {type(document).__name__} instead of an object"


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
