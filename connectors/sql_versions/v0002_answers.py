"""Columns that alerts are filtered by, and the tables of users, answers and the audit log."""

import json
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from alembic import op

from connectors.sql_versions import alerts_table

revision = "0002"
down_revision = "0001"

_SEVERITIES = ("info", "low", "medium", "high", "critical")
_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_BATCH = 1_000


def upgrade() -> None:
    """Add the columns with their values, and the tables."""
    alerts = alerts_table()
    for name in ("group_id", "kind", "line_class", "title", "cause"):
        op.add_column(alerts, sa.Column(name, sa.Text()))
    op.add_column(alerts, sa.Column("severity", sa.SmallInteger()))
    _fill(op.get_bind(), alerts)
    op.drop_index(f"{alerts}_created", alerts)
    op.create_index(f"{alerts}_created", alerts, ["created", "id"])
    op.create_index(f"{alerts}_time", alerts, ["last_time", "id"])
    op.create_index(f"{alerts}_group", alerts, ["group_id", "last_time"])
    _table("group_states", "group_id", "status", "changed", "changed_by", sa.Column("revision", sa.BigInteger()))
    _table("alert_events", _serial(), "time", "actor", "event", "group_id", "alert_id", "comment")
    op.create_index("alert_events_group", "alert_events", ["group_id", "id"])
    stored: sa.Column[Any] = sa.Column("in_training_store", sa.Boolean())
    _table("feedback", "alert_id", "group_id", "answer", "time", "actor", "comment", stored)
    disabled: sa.Column[Any] = sa.Column("disabled", sa.Boolean())
    failures: sa.Column[Any] = sa.Column("failures", sa.Integer())
    _table("users", "name", "role", "password_hash", "created", disabled, failures, "locked_until")
    _table("user_sessions", "key_hash", "user_name", "csrf_token", "created", "expires")
    op.create_index("user_sessions_user", "user_sessions", ["user_name"])
    _table("api_tokens", "id", "key_hash", "name", "user_name", "role", "created", "expires")
    op.create_index("api_tokens_key", "api_tokens", ["key_hash"], unique=True)
    op.create_index("api_tokens_user", "api_tokens", ["user_name"])
    _table("audit", _serial(), "time", "actor", "action", "subject", "detail")
    op.create_index("audit_time", "audit", ["time"])
    if sa.inspect(op.get_bind()).has_table("schema_version"):
        # Programs from before Alembic refuse to write a database with a version that they do not have.
        op.execute("INSERT INTO schema_version VALUES (2, '')")


def _serial() -> sa.Column[Any]:
    return sa.Column("id", _NUMBER, primary_key=True, autoincrement=True)


def _table(name: str, *columns: str | sa.Column[Any]) -> None:
    """Create a table whose first column is its key; a name alone is a column of text."""
    made: list[sa.Column[Any]] = []
    for i, column in enumerate(columns):
        made.append(sa.Column(column, sa.Text(), primary_key=i == 0) if isinstance(column, str) else column)
        made[-1].nullable = False
    op.create_table(name, *made)


def _fill(connection: sa.Connection, alerts: str) -> None:
    """Set the new columns of the alerts that are stored."""
    last = ""
    read = sa.text(f'SELECT id, document FROM "{alerts}" WHERE id > :last ORDER BY id LIMIT :batch')
    write = sa.text(
        f'UPDATE "{alerts}" SET severity = :severity, group_id = :group_id, kind = :kind, line_class = :line_class, '
        "title = :title, cause = :cause WHERE id = :id"
    )
    while rows := connection.execute(read, {"last": last, "batch": _BATCH}).all():
        connection.execute(write, [{"id": row[0], **_columns(json.loads(row[1]))} for row in rows])
        last = rows[-1][0]


def _columns(alert: Mapping[str, Any]) -> dict[str, Any]:
    reasons = alert.get("reasons") or ()
    severity = alert.get("severity")
    templates = alert.get("templates") or ()
    texts = {
        "group_id": alert.get("group", ""),
        "kind": reasons[0].get("kind", "") if reasons else "score",
        "line_class": (alert.get("classification") or {}).get("class", ""),
        "title": alert.get("summary") or (templates[-1]["text"] if templates else "anomaly"),
        "cause": next((reason["template"] for reason in reasons if reason.get("template")), ""),
    }
    cleaned = {name: str(text).replace("\x00", "\ufffd")[:1_000] for name, text in texts.items()}
    return {"severity": _SEVERITIES.index(severity) if severity in _SEVERITIES else 2, **cleaned}
