"""Alerts in a SQL table: SQLite in WAL mode by default, PostgreSQL by URL.

Rows are upserted by the alert's id, so a replay after a crash leaves each alert exactly once and
the sink needs no state. The schema is made and brought up to date by `open`.
"""

import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_type_hints

import orjson
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from connectors.base import Record, SettingsError, SinkUnavailableError, State
from connectors.sql_settings import SqlSettings
from foundation.documents.alert import AlertDocument
from foundation.sqlite import prepare
from foundation.time_text import iso_millis

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE alerts (
            id VARCHAR(64) PRIMARY KEY, region TEXT, source TEXT, session TEXT,
            score DOUBLE PRECISION, threshold DOUBLE PRECISION, model TEXT, version BIGINT,
            first_time TEXT, last_time TEXT, first_position BIGINT, last_position BIGINT,
            created TEXT, document TEXT NOT NULL)""",
        "CREATE INDEX alerts_created ON alerts (created)",
    ),
)
"""Statements by schema version, the first brings version 1; only ever append."""

BATCH_ROWS = 500
"""Rows in one statement; 14 columns stay below SQLite's 32,766 parameters."""

_LOCK_KEY = 0x64726966  # any number that only this program uses


_COLUMNS = (
    "id", "region", "source", "session", "score", "threshold", "model", "version", "first_time", "last_time",
    "first_position", "last_position", "created",
)  # fmt: skip
"""Fields of the document that can be selected by; the whole document is in a column of its own."""

_TYPES: Mapping[Any, sa.types.TypeEngine[Any]] = {str: sa.Text(), float: sa.Double(), int: sa.BigInteger()}
_FIELDS = get_type_hints(AlertDocument)

ALERTS = sa.table(
    "alerts", *(sa.column(name, _TYPES[_FIELDS[name]]) for name in _COLUMNS), sa.column("document", sa.Text())
)
"""The table as the newest schema version has it."""


class SqlSink:
    """See the module; `recent` and `count` read back, from another thread if need be."""

    snapshot_holds_pending = False

    def __init__(self, settings: SqlSettings) -> None:
        self._settings = settings
        self._url = _url(settings)
        self._engine: sa.Engine | None = None
        self._lock = threading.Lock()
        self._kept: dict[str, Record] = {}

    def open(self, resume: State | None) -> None:
        """See `Sink.open`."""
        self._dispose()
        engine = _engine(self._url, self._settings)
        try:
            _migrate(engine)
        except (sa.exc.DBAPIError, OSError) as error:
            engine.dispose()
            raise SinkUnavailableError(f"cannot open {self._name()}: {_reason(error)}") from error
        self._engine = engine

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
                for i in range(0, len(records), BATCH_ROWS):
                    connection.execute(_upsert(connection, [_row(r) for r in records[i : i + BATCH_ROWS]]))
        except (sa.exc.DBAPIError, OSError) as error:
            raise SinkUnavailableError(
                f"{len(records)} alerts were not stored in {self._name()}: {_reason(error)}. They are kept."
            ) from error
        self._kept = {}

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

    def count(self) -> int:
        """How many alerts are stored.

        Raises:
            SinkUnavailableError: the database cannot be read now.
        """
        return int(self._read(sa.select(sa.func.count()).select_from(ALERTS))[0][0])

    def _read(self, query: sa.Select[Any]) -> Sequence[Any]:
        try:
            with self._open_engine().connect() as connection:
                return connection.execute(query).all()
        except sa.exc.DBAPIError as error:
            raise SinkUnavailableError(f"cannot read {self._name()}: {_reason(error)}") from error

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
        return self._url.render_as_string(hide_password=True)


