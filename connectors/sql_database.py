"""The SQL store as a database: its URL, how connections are opened, and its migrations by Alembic."""

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from connectors.base import SettingsError, SinkUnavailableError
from connectors.sql_schema import ALERTS, METADATA
from connectors.sql_settings import SqlSettings
from connectors.sql_timestamps import add_timestamps
from foundation.sqlite import prepare

_VERSION_TABLES = ("alembic_version", "schema_version")

VERSIONS = Path(__file__).with_name("sql_versions")
"""Folder of the migrations, one file a schema version."""

# It reports every start at level INFO.
logging.getLogger("alembic").setLevel(logging.WARNING)

_LOCK_KEY = 0x64726966  # any number that only this program uses


def database_url(settings: SqlSettings) -> sa.URL:
    """Return the URL of a supported database, with the driver that this project installs.

    Raises:
        SettingsError: it is not a URL, or of another database, or other settings do not suit it.
    """
    try:
        url = sa.make_url(settings.url.get_secret_value())
    except sa.exc.ArgumentError as error:
        raise SettingsError(
            "`url` of the SQL sink is not a database URL such as sqlite:///path or postgresql+psycopg://host/name"
        ) from error
    if url.get_backend_name() not in ("sqlite", "postgresql"):
        raise SettingsError(f"database {url.get_backend_name()!r} is not supported; sqlite and postgresql are")
    _check_table(url, settings)
    return url.set(drivername="postgresql+psycopg") if url.drivername == "postgresql" else url


def _check_table(url: sa.URL, settings: SqlSettings) -> None:
    given = {"schema": settings.schema_name is not None, "timestamptz": settings.timestamptz}
    unsupported = [name for name, is_set in given.items() if is_set]
    if url.get_backend_name() == "sqlite" and unsupported:
        raise SettingsError(f"SQLite has no `{unsupported[0]}`: leave it out, or name a PostgreSQL database in `url`")
    # PostgreSQL names indexes as it does tables.
    indexes = (str(index.name) for table in METADATA.tables.values() for index in table.indexes)
    if settings.table != ALERTS.name and settings.table in (*METADATA.tables, *indexes, *_VERSION_TABLES):
        raise SettingsError(
            f"`table` = {settings.table!r} is another table or an index of the store: choose a free name"
        )


def open_database(url: sa.URL, settings: SqlSettings) -> sa.Engine:
    """Open a database and bring its schema to the newest version.

    Raises:
        SinkUnavailableError: it cannot be opened now.
        SettingsError: it was made by a newer version of this program.
    """
    engine = _engine(url, settings)
    try:
        migrate(engine, settings)
    except (sa.exc.DBAPIError, OSError) as error:
        engine.dispose()
        raise SinkUnavailableError(f"cannot open {shown(url)}: {driver_message(error)}") from error
    except BaseException:
        engine.dispose()
        raise
    return engine


def _engine(url: sa.URL, settings: SqlSettings) -> sa.Engine:
    if url.get_backend_name() == "postgresql":
        arguments: dict[str, Any] = {"connect_timeout": settings.connect_timeout_s}
        engine = sa.create_engine(url, connect_args=arguments, pool_pre_ping=True)
        if settings.schema_name is not None:
            path = f'SET search_path TO "{settings.schema_name}"'
            # Before SQLAlchemy's own listener, which asks for the current schema.
            sa.event.listen(engine, "connect", lambda connection, _: _set_session(connection, path), insert=True)
        _name_alerts(engine, settings.table)
        return engine
    if url.database and url.database != ":memory:":
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    engine = sa.create_engine(url, connect_args={"timeout": settings.connect_timeout_s})
    # FULL: an acknowledged alert survives a power cut.
    sa.event.listen(engine, "connect", lambda connection, _: prepare(connection, settings.connect_timeout_s, "FULL"))
    sa.event.listen(engine, "begin", _begin_sqlite)
    _name_alerts(engine, settings.table)
    return engine


