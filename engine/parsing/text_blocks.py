"""Records of text over several lines whose first line has no message: the lines become one."""

import re
from dataclasses import dataclass
from typing import Any

from engine.parsing.record_block import HeldLines, Placed, lines_of

_LONGEST_FIRST = 1024
"""Bytes of a first line. It has no message, so it is short; the patterns need not be linear in longer ones."""


@dataclass(frozen=True, slots=True)
class TextKind:
    """A first line and the lines that are joined to it, with a space in between.

    Lines behind these, such as a stack trace, join the record later (`engine.parsing.continuation`).

    Attributes:
        name: See `engine.parsing.record_block.BlockKind`.
        formats: See there.
        first: The first line.
        more: A line that may follow.
        last: A line that ends the record; None where its number does.
        most: Lines that are joined to the first at most.
        second: The second line; None where `more` is enough.
        heading: Whether the lines are the heading of a file and not an event: they give no record.
    """

    name: str
    formats: tuple[str, ...]
    first: re.Pattern[bytes]
    more: re.Pattern[bytes]
    last: re.Pattern[bytes] | None = None
    most: int = 1
    second: re.Pattern[bytes] | None = None
    heading: bool = False

    def begin(self, line: bytes) -> "TextBlock | None":
        """See `BlockKind`."""
        return TextBlock(self) if len(line) <= _LONGEST_FIRST and self.first.match(line) else None

    def restore(self, state: list[Any]) -> "TextBlock":
        """See `BlockKind`."""
        return TextBlock(self, lines_of(state))


class TextBlock(HeldLines):
    """See `engine.parsing.record_block.RecordBlock`."""

    def __init__(self, kind: TextKind, lines: list[Placed] | None = None) -> None:
        super().__init__(lines)
        self._kind = kind

    def take(self, position: int, line: bytes) -> list[Placed] | None:
        """See `RecordBlock`."""
        kind = self._kind
        expected = kind.second if len(self._lines) == 1 and kind.second is not None else kind.more
        if self._lines and not expected.match(line):
            return None
        self._hold(position, line)
        full = len(self._lines) > kind.most
        if not full and (kind.last is None or kind.last.search(line) is None):
            return []
        self.done = True
        return self.rest()

    def rest(self) -> list[Placed]:
        """See `RecordBlock`."""
        lines = self._released()
        if not lines or self._kind.heading:
            return []
        return [(lines[0][0], b" ".join(line.strip() for _, line in lines))]


_MONTH = rb"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"

JAVA_LOGGING = TextKind(
    "java_logging",
    ("java_logging",),
    # JDK 20 and later write a narrow no-break space before AM and PM.
    re.compile(_MONTH + rb" [0-9]{1,2}, [0-9]{4} [0-9]{1,2}:[0-9]{2}:[0-9]{2}(?: |\xe2\x80\xaf)[AP]M \S+(?: \S+)?$"),
    re.compile(rb"[^\s:]{3,30}: "),
)

SAMBA = TextKind(
    "samba",
    ("samba",),
    re.compile(rb"\[[0-9]{4}/[0-9]{2}/[0-9]{2} [0-9:.]+, +[0-9]+[^\]]*\] \S+:[0-9]+\(\S*\)$"),
    re.compile(rb"[ \t]+\S"),
)

DOTNET_CONSOLE = TextKind(
    "dotnet_console",
    ("dotnet_console", "dotnet_console_timed"),
    re.compile(rb"(?:\[?[0-9]{4}-[^ ]+(?: [0-9][^ ]+)? )?(?:trce|dbug|info|warn|fail|crit): \S+\[[0-9]+\]$"),
    re.compile(rb"      "),
)

PHP_SLOW = TextKind(
    "php_slow",
    ("php_slow",),
    re.compile(rb"\[[0-9]{2}-" + _MONTH + rb"-[0-9]{4} [0-9:]{8}\]  \[pool [^\]]+\] pid [0-9]+$"),
    re.compile(rb"script_filename = |\[0x[0-9a-f]+\] "),
    most=2,
)

