"""The tables of the SQL store as the newest schema version has them; `connectors.sql_versions` creates them.

Times are RFC 3339 text in UTC of one length a column, so their order is that of time.
"""

from collections.abc import Callable, Mapping
from typing import Any

import sqlalchemy as sa

from connectors.channels.alert_text import cause_of, severity_of, title_of
from foundation.content_ids import text_digest

METADATA = sa.MetaData()

ALERTS = sa.Table(
    sa.quoted_name("alerts", quote=True),
    METADATA,
    sa.Column("id", sa.String(64), primary_key=True),
    *(sa.Column(name, sa.Text()) for name in ("region", "source", "session")),
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
    sa.Column("severity", sa.SmallInteger()),
    sa.Column("group_id", sa.Text()),
    sa.Column("kind", sa.Text()),
    sa.Column("line_class", sa.Text()),
    sa.Column("title", sa.Text()),
    sa.Column("cause", sa.Text()),
    sa.Column("cause_id", sa.Text()),
    sa.Index("alerts_created", "created", "id"),
    sa.Index("alerts_time", "last_time", "id"),
    sa.Index("alerts_group", "group_id", "last_time", "severity", "first_time", "created"),
    sa.Index("alerts_cause", "cause_id", "last_time", "region"),
    sa.Index("alerts_series", "last_time", "region", "kind", "line_class", "severity", "score"),
)
"""One row an alert; columns next to `document` can be selected by. `connectors.sql_database` replaces the quoted name
where the settings have another one."""

ALERT_HOURS = sa.Table(
    "alert_hours",
    METADATA,
    sa.Column("minute", sa.BigInteger(), primary_key=True),
    *(sa.Column(name, sa.Text(), primary_key=True) for name in ("region", "kind", "line_class")),
    sa.Column("severity", sa.SmallInteger(), primary_key=True),
    sa.Column("alerts", sa.BigInteger(), nullable=False),
    sa.Column("score", sa.Double()),
    sqlite_with_rowid=False,
)
"""Number of alerts and their highest score by hour of their last line; `minute` is its first one, since 1970."""

GROUP_STATES = sa.Table(
    "group_states",
    METADATA,
    sa.Column("group_id", sa.Text(), primary_key=True),
    sa.Column("status", sa.Text(), nullable=False),
    sa.Column("changed", sa.Text(), nullable=False),
    sa.Column("changed_by", sa.Text(), nullable=False),
    sa.Column("revision", sa.BigInteger(), nullable=False),
)
"""What operators decided about a group of alerts; a group without a row is open."""

EVENTS = sa.Table(
    "alert_events",
    METADATA,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True, autoincrement=True),
    sa.Column("time", sa.Text(), nullable=False),
    sa.Column("actor", sa.Text(), nullable=False),
    sa.Column("event", sa.Text(), nullable=False),
    sa.Column("group_id", sa.Text(), nullable=False),
    sa.Column("alert_id", sa.Text(), nullable=False),
    sa.Column("comment", sa.Text(), nullable=False),
    sa.Index("alert_events_group", "group_id", "id"),
)
"""The life of groups and alerts: what was decided, by whom and why."""

FEEDBACK = sa.Table(
    "feedback",
    METADATA,
    sa.Column("alert_id", sa.Text(), primary_key=True),
    sa.Column("group_id", sa.Text(), nullable=False),
    sa.Column("answer", sa.Text(), nullable=False),
    sa.Column("time", sa.Text(), nullable=False),
    sa.Column("actor", sa.Text(), nullable=False),
    sa.Column("comment", sa.Text(), nullable=False),
    sa.Column("in_training_store", sa.Boolean(), nullable=False),
)
"""The last answer to each alert that was answered."""

WINDOW_LABELS = sa.Table(
    "window_labels",
    METADATA,
    sa.Column("window_id", sa.Text(), primary_key=True),
    sa.Column("region", sa.Text(), nullable=False),
    sa.Column("anomalous", sa.Boolean(), nullable=False),
    sa.Column("time", sa.Text(), nullable=False),
    sa.Column("actor", sa.Text(), nullable=False),
    sa.Column("comment", sa.Text(), nullable=False),
    sa.Column("title", sa.Text(), nullable=False),
    sa.Column("sessions", sa.Text(), nullable=False),
    sa.Index("window_labels_time", "time", "window_id"),
)
"""The last answer to each window that was asked about; `sessions` has the hashes of the sessions that it labelled."""

