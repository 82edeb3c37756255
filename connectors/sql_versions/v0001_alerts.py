"""The table of alerts, as Driftline 0.2 created it before Alembic; a database that has it stays as it is."""

import sqlalchemy as sa
from alembic import op

from connectors.base import SettingsError
from connectors.sql_versions import alerts_table

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create the table if it is missing."""
    table = alerts_table()
    inspector = sa.inspect(op.get_bind())
    if inspector.has_table(table):
        if "document" not in {column["name"] for column in inspector.get_columns(table)}:
            raise SettingsError(f"the database has a table {table!r} that is not one of alerts: choose another `table`")
        return
    texts = ("region", "source", "session")
    op.create_table(
        table,
        sa.Column("id", sa.String(64), primary_key=True),
        *(sa.Column(name, sa.Text()) for name in texts),
        sa.Column("score", sa.Double()),
        sa.Column("threshold", sa.Double()),
        sa.Column("model", sa.Text()),
        sa.Column("version", sa.BigInteger()),
        sa.Column("first_time", sa.Text()),
        sa.Column("last_time", sa.Text()),
        sa.Column("first_position", sa.BigInteger()),
        sa.Column("last_position", sa.BigInteger()),
        sa.Column("created", sa.Text()),
        sa.Column("document", sa.Text(), nullable=False),
    )
    op.create_index(f"{table}_created", table, ["created"])