def _url(settings: SqlSettings) -> sa.URL:
    try:
        url = sa.make_url(settings.url.get_secret_value())
    except sa.exc.ArgumentError as error:
        raise SettingsError(
            "`url` of the SQL sink is not a database URL such as sqlite:///path or postgresql+psycopg://host/name"
        ) from error
    if url.get_backend_name() not in ("sqlite", "postgresql"):
        raise SettingsError(f"database {url.get_backend_name()!r} is not supported; sqlite and postgresql are")
    return url.set(drivername="postgresql+psycopg") if url.drivername == "postgresql" else url


def _engine(url: sa.URL, settings: SqlSettings) -> sa.Engine:
    if url.get_backend_name() == "postgresql":
        arguments: dict[str, Any] = {"connect_timeout": settings.connect_timeout_s}
        return sa.create_engine(url, connect_args=arguments, pool_pre_ping=True)
    if url.database and url.database != ":memory:":
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    engine = sa.create_engine(url, connect_args={"timeout": settings.connect_timeout_s})
    # FULL: an acknowledged alert survives a power cut.
    sa.event.listen(engine, "connect", lambda connection, _: prepare(connection, settings.connect_timeout_s, "FULL"))
    sa.event.listen(engine, "begin", _begin_sqlite)
    return engine


def _begin_sqlite(connection: sa.Connection) -> None:
    connection.exec_driver_sql("BEGIN")


def _limit(connection: sa.Connection, timeout_s: float) -> None:
    """How long statements of this transaction may wait for locks."""
    milliseconds = max(1, int(timeout_s * 1000))
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"SET LOCAL statement_timeout = {milliseconds}")
    else:
        connection.exec_driver_sql(f"PRAGMA busy_timeout = {milliseconds}")


def _migrate(engine: sa.Engine) -> None:
    """Brings the schema to the newest version; safe with several processes at once.

    Raises:
        SettingsError: the database was made by a newer version of this program.
    """
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK_KEY})")
        else:
            connection.exec_driver_sql("END")
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        connection.exec_driver_sql(
            "CREATE TABLE IF NOT EXISTS schema_version (version BIGINT PRIMARY KEY, applied TEXT NOT NULL)"
        )
        found = int(connection.exec_driver_sql("SELECT COALESCE(MAX(version), 0) FROM schema_version").scalar_one())
        if found > len(MIGRATIONS):
            raise SettingsError(
                f"the database has schema version {found}, but this program supports only {len(MIGRATIONS)}: "
                "update the program"
            )
        for version in range(found + 1, len(MIGRATIONS) + 1):
            for statement in MIGRATIONS[version - 1]:
                connection.exec_driver_sql(statement)
            insert = sa.text("INSERT INTO schema_version VALUES (:version, :applied)")
            connection.execute(insert, {"version": version, "applied": iso_millis(time.time_ns())})


def _upsert(connection: sa.Connection, rows: list[dict[str, Any]]) -> sa.sql.dml.Insert:
    if connection.dialect.name == "postgresql":
        pg = postgresql.insert(ALERTS).values(rows)
        return pg.on_conflict_do_update(index_elements=["id"], set_=_replaced(pg.excluded))
    lite = sqlite.insert(ALERTS).values(rows)
    return lite.on_conflict_do_update(index_elements=["id"], set_=_replaced(lite.excluded))


def _replaced(excluded: Any) -> dict[str, Any]:
    return {c.name: excluded[c.name] for c in ALERTS.c if c.name != "id"}


def _row(record: Record) -> dict[str, Any]:
    document: Mapping[str, Any] = record.document
    row = {c.name: _clean(document.get(c.name)) for c in ALERTS.c}
    return {**row, "id": record.id, "document": orjson.dumps(dict(document)).decode()}


def _clean(value: Any) -> Any:
    # PostgreSQL's text holds no NUL; the document itself keeps it, escaped.
    return value.replace("\x00", "\ufffd") if isinstance(value, str) else value


def _reason(error: Exception) -> str:
    """The driver's words, first line, without statement or parameters (they quote log lines)."""
    origin = error.orig if isinstance(error, sa.exc.DBAPIError) else error
    return str(origin).strip().partition("\n")[0]
