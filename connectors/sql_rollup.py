"""Counts per minute and template in the SQL store; rows are absolute and upserted, so a replay changes nothing.

What a row changed by is added to the rows of its hour and day and to those of all templates, in the same transaction.
So these are exact sums at any time, and remain when the minutes are deleted. A row must not be deleted while it may be
written again, because what it had would be added twice. Deletion therefore looks at what was written before the last
snapshots, from which a replay starts.
"""

import operator
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from connectors.base import Record, SinkUnavailableError, State
from connectors.sql_database import begin_write, database_url, driver_message, open_database, shown, upsert
from connectors.sql_schema import (
    COUNT_COLUMNS,
    LEVEL_COLUMNS,
    SCORE_SPANS,
    SPANS,
    TEMPLATE_MINUTES,
    TEMPLATE_SPANS,
    TEMPLATES,
    WINDOW_COLUMNS,
    without_nul,
)
from connectors.sql_settings import ALL_TEMPLATES, SqlSettings
from foundation.score_buckets import counts_of
from foundation.time_text import NS_PER_S, iso_time

MINUTES_PER_DAY = 1_440
MINUTES_READ = 500
"""Minutes that are looked up at once."""

SNAPSHOTS = 3
"""Snapshots after which rows that were written before the first of them are not written again."""

Group = tuple[str, str, int, int]
"""Region, partition, minute and part: what the rows of one partition and minute have in common."""

Sum = tuple[int, int, str, str]
"""Span, first minute, region and template."""


@dataclass(frozen=True, slots=True)
class KeptDays:
    """Days of event time behind the newest minute after which rows are deleted."""

    minutes: float
    hours: float
    days: float


class SqlRollupSink:
    """Writes rows of `engine.steps.rollup`; keeps them until they are stored."""

    snapshot_holds_pending = False

    def __init__(self, settings: SqlSettings, kept: KeptDays) -> None:
        """Open nothing yet.

        Args:
            settings: The database.
            kept: When rows are deleted.
        """
        self._settings = settings
        self._url = database_url(settings)
        self._kept_days = kept
        self._engine: sa.Engine | None = None
        self._kept: dict[str, Record] = {}
        self._newest: dict[str, int] = {}
        self._snapshots: deque[dict[str, int]] = deque(maxlen=SNAPSHOTS)
        self._deleted = 0

    def open(self, resume: State | None) -> None:
        """See `Sink.open`."""
        self.close()
        self._engine = open_database(self._url, self._settings)

    def write(self, records: Sequence[Record]) -> None:
        """See `Sink.write`; of records with one id the last one counts, with the example of the first."""
        for record in records:
            before = self._kept.pop(record.id, None)
            if before is not None and before.document["example"]:
                record = Record(record.id, record.key, {**record.document, "example": before.document["example"]})
            self._kept[record.id] = record

    def pending(self) -> int:
        """See `Sink.pending`."""
        return len(self._kept)

    def flush(self, timeout_s: float) -> None:
        """See `Sink.flush`; one transaction."""
        if not self._kept:
            return
        if self._engine is None:
            raise SinkUnavailableError(f"{shown(self._url)} is not open")
        documents = [record.document for record in self._kept.values()]
        try:
            with self._engine.begin() as connection:
                begin_write(connection)
                _store(connection, documents)
                deleted = self._delete_old(connection, documents)
        except (sa.exc.DBAPIError, OSError) as error:
            raise SinkUnavailableError(
                f"{len(documents)} counts were not stored in {shown(self._url)}: {driver_message(error)}. "
                "They are kept."
            ) from error
        self._deleted = deleted
        for document in documents:
            partition = document["partition"]
            self._newest[partition] = max(self._newest.get(partition, 0), document["minute"])
        self._kept = {}

    def snapshot(self) -> State:
        """Nothing: upserts need no state."""
        self._snapshots.append(dict(self._newest))
        return {}

    def close(self) -> None:
        """See `Sink.close`."""
        engine, self._engine = self._engine, None
        if engine is not None:
            engine.dispose()

    def _delete_old(self, connection: sa.Connection, documents: Sequence[Any]) -> int:
        """Delete rows behind the retention, once for each hour of event time.

        Args:
            connection: In the transaction that stores `documents`.
            documents: At least one.

        Returns:
            The newest minute at the last deletion.
        """
        settled = self._snapshots[0] if len(self._snapshots) == SNAPSHOTS else {}
        newest = max(settled.values(), default=0)
        if newest < self._deleted + 60:
            return self._deleted
        kept, columns, region = self._kept_days, TEMPLATE_MINUTES.c, documents[0]["region"]
        for partition, top in settled.items():
            _delete_minutes(connection, region, _floor(top, kept.minutes, 60), columns.partition == partition)
        # Another worker may still read lines of long ago, so its partitions have twice the time. What is read now has
        # its own time only: a minute that is still open is written again.
        read = {document["partition"] for document in documents}
        read.update(partition for partition, top in self._newest.items() if settled.get(partition) != top)
        _delete_minutes(connection, region, _floor(newest, 2 * kept.minutes, 60), columns.partition.not_in(read))
        for span, days in ((1, kept.minutes), (60, kept.hours), (1_440, kept.days)):
            floor = _floor(newest, days, max(60, span))
            for table in (TEMPLATE_SPANS, SCORE_SPANS):
                old = table.c.span == span, table.c.region == region, table.c.minute < floor
                connection.execute(table.delete().where(*old))
        gone = iso_time(_floor(newest, kept.days, 1_440) * 60 * NS_PER_S)
        connection.execute(TEMPLATES.delete().where(TEMPLATES.c.region == region, TEMPLATES.c.last_seen < gone))
        return newest


