"""Parsed lines as records, and the files they are written to: JSON lines, CSV, Parquet."""

import csv
import io
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, BinaryIO, Protocol

import orjson

from connectors.base import LineBatch
from engine.formats.base import LEVEL_NAMES
from engine.parsing.header import MAX_PID_DIGITS, text_of
from engine.parsing.parsed_columns import SPANNED
from engine.steps.parse import Parsed, Parser
from foundation.extras import require
from foundation.time_text import iso_time

JsonRecord = dict[str, Any]

Judge = Callable[[Parsed, Mapping[int, str]], Sequence[Mapping[str, Any]]]
"""Further fields for every good line of a batch, given the texts of all templates announced so far."""

COLUMNS = ("timestamp", "format", "level", "host", "component", "pid", "session", "template", "message")
"""Fields that are written of a record: `timestamp` in UTC ns since the epoch, `pid` a number or None, the others text.

A record has `position` as well, see `connectors.base.LineBatch`.
"""

PROBABILITY = "p_"
"""How columns with numbers between 0 and 1 begin."""


class RecordReader:
    """Turns batches into records, stack traces whole, in the order in which they begin.

    Args:
        parser: Reads the batches.
        judge: Adds columns for each line.

    Attributes:
        lines, bad: Lines read, and lines that did not parse.
        undated: Records that have the time of reading.
        formats: Records by format.
        first_bad: Place and reason of the first line that did not parse, or "".
    """

    def __init__(self, parser: Parser, judge: Judge | None = None) -> None:
        self._parser = parser
        self._judge = judge
        self._templates: dict[int, str] = {}
        self._held: deque[tuple[int, int, JsonRecord]] = deque()  # row since the start, stream, record
        self._last: dict[int, JsonRecord] = {}
        self._rows = 0
        self.lines = self.bad = self.undated = 0
        self.formats: dict[str, int] = {}
        self.first_bad = ""

    @property
    def joined(self) -> int:
        """Lines that are part of a record with several."""
        # Where one line holds many records, there may be more of them than lines.
        return max(0, self.lines - self.bad - sum(self.formats.values()))

    def add(self, batch: LineBatch) -> list[JsonRecord]:
        """The records that are complete with this batch: all but those at the end that lines may still join."""
        self.lines += len(batch) + len(batch.rejects)
        return self._complete(self._parser.parse(batch))

    def _complete(self, parsed: Parsed) -> list[JsonRecord]:
        good, joined = parsed.good, parsed.joined
        self._templates.update(good.templates)
        self.bad += len(good.bad)
        self.undated += parsed.undated()
        if good.bad and not self.first_bad:
            self.first_bad = f"{good.bad[0].place}: {good.bad[0].reason}"
        more = [{}] * len(parsed) if self._judge is None else self._judge(parsed, self._templates)
        made = ({**record, **fields} for record, fields in zip(self._records(parsed), more, strict=True))
        for row in sorted([*good.rows.tolist(), *joined]):
            if (stream := joined.get(row)) is not None:
                if stream in self._last:
                    self._last[stream]["message"] += "\n" + parsed.joined_text(row)
                continue
            stream = parsed.stream(row)
            self._last[stream] = next(made)
            self._held.append((self._rows + row, stream, self._last[stream]))
        self._rows += len(good.lines)
        oldest = self._rows - self._parser.max_join_lines
        done: list[JsonRecord] = []
        while self._held and (self._held[0][0] < oldest or self._held[0][2] is not self._last[self._held[0][1]]):
            done.append(self._release())
        return done

    def _release(self) -> JsonRecord:
        """The first record that is held, without the blank lines that joined it last."""
        _, _, record = self._held.popleft()
        record["message"] = record["message"].rstrip("\n")
        return record

    def finish(self) -> list[JsonRecord]:
        """The last records, once no line is to come."""
        parsed = self._parser.finish()
        done = [] if parsed is None else self._complete(parsed)
        return done + [self._release() for _ in range(len(self._held))]

    def _records(self, parsed: Parsed) -> Iterator[JsonRecord]:
        found, good, data = parsed.rows, parsed.good, parsed.good.lines.data
        positions = good.lines.positions.tolist()
        columns = (good.rows, good.time_ns, good.template, good.key_start, good.key_end, parsed.level())
        for row, time_ns, template, start, end, level in zip(*(c.tolist() for c in columns), strict=True):
            format = parsed.formats[found.format[row]].name
            self.formats[format] = self.formats.get(format, 0) + 1
            record: JsonRecord = {"timestamp": time_ns, "format": format, "position": positions[row]}
            if (fields := found.fields.get(row)) is not None:
                record |= {"level": fields.level, "host": fields.host, "component": fields.component}
                record |= {"pid": fields.pid, "session": fields.session_key, "message": fields.message}
            else:
                texts = [data[a:b] for a, b in found.spans[row].tolist()]
                record |= dict(zip(SPANNED, map(text_of, texts), strict=True))
                del record["thread"]
                pid = texts[SPANNED.index("pid")]
                record["pid"] = int(pid) if pid and len(pid) <= MAX_PID_DIGITS else None
                record["session"] = text_of(data[start:end])
                record["level"] = LEVEL_NAMES[level]
            record["template"] = self._templates[template]
            yield record


