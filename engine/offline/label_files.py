"""Reads labels of a log from CSV or JSON lines: by session, by line number or by time interval.

The columns decide which of the three it is; upper and lower case, spaces and underscores do not matter:

- `session,label` (also `key`, `BlockId`): a session key and its label;
- `line,label` (also `LineId`): a line number, counted from 1;
- `start,end,label`: two times in ISO 8601 or in seconds since 1970.

Without a column `label` every row names an anomaly. A column `file` names the log file of a line number.
"""

import csv
import io
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import orjson

from engine.offline.inputs import DatasetError, read_whole
from engine.offline.record_labels import ColumnLabels, IntervalLabels, LabelWords, LineLabels, RecordLabels
from foundation.time_text import NS_PER_S, NS_PER_US

COLUMN = "column:"
"""Prefix of labels that are a column of the log itself."""

_NAMES: Mapping[str, tuple[str, ...]] = {
    "session": ("session", "sessionkey", "sessionid", "key", "blockid"),
    "line": ("line", "lineid", "linenumber", "lineno"),
    "start": ("start", "begin", "starttime", "from"),
    "end": ("end", "endtime", "to"),
    "label": ("label", "anomaly", "anomalous", "isanomaly", "class"),
    "file": ("file", "log"),
}
_SECONDS = re.compile(r"[0-9]{1,10}(\.[0-9]+)?")
_EXPECTED = "session,label or line,label or start,end,label"

Row = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class SessionLabels:
    """Labels by session key.

    Attributes:
        anomalous: Session key → whether it is anomalous.
        all_listed: Whether the file lists every session; if not, it lists the anomalous ones only.
    """

    anomalous: Mapping[str, bool]
    all_listed: bool


def open_labels(labels: str | Path, files: Sequence[Path], timezone: str = "UTC") -> SessionLabels | RecordLabels:
    """Labels as a command line names them.

    Args:
        labels: A file, or `column:NAME` for a column of the log itself.
        files: The log files that the labels are for.
        timezone: IANA name of the zone of times that are written without one.

    Raises:
        DatasetError: the file cannot be read or does not have the columns of one of the three kinds.
    """
    if str(labels).startswith(COLUMN):
        return ColumnLabels(str(labels).removeprefix(COLUMN))
    return _LabelFile(Path(labels), files, timezone).read()


def read_session_labels(path: Path) -> dict[str, bool]:
    """Session key → anomalous, from a file with labels by session.

    Raises:
        DatasetError: the file cannot be read, or has labels of another kind.
    """
    found = open_labels(path, ())
    if not isinstance(found, SessionLabels):
        raise DatasetError(f"{path}: expected the columns session,label")
    return dict(found.anomalous)


