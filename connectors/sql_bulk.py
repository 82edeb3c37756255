"""Many rows upserted at once, as tuples: SQLite gets one prepared statement, PostgreSQL a COPY into a staging table."""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

Changes = Callable[[Any], Mapping[str, Any]]
"""New values of an existing row, from the columns of the row that was to be inserted; one function of a module."""


def upsert_rows(
    connection: sa.Connection, table: sa.Table, rows: Sequence[tuple[Any, ...]], changes: Changes
) -> None:  # fmt: skip
    """Insert rows, or change those whose key exists.

    Args:
        connection: In a transaction.
        table: Where to insert; its key is not generated.
        rows: Values in the order of the table's columns, each key once. Sort them by key, so that two writers lock
            rows in the same order.
        changes: See the type; without parameters.

    Raises:
        sqlalchemy.exc.DBAPIError: the database refused the rows.
    """
    if not rows:
        return
    if connection.dialect.name == "postgresql":
        key = [column.name for column in table.primary_key.columns]
        staged = _staged(connection, table, rows)
        copied = postgresql.insert(table).from_select([column.name for column in table.columns], staged)
        connection.execute(copied.on_conflict_do_update(index_elements=key, set_=changes(copied.excluded)))
        return
    connection.exec_driver_sql(_statement(table, changes), list(rows))


@lru_cache(maxsize=32)
def _statement(table: sa.Table, changes: Changes) -> str:
    """The upsert of SQLite, kept because compiling it takes longer than storing a hundred rows."""
    insert, key = sqlite.insert(table), [column.name for column in table.primary_key.columns]
    upsert = insert.on_conflict_do_update(index_elements=key, set_=changes(insert.excluded))
    return str(upsert.compile(dialect=sqlite.dialect(paramstyle="qmark")))


def _staged(connection: sa.Connection, table: sa.Table, rows: Sequence[tuple[Any, ...]]) -> sa.Select[Any]:
    """Copy rows into a table of this connection that is emptied at the end of the transaction; return its rows."""
    import psycopg

    # By name: a table that migrations have changed may have its columns in another order.
    name, names = f"staged_{table.name}", [column.name for column in table.columns]
    connection.exec_driver_sql(f"CREATE TEMPORARY TABLE IF NOT EXISTS {name} (LIKE {table.name}) ON COMMIT DELETE ROWS")
    connection.exec_driver_sql(f"TRUNCATE {name}")  # from an earlier call in the same transaction
    driver: Any = connection.connection.driver_connection
    try:
        with driver.cursor() as cursor, cursor.copy(f"COPY {name} ({', '.join(names)}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)
    except psycopg.Error as error:
        raise sa.exc.DBAPIError(f"COPY {name}", None, error) from error
    columns: list[Any] = [sa.column(column) for column in names]
    return sa.select(*columns).select_from(sa.table(name))
