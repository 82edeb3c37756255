"""Counts of windows, counts of hours and days, and indexes that answer for the pages alone."""

import hashlib
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from alembic import op

from connectors.sql_versions import alerts_table

revision = "0006"
down_revision = "0005"

_LEVELS = tuple(f"level_{name}" for name in ("none", "trace", "debug", "info", "warn", "error", "fatal"))
_BATCH_ROWS = 10_000
_WINDOWS = ("windows", "anomalous", "alerts")


def upgrade() -> None:
    """Create the tables, and fill them from the minutes that are there."""
    for name in _WINDOWS:
        op.add_column("template_minutes", sa.Column(name, sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("template_minutes", sa.Column("scores", sa.Text(), nullable=False, server_default=""))
    counts: list[sa.Column[Any]] = [
        sa.Column(name, sa.BigInteger(), nullable=False) for name in ("lines", *_LEVELS, *_WINDOWS)
    ]
    op.create_table("template_spans", *_key(), *counts, sqlite_with_rowid=False)
    op.create_index("template_spans_template", "template_spans", ["template", "span", "minute"])
    op.create_table(
        "score_spans",
        *_key(),
        sa.Column("bucket", sa.SmallInteger(), primary_key=True),
        sa.Column("windows", sa.BigInteger(), nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("score_spans_template", "score_spans", ["template", "span", "minute"])
    op.create_index("templates_first_seen", "templates", ["region", "first_seen"])
    alerts = alerts_table()
    _index_alerts(alerts)
    _count_alerts(alerts)
    for span in (1, 60, 1_440):
        op.execute(_summed(span, "''"))
        if span > 1:
            op.execute(_summed(span, "template"))


def _index_alerts(alerts: str) -> None:
    op.add_column(alerts, sa.Column("cause_id", sa.Text()))
    connection = op.get_bind()
    op.execute(f"UPDATE \"{alerts}\" SET cause_id = ''")
    found = connection.execute(sa.text(f"SELECT id, cause FROM \"{alerts}\" WHERE cause != ''")).all()
    named = sa.text(f'UPDATE "{alerts}" SET cause_id = :cause WHERE id = :id')
    for i in range(0, len(found), _BATCH_ROWS):
        connection.execute(named, [{"id": row[0], "cause": _id_of(row[1])} for row in found[i : i + _BATCH_ROWS]])
    op.create_index(f"{alerts}_cause", alerts, ["cause_id", "last_time", "region"])
    op.create_index(f"{alerts}_series", alerts, ["last_time", "region", "kind", "line_class", "severity", "score"])
    op.drop_index(f"{alerts}_group", alerts)
    op.create_index(f"{alerts}_group", alerts, ["group_id", "last_time", "severity", "first_time", "created"])


def _count_alerts(alerts: str) -> None:
    op.create_table(
        "alert_hours",
        sa.Column("minute", sa.BigInteger(), primary_key=True),
        *(sa.Column(name, sa.Text(), primary_key=True) for name in ("region", "kind", "line_class")),
        sa.Column("severity", sa.SmallInteger(), primary_key=True),
        sa.Column("alerts", sa.BigInteger(), nullable=False),
        sa.Column("score", sa.Double()),
        sqlite_with_rowid=False,
    )
    columns = "COALESCE(region, ''), COALESCE(kind, ''), COALESCE(line_class, ''), COALESCE(severity, 2)"
    found = op.get_bind().execute(sa.text(
        f"SELECT SUBSTR(last_time, 1, 13), {columns}, COUNT(*), MAX(score) FROM \"{alerts}\" "
        f"WHERE last_time LIKE '____-__-__T__:%' GROUP BY SUBSTR(last_time, 1, 13), {columns}"
    ))  # fmt: skip
    insert = sa.text("INSERT INTO alert_hours VALUES (:m, :region, :kind, :class, :severity, :alerts, :score)")
    names = ("m", "region", "kind", "class", "severity", "alerts", "score")
    for row in found.all():
        minute = int(datetime.fromisoformat(f"{row[0]}:00:00+00:00").timestamp()) // 60
        op.get_bind().execute(insert, dict(zip(names, (minute, *row[1:]), strict=True)))


def _id_of(text: str) -> str:
    return f"{int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), 'little'):016x}"


def _key() -> list[sa.Column[Any]]:
    return [
        sa.Column("span", sa.SmallInteger(), primary_key=True),
        sa.Column("minute", sa.BigInteger(), primary_key=True),
        sa.Column("region", sa.Text(), primary_key=True),
        sa.Column("template", sa.Text(), primary_key=True),
    ]


def _summed(span: int, template: str) -> str:
    """The statement that adds minutes up to spans; `''` as the template adds all templates up."""
    sums = [f"SUM({name})" for name in (*_LEVELS, *_WINDOWS)]
    names = ", ".join(("span", "minute", "region", "template", "lines", *_LEVELS, *_WINDOWS))
    start = f"minute - minute % {span}"
    return (
        f"INSERT INTO template_spans ({names}) SELECT {span}, {start}, region, {template}, "
        f"SUM({' + '.join(_LEVELS)}), {', '.join(sums)} FROM template_minutes "
        f"GROUP BY {start}, region{'' if template == chr(39) * 2 else ', template'}"
    )
