"""Structured logs: one JSON object a line for machines, one readable line on a terminal.

Anything given as `extra=` becomes a field. Secrets never reach the output: fields whose name suggests one,
passwords inside URLs and `key=value` text, and every value named at set-up are replaced by `***`, in
messages, fields and tracebacks alike. Control characters are escaped, since logs quote foreign lines.
"""

import logging
import sys
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any, Literal, TextIO

import orjson
from pydantic import BaseModel, ConfigDict, Field

from engine.telemetry.tracing import current_traceparent
from foundation.secret_masker import SecretMasker
from foundation.time_text import NS_PER_S, iso_millis

_CONTROL = {i: f"\\x{i:02x}" for i in (*range(32), *range(127, 160))}
_STANDARD = frozenset((*logging.makeLogRecord({}).__dict__, "message", "asctime", "taskName"))
# They log every request or every file at INFO.
_CHATTY = ("filelock", "httpx", "huggingface_hub", "transformers", "urllib3")


class LogSettings(BaseModel):
    """How the engine logs; it logs to standard error."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="Lowest level that is logged.")
    format: Literal["auto", "json", "text"] = Field(
        "auto", description="json: one object a line; text: for people; auto: text on a terminal, json elsewhere."
    )


class _Formatter(logging.Formatter):
    def __init__(self, masker: SecretMasker) -> None:
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
    """`time`, `level`, `logger`, `message`, and if there are any `fields`, `trace_id`, `span_id`, `exception`."""

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
    """Send all logging of this process to `stream`; earlier handlers are removed.

    Args:
        settings: See the class.
        secrets: Values that must not be shown in any field or text.
        stream: Standard error if None.
    """
    stream = sys.stderr if stream is None else stream
    text = settings.format == "text" or (settings.format == "auto" and stream.isatty())
    handler = logging.StreamHandler(stream)
    handler.setFormatter((TextFormatter if text else JsonFormatter)(SecretMasker(secrets)))
    root = logging.getLogger()
    for old in tuple(root.handlers):
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(settings.level)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLevelName(settings.level)))
    logging.captureWarnings(True)


def _printable(value: Any) -> Any:
    """JSON escapes control characters; lone surrogates, which it cannot represent, become `?`."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {_printable(k): _printable(v) for k, v in value.items()}
    return [_printable(v) for v in value] if isinstance(value, list) else value
