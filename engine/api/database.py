"""The SQL store as the API reads and writes it."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa

from connectors.base import SinkUnavailableError
from connectors.sql_database import begin_write, database_url, driver_message, open_database, shown
from connectors.sql_settings import SqlSettings


class Database:
    """The tables of `connectors.sql_schema`; threads may share it."""

    def __init__(self, settings: SqlSettings) -> None:
        """Open the database and bring its schema up to date.

        Raises:
            SinkUnavailableError: it cannot be opened now.
            SettingsError: it was made by a newer version, or is of another kind.
        """
        self._url = database_url(settings)
        self._engine = open_database(self._url, settings)

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
            raise SinkUnavailableError(f"cannot write {shown(self._url)}: {driver_message(error)}") from error

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()
