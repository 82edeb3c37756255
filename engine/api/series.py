"""Lines and alerts over time on one axis, from the rollup and the table of alerts."""

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Annotated, Any, NamedTuple

import sqlalchemy as sa
from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from connectors.sql_schema import ALERT_HOURS, ALERTS, ALL_TEMPLATES, FEEDBACK
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
    rows_within,
    sums,
)
from engine.api.problems import RESPONSES
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


class Series(BaseModel):
    """Lines and alerts over time with markers; the counts are exact."""

    since: Annotated[str, Field(description="Start of the first part.")]
    until: str
    step_minutes: int
    lines: Annotated[int, Field(description="Lines of all parts.")]
    alerts: int
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
    step = next((s for s in STEPS if (end - start) <= s * points), STEPS[-1])
    start -= start % step
    lines = _lines(services, start, end, region, step)
    alerts: Counter[int] = Counter()
    scores: dict[int, float] = {}
    by: dict[str, Counter[str]] = defaultdict(Counter)
    for row in _alerts(services, start, end, region, step):
        part = (row.minute - start) // step
        alerts[part] += row.alerts
        if row.score is not None:
            scores[part] = max(row.score, scores.get(part, row.score))
        by["kind"][row.line_class or row.kind or "score"] += row.alerts
        by["severity"][severity_name(row.severity)] += row.alerts
        by["region"][row.region] += row.alerts
    parts = range(-(-(end - start) // step))
    return Series(
        since=minute_text(start), until=minute_text(end), step_minutes=step,
        lines=sum(map(sum, lines.values())), alerts=sum(alerts.values()),
        answered=_answered(services, start, end, region),
        kinds=by["kind"], severities=by["severity"], regions=by["region"],
        points=[
            SeriesPoint(
                time=minute_text(start + part * step), lines=sum(lines.get(part, ())),
                levels=by_level(lines[part]) if part in lines else {}, alerts=alerts[part],
                highest_score=scores.get(part),
            )
            for part in parts
        ],
        markers=markers_between(services, minute_text(start), minute_text(end)),
    )  # fmt: skip


def _lines(services: Services, start: int, end: int, region: str | None, step: int) -> dict[int, list[int]]:
    """Lines by level of each part that has any."""
    part = part_of(start, step)
    counted = rows_within(start, end, region, (ALL_TEMPLATES,), step=step)
    query = sa.select(part.label("part"), *sums(counted)).select_from(counted).group_by(part)
    return {row["part"]: levels_of(row) for row in services.database.rows(query)}


class _Alerts(NamedTuple):
    """Alerts of a minute or an hour that have the same properties."""

    minute: int
    region: str
    kind: str
    line_class: str
    severity: int
    alerts: int
    score: float | None


def _alerts(services: Services, start: int, end: int, region: str | None, step: int) -> Iterator[_Alerts]:
    """Alerts of a range, by hour where the parts are made of whole hours."""
    for span, first, last in pieces(start, end, min(step, HOUR)):
        if span == HOUR:
            yield from _by_hour(services, first, last, region)
        else:
            yield from _by_minute(services, first, last, region)


def _by_hour(services: Services, start: int, end: int, region: str | None) -> Iterator[_Alerts]:
    table = ALERT_HOURS.c
    query = sa.select(ALERT_HOURS).where(table.minute >= start, table.minute < end, table.alerts > 0)
    query = query if region is None else query.where(table.region == region)
    return itertools.starmap(_Alerts, services.database.tuples(query))


def _by_minute(services: Services, start: int, end: int, region: str | None) -> Iterator[_Alerts]:
    # Times are text of one form: their beginning is the minute.
    minute = sa.func.substr(ALERTS.c.last_time, sa.literal_column("1"), sa.literal_column("16"))
    columns = [
        *(sa.func.coalesce(ALERTS.c[name], sa.literal_column("''")) for name in ("region", "kind", "line_class")),
        sa.func.coalesce(ALERTS.c.severity, sa.literal_column("2")),
    ]
    query: sa.Select[Any] = sa.select(minute, *columns, sa.func.count(), sa.func.max(ALERTS.c.score))
    query = query.where(*alerts_within(start, end, region)).group_by(minute, *columns)
    for time, *row in services.database.tuples(query):
        yield _Alerts(parse_time(f"{time}:00Z") // MINUTE_NS, *row)


def _answered(services: Services, start: int, end: int, region: str | None) -> int:
    """Alerts of a range that an operator has answered; there are far fewer answers than alerts."""
    alert = sa.exists().where(ALERTS.c.id == FEEDBACK.c.alert_id, *alerts_within(start, end, region))
    return services.database.count(sa.select(FEEDBACK.c.alert_id).where(alert))