def _set_session(connection: Any, statement: str) -> None:
    """Run a statement on a new connection of psycopg so that no rollback takes it back."""
    connection.autocommit = True
    connection.execute(statement)
    connection.autocommit = False


def _name_alerts(engine: sa.Engine, table: str) -> None:
    """Let statements that are written for `ALERTS` use a table of another name; only its name is quoted in them."""
    if table == ALERTS.name:
        return

    @sa.event.listens_for(engine, "before_cursor_execute", retval=True)
    def rename(_c: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, _many: bool) -> tuple[str, Any]:
        return statement.replace(f'"{ALERTS.name}"', f'"{table}"'), parameters


def _begin_sqlite(connection: sa.Connection) -> None:
    connection.exec_driver_sql("BEGIN")


def begin_write(connection: sa.Connection) -> None:
    """Take SQLite's writer lock at the start of a transaction, so that it cannot fail half-way for the lock."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("END")
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def migrate(engine: sa.Engine, settings: SqlSettings) -> None:
    """Bring the schema to the newest version, in one transaction; safe with several processes at once.

    Raises:
        SettingsError: the database was made by a newer version of this program, or with another `table`.
    """
    from alembic.config import Config
    from alembic.runtime.environment import EnvironmentContext
    from alembic.script import ScriptDirectory
    from alembic.util import CommandError

    scripts = ScriptDirectory(str(VERSIONS), version_locations=[str(VERSIONS)])
    with engine.begin() as connection:
        begin_write(connection)
        if engine.dialect.name == "postgresql":
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK_KEY})")
            _create_schema(connection, settings.schema_name)
        found = _found_version(connection)
        if found is not None and not sa.inspect(connection).has_table(settings.table):
            raise SettingsError(
                f"the database has no table {settings.table!r}: its tables were made with another `table`. "
                "Set that one, or choose another database or, on PostgreSQL, another `schema`"
            )
        if found != scripts.get_current_head():
            context = EnvironmentContext(Config(), scripts, fn=lambda now, _: scripts._upgrade_revs("head", now))
            context.configure(connection=connection, alerts_table=settings.table)
            try:
                context.run_migrations()
            except CommandError as error:
                raise SettingsError(
                    f"the database has schema version {found}, but this program supports only "
                    f"{scripts.get_current_head()}: update the program"
                ) from error
        if settings.timestamptz:
            add_timestamps(connection, settings.table)


def _create_schema(connection: sa.Connection, name: str | None) -> None:
    # `IF NOT EXISTS` would need the right to create schemas even where the schema exists.
    if name is not None and not sa.inspect(connection).has_schema(name):
        connection.exec_driver_sql(f'CREATE SCHEMA "{name}"')


def _found_version(connection: sa.Connection) -> str | None:
    from alembic.migration import MigrationContext

    return MigrationContext.configure(connection).get_current_revision()


def upsert(
    connection: sa.Connection, table: sa.Table, rows: Sequence[Mapping[str, Any]],
    changes: Callable[[Any], Mapping[str, Any]],
) -> None:  # fmt: skip
    """Insert rows, or change those whose key exists.

    Args:
        connection: In a transaction.
        table: Where to insert.
        rows: At least one, each key once.
        changes: New values of an existing row, from the columns of the row that was to be inserted.
    """
    key = [column.name for column in table.primary_key.columns]
    # The rows are parameters, so that the statement is compiled once and not for every number of rows.
    if connection.dialect.name == "postgresql":
        pg = postgresql.insert(table)
        connection.execute(pg.on_conflict_do_update(index_elements=key, set_=changes(pg.excluded)), list(rows))
    else:
        lite = sqlite.insert(table)
        connection.execute(lite.on_conflict_do_update(index_elements=key, set_=changes(lite.excluded)), list(rows))


def shown(url: sa.URL) -> str:
    """Return a URL as text without its password."""
    return url.render_as_string(hide_password=True)


def driver_message(error: Exception) -> str:
    """Return the driver's message, first line, without statement or parameters, which quote log lines."""
    origin = error.orig if isinstance(error, sa.exc.DBAPIError) else error
    return str(origin).strip().partition("\n")[0]
