"""Columns of type `timestamptz` in the table of alerts, for queries of other programs.

The text columns remain: they hold nanoseconds, and the order of pages is that of the text. PostgreSQL computes the new
columns from them, so they agree whichever program writes the row.
"""

import sqlalchemy as sa

TIMESTAMPS = {"first_at": "first_time", "last_at": "last_time", "created_at": "created"}
"""The new columns, each with the text that it is computed from."""

_FUNCTION = """
CREATE OR REPLACE FUNCTION driftline_time(given text) RETURNS timestamptz LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN given ~ '^[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-5][0-9]([.][0-9]+)?Z$'
    THEN given::timestamptz END
$$
"""
"""Immutable, because the texts that it takes name their zone; a text without a time gives NULL."""


def add_timestamps(connection: sa.Connection, table: str) -> None:
    """Add the columns that are missing, with the values of all rows; this rewrites the table once.

    Args:
        connection: In a transaction of PostgreSQL.
        table: Name of the table of alerts.
    """
    present = {column["name"] for column in sa.inspect(connection).get_columns(table)}
    missing = {name: source for name, source in TIMESTAMPS.items() if name not in present}
    if not missing:
        return
    connection.exec_driver_sql(_FUNCTION)
    columns = ", ".join(
        f"ADD COLUMN {name} timestamptz GENERATED ALWAYS AS (driftline_time({source})) STORED"
        for name, source in missing.items()
    )
    connection.exec_driver_sql(f'ALTER TABLE "{table}" {columns}')
    connection.exec_driver_sql(f'CREATE INDEX IF NOT EXISTS "{table}_last_at" ON "{table}" (last_at)')
