"""Tables: files whose rows are described by a line above them, and rows of CSV whose fields hold line ends.

W3C's extended log format (IIS, CloudFront, Windows Firewall) and Zeek name the columns in a line `#Fields:` or
`#fields`; each row below becomes a JSON object with these names, which the format `w3c` reads. The names hold until
the next such line.
"""

import re
from typing import Any

import orjson

from engine.formats.field_names import TIME, kind_of
from engine.formats.letters import text_of
from engine.parsing.record_block import HeldLines, PassedLines, Placed, lines_of

_DIRECTIVE = re.compile(
    rb"#(Software|Version|Fields|Date|Start-Date|End-Date|Remark|Time Format|GMT-Offset|Log-[Tt]ype|System): ?(.*)"
    rb"|#(separator|set_separator|empty_field|unset_field|path|open|close|fields|types)[\t ](.*)"
)
_VPC_FLOW = re.compile(
    rb"(?!version account-id interface-id srcaddr )(?=.*\bsrcaddr\b)(?=.*\bstart\b)[a-z0-9-]+(?: [a-z0-9-]+)+$"
)
"""The names of the columns that a flow log was set up with."""

_TIME_OF_DAY = re.compile(r"[0-9]{1,2}:[0-9]{2}:[0-9]{2}")
_CELL = re.compile(rb'(?:"([^"]*+(?:""[^"]*+)*+)"|([^,]*+)),')
_QUOTED = re.compile(rb'"[^"]*"|[^ ]+')
_STRANGERS = 20
"""Rows of another number of columns in a row after which a table has ended."""

_MOST_LINES, _MOST_BYTES = 500, 262_144


class TableKind:
    """See `engine.parsing.record_block.BlockKind`."""

    name = "table"
    formats = ("w3c",)

    def begin(self, line: bytes) -> "TableBlock | None":
        """See `BlockKind`."""
        if _VPC_FLOW.match(line):
            return TableBlock(line.decode().split(), "vpc_flow", heading=True)
        return TableBlock() if _DIRECTIVE.match(line) else None

    def restore(self, state: list[Any]) -> "TableBlock":
        """See `BlockKind`."""
        columns, path, local, date, commas = state
        return TableBlock(columns, path, local=local, date=date, commas=commas)


class TableBlock(PassedLines):
    """See `engine.parsing.record_block.RecordBlock`; it never holds a line."""

    def __init__(
        self, columns: list[str] | None = None, path: str = "", *, local: bool = False, date: str = "",
        commas: bool = False, heading: bool = False,
    ) -> None:  # fmt: skip
        """`heading`: whether the first line to take is the one with the names of the columns."""
        self._columns = columns or []
        self._path = path
        self._local = local
        self._date = date
        self._commas = commas
        self._heading = heading
        self._strangers = 0

    def take(self, position: int, line: bytes) -> list[Placed] | None:
        """See `RecordBlock`."""
        if line.startswith(b"#"):
            return self._direct(line)
        if self._heading:
            self._heading = False
            return []
        values = self._values(line)
        if not self._columns or len(values) != len(self._columns):
            self._strangers += 1
            return None if self._strangers > _STRANGERS or not self._columns else [(position, line)]
        self._strangers = 0
        return [(position, orjson.dumps(self._row(values)))]

    def _direct(self, line: bytes) -> list[Placed] | None:
        found = _DIRECTIVE.match(line)
        if found is None:
            return None
        name, text = (found[1] or found[3]).lower(), (found[2] if found[1] else found[4]).decode("utf-8", "replace")
        if name == b"fields":
            self._commas = "," in text and " " not in text.strip()
            self._columns = text.strip().split("," if self._commas else "\t" if "\t" in text else None)
        elif name in (b"date", b"start-date"):
            self._date = text.strip().partition("T")[0].partition(" ")[0]
        elif name == b"path":
            self._path = text
        elif name == b"time format":
            self._local = text.strip().lower() == "local"
        return []

    def _values(self, line: bytes) -> list[bytes]:
        if self._commas:
            return cells_of(line)
        if b"\t" in line:
            return line.split(b"\t")
        return line.split(b" ") if b'"' not in line else [part.strip(b'"') for part in _QUOTED.findall(line)]

    def _row(self, values: list[bytes]) -> dict[str, str]:
        named = zip(self._columns, (text_of(value) for value in values), strict=True)
        row = {name: value for name, value in named if value not in ("-", "(empty)", "")}
        date = row.pop("date", self._date)
        if date and _TIME_OF_DAY.match(row.get("time", "")):
            row["time"] = f"{date}T{row['time']}" + ("" if self._local else "Z")
        if self._path == "vpc_flow":
            row["time"] = row.get("start", "")
        return {"#table": self._path or "w3c", **row}

    def state(self) -> list[Any]:
        """See `RecordBlock`."""
        return [self._columns, self._path, self._local, self._date, self._commas]


_TIMED = re.compile(rb"([0-9]{6} +[0-9]{1,2}:[0-9]{2}:[0-9]{2}\t) *[0-9]+ [A-Z]")
_UNTIMED = re.compile(rb"\t\t *[0-9]+ [A-Z]")