def _delete_minutes(connection: sa.Connection, region: str, floor: int, whose: sa.ColumnElement[bool]) -> None:
    table = TEMPLATE_MINUTES.c
    old = table.region == region, table.minute < floor, table.part < floor
    connection.execute(TEMPLATE_MINUTES.delete().where(*old, whose))


def _floor(newest: int, days: float, multiple: int) -> int:
    """First minute that is kept; with it the whole span that it is in."""
    floor = max(0, newest - int(days * MINUTES_PER_DAY))
    return floor - floor % multiple


def _store(connection: sa.Connection, documents: Sequence[Any]) -> None:
    """Replace the rows of minutes, and add what they changed by to all sums that they are in."""
    rows = [_minute_row(document) for document in documents]
    stored = _stored(connection, {_group(row) for row in rows})
    counts: dict[Sum, list[int]] = {}
    scores: Counter[tuple[int, int, str, str, int]] = Counter()
    for row in rows:
        before = stored.get((*_group(row), row["template"]))
        changes = [row[name] for name in COUNT_COLUMNS]
        moved = counts_of(row["scores"])
        if before is not None:
            *counted, sketch = before
            changes = list(map(operator.sub, changes, counted))
            moved.subtract(counts_of(sketch))
        for key in _sums(row["minute"], row["region"], row["template"]):
            _add(counts, key, changes)
            for bucket, windows in moved.items():
                scores[*key, bucket] += windows
        if row["template"] != ALL_TEMPLATES:
            # A window is in a row for each of its templates, and once in a row of its own; a line is in one row.
            of_lines = [*changes[: len(LEVEL_COLUMNS)], *(0 for _ in WINDOW_COLUMNS)]
            for key in _sums(row["minute"], row["region"], ALL_TEMPLATES):
                _add(counts, key, of_lines)
    upsert(connection, TEMPLATE_MINUTES, _sorted(rows, TEMPLATE_MINUTES), _replaced)
    if lives := _template_rows(documents):
        upsert(connection, TEMPLATES, _sorted(lives.values(), TEMPLATES), _widened_on(connection))
    upsert(connection, TEMPLATE_SPANS, _sorted(map(_span_row, counts.items()), TEMPLATE_SPANS), _added(TEMPLATE_SPANS))
    if changed := [(key, windows) for key, windows in scores.items() if windows]:
        upsert(connection, SCORE_SPANS, _sorted(map(_score_row, changed), SCORE_SPANS), _added(SCORE_SPANS))


