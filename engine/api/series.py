"""Lines and alerts over time on one axis, from the rollup and the table of alerts."""

from collections import Counter, defaultdict
from typing import Annotated, Any

import sqlalchemy as sa
from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from connectors.sql_schema import ALERTS, FEEDBACK
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
    select_levels,
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
    alerts, scores = _alerts(services, start, end, region, step)
    by = _alerts_by(services, start, end, region)
    parts = range(-(-(end - start) // step))
    return Series(
        since=minute_text(start), until=minute_text(end), step_minutes=step,
        lines=sum(map(sum, lines.values())), alerts=sum(alerts.values()), answered=by["answered"].total(),
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
    query = select_levels(start, end, region, part.label("part")).group_by(part)
    return {row["part"]: levels_of(row) for row in services.database.rows(query)}


def _alerts(
    services: Services, start: int, end: int, region: str | None, step: int
) -> tuple[Counter[int], dict[int, float]]:  # fmt: skip
    """Number of alerts and highest score of each part that has any."""
    # Times are text of one form: their beginning is the minute or the hour, which every part is made of.
    length, rest = (13, ":00:00Z") if step >= HOUR else (16, ":00Z")
    bucket = sa.func.substr(ALERTS.c.last_time, sa.literal_column("1"), sa.literal_column(str(length)))
    highest = sa.func.max(ALERTS.c.score).label("score")
    query: sa.Select[Any] = sa.select(bucket.label("time"), sa.func.count().label("n"), highest)
    query = query.where(*alerts_within(start, end, region)).group_by(bucket)
    counts: Counter[int] = Counter()
    scores: dict[int, float] = {}
    for row in services.database.rows(query):
        part = (parse_time(row["time"] + rest) // MINUTE_NS - start) // step
        counts[part] += row["n"]
        if row["score"] is not None:
            scores[part] = max(row["score"], scores.get(part, row["score"]))
    return counts, scores


def _alerts_by(services: Services, start: int, end: int, region: str | None) -> dict[str, Counter[str]]:
    """Alerts by kind, severity and region, and those answered."""
    columns = [ALERTS.c[name] for name in ("kind", "line_class", "severity", "region")]
    source = ALERTS.outerjoin(FEEDBACK, FEEDBACK.c.alert_id == ALERTS.c.id)
    answered = sa.func.count(FEEDBACK.c.answer).label("answered")
    query: sa.Select[Any] = sa.select(*columns, sa.func.count().label("n"), answered).select_from(source)
    found: dict[str, Counter[str]] = defaultdict(Counter)
    query = query.where(*alerts_within(start, end, region)).group_by(*columns)
    for row in services.database.rows(query):
        found["kind"][row["line_class"] or row["kind"] or "score"] += row["n"]
        found["severity"][severity_name(row["severity"])] += row["n"]
        found["region"][row["region"] or ""] += row["n"]
        found["answered"][""] += row["answered"]
    return found