class GeneralLogKind:
    """See `engine.parsing.record_block.BlockKind`. MySQL's general log: only the first line of a second has it."""

    name = "mysql_general"
    formats = ("mysql_general_old",)

    def begin(self, line: bytes) -> "GeneralLogBlock | None":
        """See `BlockKind`."""
        return GeneralLogBlock() if _TIMED.match(line) else None

    def restore(self, state: list[Any]) -> "GeneralLogBlock":
        """See `BlockKind`."""
        return GeneralLogBlock(state[0].encode())


class GeneralLogBlock(PassedLines):
    """See `engine.parsing.record_block.RecordBlock`; it never holds a line, and gives the time to lines without one."""

    def __init__(self, time: bytes = b"") -> None:
        self._time = time
        self._strangers = 0

    def take(self, position: int, line: bytes) -> list[Placed] | None:
        """See `RecordBlock`."""
        self._strangers = 0 if line.startswith(b"\t\t") else self._strangers + 1
        if found := _TIMED.match(line):
            self._time, self._strangers = found[1], 0
        elif _UNTIMED.match(line):
            line = self._time + line.lstrip(b"\t")
        return None if self._strangers > _STRANGERS else [(position, line)]

    def state(self) -> list[Any]:
        """See `RecordBlock`."""
        return [self._time.decode()]


_CSV = re.compile(
    rb"(?:[A-Z][a-z]+(?: [A-Z][a-z]+)?),[0-9]{1,2}[./-][0-9]{1,2}[./-][0-9]{4} "
    rb"|[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9:]{8}\.[0-9]{3} [A-Z0-9+:-]{3,6},"
)


class CsvKind:
    """See `engine.parsing.record_block.BlockKind`."""

    name = "csv"
    formats = ("windows_csv", "windows_csv_day_first", "postgresql_csv")

    def begin(self, line: bytes) -> "CsvBlock | None":
        """See `BlockKind`."""
        return CsvBlock() if line.count(b'"') % 2 and _CSV.match(line) else None

    def restore(self, state: list[Any]) -> "CsvBlock":
        """See `BlockKind`."""
        return CsvBlock(lines_of(state))


class _QuotedLines(HeldLines):
    """Holds the lines of a row of CSV until the number of its quotation marks is even."""

    def __init__(self, lines: list[Placed] | None = None) -> None:
        super().__init__(lines)
        self._odd = sum(line.count(b'"') for _, line in self._lines) % 2

    def _whole(self, position: int, line: bytes) -> list[Placed] | None:
        """The lines of the row if this one completes it, none if it does not; None if the row gets too long."""
        if len(self._lines) >= _MOST_LINES or self._bytes + len(line) > _MOST_BYTES:
            return None
        self._hold(position, line)
        self._odd = (self._odd + line.count(b'"')) % 2
        return [] if self._odd else self._released()


class CsvBlock(_QuotedLines):
    """See `engine.parsing.record_block.RecordBlock`: one row."""

    def take(self, position: int, line: bytes) -> list[Placed] | None:
        """See `RecordBlock`."""
        lines = self._whole(position, line)
        if not lines:
            return lines
        self.done = True
        return [(lines[0][0], b" ".join(text for _, text in lines))]


_HEADING = re.compile(rb'"?[A-Za-z@_][\w@.-]*"?(?:,"?[A-Za-z@_][\w@.-]*"?){2,}$')
_TELLING = frozenset("message msg text description details event action level severity status log".split())
"""Names of columns; a table of a log has one of them, and a time."""


class NamedCsvKind:
    """See `engine.parsing.record_block.BlockKind`: CSV below a line with the names of its columns."""

    name = "named_csv"
    formats = ("w3c",)

    def begin(self, line: bytes) -> "NamedCsvBlock | None":
        """See `BlockKind`."""
        if not _HEADING.match(line):
            return None
        names = [name.strip('"') for name in line.decode("utf-8", "replace").split(",")]
        timed = any(kind_of(name) == TIME for name in names)
        return NamedCsvBlock(names, heading=True) if timed and not _TELLING.isdisjoint(map(str.lower, names)) else None

    def restore(self, state: list[Any]) -> "NamedCsvBlock":
        """See `BlockKind`."""
        columns, lines = state
        return NamedCsvBlock(columns, lines_of(lines))


class NamedCsvBlock(_QuotedLines):
    """See `engine.parsing.record_block.RecordBlock`: all rows below the names."""

    def __init__(self, columns: list[str], lines: list[Placed] | None = None, *, heading: bool = False) -> None:
        """`heading`: whether the first line to take is the one with the names."""
        super().__init__(lines)
        self._columns = columns
        self._heading = heading

    def take(self, position: int, line: bytes) -> list[Placed] | None:
        """See `RecordBlock`."""
        if self._heading:
            self._heading = False
            return []
        lines = self._whole(position, line)
        if not lines:
            return lines
        cells = cells_of(b" ".join(text for _, text in lines))
        if len(cells) != len(self._columns):
            return lines
        named = zip(self._columns, map(text_of, cells), strict=True)
        return [(lines[0][0], orjson.dumps({"#table": "csv"} | {name: value for name, value in named if value}))]

    def state(self) -> list[Any]:
        """See `RecordBlock`."""
        return [self._columns, super().state()]


def cells_of(line: bytes) -> list[bytes]:
    """The cells of a row of CSV."""
    cells = _CELL.finditer(line + b",")
    return [cell[2] if cell[1] is None else cell[1].replace(b'""', b'"') for cell in cells]


TABLE_KINDS = (TableKind(), CsvKind(), GeneralLogKind(), NamedCsvKind())