def _stored(connection: sa.Connection, groups: set[Group]) -> dict[tuple[str, str, int, int, str], Sequence[Any]]:
    """Counts and scores of the rows of the database, by region, partition, minute, part and template.

    Other parts of the same minutes come with them: a query for each part would cost more than all its rows.
    """
    table = TEMPLATE_MINUTES.c
    minutes: dict[tuple[str, str], set[int]] = {}
    for region, partition, minute, _ in groups:
        minutes.setdefault((region, partition), set()).add(minute)
    columns = [table[name] for name in ("minute", "part", "template", *COUNT_COLUMNS, "scores")]
    found: dict[tuple[str, str, int, int, str], Sequence[Any]] = {}
    for (region, partition), wanted in minutes.items():
        every = sorted(wanted)
        for i in range(0, len(every), MINUTES_READ):
            of_part = table.minute.in_(every[i : i + MINUTES_READ])
            query = sa.select(*columns).where(table.region == region, table.partition == partition, of_part)
            for minute, part, template, *values in connection.execute(query):
                found[region, partition, minute, part, template] = values
    return found


def _group(row: Mapping[str, Any]) -> Group:
    return row["region"], row["partition"], row["minute"], row["part"]


def _sums(minute: int, region: str, template: str) -> list[Sum]:
    """Keys of the sums that a minute of a template is part of."""
    spans = SPANS if template == ALL_TEMPLATES else SPANS[:-1]
    return [(span, minute - minute % span, region, template) for span in spans]


def _add(counts: dict[Sum, list[int]], key: Sum, changes: Sequence[int]) -> None:
    before = counts.get(key)
    counts[key] = list(changes) if before is None else list(map(operator.add, before, changes))


def _minute_row(document: Any) -> dict[str, Any]:
    row = {name: document[name] for name in ("region", "partition", "minute", "part", "template", "scores")}
    return {**row, **dict(zip(COUNT_COLUMNS, document["counts"], strict=True))}


def _span_row(item: tuple[Sum, Sequence[int]]) -> dict[str, Any]:
    (span, minute, region, template), counts = item
    return {
        "span": span, "minute": minute, "region": region, "template": template,
        "lines": sum(counts[: len(LEVEL_COLUMNS)]), **dict(zip(COUNT_COLUMNS, counts, strict=True)),
    }  # fmt: skip


def _score_row(item: tuple[tuple[int, int, str, str, int], int]) -> dict[str, Any]:
    (span, minute, region, template, bucket), windows = item
    return {
        "span": span, "minute": minute, "region": region, "template": template, "bucket": bucket, "windows": windows,
    }  # fmt: skip


def _template_rows(documents: Sequence[Any]) -> dict[tuple[str, str], dict[str, Any]]:
    """One row for each template with lines: a statement may touch a row once."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for d in documents:
        if not d["text"]:
            continue
        row = found.setdefault((d["region"], d["template"]), {
            "region": d["region"], "id": d["template"], "text": without_nul(d["text"]), "example": "",
            "first_seen": iso_time(d["first_ns"]), "last_seen": iso_time(d["last_ns"]),
        })  # fmt: skip
        row["first_seen"] = min(row["first_seen"], iso_time(d["first_ns"]))
        row["last_seen"] = max(row["last_seen"], iso_time(d["last_ns"]))
        row["example"] = row["example"] or without_nul(d["example"])
    return found


def _sorted(rows: Iterable[dict[str, Any]], table: sa.Table) -> list[dict[str, Any]]:
    """Rows in the order of their keys, so that two writers lock them in the same order."""
    key = [column.name for column in table.primary_key.columns]
    return sorted(rows, key=lambda row: [row[name] for name in key])


def _replaced(excluded: Any) -> dict[str, Any]:
    return {name: excluded[name] for name in (*COUNT_COLUMNS, "scores")}


def _added(table: sa.Table) -> Callable[[Any], dict[str, Any]]:
    names = [column.name for column in table.columns if not column.primary_key]
    return lambda excluded: {name: table.c[name] + excluded[name] for name in names}


def _widened_on(connection: sa.Connection) -> Callable[[Any], dict[str, Any]]:
    """First and last seen of a template only move apart; the first example stays."""
    postgres = connection.dialect.name == "postgresql"
    least, greatest = (sa.func.least, sa.func.greatest) if postgres else (sa.func.min, sa.func.max)
    return lambda excluded: {
        "first_seen": least(TEMPLATES.c.first_seen, excluded.first_seen),
        "last_seen": greatest(TEMPLATES.c.last_seen, excluded.last_seen),
        "example": sa.case((TEMPLATES.c.example == "", excluded.example), else_=TEMPLATES.c.example),
    }