MARKERS = sa.Table(
    "markers",
    METADATA,
    sa.Column("id", sa.Text(), primary_key=True),
    *(sa.Column(name, sa.Text(), nullable=False) for name in ("time", "label", "actor")),
    sa.Index("markers_time", "time"),
)
"""What operators and programs marked on the axis of time, such as deploys."""

USERS = sa.Table(
    "users",
    METADATA,
    sa.Column("name", sa.Text(), primary_key=True),
    sa.Column("role", sa.Text(), nullable=False),
    sa.Column("password_hash", sa.Text(), nullable=False),
    sa.Column("created", sa.Text(), nullable=False),
    sa.Column("disabled", sa.Boolean(), nullable=False),
    sa.Column("failures", sa.Integer(), nullable=False),
    sa.Column("locked_until", sa.Text(), nullable=False),
)

SESSIONS = sa.Table(
    "user_sessions",
    METADATA,
    sa.Column("key_hash", sa.Text(), primary_key=True),
    sa.Column("user_name", sa.Text(), nullable=False),
    sa.Column("csrf_token", sa.Text(), nullable=False),
    sa.Column("created", sa.Text(), nullable=False),
    sa.Column("expires", sa.Text(), nullable=False),
    sa.Index("user_sessions_user", "user_name"),
)
"""Logins of browsers, by the SHA-256 of the cookie."""

TOKENS = sa.Table(
    "api_tokens",
    METADATA,
    sa.Column("id", sa.Text(), primary_key=True),
    sa.Column("key_hash", sa.Text(), nullable=False, unique=True),
    sa.Column("name", sa.Text(), nullable=False),
    sa.Column("user_name", sa.Text(), nullable=False),
    sa.Column("role", sa.Text(), nullable=False),
    sa.Column("created", sa.Text(), nullable=False),
    sa.Column("expires", sa.Text(), nullable=False),
    sa.Index("api_tokens_user", "user_name"),
)
"""Tokens of programs, by the SHA-256 of their text."""

AUDIT = sa.Table(
    "audit",
    METADATA,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True, autoincrement=True),
    sa.Column("time", sa.Text(), nullable=False),
    sa.Column("actor", sa.Text(), nullable=False),
    sa.Column("action", sa.Text(), nullable=False),
    sa.Column("subject", sa.Text(), nullable=False),
    sa.Column("detail", sa.Text(), nullable=False),
    sa.Index("audit_time", "time"),
)
"""Who changed what through the API."""

JOBS = sa.Table(
    "jobs",
    METADATA,
    sa.Column("id", sa.Text(), primary_key=True),
    *(
        sa.Column(name, sa.Text(), nullable=False)
        for name in (
            "kind", "model", "detector", "source", "actor", "folder", "request", "state", "created", "started", "ended",
            "cancelled_by", "stage", "figures", "report", "sentence",
        )
    ),
    *(sa.Column(name, sa.BigInteger(), nullable=False) for name in ("attempts", "revision", "done", "total")),
    sa.Column("version", sa.BigInteger()),
    sa.Index("jobs_created", "created", "id"),
    sa.Index("jobs_state", "state"),
)  # fmt: skip
"""Trainings that were asked for through the API; `folder` is that of the service which runs them."""

LEVEL_COLUMNS = tuple(f"level_{name}" for name in ("none", "trace", "debug", "info", "warn", "error", "fatal"))
"""Lines by level; their sum is the number of lines."""

WINDOW_COLUMNS = ("windows", "anomalous", "alerts")
"""Windows with a line of the template, those of them that were anomalous, and those that were due to raise an alert."""

COUNT_COLUMNS = (*LEVEL_COLUMNS, *WINDOW_COLUMNS)

