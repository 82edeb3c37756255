r"""What a log format is: how a line of it begins, when it was written, and what it belongs to.

A format is one entry. Its lines are either *headed*, and a pattern with named groups takes the whole
line apart, or they are *documents* (JSON, logfmt, XML), and `DocumentLayout` names the fields.

Groups of a header:

- time: the groups of `engine.formats.timestamps.DIGIT_GROUPS` and `LETTER_GROUPS`; where none takes
  part, a line's time is when it was read;
- `level`, `priority` (of syslog), `host`, `component`, `pid`, `label`: optional;
- `piece`: in formats with streams, takes part where the line continues in the next one of its stream;
- `status`: an HTTP status within the message, which its template names (`engine.formats.http_status`);
- `message`: what templates are mined from, to the end of the line.

Time groups state exactly how many digits they match; everything else must not depend on digits (see
`engine.compiled.regex_digits`; checked when a parser is built). Session rules are searched in the whole
line; the group `key` is the session key.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from engine.formats import http_status
from engine.formats.json_fields import JsonFields
from engine.formats.masks import Mask


@dataclass(frozen=True, slots=True)
class DocumentLayout:
    """How lines that are documents are read.

    Attributes:
        decode: The line's fields by name, or the reason as text if it has none.
        fields: Where things are in them.
        marks: Rows of fields; detection assigns a line to this format if it has at least one
            field of every row. Empty: a time and a message are enough.
        composes: Whether a document without a message gets one from its fields
            (`engine.formats.document_message`), and a document without a readable time the time of reading.
    """

    decode: Callable[[bytes], dict[str, Any] | str]
    fields: JsonFields
    marks: tuple[tuple[str, ...], ...] = ()
    composes: bool = False


@dataclass(frozen=True, slots=True)
class Format:
    """One log format.

    Attributes:
        name: As the settings name it.
        expected: Description of the line's layout, for dead letters and the reference.
        examples: Lines that a parser of this format must accept, and that detection must recognise.
        blocks: Records over several lines that a parser must take too, see `engine.parsing.journal`,
            `engine.parsing.record_blocks` and `engine.parsing.line_reassembly`.
        header: See the module; None where lines are documents.
        document: How documents are read; None where lines are headed.
        clocks: Patterns that find the time in the message of a line whose header has none, or anywhere in the lines of
            a format without time groups; with groups for times. The first that is found counts. Such lines are read
            one by one.
        sessions: Session rules by name, each a row of patterns of which the first that is found
            gives the key. The first rule is the default.
        levels: What the format's own words for levels mean, next to `LEVELS`.
        masks: Replacements for its messages, made before those of the settings.
        similarity: Least share of equal tokens that joins a message to a template, see `TemplateSettings`.
        joins: Whether lines that do not parse and look like the rest of a stack trace belong to the
            line before, see `engine.parsing.continuation`.
        keeps: Whether all lines that do not parse belong to the line before, whatever they look like.
        follows: Finds in a line the group `same`; a line in which it is what it was in the line before belongs to
            that line's record. A pattern with a group `more` does so only where this group takes part.
        streams: The values of `component` where it is the stream of a container and each line was wrapped by the
            runtime: a record may have several lines, see `line_reassembly` and `continuation` of `engine.parsing`.
        normal_label: The value of `label` on normal lines, in data sets that carry one.
        binary: Whether lines may hold NUL bytes.
        general: Whether it takes lines that other formats describe exactly, so detection never tries it first.
        timed: Whether a line in which no pattern of `clocks` finds a time that exists is of another format.
        unlabelled_is_anomalous: What a line without `label` is in such data sets.
    """

    name: str
    expected: str
    examples: tuple[bytes, ...]
    header: re.Pattern[bytes] | None = None
    document: DocumentLayout | None = None
    clocks: tuple[bytes, ...] = ()
    sessions: Mapping[str, tuple[bytes, ...]] = field(default_factory=dict)
    levels: Mapping[str, str] = field(default_factory=dict)
    masks: tuple[Mask, ...] = ()
    similarity: float = 0.0
    joins: bool = False
    keeps: bool = False
    follows: re.Pattern[bytes] | None = None
    streams: tuple[str, ...] = ()
    normal_label: bytes | None = None
    unlabelled_is_anomalous: bool = False
    binary: bool = False
    blocks: tuple[bytes, ...] = ()
    general: bool = False
    timed: bool = False

    @property
    def http(self) -> bool:
        """Whether its messages may hold a request's status, see `engine.formats.http_status`."""
        if self.header is not None:
            return http_status.GROUP in self.header.groupindex
        return self.document is not None and self.document.composes


