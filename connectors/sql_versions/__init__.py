"""Migrations of the SQL store, in order; each is fixed once it is released. Alembic loads them by path."""

from alembic import op


def alerts_table() -> str:
    """Return the name that the settings give the table of alerts; it is also how its indexes begin."""
    return str(op.get_context().opts["alerts_table"])
