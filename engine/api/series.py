"""Lines and alerts over time on one axis, from the rollup and the table of alerts."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import sqlalchemy as sa
from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from connectors.sql_schema import ALERT_HOURS, ALERTS, FEEDBACK
from connectors.sql_settings import ALL_TEMPLATES
from engine.api.alert_queries import severity_name
from engine.api.auth import Viewer
from engine.api.markers import Marker, markers_between
from engine.api.minutes import (
    MINUTE_NS,
    RegionName,
    Time,
    alerts_within,
    by_level,
    levels_of,
    minute_range,
    minute_text,
    part_of,
    pieces,
    row_minutes,
    rows_within,
    spans_of,
    sums,
)
from engine.api.problems import RESPONSES
from engine.api.scores import Scores, quantiles_of, scores_by_part
from engine.api.services import Services, Svc
from foundation.time_text import parse_time

router = APIRouter(prefix="/api/v1/series", tags=["series"], responses=RESPONSES)

STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1_440, 2_880, 7_200, 14_400)
"""Lengths of a part in minutes; from an hour on in whole hours."""

HOUR = 60


class SeriesPoint(BaseModel):
    """A part of the range."""

    time: Annotated[str, Field(description="Its start.")]
    lines: int
    levels: Annotated[dict[str, int], Field(description="The same by level; none: without a level.")]
    alerts: Annotated[int, Field(description="Alerts whose last line is in it.")]
    highest_score: Annotated[float | None, Field(description="Of these alerts.")]
    windows: Annotated[int, Field(description="Windows that a model scored.")]
    anomalous: Annotated[int, Field(description="Those of them whose score reached the threshold.")]
    scores: Scores


class Series(BaseModel):
    """Lines and alerts over time with markers; the counts are exact."""

    since: Annotated[str, Field(description="Start of the first part.")]
    until: str
    step_minutes: int
    lines: Annotated[int, Field(description="Lines of all parts.")]
    alerts: int
    windows: Annotated[int, Field(description="Windows that a model scored.")]
    answered: Annotated[int, Field(description="Alerts that an operator has answered.")]
    kinds: Annotated[dict[str, int], Field(description="Alerts by class of the line, or by kind without a class.")]
    severities: dict[str, int]
    regions: dict[str, int]
    points: Annotated[list[SeriesPoint], Field(description="Every part of the range, in order.")]
    markers: list[Marker]


@router.get("")
def show(
    _: Viewer, services: Svc, since: Time = None, until: Time = None, region: RegionName = None,
    points: Annotated[int, Query(ge=1, le=500, description="Maximum number of parts.")] = 120,
) -> Series:  # fmt: skip
    """Lines, alerts and scores over time, with deploys, drift, rounds and versions on the same axis; the last day."""
    start, end = minute_range(services, since, until)
    least = row_minutes(services, start)
    step = next((s for s in STEPS if (end - start) <= s * points and s % least == 0), STEPS[-1])
    start -= start % step
    counts = _counts(services, start, end, region, step)
    sketches = scores_by_part(services, start, end, region, ALL_TEMPLATES, step, spans_of(start, step))
    alerts, scores = _alerts(services, start, end, region, step)
    by = _alerts_by(services, start, end, region)
    parts = range(-(-(end - start) // step))
    return Series(
        since=minute_text(start), until=minute_text(end), step_minutes=step,
        lines=sum(sum(levels_of(row)) for row in counts.values()),
        windows=sum(int(row["windows"]) for row in counts.values()), alerts=sum(alerts.values()),
        answered=_answered(services, start, end, region),
        kinds=by["kind"], severities=by["severity"], regions=by["region"],
        points=[
            SeriesPoint(
                time=minute_text(start + part * step), **_counted(counts.get(part)), alerts=alerts[part],
                highest_score=scores.get(part), scores=quantiles_of(sketches.get(part, {})),
            )
            for part in parts
        ],
        markers=markers_between(services, minute_text(start), minute_text(end)),
    )  # fmt: skip


def _counts(
    services: Services, start: int, end: int, region: str | None, step: int
) -> dict[int, Mapping[str, Any]]:  # fmt: skip
    """Sums of lines and windows of each part that has any."""
    part = part_of(start, step)
    counted = rows_within(start, end, region, (ALL_TEMPLATES,), spans=spans_of(start, step))
    query = sa.select(part.label("part"), *sums(counted)).select_from(counted).group_by(part)
    return {row["part"]: row for row in services.database.rows(query)}


def _counted(row: Mapping[str, Any] | None) -> dict[str, Any]:
    """The counts of a part as a point has them."""
    if row is None:
        return {"lines": 0, "levels": {}, "windows": 0, "anomalous": 0}
    levels = levels_of(row)
    return {
        "lines": sum(levels), "levels": by_level(levels), "windows": int(row["windows"]),
        "anomalous": int(row["anomalous"]),
    }  # fmt: skip


def _alerts(
    services: Services, start: int, end: int, region: str | None, step: int
) -> tuple[Counter[int], dict[int, float]]:  # fmt: skip
    """Number of alerts and highest score of each part that has any."""
    alerts: Counter[int] = Counter()
    scores: dict[int, float] = {}
    for span, first, last in pieces(start, end, [span for span in spans_of(start, step) if span <= HOUR]):
        counted = _by_hour if span == HOUR else _by_minute
        for minute, count, score in counted(services, first, last, region):
            part = (minute - start) // step
            alerts[part] += count
            if score is not None:
                scores[part] = max(score, scores.get(part, score))
    return alerts, scores


def _by_hour(services: Services, start: int, end: int, region: str | None) -> Iterator[tuple[int, int, float | None]]:
    columns = ALERT_HOURS.c.minute, sa.func.sum(ALERT_HOURS.c.alerts), sa.func.max(ALERT_HOURS.c.score)
    query = sa.select(*columns).where(*_hours_within(start, end, region)).group_by(ALERT_HOURS.c.minute)
    for minute, count, score in services.database.tuples(query):
        yield minute, int(count), score


def _by_minute(services: Services, start: int, end: int, region: str | None) -> Iterator[tuple[int, int, float | None]]:
    # Times are text of one form: their beginning is the minute.
    minute = sa.func.substr(ALERTS.c.last_time, sa.literal_column("1"), sa.literal_column("16"))
    query: sa.Select[Any] = sa.select(minute, sa.func.count(), sa.func.max(ALERTS.c.score))
    query = query.where(*alerts_within(start, end, region)).group_by(minute)
    for time, count, score in services.database.tuples(query):
        yield parse_time(f"{time}:00Z") // MINUTE_NS, count, score


def _alerts_by(services: Services, start: int, end: int, region: str | None) -> dict[str, Counter[str]]:
    """Alerts by kind, severity and region."""
    names = ("line_class", "kind", "severity", "region")
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for span, first, last in pieces(start, end, (HOUR, 1)):
        columns = [(ALERT_HOURS if span == HOUR else ALERTS).c[name] for name in names]
        count = sa.func.sum(ALERT_HOURS.c.alerts) if span == HOUR else sa.func.count()
        within = _hours_within(first, last, region) if span == HOUR else alerts_within(first, last, region)
        query: sa.Select[Any] = sa.select(*columns, count).where(*within).group_by(*columns)
        for line_class, kind, severity, name, n in services.database.tuples(query):
            found["kind"][line_class or kind or "score"] += int(n)
            found["severity"][severity_name(severity)] += int(n)
            found["region"][name or ""] += int(n)
    return found


def _hours_within(start: int, end: int, region: str | None) -> list[sa.ColumnElement[bool]]:
    table = ALERT_HOURS.c
    conditions = [table.minute >= start, table.minute < end, table.alerts > 0]
    return conditions if region is None else [*conditions, table.region == region]


def _answered(services: Services, start: int, end: int, region: str | None) -> int:
    """Alerts of a range that an operator has answered; there are far fewer answers than alerts."""
    alert = sa.exists().where(ALERTS.c.id == FEEDBACK.c.alert_id, *alerts_within(start, end, region))
    return services.database.count(sa.select(FEEDBACK.c.alert_id).where(alert))
