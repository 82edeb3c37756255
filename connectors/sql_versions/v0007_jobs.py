"""Jobs: trainings that were asked for through the API."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

_TEXTS = (
    "kind", "model", "detector", "source", "actor", "folder", "request", "state", "created", "started", "ended",
    "cancelled_by", "stage", "figures", "report", "sentence",
)  # fmt: skip


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "jobs",
        sa.Column("id", sa.Text(), primary_key=True),
        *(sa.Column(name, sa.Text(), nullable=False) for name in _TEXTS),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in ("attempts", "revision", "done", "total")),
        sa.Column("version", sa.BigInteger()),
    )
    op.create_index("jobs_created", "jobs", ["created", "id"])
    op.create_index("jobs_state", "jobs", ["state"])
