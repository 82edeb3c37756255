"""Number of alerts by hour, region, kind, class and severity: exact after alerts are stored, replaced or deleted."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import sqlalchemy as sa

from connectors.sql_database import upsert
from connectors.sql_schema import ALERT_HOURS
from foundation.time_text import NS_PER_S, parse_time

COUNTED_BY = ("last_time", "region", "kind", "line_class", "severity", "score")
"""Columns of an alert that decide where it is counted."""

HOUR_NS = 3_600 * NS_PER_S

Key = tuple[int, str, str, str, int]


def count_alerts(
    connection: sa.Connection, *, added: Iterable[Mapping[str, Any]], removed: Iterable[Mapping[str, Any]]
) -> None:
    """Add alerts to their hours, and take others out; the highest score of an hour never falls.

    Args:
        connection: In the transaction that stores or deletes the alerts.
        added: Rows with the columns of `COUNTED_BY`.
        removed: Such rows as they were in the table.
    """
    counts: Counter[Key] = Counter()
    scores: dict[Key, float | None] = {}
    for rows, sign in ((added, 1), (removed, -1)):
        for row in rows:
            key = _key(row)
            if key is not None:
                counts[key] += sign
                scores[key] = max((s for s in (scores.get(key), row["score"]) if s is not None), default=None)
    names = [column.name for column in ALERT_HOURS.primary_key.columns]
    changed = [
        {**dict(zip(names, key, strict=True)), "alerts": counts[key], "score": scores[key]}
        for key in sorted(counts)
        if counts[key]
    ]
    if changed:
        postgres = connection.dialect.name == "postgresql"
        higher = sa.func.greatest if postgres else sa.func.max
        score = ALERT_HOURS.c.score
        upsert(connection, ALERT_HOURS, changed, lambda excluded: {
            "alerts": ALERT_HOURS.c.alerts + excluded.alerts,
            # SQLite's maximum of a number and NULL is NULL.
            "score": higher(sa.func.coalesce(score, excluded.score), sa.func.coalesce(excluded.score, score)),
        })  # fmt: skip


def _key(row: Mapping[str, Any]) -> Key | None:
    """Where an alert is counted; None without a time."""
    try:
        hour = parse_time(row["last_time"] or "") // HOUR_NS
    except ValueError:
        return None
    severity = 2 if row["severity"] is None else row["severity"]
    return hour * 60, row["region"] or "", row["kind"] or "", row["line_class"] or "", severity