LEVEL_NAMES = ("", "trace", "debug", "info", "warn", "error", "fatal")

LEVELS: Mapping[str, str] = {
    "TRACE": "trace",
    "TRC": "trace",
    "FINEST": "trace",
    "VERBOSE": "trace",
    "DEBUG": "debug",
    "DBG": "debug",
    "DBUG": "debug",
    "FINE": "debug",
    "INFO": "info",
    "INF": "info",
    "INFORMATION": "info",
    "INFORMATIONAL": "info",
    "NOTICE": "info",
    "AUDIT": "info",
    "WARN": "warn",
    "WRN": "warn",
    "WARNING": "warn",
    "ERROR": "error",
    "ERR": "error",
    "EROR": "error",
    "FAILURE": "error",
    "SEVERE": "error",
    "FATAL": "fatal",
    "FTL": "fatal",
    "CRITICAL": "fatal",
    "CRIT": "fatal",
    "EMERGENCY": "fatal",
    "ALERT": "fatal",
    "EMERG": "fatal",
    "PANIC": "fatal",
}
"""Spellings of levels (upper case) → the six of OpenTelemetry's log data model."""

SYSLOG_LEVELS = ("fatal", "fatal", "fatal", "error", "warn", "info", "info", "debug")
"""Severity 0..7 of RFC 5424 → level."""

NO_KEY: tuple[bytes, ...] = ()
NO_SESSIONS: Mapping[str, tuple[bytes, ...]] = {"none": NO_KEY}

STREAMS = ("stdout", "stderr")
"""The streams of a container."""

# Pieces that many headers share.
YMD = rb"(?P<year>[0-9]{4})-(?P<month>[0-9]{2})-(?P<day>[0-9]{2})"
HMS = rb"(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2}):(?P<second>[0-9]{2})"
CLOCK = rb"(?P<hour>[0-9]{1,2}):(?P<minute>[0-9]{2}):(?P<second>[0-9]{2})"
"""As `HMS`, but the hour may have one digit."""
FRACTION = rb"(?P<fraction>[0-9]{1,9})"
DECIMALS = rb"(?:[.,]" + FRACTION + rb")?"
"""A fraction behind its mark, or none."""
PID = rb"(?P<pid>[0-9]+)"
_MONTHS = rb"Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec"
MONTH_NAME = rb"(?P<month_name>" + _MONTHS + rb")"
MONTH_NAMES = _MONTHS + rb"|" + _MONTHS.upper() + rb"|" + _MONTHS.lower()
ANY_MONTH = rb"(?P<month_name>" + MONTH_NAMES + rb")"
ZONE = (
    rb"(?:(?P<utc>Z|UTC|GMT)|(?P<zone_sign>[-+])(?:(?P<zone_hhmm>[0-9]{4})"
    rb"|(?P<zone_hour>[0-9]{2})(?::(?P<zone_minute>[0-9]{2}))?))"
)
ISO = YMD + rb"[T ]" + HMS + DECIMALS + rb"(?:" + ZONE + rb")?"
"""As RFC 3339, but the zone may be absent."""
SYSLOG_TIME = MONTH_NAME + rb" +(?P<day>[0-9]{1,2}) " + HMS
"""The time of RFC 3164."""
# Possessive, so that a row of backslashes cannot be read in many ways.
QUOTED = rb'"[^"\\]*(?:\\["\\]?+[^"\\]*)*"'
RFC3339 = YMD + rb"[T ]" + HMS + rb"(?:[.,]" + FRACTION + rb")?" + ZONE


def headed(pattern: bytes) -> re.Pattern[bytes]:
    """A compiled header."""
    return re.compile(pattern)
