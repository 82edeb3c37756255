"""Structured logs: one JSON object a line for machines, one readable line on a terminal.

Anything given as `extra=` becomes a field. Secrets never reach the output: fields with a telling name,
passwords inside URLs and `key=value` text, and every value named at set-up are replaced by `***`, in
messages, fields and tracebacks alike. Control characters are escaped, since logs quote foreign lines.
"""

import logging
import re
import sys
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Any, Literal, TextIO

import orjson
from pydantic import BaseModel, ConfigDict, Field

from engine.telemetry.tracing import current_traceparent
from foundation.time_text import NS_PER_S, iso_millis

MASK = "***"

_SECRET_WORD = r"(?:password|passwd|pwd|secret|token(?!s)|credential|api[_.-]?key|private[_.-]?key|authorization)"
_SECRET_FIELD = re.compile(_SECRET_WORD, re.IGNORECASE)
# Repetitions are bounded: text that quotes a foreign line must not make the search quadratic.
_SECRET_TEXT = re.compile(
    rf"({_SECRET_WORD}[\w.-]{{0,40}}[\"']?\s{{0,4}}[=:]\s{{0,4}}(?:(?:bearer|basic)\s)?)"
    r"(\"[^\"]*\"|'[^']*'|[^\s,;&}]+)",
    re.IGNORECASE,
)
_URL_PASSWORD = re.compile(r"(://[^\s/:@]{0,256}):[^\s/]{1,256}@")
_CONTROL = {i: f"\\x{i:02x}" for i in (*range(32), *range(127, 160))}
# Shorter ones would mask parts of innocent words.
_MIN_SECRET_CHARS = 4
_STANDARD = frozenset((*logging.makeLogRecord({}).__dict__, "message", "asctime", "taskName"))
# They log every request or every file at INFO.
_CHATTY = ("drain3", "filelock", "httpx", "huggingface_hub", "transformers", "urllib3")


class LogSettings(BaseModel):
    """How the engine logs; it logs to standard error."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="Least important level shown.")
    format: Literal["auto", "json", "text"] = Field(
        "auto", description="json: one object a line; text: for people; auto: text on a terminal, json elsewhere."
    )


class Masker:
    """Replaces secrets in text and in nested plain data."""

    def __init__(self, secrets: Collection[str] = ()) -> None:
        """`secrets`: values to hide wherever they stand; those under four characters are not searched for."""
        known = sorted((s for s in secrets if len(s) >= _MIN_SECRET_CHARS), key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, known))) if known else None

    def text(self, text: str) -> str:
        """`text` without secrets."""
        if self._known is not None:
            text = self._known.sub(MASK, text)
        text = _URL_PASSWORD.sub(rf"\1:{MASK}@", text)
        return _SECRET_TEXT.sub(rf"\1{MASK}", text)

    def field(self, name: str, value: Any) -> Any:
        """A field's value as JSON-compatible data without secrets."""
        if _SECRET_FIELD.search(name):
            return MASK
        if isinstance(value, bool | int | float) or value is None:
            return value
        if isinstance(value, Mapping):
            return {self.text(str(k)): self.field(str(k), v) for k, v in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [self.field("", v) for v in value]
        return self.text(value if isinstance(value, str) else str(value))


class _Formatter(logging.Formatter):
    def __init__(self, masker: Masker) -> None:
        super().__init__()
        self._masker = masker

    def _fields(self, record: logging.LogRecord) -> dict[str, Any]:
        given = {name: value for name, value in record.__dict__.items() if name not in _STANDARD}
        return {name: self._masker.field(name, value) for name, value in given.items()}

    def _message(self, record: logging.LogRecord) -> str:
        return self._masker.text(record.getMessage())

    def _trouble(self, record: logging.LogRecord) -> str:
        parts = [self.formatException(record.exc_info)] if record.exc_info else []
        parts += [self.formatStack(record.stack_info)] if record.stack_info else []
        return self._masker.text("\n".join(parts))


class JsonFormatter(_Formatter):
    """`time`, `level`, `logger`, `message`, and where there are any `fields`, `trace_id`, `span_id`, `exception`."""

    def format(self, record: logging.LogRecord) -> str:
        """One line of JSON."""
        line: dict[str, Any] = {
            "time": iso_millis(int(record.created * NS_PER_S)),
            "level": record.levelname,
            "logger": record.name,
            "message": self._message(record),
        }
        if fields := self._fields(record):
            line["fields"] = fields
        if traceparent := current_traceparent():
            _, line["trace_id"], line["span_id"], _ = traceparent.split("-", 3)
        if trouble := self._trouble(record):
            line["exception"] = trouble
        return orjson.dumps(_printable(line), option=orjson.OPT_NON_STR_KEYS).decode()


class TextFormatter(_Formatter):
    """`time level logger: message name=value …`, a traceback below."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, and the lines of a traceback."""
        time = datetime.fromtimestamp(record.created, UTC).astimezone().strftime("%H:%M:%S")
        fields = "".join(f" {name}={value!r}" for name, value in self._fields(record).items())
        text = f"{time} {record.levelname:<7} {record.name}: {self._message(record)}{fields}".translate(_CONTROL)
        trouble = "\n".join(line.translate(_CONTROL) for line in self._trouble(record).splitlines())
        return f"{text}\n{trouble}" if trouble else text


def setup_logging(settings: LogSettings, *, secrets: Collection[str] = (), stream: TextIO | None = None) -> None:
    """Sends all logging of this process to `stream`, in place of what was set up before.

    Args:
        settings: See the class.
        secrets: Values that must not be shown, wherever they stand.
        stream: Standard error if None.
    """
    stream = sys.stderr if stream is None else stream
    text = settings.format == "text" or (settings.format == "auto" and stream.isatty())
    handler = logging.StreamHandler(stream)
    handler.setFormatter((TextFormatter if text else JsonFormatter)(Masker(secrets)))
    root = logging.getLogger()
    for old in tuple(root.handlers):
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(settings.level)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLevelName(settings.level)))
    logging.captureWarnings(True)


def _printable(value: Any) -> Any:
    """JSON escapes control characters by itself; lone surrogates it cannot carry become `?`."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {_printable(k): _printable(v) for k, v in value.items()}
    return [_printable(v) for v in value] if isinstance(value, list) else value
