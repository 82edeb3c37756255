"""Templates: exact counts, sparklines, life lines, and the difference of two ranges, all from the rollup."""

import heapq
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import sqlalchemy as sa
from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, Field

from connectors.sql_schema import ALERTS, TEMPLATES, WINDOW_COLUMNS, cause_id
from connectors.sql_settings import ALL_TEMPLATES
from engine.api.auth import Viewer
from engine.api.eras import Version, range_of
from engine.api.minutes import (
    RegionName,
    Time,
    alerts_within,
    by_level,
    levels_of,
    minute_range,
    minute_text,
    part_of,
    row_minutes,
    rows_within,
    spans_of,
    sums,
)
from engine.api.problems import RESPONSES, ProblemError, not_found
from engine.api.scores import Scores, quantiles_of, scores_by_part
from engine.api.services import Services, Svc
from engine.api.template_relatives import Relatives, relatives_of

router = APIRouter(prefix="/api/v1/templates", tags=["templates"], responses=RESPONSES)

SPARK_POINTS = 48
HOUR = 60
MAX_POINTS = 2_000
SHIFTED = 2.0
"""Factor between two rates from which a template counts as shifted."""

TemplateId = Annotated[str, Path(pattern="^[0-9a-f]{16}$", description="Id of the template.")]
ChangeKind = Literal["new", "gone", "more", "fewer", "same"]


class TemplateItem(BaseModel):
    """A template within a range."""

    id: str
    text: str
    lines: Annotated[int, Field(description="Exact number of its lines in the range.")]
    levels: Annotated[dict[str, int], Field(description="The same by level; none: without a level.")]
    windows: Annotated[int, Field(description="Scored windows with a line of it.")]
    anomalous: Annotated[int, Field(description="Those of them whose score reached the threshold.")]
    alerts: Annotated[int, Field(description="Alerts of the range that it caused.")]
    first_seen: Annotated[str, Field(description="Event time of its first line ever counted.")]
    last_seen: str
    example: Annotated[str, Field(description="Its first line, redacted and cut.")]
    sparkline: Annotated[list[int], Field(description="Lines in parts of the range of equal length, in order.")]


class TemplateList(BaseModel):
    """The templates of a range, those with most lines first."""

    since: str
    until: str
    total_lines: Annotated[int, Field(description="Lines of all templates in the range, also those not listed.")]
    total_templates: int
    items: list[TemplateItem]


class LifePoint(BaseModel):
    """A part of a template's life."""

    time: str
    lines: int
    levels: dict[str, int]
    windows: Annotated[int, Field(description="Scored windows with a line of it.")]
    anomalous: Annotated[int, Field(description="Those of them whose score reached the threshold.")]
    alerts: Annotated[int, Field(description="Alerts with a line of it.")]
    scores: Scores


class TemplateLife(BaseModel):
    """One template over time."""

    id: str
    text: str
    regions: list[str]
    first_seen: str
    last_seen: str
    example: str
    relatives: Relatives
    step_minutes: int
    points: Annotated[list[LifePoint], Field(description="Parts of the range in which it has lines, in order.")]


class TemplateChange(BaseModel):
    """A template in two ranges."""

    id: str
    text: str
    kind: Annotated[ChangeKind, Field(description="more, fewer: the rate has at least doubled or halved.")]
    before: Annotated[int, Field(description="Lines in the first range.")]
    after: Annotated[int, Field(description="Lines in the second range.")]
    rate_before: Annotated[float, Field(description="Lines per minute.")]
    rate_after: float


class TemplateDiff(BaseModel):
    """The difference of two ranges; the counts add up to the lines of each range exactly."""

    lines_before: int
    lines_after: int
    minutes_before: int
    minutes_after: int
    since_a: Annotated[str, Field(description="Start of the first range.")]
    since_b: str
    kinds: Annotated[dict[ChangeKind, int], Field(description="Templates by kind, also those not listed.")]
    lines_by_kind: Annotated[dict[ChangeKind, tuple[int, int]], Field(description="Lines before and after by kind.")]
    changes: Annotated[list[TemplateChange], Field(description="The largest differences of rates first.")]


@router.get("")
def list_templates(
    _: Viewer, services: Svc, since: Time = None, until: Time = None, region: RegionName = None,
    text: Annotated[str | None, Query(max_length=200, description="Text in the template.")] = None,
    limit: Annotated[int, Query(ge=1, le=1_000)] = 100,
) -> TemplateList:  # fmt: skip
    """Templates with exact counts and sparklines; the last 24 hours unless a range is given."""
    start, end = minute_range(services, since, until)
    counts, templates = _ranked(services, start, end, region, text, limit)
    shown = [name for name, _ in counts]
    known = _known(services, region, shown)
    counted = _columns(services, start, end, region, shown)
    sparks = _sparks(services, start, end, region, shown)
    alerts = _alerts(services, start, end, region, {name: known[name]["text"] for name in shown})
    items = [
        TemplateItem(
            id=name, text=known[name]["text"], lines=lines, levels=by_level(levels_of(counted[name])),
            windows=int(counted[name]["windows"]), anomalous=int(counted[name]["anomalous"]), alerts=alerts[name],
            first_seen=known[name]["first_seen"], last_seen=known[name]["last_seen"], example=known[name]["example"],
            sparkline=sparks[name],
        )
        for name, lines in counts
    ]  # fmt: skip
    return TemplateList(
        since=minute_text(start), until=minute_text(end), total_lines=_total(services, start, end, region),
        total_templates=templates, items=items,
    )  # fmt: skip


