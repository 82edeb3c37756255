"""The SQL store as a database: its URL, how connections are opened, and its migrations by Alembic."""

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from connectors.base import SettingsError, SinkUnavailableError
from connectors.sql_settings import SqlSettings
from foundation.sqlite import prepare

VERSIONS = Path(__file__).with_name("sql_versions")
"""Folder of the migrations, one file a schema version."""

# It reports every start at level INFO.
logging.getLogger("alembic").setLevel(logging.WARNING)

_LOCK_KEY = 0x64726966  # any number that only this program uses


def database_url(settings: SqlSettings) -> sa.URL:
    """Return the URL of a supported database, with the driver that this project installs.

    Raises:
        SettingsError: it is not a URL, or of another database.
    """
    try:
        url = sa.make_url(settings.url.get_secret_value())
    except sa.exc.ArgumentError as error:
        raise SettingsError(
            "`url` of the SQL sink is not a database URL such as sqlite:///path or postgresql+psycopg://host/name"
        ) from error
    if url.get_backend_name() not in ("sqlite", "postgresql"):
        raise SettingsError(f"database {url.get_backend_name()!r} is not supported; sqlite and postgresql are")
    return url.set(drivername="postgresql+psycopg") if url.drivername == "postgresql" else url


def open_database(url: sa.URL, settings: SqlSettings) -> sa.Engine:
    """Open a database and bring its schema to the newest version.

    Raises:
        SinkUnavailableError: it cannot be opened now.
        SettingsError: it was made by a newer version of this program.
    """
    engine = _engine(url, settings)
    try:
        migrate(engine)
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


def begin_write(connection: sa.Connection) -> None:
    """Take SQLite's writer lock at the start of a transaction, so that it cannot fail half-way for the lock."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("END")
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def migrate(engine: sa.Engine) -> None:
    """Bring the schema to the newest version, in one transaction; safe with several processes at once.

    Raises:
        SettingsError: the database was made by a newer version of this program.
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
        found = _found_version(connection)
        if found == scripts.get_current_head():
            return
        context = EnvironmentContext(Config(), scripts, fn=lambda now, _: scripts._upgrade_revs("head", now))
        context.configure(connection=connection)
        try:
            context.run_migrations()
        except CommandError as error:
            raise SettingsError(
                f"the database has schema version {found}, but this program supports only "
                f"{scripts.get_current_head()}: update the program"
            ) from error


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
