"""Counts per minute and template in the SQL store; rows are absolute and upserted, so a replay changes nothing.

What a row changed by is added to the rows of its hour and day and to those of all templates, in the same transaction.
So these are exact sums at any time, and remain when the minutes are deleted. A row must not be deleted while it may be
written again, because what it had would be added twice. Deletion therefore looks at what was written before the last
snapshots, from which a replay starts.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import sqlalchemy as sa

from connectors.base import Record, SinkUnavailableError, State
from connectors.count_rows import CountsDocument
from connectors.sql_bulk import Changes, upsert_rows
from connectors.sql_database import begin_write, database_url, driver_message, open_database, shown
from connectors.sql_rollup_rows import Counted, Key, store_minutes
from connectors.sql_schema import SCORE_SPANS, TEMPLATE_MINUTES, TEMPLATE_SPANS, TEMPLATES, without_nul
from connectors.sql_settings import SqlSettings
from foundation.time_text import NS_PER_S, iso_time

MINUTES_PER_DAY = 1_440

SNAPSHOTS = 3
"""Snapshots after which rows that were written before the first of them are not written again."""


@dataclass(frozen=True, slots=True)
class KeptDays:
    """Days of event time behind the newest minute after which rows are deleted."""

    minutes: float
    hours: float
    days: float


@dataclass(slots=True)
class _Seen:
    """A template since the last flush: its text, event times of its lines in ns, and its first example."""

    text: str
    first_ns: int
    last_ns: int
    example: str

    def widen(self, first_ns: int, last_ns: int, example: str) -> None:
        self.first_ns = min(self.first_ns, first_ns)
        self.last_ns = max(self.last_ns, last_ns)
        self.example = self.example or example

    def row(self, region: str, template: str) -> tuple[str, ...]:
        """The row in the order of the columns of `TEMPLATES`."""
        times = iso_time(self.first_ns), iso_time(self.last_ns)
        return region, template, without_nul(self.text), *times, without_nul(self.example)


class SqlRollupSink:
    """Writes the documents of the rollup; keeps their rows until they are stored."""

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
        self._minutes: dict[Key, Counted] = {}
        self._templates: dict[tuple[str, str], _Seen] = {}
        self._newest: dict[str, int] = {}
        self._snapshots: deque[dict[str, int]] = deque(maxlen=SNAPSHOTS)
        self._deleted = 0

    def open(self, resume: State | None) -> None:
        """See `Sink.open`."""
        self.close()
        self._engine = open_database(self._url, self._settings)

    def write(self, records: Sequence[Record]) -> None:
        """See `Sink.write`; each is a `CountsDocument`. Of rows with one key the last one counts."""
        for record in records:
            document = cast(CountsDocument, record.document)
            region, partition = document["region"], document["partition"]
            for minute, part, template, counts, scores in document["rows"]:
                self._minutes[region, partition, minute, part, template] = counts, scores
            for template, text, first_ns, last_ns, example in document["templates"]:
                seen = self._templates.get((region, template))
                if seen is None:
                    self._templates[region, template] = _Seen(text, first_ns, last_ns, example)
                else:
                    seen.widen(first_ns, last_ns, example)

    def pending(self) -> int:
        """See `Sink.pending`; rows."""
        return len(self._minutes)

    def flush(self, timeout_s: float) -> None:
        """See `Sink.flush`; one transaction."""
        if not self._minutes:
            return
        if self._engine is None:
            raise SinkUnavailableError(f"{shown(self._url)} is not open")
        newest: dict[str, int] = {}
        for _, partition, minute, _, _ in self._minutes:
            newest[partition] = max(newest.get(partition, 0), minute)
        region = next(iter(self._minutes))[0]
        try:
            with self._engine.begin() as connection:
                begin_write(connection)
                store_minutes(connection, self._minutes)
                lives = [seen.row(*name) for name, seen in sorted(self._templates.items())]
                upsert_rows(connection, TEMPLATES, lives, _WIDENED[connection.dialect.name])
                deleted = self._delete_old(connection, region, newest)
        except (sa.exc.DBAPIError, OSError) as error:
            raise SinkUnavailableError(
                f"{len(self._minutes)} counts were not stored in {shown(self._url)}: {driver_message(error)}. "
                "They are kept."
            ) from error
        self._deleted = deleted
        for partition, minute in newest.items():
            self._newest[partition] = max(self._newest.get(partition, 0), minute)
        self._minutes, self._templates = {}, {}

    def snapshot(self) -> State:
        """Nothing: upserts need no state."""
        self._snapshots.append(dict(self._newest))
        return {}

    def close(self) -> None:
        """See `Sink.close`."""
        engine, self._engine = self._engine, None
        if engine is not None:
            engine.dispose()

    def _delete_old(self, connection: sa.Connection, region: str, written: Iterable[str]) -> int:
        """Delete rows behind the retention, once for each hour of event time.

        Args:
            connection: In the transaction that stores rows.
            region: Whose rows are deleted.
            written: Partitions of the rows that are stored.

        Returns:
            The newest minute at the last deletion.
        """
        settled = self._snapshots[0] if len(self._snapshots) == SNAPSHOTS else {}
        newest = max(settled.values(), default=0)
        if newest < self._deleted + 60:
            return self._deleted
        kept, columns = self._kept_days, TEMPLATE_MINUTES.c
        for partition, top in settled.items():
            _delete_minutes(connection, region, _floor(top, kept.minutes, 60), columns.partition == partition)
        # Another worker may still read lines of long ago, so its partitions have twice the time. What is read now has
        # its own time only: a minute that is still open is written again.
        read = set(written)
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


def _widened(least: Callable[..., Any], greatest: Callable[..., Any]) -> Changes:
    """First and last seen of a template only move apart; the first example stays."""
    return lambda excluded: {
        "first_seen": least(TEMPLATES.c.first_seen, excluded.first_seen),
        "last_seen": greatest(TEMPLATES.c.last_seen, excluded.last_seen),
        "example": sa.case(
            (TEMPLATES.c.example == sa.literal_column("''"), excluded.example), else_=TEMPLATES.c.example
        ),
    }


_WIDENED: Mapping[str, Changes] = {
    "sqlite": _widened(sa.func.min, sa.func.max),
    "postgresql": _widened(sa.func.least, sa.func.greatest),
}
"""Changes of a template by the database."""