@router.get("/diff")
def diff(
    _: Viewer, services: Svc,
    since_a: Annotated[str | None, Query(max_length=40, description="First range, included.")] = None,
    until_a: Annotated[str | None, Query(max_length=40, description="Its end, not included.")] = None,
    since_b: Annotated[str | None, Query(max_length=40, description="Second range, included.")] = None,
    until_b: Annotated[str | None, Query(max_length=40, description="Its end, not included.")] = None,
    region_a: RegionName = None, region_b: RegionName = None,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 200,
    version_a: Version = None, version_b: Version = None,
    kind: Annotated[ChangeKind | None, Query(description="List only changes of this kind.")] = None,
) -> TemplateDiff:  # fmt: skip
    """What is new, gone, more or less frequent in the second of two ranges, regions, or times of model versions."""
    a = minute_range(services, *range_of(services, since_a, until_a, version_a))
    b = minute_range(services, *range_of(services, since_b, until_b, version_b))
    before, after = _counts(services, *a, region_a), _counts(services, *b, region_b)
    minutes = a[1] - a[0], b[1] - b[0]
    names = sorted({*before, *after})
    counts = [(before.get(name, 0), after.get(name, 0)) for name in names]
    kinds: dict[ChangeKind, int] = defaultdict(int)
    lines: dict[ChangeKind, tuple[int, int]] = {}
    of_kind: list[int] = []
    for i, count in enumerate(counts):
        found = kind_of(count, minutes)
        kinds[found] += 1
        had = lines.get(found, (0, 0))
        lines[found] = had[0] + count[0], had[1] + count[1]
        if kind in (None, found):
            of_kind.append(i)
    differences = [abs(count[1] / minutes[1] - count[0] / minutes[0]) for count in counts]
    shown = heapq.nsmallest(limit, of_kind, key=lambda i: (-differences[i], names[i]))
    texts = {name: row["text"] for name, row in _known(services, None, [names[i] for i in shown]).items()}
    return TemplateDiff(
        lines_before=sum(before.values()), lines_after=sum(after.values()), minutes_before=minutes[0],
        minutes_after=minutes[1], since_a=minute_text(a[0]), since_b=minute_text(b[0]), kinds=kinds,
        lines_by_kind=lines,
        changes=[change_of(names[i], texts.get(names[i], ""), counts[i], minutes) for i in shown],
    )  # fmt: skip


@router.get("/{identity}")
def life(
    _: Viewer, services: Svc, identity: TemplateId, since: Time = None, until: Time = None, region: RegionName = None,
    step_minutes: Annotated[int, Query(ge=1, le=1_440, description="Length of a part, in minutes.")] = 1,
) -> TemplateLife:  # fmt: skip
    """One template over time, by level."""
    start, end = minute_range(services, since, until)
    step_minutes = _multiple(step_minutes, row_minutes(services, start))
    if (end - start) / step_minutes > MAX_POINTS:
        raise ProblemError(422, f"step_minutes gives more than {MAX_POINTS:,} points; use a longer step")
    known = services.database.rows(sa.select(TEMPLATES).where(TEMPLATES.c.id == identity))
    if not known:
        raise not_found("template", identity)
    part = part_of(start, step_minutes)
    counted = rows_within(start, end, region, [identity], spans=spans_of(start, step_minutes))
    query = sa.select(part.label("part"), *sums(counted)).select_from(counted)
    rows = services.database.rows(query.group_by(part).order_by(part))
    sketches = scores_by_part(services, start, end, region, identity, step_minutes, spans_of(start, step_minutes))
    points = [
        LifePoint(
            time=minute_text(start + row["part"] * step_minutes), lines=sum(levels_of(row)),
            levels=by_level(levels_of(row)), scores=quantiles_of(sketches.get(row["part"], {})),
            **{name: int(row[name]) for name in WINDOW_COLUMNS},
        )
        for row in rows
    ]  # fmt: skip
    return TemplateLife(
        id=identity, text=known[0]["text"], regions=sorted(row["region"] for row in known),
        first_seen=min(row["first_seen"] for row in known), last_seen=max(row["last_seen"] for row in known),
        example=next((row["example"] for row in known if row["example"]), ""),
        relatives=relatives_of(services, known[0]["text"]), step_minutes=step_minutes, points=points,
    )  # fmt: skip


def change_of(name: str, text: str, lines: tuple[int, int], minutes: tuple[int, int]) -> TemplateChange:
    """Compare a template's lines in two ranges.

    Args:
        name: Its id.
        text: Its text.
        lines: Lines before and after.
        minutes: Lengths of both ranges.
    """
    rates = lines[0] / minutes[0], lines[1] / minutes[1]
    return TemplateChange(
        id=name, text=text, kind=kind_of(lines, minutes), before=lines[0], after=lines[1], rate_before=rates[0],
        rate_after=rates[1],
    )  # fmt: skip


