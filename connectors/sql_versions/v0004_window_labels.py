"""Answers about windows of the training store."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

_TEXTS = ("region", "time", "actor", "comment", "title", "sessions")


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "window_labels",
        sa.Column("window_id", sa.Text(), primary_key=True),
        sa.Column("anomalous", sa.Boolean(), nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in _TEXTS),
    )
    op.create_index("window_labels_time", "window_labels", ["time", "window_id"])