TEMPLATE_MINUTES = sa.Table(
    "template_minutes",
    METADATA,
    sa.Column("region", sa.Text(), primary_key=True),
    sa.Column("partition", sa.Text(), primary_key=True),
    sa.Column("minute", sa.BigInteger(), primary_key=True),
    sa.Column("part", sa.BigInteger(), primary_key=True),
    sa.Column("template", sa.Text(), primary_key=True),
    *(sa.Column(name, sa.BigInteger(), nullable=False) for name in LEVEL_COLUMNS),
    *(sa.Column(name, sa.BigInteger(), nullable=False, server_default="0") for name in WINDOW_COLUMNS),
    sa.Column("scores", sa.Text(), nullable=False, server_default=""),
    sa.Index("template_minutes_minute", "minute"),
    sa.Index("template_minutes_template", "template", "minute"),
)
"""Absolute counts of `engine.steps.rollup`; `minute` is in minutes since 1970, `scores` a text of
`foundation.score_buckets`. Rows of `ALL_TEMPLATES` have windows only."""

SPANS = (1_440, 60, 1)
"""Lengths of a row of `TEMPLATE_SPANS` in minutes; those of a minute have `ALL_TEMPLATES` only."""

TEMPLATE_SPANS = sa.Table(
    "template_spans",
    METADATA,
    sa.Column("span", sa.SmallInteger(), primary_key=True),
    sa.Column("minute", sa.BigInteger(), primary_key=True),
    sa.Column("region", sa.Text(), primary_key=True),
    sa.Column("template", sa.Text(), primary_key=True),
    *(sa.Column(name, sa.BigInteger(), nullable=False) for name in ("lines", *COUNT_COLUMNS)),
    sa.Index("template_spans_template", "template", "span", "minute"),
    sqlite_with_rowid=False,
)
"""Sums of `TEMPLATE_MINUTES` over hours and days, and over all templates; `minute` is the first one of the span."""

SCORE_SPANS = sa.Table(
    "score_spans",
    METADATA,
    sa.Column("span", sa.SmallInteger(), primary_key=True),
    sa.Column("minute", sa.BigInteger(), primary_key=True),
    sa.Column("region", sa.Text(), primary_key=True),
    sa.Column("template", sa.Text(), primary_key=True),
    sa.Column("bucket", sa.SmallInteger(), primary_key=True),
    sa.Column("windows", sa.BigInteger(), nullable=False),
    sa.Index("score_spans_template", "template", "span", "minute"),
    sqlite_with_rowid=False,
)
"""The same sums of the windows by bucket of their score."""

TEMPLATES = sa.Table(
    "templates",
    METADATA,
    sa.Column("region", sa.Text(), primary_key=True),
    sa.Column("id", sa.Text(), primary_key=True),
    *(sa.Column(name, sa.Text(), nullable=False) for name in ("text", "first_seen", "last_seen", "example")),
    sa.Index("templates_first_seen", "region", "first_seen"),
)
"""Every template that was counted, with its first example line, redacted."""


def _model(document: Mapping[str, Any]) -> tuple[Any, Any]:
    """Name and version of the model; a drift event has both in one object."""
    found = document.get("model")
    if isinstance(found, Mapping):
        return found.get("name"), found.get("version")
    return found, document.get("version")


_DERIVED: Mapping[str, Callable[[Mapping[str, Any]], Any]] = {
    "model": lambda alert: _model(alert)[0],
    "version": lambda alert: _model(alert)[1],
    "first_time": lambda alert: alert.get("first_time", alert.get("time")),  # a drift event has `time`
    "severity": severity_of,
    "group_id": lambda alert: alert.get("group", ""),
    "kind": lambda alert: next((r.get("kind", "") for r in alert.get("reasons") or ()), "score"),
    "line_class": lambda alert: (alert.get("classification") or {}).get("class", ""),
    "title": title_of,
    "cause": cause_of,
    "cause_id": lambda alert: cause_id(without_nul(cause_of(alert))),
}
"""Columns that are not fields of the document."""


def alert_columns(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns of an alert, without `id` and `document`."""
    names = [column.name for column in ALERTS.columns if column.name not in ("id", "document")]
    found = {name: _DERIVED[name](document) if name in _DERIVED else document.get(name) for name in names}
    # The document itself keeps a NUL, escaped.
    return {name: without_nul(value) if isinstance(value, str) else value for name, value in found.items()}


def cause_id(text: str) -> str:
    """Return the id of a template by its text, or "" for no text; it is short enough for an index."""
    return f"{int.from_bytes(text_digest(text), 'little'):016x}" if text else ""


def without_nul(text: str) -> str:
    """Return text as PostgreSQL can hold it."""
    return text.replace("\x00", "\ufffd")