MYSQL_SLOW = TextKind(
    "mysql_slow",
    ("mysql_slow", "mysql_slow_old"),
    re.compile(rb"# (?:Time: [0-9][^ ]*(?: +[0-9:]+)?|User@Host: [^#]*)$"),
    re.compile(rb"(?!# Time: |\S+, Version: ).*\S"),
    re.compile(rb"^(?!use |SET |# (?!administrator command)).*;\s*$"),
    most=200,
    second=re.compile(rb"# "),
)

MYSQL_BANNER = TextKind(
    "mysql_banner",
    ("mysql_slow", "mysql_slow_old", "mysql_general", "mysql_general_old"),
    re.compile(rb"\S*(?:mysqld|mariadbd)\S*, Version: \S.* started with:$"),
    re.compile(rb"(?i)Tcp port: |Time\s+Id\s+Command\s+Argument"),
    re.compile(rb"^Time\s+Id\s"),
    most=2,
    heading=True,
)
"""What the server writes above its general and slow logs whenever it opens them."""

EVENT_XML = TextKind(
    "event_xml",
    ("windows_xml",),
    re.compile(rb"<Event[ >](?!.*</Event>)"),
    re.compile(rb"\s*[^#\s]|$"),
    re.compile(rb"</Event>\s*$"),
    most=500,
)

ORACLE_ALERT = TextKind(
    "oracle_alert",
    ("dated", "ctime"),
    re.compile(
        rb"(?:[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+[-+][0-9]{2}:[0-9]{2}"
        rb"|(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) " + _MONTH + rb" [0-9 ][0-9] [0-9:]{8} [0-9]{4})\s*$"
    ),
    re.compile(rb"(?![0-9]{4}-[0-9]{2}-[0-9]{2}T|(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) [A-Z][a-z]{2} [0-9 ][0-9] [0-9:]{8})"),
    most=100,
)
"""Oracle's alert log: a time on a line of its own, then what happened."""

DB2 = TextKind(
    "db2",
    ("db2",),
    re.compile(rb"[0-9]{4}-[0-9]{2}-[0-9]{2}-[0-9]{2}\.[0-9]{2}\.[0-9]{2}\.[0-9]+[-+][0-9]+ \S+ +LEVEL: \S+\s*$"),
    re.compile(rb"\S|[ \t]+\S"),
    most=100,
)

ERLANG_REPORT = TextKind(
    "erlang_report",
    ("erlang_report",),
    re.compile(rb"=[A-Z]+ REPORT==+ [^=]*===\s*$"),
    re.compile(rb"(?!=[A-Z]+ REPORT=).*\S"),
    most=200,
)

APT_HISTORY = TextKind(
    "apt_history",
    ("peeled",),
    re.compile(rb"Start-Date: [0-9-]+ +[0-9:]+$"),
    re.compile(rb"[A-Z][A-Za-z-]+: "),
    re.compile(rb"^End-Date: "),
    most=20,
)

HEADINGS = TextKind(
    "headings",
    ("vpc_flow", "windows_csv", "windows_csv_day_first", "macos"),
    re.compile(
        rb"version account-id interface-id |Level,Date and Time,Source,|\"?Keywords\"?,\"?Date and Time\"?,"
        rb"|Timestamp +Thread +Type +Activity +PID"
    ),
    re.compile(rb"(?!)"),
    most=0,
    heading=True,
)
"""Names of columns above the rows of exported tables."""

TEXT_KINDS = (
    JAVA_LOGGING, SAMBA, DOTNET_CONSOLE, PHP_SLOW, MYSQL_SLOW, MYSQL_BANNER, EVENT_XML, ORACLE_ALERT, DB2,
    ERLANG_REPORT, APT_HISTORY, HEADINGS,
)  # fmt: skip