def kind_of(lines: tuple[int, int], minutes: tuple[int, int]) -> ChangeKind:
    """Return how a template's lines changed; see `change_of`."""
    if not lines[0]:
        return "new"
    if not lines[1]:
        return "gone"
    rates = lines[0] / minutes[0], lines[1] / minutes[1]
    if rates[1] >= SHIFTED * rates[0]:
        return "more"
    return "fewer" if rates[0] >= SHIFTED * rates[1] else "same"


def _counts(services: Services, start: int, end: int, region: str | None) -> dict[str, int]:
    """Template to its lines."""
    counted = rows_within(start, end, region)
    lines = sa.func.sum(counted.c.lines)
    query = sa.select(counted.c.template, lines).group_by(counted.c.template).having(lines > 0)
    return {name: int(count) for name, count in services.database.tuples(query)}


def _ranked(
    services: Services, start: int, end: int, region: str | None, text: str | None, limit: int
) -> tuple[list[tuple[str, int]], int]:  # fmt: skip
    """The templates with most lines, and the number of all templates."""
    if text:
        counts = _counts(services, start, end, region)
        wanted = text.casefold()
        texts = services.database.tuples(sa.select(TEMPLATES.c.id, TEMPLATES.c.text))
        found = {name for name, known in texts if wanted in known.casefold()}
        ranked = sorted(((name, counts[name]) for name in found & counts.keys()), key=lambda item: (-item[1], item[0]))
        return ranked[:limit], len(counts)
    counted = rows_within(start, end, region)
    lines = sa.func.sum(counted.c.lines)
    query = sa.select(counted.c.template, lines, sa.func.count().over()).group_by(counted.c.template)
    rows = services.database.tuples(query.having(lines > 0).order_by(lines.desc(), counted.c.template).limit(limit))
    return [(name, int(count)) for name, count, _ in rows], rows[0][2] if rows else 0


def _total(services: Services, start: int, end: int, region: str | None) -> int:
    counted = rows_within(start, end, region, (ALL_TEMPLATES,))
    return int(services.database.tuples(sa.select(sa.func.sum(counted.c.lines)))[0][0] or 0)


def _columns(
    services: Services, start: int, end: int, region: str | None, names: Sequence[str]
) -> dict[str, Mapping[str, Any]]:  # fmt: skip
    """Template to the sums of all its columns."""
    if not names:
        return {}
    counted = rows_within(start, end, region, names)
    query = sa.select(counted.c.template, *sums(counted)).group_by(counted.c.template)
    return {row["template"]: row for row in services.database.rows(query)}


def _sparks(
    services: Services, start: int, end: int, region: str | None, names: Sequence[str]
) -> dict[str, list[int]]:  # fmt: skip
    """Lines in parts of equal length; whole hours where there would be more than twice as many rows to read."""
    step = -(-(end - start) // SPARK_POINTS)
    least = row_minutes(services, start)
    if step >= HOUR / 4:
        least = max(least, HOUR)
    step = _multiple(step, least)
    start -= start % least
    points = -(-(end - start) // step)
    found = {name: [0] * points for name in names}
    if not names:
        return found
    counted, part = rows_within(start, end, region, names, spans=spans_of(start, step)), part_of(start, step)
    query = sa.select(counted.c.template, part, sa.func.sum(counted.c.lines)).select_from(counted)
    for name, i, lines in services.database.tuples(query.group_by(counted.c.template, part)):
        found[name][i] += int(lines)
    return found


def _multiple(minutes: int, of: int) -> int:
    """Round up to a multiple."""
    return -(-minutes // of) * of


def _known(services: Services, region: str | None, names: Sequence[str]) -> dict[str, Mapping[str, Any]]:
    """Templates by id; of several regions, the widest life."""
    table = TEMPLATES.c
    query = sa.select(
        table.id, sa.func.max(table.text).label("text"), sa.func.min(table.first_seen).label("first_seen"),
        sa.func.max(table.last_seen).label("last_seen"), sa.func.max(table.example).label("example"),
    ).where(table.id.in_(names)).group_by(table.id)  # fmt: skip
    rows = services.database.rows(query if region is None else query.where(table.region == region))
    return {row["id"]: row for row in rows}


def _alerts(
    services: Services, start: int, end: int, region: str | None, texts: Mapping[str, str]
) -> dict[str, int]:  # fmt: skip
    """Alerts that each template caused.

    Args:
        services: The running service.
        start: First minute.
        end: The minute behind the last one.
        region: Only its alerts.
        texts: Text of each template, as alerts quote it.
    """
    causes = {name: cause_id(text) for name, text in texts.items()}
    cause = ALERTS.c.cause_id
    within = *alerts_within(start, end, region), cause.in_(list(causes.values()))
    counts = dict(services.database.tuples(sa.select(cause, sa.func.count()).where(*within).group_by(cause)))
    return {name: counts.get(found, 0) for name, found in causes.items()}
