"""Reads one line by its format's patterns: the slow and defining way, from which plans are made."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from engine.formats import http_status
from engine.formats.base import LEVELS, SYSLOG_LEVELS, Format
from engine.formats.digit_invariance import exact_widths, why_not_blind
from engine.formats.id_invariance import why_not_id_blind
from engine.formats.timestamps import DIGIT_GROUPS, BadTimeError, TimeRules
from engine.parsing.continuation import CONTINUATION
from engine.parsing.inner_level import level_within
from engine.parsing.parsed_columns import LEVEL_BY_LINE, LEVEL_NAMES, PIECE, SPANNED, TRACE

MAX_SHOWN = 60
MAX_PID_DIGITS = 18


class BadLineError(ValueError):
    """The line does not parse; the message is the reason in one sentence."""


@dataclass(frozen=True, slots=True)
class Header:
    """Where things are in one line: byte offsets from its start.

    `key_start == key_end` where the line has no session key; `timed` is False if the header has
    no time.
    """

    time_ns: int
    message_start: int
    key_start: int
    key_end: int
    match: re.Match[bytes]
    timed: bool = True


class HeaderReader:
    """Reads the lines of one format.

    Attributes:
        widths: Least and greatest number of digits of each of the format's time groups, and of its HTTP status.
        clocked: Whether the time may be found by `Format.clocks`.
        has_time: Whether lines of the format can contain their time.
        groups: Names of the header's groups.
        why_slow: Why the result for one line does not hold for others of its shape, or None.
        id_blind: Whether the result is independent of the content of ids, see `engine.formats.hex_ids`.
    """

    def __init__(self, format: Format, session: tuple[bytes, ...], times: TimeRules) -> None:
        if format.header is None:
            raise ValueError(f"format {format.name} has no header pattern")
        self._format = format
        self._pattern = format.header
        self._sessions = [re.compile(pattern) for pattern in session]
        self._clocks = [re.compile(pattern) for pattern in format.clocks]
        self._times = times
        self.widths = exact_widths(self._pattern, frozenset((*DIGIT_GROUPS, http_status.GROUP)))
        self._time_groups = self.widths.keys() - {http_status.GROUP}
        self.has_time = bool(self._time_groups)
        self.groups = frozenset(self._pattern.groupindex)
        self.clocked = bool(self._clocks)
        self.id_blind = not (
            why_not_id_blind(self._pattern.pattern, search=False)
            or any(why_not_id_blind(pattern, search=True) for pattern in session)
        )
        self.why_slow: str | None = None
        for pattern in session:
            if reason := why_not_blind(pattern):
                self.why_slow = f"session rule {pattern.decode()!r} depends on digits: {reason}"

    def read(self, line: bytes, read_ns: int) -> Header:
        r"""Takes one line apart.

        Args:
            line: Without its line end, and without a final `\r`.
            read_ns: When it was read.

        Raises:
            BadLineError: it does not parse.
        """
        match = self.match(line)
        groups = match.groupdict()
        timed = self.has_time and any(groups[name] is not None for name in self._time_groups)
        try:
            time_ns = self._times.of_groups(groups, read_ns) if timed else self._own_time(match, read_ns)
        except BadTimeError as reason:
            raise BadLineError(str(reason)) from None
        start, end = self.key(line)
        message_start = match.start("message")
        return Header(time_ns, len(line) if message_start < 0 else message_start, start, end, match, timed)

    def _own_time(self, match: re.Match[bytes], read_ns: int) -> int:
        """The time that `Format.clocks` find in a line whose header has none, or when it was read."""
        start = match.start("message") if self.has_time else 0
        for clock in self._clocks:
            if found := clock.search(match.string, start):
                return self._times.of_groups(found.groupdict(), read_ns)
        return read_ns

    def match(self, line: bytes) -> re.Match[bytes]:
        """The header's match.

        Raises:
            BadLineError: the line is empty, is not text, or is of another format.
        """
        check_text(line, binary=self._format.binary)
        match = self._pattern.match(line)
        if match is None:
            shown = line[:MAX_SHOWN].decode("utf-8", "backslashreplace")
            more = "..." if len(line) > MAX_SHOWN else ""
            raise BadLineError(
                f"does not match format {self._format.name}: expected {self._format.expected!r}, got {shown + more!r}"
            )
        return match

    def spans(self, match: re.Match[bytes], length: int) -> list[tuple[int, int]]:
        """Places of the fields in `parsed_columns.SPANNED`; an omitted message is at the line's end."""
        places = (match.span(name) if name in self.groups else (-1, -1) for name in SPANNED)
        return [(length, length) if start < 0 else (start, end) for start, end in places]

    def level_code(self, match: re.Match[bytes]) -> int:
        """Index into `parsed_columns.LEVEL_NAMES`, or `LEVEL_BY_LINE` where the level depends on digits."""
        word = match["level"] if "level" in self.groups else None
        if word is None and "priority" in self.groups and match["priority"] is not None:
            return LEVEL_BY_LINE
        if word is not None and not word.isalpha() and any(48 <= c <= 57 for c in word):
            return LEVEL_BY_LINE
        return LEVEL_NAMES.index(self.level(match))

    def level(self, match: re.Match[bytes]) -> str:
        """The line's level, "" where it has none that is known.

        A container's wrapper and many headers have no level: then the message may begin with one.
        """
        level = "" if self._format.streams else level_of(match.groupdict(), self._format.levels)
        return level if level or self._format.http else level_within(match["message"] or b"")

    def container(self, match: re.Match[bytes]) -> int:
        """See `engine.parsing.parsed_columns.Rows.container`; for formats with streams."""
        number = 1 + self._format.streams.index(match["component"].decode("ascii"))
        piece = PIECE if match["piece"] is not None else 0
        return number | piece | (TRACE if CONTINUATION.match(match.string, match.start("message")) else 0)

    def kind(self, match: re.Match[bytes]) -> int:
        """Kind of the line's HTTP status, see `engine.formats.http_status`; 0 where it has none."""
        return int(http_status.KINDS[int(match[http_status.GROUP])]) if http_status.GROUP in self.widths else 0

    def key(self, line: bytes) -> tuple[int, int]:
        """The session key's bytes in the line; (0, 0) where it has none."""
        for pattern in self._sessions:
            if found := pattern.search(line):
                return found.span("key")
        return 0, 0


def check_text(line: bytes, *, binary: bool = False) -> None:
    """Reject lines that are not text in any format.

    Raises:
        BadLineError: the line is blank or, unless `binary`, contains a NUL.
    """
    if not line or line.isspace():
        raise BadLineError("empty line")
    if not binary and (at := line.find(b"\0")) >= 0:
        raise BadLineError(f"contains a NUL byte at byte {at}, so it is not text")


def level_of(groups: Mapping[str, bytes | None], own: Mapping[str, str]) -> str:
    """The level in OpenTelemetry's words, "" where the line has none that is known.

    `own` is what the format's own words mean, see `engine.formats.base.Format.levels`.
    """
    if level := groups.get("level"):
        word = level.decode("ascii", "replace").rstrip(" \t])>:|,/").upper()
        return own.get(word, LEVELS.get(word, ""))
    if priority := groups.get("priority"):
        return SYSLOG_LEVELS[int(priority[-3:]) % 8]  # 8 divides 1000; the number itself may be absurdly long
    return ""


def text_of(raw: bytes | None) -> str:
    r"""Bytes as text; those that are not UTF-8 become `\xNN`."""
    return "" if raw is None else raw.decode("utf-8", "backslashreplace")
