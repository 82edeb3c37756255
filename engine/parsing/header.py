"""Reads one line by the patterns of its format: the reference for the compiled scan."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from engine.compiled.inner_level import level_within
from engine.formats import http_status, letters
from engine.formats.base import LEVELS, SYSLOG_LEVELS, Format
from engine.formats.timestamps import DIGIT_GROUPS, BadTimeError, TimeRules
from engine.parsing.continuation import CONTINUATION
from engine.parsing.parsed_columns import PIECE, SPANNED, TRACE, Fields
from foundation.bounded_pattern import BoundedPattern

MAX_SHOWN = 60
MAX_PID_DIGITS = 18


class BadLineError(ValueError):
    """The line does not parse; the message is the reason in one sentence."""


@dataclass(frozen=True, slots=True)
class Header:
    """Where things are in one line: byte offsets from its start.

    `key_start == key_end` where the line has no session key.
    """

    time_ns: int
    message_start: int
    key_start: int
    key_end: int
    match: re.Match[bytes]


class HeaderReader:
    """Reads the lines of one format."""

    def __init__(self, format: Format, session: tuple[bytes, ...], times: TimeRules) -> None:
        if format.header is None:
            raise ValueError(f"format {format.name} has no header pattern")
        self._format = format
        self._pattern = format.header
        built_in = {rule for rules in format.sessions.values() for rule in rules}
        self._sessions: list[re.Pattern[bytes] | BoundedPattern[bytes]] = [
            re.compile(pattern) if pattern in built_in else BoundedPattern(pattern) for pattern in session
        ]
        self._clocks = [re.compile(pattern) for pattern in format.clocks]
        self._times = times
        self._groups = frozenset(self._pattern.groupindex)
        self._time_groups = self._groups & set(DIGIT_GROUPS)

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
        timed = any(groups[name] is not None for name in self._time_groups)
        try:
            time_ns = self._times.of_groups(groups, read_ns) if timed else self._own_time(match, read_ns)
        except BadTimeError as reason:
            raise BadLineError(str(reason)) from None
        start, end = self.key(line)
        message_start = match.start("message")
        return Header(time_ns, len(line) if message_start < 0 else message_start, start, end, match)

    def take_apart(self, line: bytes, read_ns: int) -> Fields:
        """The fields of a line.

        Raises:
            BadLineError: it does not parse.
        """
        header = self.read(line, read_ns)
        groups = header.match.groupdict()
        pid = groups.get("pid")
        return Fields(
            time_ns=header.time_ns,
            message=text_of(line[header.message_start :]),
            level=self.level(header.match),
            host=text_of(groups.get("host")),
            component=text_of(groups.get("component")),
            pid=int(pid) if pid and len(pid) <= MAX_PID_DIGITS else None,
            thread=text_of(groups.get("thread")),
            session_key=text_of(line[header.key_start : header.key_end]),
            label=text_of(groups.get("label")),
            format=self._format.name,
        )

    def _own_time(self, match: re.Match[bytes], read_ns: int) -> int:
        """The time that `Format.clocks` find in a line whose header has none, or when it was read."""
        start = match.start("message") if self._time_groups else 0
        wrong: BadTimeError | None = None
        for clock in self._clocks:
            if found := clock.search(match.string, start):
                try:
                    return self._times.of_groups(found.groupdict(), read_ns)
                except BadTimeError as reason:
                    if not self._format.timed:
                        raise
                    wrong = wrong or reason
        if self._format.timed:
            raise wrong or BadTimeError("no time was found where the format has one")
        return read_ns

    def fits(self, line: bytes) -> bool:
        """Whether the header matches; most formats do not, and the error of `match` takes longer to word than this."""
        return self._pattern.match(line) is not None

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
        places = (match.span(name) if name in self._groups else (-1, -1) for name in SPANNED)
        return [(length, length) if start < 0 else (start, end) for start, end in places]

    def level(self, match: re.Match[bytes]) -> str:
        """The line's level, "" where it has none that is known.

        A container's wrapper and many headers have no level: then the message may begin with one.
        """
        level = "" if self._format.streams else level_of(match.groupdict(), self._format.levels)
        return level if level or self._format.http else level_within(match["message"] or b"")

    def container(self, match: re.Match[bytes]) -> int:
        """See `engine.parsing.parsed_columns.Rows.container`."""
        if not self._format.streams:
            return 0
        number = 1 + self._format.streams.index(match["component"].decode("ascii"))
        piece = PIECE if match["piece"] is not None else 0
        return number | piece | (TRACE if CONTINUATION.match(match.string, match.start("message")) else 0)

    def kind(self, match: re.Match[bytes]) -> int:
        """Kind of the line's HTTP status, see `engine.formats.http_status`; 0 where it has none."""
        return int(http_status.KINDS[int(match[http_status.GROUP])]) if self._format.http else 0

    def key(self, line: bytes) -> tuple[int, int]:
        """The session key's bytes in the line; (0, 0) where it has none."""
        for pattern in self._sessions:
            if found := pattern.search(line):
                start, end = found.span("key")
                return start, end
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
    """Bytes as text, see `engine.formats.letters`; "" for a group that took no part."""
    return "" if raw is None else letters.text_of(raw)
