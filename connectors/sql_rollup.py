"""Counts per minute and template in the SQL store; rows are absolute and upserted, so a replay changes nothing."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import sqlalchemy as sa

from connectors.base import Record, SinkUnavailableError, State
from connectors.sql_database import begin_write, database_url, driver_message, open_database, shown, upsert
from connectors.sql_schema import LEVEL_COLUMNS, TEMPLATE_MINUTES, TEMPLATES, without_nul
from connectors.sql_settings import SqlSettings
from foundation.time_text import iso_time

BATCH_ROWS = 500
MINUTES_PER_DAY = 1_440


class SqlRollupSink:
    """Writes rows of `engine.steps.rollup`; keeps them until they are stored."""

    snapshot_holds_pending = False

    def __init__(self, settings: SqlSettings, keep_days: float) -> None:
        """Open nothing yet.

        Args:
            settings: The database.
            keep_days: Days of event time behind the newest minute after which a row is deleted.
        """
        self._settings = settings
        self._url = database_url(settings)
        self._keep_minutes = int(keep_days * MINUTES_PER_DAY)
        self._engine: sa.Engine | None = None
        self._kept: dict[str, Record] = {}
        self._newest = 0
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
                widened = _widened_on(connection)
                for i in range(0, len(documents), BATCH_ROWS):
                    part = documents[i : i + BATCH_ROWS]
                    upsert(connection, TEMPLATE_MINUTES, _sorted(map(_minute_row, part), TEMPLATE_MINUTES), _replaced)
                    upsert(connection, TEMPLATES, _sorted(_template_rows(part).values(), TEMPLATES), widened)
                self._delete_old(connection, documents[0]["region"], max(d["minute"] for d in documents))
        except (sa.exc.DBAPIError, OSError) as error:
            raise SinkUnavailableError(
                f"{len(documents)} counts were not stored in {shown(self._url)}: {driver_message(error)}. "
                "They are kept."
            ) from error
        self._kept = {}

    def snapshot(self) -> State:
        """Nothing: upserts need no state."""
        return {}

    def close(self) -> None:
        """See `Sink.close`."""
        engine, self._engine = self._engine, None
        if engine is not None:
            engine.dispose()

    def _delete_old(self, connection: sa.Connection, region: str, newest: int) -> None:
        """Delete rows behind the retention, once for each hour of event time."""
        self._newest = max(self._newest, newest)
        floor = self._newest - self._keep_minutes
        if floor < self._deleted + 60:
            return
        table = TEMPLATE_MINUTES.c
        connection.execute(TEMPLATE_MINUTES.delete().where(table.region == region, table.minute < floor))
        self._deleted = floor


def _minute_row(document: Any) -> dict[str, Any]:
    row = {name: document[name] for name in ("region", "partition", "minute", "part", "template")}
    return {**row, **dict(zip(LEVEL_COLUMNS, document["levels"], strict=True))}


def _template_rows(documents: Sequence[Any]) -> dict[tuple[str, str], dict[str, Any]]:
    """One row a template: a statement may touch a row once."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for d in documents:
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
    return {name: excluded[name] for name in LEVEL_COLUMNS}


def _widened_on(connection: sa.Connection) -> Callable[[Any], dict[str, Any]]:
    """First and last seen of a template only move apart; the first example stays."""
    postgres = connection.dialect.name == "postgresql"
    least, greatest = (sa.func.least, sa.func.greatest) if postgres else (sa.func.min, sa.func.max)
    return lambda excluded: {
        "first_seen": least(TEMPLATES.c.first_seen, excluded.first_seen),
        "last_seen": greatest(TEMPLATES.c.last_seen, excluded.last_seen),
        "example": sa.case((TEMPLATES.c.example == "", excluded.example), else_=TEMPLATES.c.example),
    }