class Writer(Protocol):
    """Writes records to a file that the caller opened and closes."""

    def write(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Writes some."""
        ...

    def close(self) -> None:
        """Writes what a file needs at its end; the file itself stays open."""
        ...


class JsonLinesWriter:
    """One JSON object a line; the time in ISO 8601 with nanoseconds."""

    def __init__(self, file: BinaryIO, columns: Sequence[str]) -> None:
        self._file = file
        self._columns = columns

    def write(self, records: Sequence[Mapping[str, Any]]) -> None:
        """See `Writer`."""
        rows = ({name: record[name] for name in self._columns} for record in records)
        lines = (orjson.dumps({**row, "timestamp": iso_time(row["timestamp"])}) for row in rows)
        self._file.write(b"".join(line + b"\n" for line in lines))

    def close(self) -> None:
        """See `Writer`."""
        self._file.flush()


_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""What a cell begins with, behind spaces, that a spreadsheet would run."""

_PICTURES = {i: chr(0x2400 + i) for i in range(32) if chr(i) not in "\t\n\r"} | {127: "\u2421"}
_CONTROLS = {ord(picture): chr(i) for i, picture in _PICTURES.items()}


def spreadsheet_text(text: str) -> str:
    """Text that no spreadsheet runs: what would begin a formula gets a `'` in front.

    https://owasp.org/www-community/attacks/CSV_Injection
    """
    return f"'{text}" if _runs(text) else text


def _runs(text: str) -> bool:
    return text.lstrip(" ").startswith(_FORMULA)


def csv_cell(value: Any) -> Any:
    """A value as it is written to CSV.

    As `spreadsheet_text`; control characters become Unicode's pictures of them.
    """
    return spreadsheet_text(value.translate(_PICTURES)) if isinstance(value, str) else value


def csv_text(cell: str) -> str:
    """The text of a cell that `csv_cell` made."""
    text = cell[1:] if cell.startswith("'") and _runs(cell[1:]) else cell
    return text.translate(_CONTROLS)


class CsvWriter:
    """Comma-separated values with a head line; the time in ISO 8601 with nanoseconds, cells as `csv_cell` has them."""

    def __init__(self, file: BinaryIO, columns: Sequence[str]) -> None:
        self._columns = columns
        self._text = io.TextIOWrapper(file, "utf-8", newline="", write_through=True)
        self._csv = csv.writer(self._text)
        self._csv.writerow(columns)

    def write(self, records: Sequence[Mapping[str, Any]]) -> None:
        """See `Writer`."""
        for record in records:
            cells = (csv_cell(record[name]) for name in self._columns[1:])
            self._csv.writerow([iso_time(record["timestamp"]), *cells])

    def close(self) -> None:
        """See `Writer`."""
        self._text.flush()
        self._text.detach()


def arrow_schema(columns: Sequence[str]) -> Any:
    """The `pyarrow.Schema` of records with these fields.

    Raises:
        MissingExtraError: the extra `data` is not installed.
    """
    require("data", "an Arrow table")
    import pyarrow  # type: ignore[import-untyped]

    kinds = {"timestamp": pyarrow.timestamp("ns", "UTC"), "pid": pyarrow.int64(), "position": pyarrow.int64()}
    kinds |= {name: pyarrow.float32() for name in columns if name.startswith(PROBABILITY)}
    return pyarrow.schema([(name, kinds.get(name, pyarrow.string())) for name in columns])


class ParquetWriter:
    """Parquet; the time as UTC timestamps in nanoseconds, words that repeat as dictionaries."""

    def __init__(self, file: BinaryIO, columns: Sequence[str]) -> None:
        require("data", "Parquet output")
        import pyarrow
        import pyarrow.parquet  # type: ignore[import-untyped]

        self._arrow = pyarrow
        self._schema = arrow_schema(columns)
        self._writer = pyarrow.parquet.ParquetWriter(file, self._schema)

    def write(self, records: Sequence[Mapping[str, Any]]) -> None:
        """See `Writer`."""
        if records:
            columns = {name: [record[name] for record in records] for name in self._schema.names}
            self._writer.write_table(self._arrow.table(columns, schema=self._schema))

    def close(self) -> None:
        """See `Writer`."""
        self._writer.close()


WRITERS: Mapping[str, Callable[[BinaryIO, Sequence[str]], Writer]] = {
    "jsonl": JsonLinesWriter,
    "csv": CsvWriter,
    "parquet": ParquetWriter,
}
