"""The SQL store as the API reads and writes it."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa

from connectors.base import SinkUnavailableError
from connectors.sql_database import begin_write, database_url, driver_message, open_database, shown
from connectors.sql_settings import SqlSettings

REPORTED_S = 60.0
"""How long a failed write is reported; then nothing is known until the next one."""


class Database:
    """The tables of `connectors.sql_schema`; threads may share it."""

    def __init__(self, settings: SqlSettings, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        """Open the database and bring its schema up to date.

        Raises:
            SinkUnavailableError: it cannot be opened now.
            SettingsError: it was made by a newer version, or is of another kind.
        """
        self._url = database_url(settings)
        self._engine = open_database(self._url, settings)
        self._monotonic_s = monotonic_s
        self._failed_s: float | None = None

    @property
    def writable(self) -> bool:
        """False for `REPORTED_S` after a write that failed, unless a later one succeeded."""
        return self._failed_s is None or self._monotonic_s() > self._failed_s + REPORTED_S

    def rows(self, query: sa.Select[Any]) -> Sequence[Mapping[str, Any]]:
        """The rows of a query.

        Raises:
            SinkUnavailableError: the database cannot be read now.
        """
        with self._reading() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]

    def tuples(self, query: sa.Select[Any]) -> Sequence[Any]:
        """The rows of a query as tuples, for answers that look at many of them.

        Raises:
            SinkUnavailableError: the database cannot be read now.
        """
        with self._reading() as connection:
            return [tuple(row) for row in connection.execute(query)]

    @contextmanager
    def _reading(self) -> Iterator[sa.Connection]:
        try:
            with self._engine.connect() as connection:
                yield connection
        except (sa.exc.DBAPIError, sa.exc.TimeoutError) as error:
            raise SinkUnavailableError(f"cannot read {shown(self._url)}: {driver_message(error)}") from error

    def row(self, query: sa.Select[Any]) -> Mapping[str, Any] | None:
        """The first row of a query; None if it has none."""
        return next(iter(self.rows(query.limit(1))), None)

    def count(self, query: sa.Select[Any]) -> int:
        """The number of rows of a query."""
        (found,) = self.rows(sa.select(sa.func.count().label("n")).select_from(query.subquery()))
        return int(found["n"])

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """A transaction that holds the writer's lock from its start.

        Raises:
            SinkUnavailableError: the database cannot be written now; nothing was changed.
        """
        try:
            with self._engine.begin() as connection:
                begin_write(connection)
                yield connection
        except (sa.exc.DBAPIError, sa.exc.TimeoutError) as error:
            if not isinstance(error, sa.exc.IntegrityError):  # a name that is taken says nothing about the database
                self._failed_s = self._monotonic_s()
            raise SinkUnavailableError(f"cannot write {shown(self._url)}: {driver_message(error)}") from error
        self._failed_s = None

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()