class _LabelFile:
    def __init__(self, path: Path, files: Sequence[Path], timezone: str) -> None:
        self._path = path
        self._files = files
        self._zone = ZoneInfo(timezone)
        self._words = LabelWords(f"{path}: the column label")

    def read(self) -> SessionLabels | RecordLabels:
        content = read_whole(self._path)
        rows = _objects if content.lstrip().startswith(b"{") else _records
        numbered = [(number, _named(row)) for number, row in rows(self._path, content)]
        columns = _columns(self._path, content)
        names = _named(dict.fromkeys(columns, "named"))
        readers: dict[str, Callable[[list[tuple[int, Row]]], SessionLabels | RecordLabels]] = {
            "session": self._sessions, "line": self._lines, "start": self._intervals,
        }  # fmt: skip
        kind = next((kind for kind in readers if kind in names), None)
        if kind is None or (kind == "start" and "end" not in names):
            raise DatasetError(f"{self._path}: the columns are {', '.join(columns) or 'none'}; expected {_EXPECTED}")
        found = readers[kind](numbered)
        self._words.check()
        return found

    def _sessions(self, rows: list[tuple[int, Row]]) -> SessionLabels:
        anomalous = {self._value(n, row, "session"): self._is_anomalous(n, row) for n, row in rows}
        return SessionLabels(anomalous, all_listed=any("label" in row for _, row in rows))

    def _lines(self, rows: list[tuple[int, Row]]) -> LineLabels:
        found: dict[Path, list[int]] = {}
        for number, row in rows:
            text = self._value(number, row, "line")
            if not text.isdecimal() or int(text) < 1:
                raise DatasetError(f"{self._path}: row {number}: line is {text!r}, expected a whole number from 1")
            if self._is_anomalous(number, row):
                found.setdefault(self._file(number, row), []).append(int(text))
        return LineLabels(found)

    def _file(self, number: int, row: Row) -> Path:
        """The log file that a row is about."""
        name = row.get("file", "")
        if not name and len(self._files) == 1:
            return self._files[0]
        if not name:
            raise DatasetError(f"{self._path}: row {number}: several logs need a column file")
        matching = [f for f in self._files if str(f) == name] or [f for f in self._files if f.name == Path(name).name]
        if len(matching) != 1:
            what = "several logs have that name" if matching else "no log has that name"
            raise DatasetError(f"{self._path}: row {number}: file is {name!r}; {what}")
        return matching[0]

    def _intervals(self, rows: list[tuple[int, Row]]) -> IntervalLabels:
        found = []
        for number, row in rows:
            begin, end = self._time(number, row, "start"), self._time(number, row, "end")
            if end < begin:
                raise DatasetError(
                    f"{self._path}: row {number}: the end {row['end']!r} is before the start {row['start']!r}"
                )
            if self._is_anomalous(number, row):
                found.append((begin, end))
        return IntervalLabels.of(found)

    def _time(self, number: int, row: Row, name: str) -> int:
        """UTC ns since the epoch."""
        text = self._value(number, row, name)
        try:
            if _SECONDS.fullmatch(text):
                return int(Decimal(text) * NS_PER_S)
            time = datetime.fromisoformat(text)
        except ValueError as error:
            raise DatasetError(
                f"{self._path}: row {number}: {name} is {text!r}, expected an ISO 8601 time or seconds since 1970"
            ) from error
        aware = time if time.tzinfo is not None else time.replace(tzinfo=self._zone)
        return int(aware.replace(microsecond=0).timestamp()) * NS_PER_S + aware.microsecond * NS_PER_US

    def _value(self, number: int, row: Row, name: str) -> str:
        if not (text := row.get(name, "")):
            raise DatasetError(f"{self._path}: row {number}: {name} is missing")
        return text

    def _is_anomalous(self, number: int, row: Row) -> bool:
        return self._words.is_anomalous(self._value(number, row, "label")) if "label" in row else True


def _named(row: Mapping[str, Any]) -> Row:
    """A row with the project's own names for its columns; columns that are not needed are left out."""
    plain = {"".join(c for c in name.lower() if c.isalnum()): value for name, value in row.items() if name}
    found: dict[str, str] = {}
    for name, spellings in _NAMES.items():
        value = next((plain[s] for s in spellings if s in plain), None)
        if value is not None:
            found[name] = str(value).strip()
    return found


def _records(path: Path, content: bytes) -> Iterator[tuple[int, Mapping[str, Any]]]:
    reader = _reader(content)
    try:
        yield from ((reader.line_num, row) for row in reader)
    except csv.Error as error:
        raise DatasetError(f"{path}: line {reader.line_num} is not CSV: {error}") from error


def _reader(content: bytes) -> "csv.DictReader[str]":
    text = io.TextIOWrapper(io.BytesIO(content), encoding="utf-8-sig", errors="backslashreplace", newline="")
    return csv.DictReader(text, restval="")


def _objects(path: Path, content: bytes) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for number, line in enumerate(content.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            raise DatasetError(f"{path}: row {number} is not JSON: {error}") from error
        if not isinstance(row, dict):
            raise DatasetError(f"{path}: row {number} is not a JSON object")
        yield number, row


def _columns(path: Path, content: bytes) -> list[str]:
    """The names of the columns, for messages."""
    if content.lstrip().startswith(b"{"):
        return list(dict.fromkeys(name for _, row in _objects(path, content) for name in row))
    return [name for name in _reader(content).fieldnames or [] if name]
