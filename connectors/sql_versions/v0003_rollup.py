"""Counts per minute and template, and the templates."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_LEVELS = ("none", "trace", "debug", "info", "warn", "error", "fatal")


def upgrade() -> None:
    """Create both tables."""
    key: list[sa.Column[Any]] = [
        sa.Column("region", sa.Text(), primary_key=True),
        sa.Column("partition", sa.Text(), primary_key=True),
        sa.Column("minute", sa.BigInteger(), primary_key=True),
        sa.Column("part", sa.BigInteger(), primary_key=True),
        sa.Column("template", sa.Text(), primary_key=True),
    ]
    op.create_table(
        "template_minutes",
        *key,
        *(sa.Column(f"level_{name}", sa.BigInteger(), nullable=False) for name in _LEVELS),
    )
    op.create_index("template_minutes_minute", "template_minutes", ["minute"])
    op.create_index("template_minutes_template", "template_minutes", ["template", "minute"])
    op.create_table(
        "templates",
        sa.Column("region", sa.Text(), primary_key=True),
        sa.Column("id", sa.Text(), primary_key=True),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("text", "first_seen", "last_seen", "example")),
    )
