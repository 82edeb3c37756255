"""Markers on the axis of time, such as deploys."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "markers",
        sa.Column("id", sa.Text(), primary_key=True),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("time", "label", "actor")),
    )
    op.create_index("markers_time", "markers", ["time"])
