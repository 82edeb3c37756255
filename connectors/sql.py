"""Alerts in a SQL table: SQLite in WAL mode by default, PostgreSQL by URL.

Rows are upserted by the alert's id, so a replay after a crash leaves each alert exactly once and
the sink needs no state. The schema is made and brought up to date by `open`.
"""

import threading
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
import sqlalchemy as sa

from connectors.base import Record, SinkUnavailableError, State
from connectors.sql_alert_hours import COUNTED_BY, count_alerts
from connectors.sql_database import begin_write, database_url, driver_message, open_database, shown, upsert
from connectors.sql_schema import ALERTS, alert_columns
from connectors.sql_settings import SqlSettings
from foundation.time_text import NS_PER_S, iso_time, parse_time

NS_PER_HOUR = 3_600 * NS_PER_S
NS_PER_DAY = 24 * NS_PER_HOUR

DELETED_ROWS = 10_000
"""Alerts that one flush deletes at most: what the time of a flush does not suffice for would be tried indefinitely."""

BATCH_ROWS = 500
"""Rows that are looked up and written at once."""


class SqlSink:
    """See the module; `recent` and `count` read back, from another thread if need be."""

    snapshot_holds_pending = False

    def __init__(self, settings: SqlSettings) -> None:
        self._settings = settings
        self._url = database_url(settings)
        self._engine: sa.Engine | None = None
        self._lock = threading.Lock()
        self._kept: dict[str, Record] = {}
        self._deleted_ns = 0  # alerts made before this time are deleted

    def open(self, resume: State | None) -> None:
        """See `Sink.open`."""
        self._dispose()
        self._engine = open_database(self._url, self._settings)

    def write(self, records: Sequence[Record]) -> None:
        """See `Sink.write`; of records with one id the last one counts."""
        for record in records:
            self._kept.pop(record.id, None)
            self._kept[record.id] = record

    def pending(self) -> int:
        """See `Sink.pending`."""
        return len(self._kept)

    def flush(self, timeout_s: float) -> None:
        """See `Sink.flush`; one transaction."""
        if not self._kept:
            return
        records = list(self._kept.values())
        try:
            with self._open_engine().begin() as connection:
                _limit(connection, timeout_s)
                begin_write(connection)
                for i in range(0, len(records), BATCH_ROWS):
                    rows = [_row(r) for r in records[i : i + BATCH_ROWS]]
                    count_alerts(connection, added=rows, removed=_stored(connection, [row["id"] for row in rows]))
                    upsert(connection, ALERTS, rows, _replaced)
                deleted_ns = self._delete_old(connection, records)
        except (sa.exc.DBAPIError, OSError) as error:
            raise SinkUnavailableError(
                f"{len(records)} alerts were not stored in {self._name()}: {driver_message(error)}. They are kept."
            ) from error
        self._kept = {}
        self._deleted_ns = deleted_ns

    def snapshot(self) -> State:
        """Nothing: upserts need no state."""
        return {}

    def close(self) -> None:
        """See `Sink.close`."""
        self._kept = {}
        self._dispose()

    def recent(self, limit: int = 100) -> list[dict[str, Any]]:
        """Documents of the alerts made last, newest first.

        Raises:
            SinkUnavailableError: the database cannot be read now.
        """
        query = sa.select(ALERTS.c.document).order_by(ALERTS.c.created.desc(), ALERTS.c.id).limit(limit)
        return [orjson.loads(row[0]) for row in self._read(query)]

    def recent_events(self, limit: int) -> list[dict[str, Any]]:
        """Documents of the newest drift events, newest first; alerts in the same table are left out.

        Raises:
            SinkUnavailableError: the database cannot be read now.
        """
        # Drift events have no `last_time`, which an index finds, and their own time as `first_time`.
        newest = ALERTS.c.first_time.desc(), ALERTS.c.id
        query = sa.select(ALERTS.c.document).where(ALERTS.c.last_time.is_(None)).order_by(*newest).limit(limit)
        return [orjson.loads(row[0]) for row in self._read(query)]

    def count(self) -> int:
        """How many alerts are stored.

        Raises:
            SinkUnavailableError: the database cannot be read now.
        """
        return int(self._read(sa.select(sa.func.count()).select_from(ALERTS))[0][0])

    def _delete_old(self, connection: sa.Connection, records: Sequence[Record]) -> int:
        """Delete alerts behind the retention, once for each hour, many of them over several flushes.

        Returns:
            The time before which none is left, in ns.
        """
        created = [str(record.document["created"]) for record in records if "created" in record.document]
        if self._settings.keep_days is None or not created:
            return self._deleted_ns
        floor_ns = parse_time(max(created)) - int(self._settings.keep_days * NS_PER_DAY)
        if floor_ns < self._deleted_ns + NS_PER_HOUR:
            return self._deleted_ns
        old = sa.select(ALERTS.c.id).where(ALERTS.c.created < iso_time(floor_ns)).limit(DELETED_ROWS)
        delete = ALERTS.delete().where(ALERTS.c.id.in_(old)).returning(*_counted())
        deleted = [dict(row) for row in connection.execute(delete).mappings()]
        count_alerts(connection, added=(), removed=deleted)
        return floor_ns if len(deleted) < DELETED_ROWS else self._deleted_ns

    def _read(self, query: sa.Select[Any]) -> Sequence[Any]:
        try:
            with self._open_engine().connect() as connection:
                return connection.execute(query).all()
        except sa.exc.DBAPIError as error:
            raise SinkUnavailableError(f"cannot read {self._name()}: {driver_message(error)}") from error

    def _open_engine(self) -> sa.Engine:
        with self._lock:
            if self._engine is None:
                raise SinkUnavailableError(f"{self._name()} is not open")
            return self._engine

    def _dispose(self) -> None:
        with self._lock:
            engine, self._engine = self._engine, None
        if engine is not None:
            engine.dispose()

    def _name(self) -> str:
        return shown(self._url)


def _limit(connection: sa.Connection, timeout_s: float) -> None:
    """How long statements of this transaction may wait for locks."""
    milliseconds = max(1, int(timeout_s * 1000))
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"SET LOCAL statement_timeout = {milliseconds}")
    else:
        connection.exec_driver_sql(f"PRAGMA busy_timeout = {milliseconds}")


def _stored(connection: sa.Connection, ids: Sequence[str]) -> Sequence[Mapping[str, Any]]:
    query = sa.select(*_counted()).where(ALERTS.c.id.in_(ids))
    return [dict(row) for row in connection.execute(query).mappings()]


def _counted() -> list[sa.Column[Any]]:
    return [ALERTS.c[name] for name in COUNTED_BY]


def _replaced(excluded: Any) -> dict[str, Any]:
    return {c.name: excluded[c.name] for c in ALERTS.c if c.name != "id"}


def _row(record: Record) -> dict[str, Any]:
    document: Mapping[str, Any] = record.document
    return {**alert_columns(document), "id": record.id, "document": orjson.dumps(dict(document)).decode()}
