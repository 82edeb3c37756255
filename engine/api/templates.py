"""Templates: exact counts, sparklines, life lines, and the difference of two ranges, all from the rollup."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import sqlalchemy as sa
from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, Field

from connectors.sql_schema import ALERTS, TEMPLATE_MINUTES, TEMPLATES
from engine.api.auth import Viewer
from engine.api.minutes import (
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
from engine.api.problems import RESPONSES, ProblemError, not_found
from engine.api.services import Services, Svc

router = APIRouter(prefix="/api/v1/templates", tags=["templates"], responses=RESPONSES)

SPARK_POINTS = 48
MAX_POINTS = 2_000
SHIFTED = 2.0
"""Factor between two rates from which a template counts as shifted."""

ChangeKind = Literal["new", "gone", "more", "fewer", "same"]


class TemplateItem(BaseModel):
    """A template within a range."""

    id: str
    text: str
    lines: Annotated[int, Field(description="Exact number of its lines in the range.")]
    levels: Annotated[dict[str, int], Field(description="The same by level; none: without a level.")]
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


class TemplateLife(BaseModel):
    """One template over time."""

    id: str
    text: str
    regions: list[str]
    first_seen: str
    last_seen: str
    example: str
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
    counts = _counts(services, start, end, region)
    known = _known(services, region)
    shown = [name for name in counts if not text or text.casefold() in known[name]["text"].casefold()]
    shown = sorted(shown, key=lambda name: (-sum(counts[name]), name))[:limit]
    sparks = _sparks(services, start, end, region, shown)
    alerts = _alerts(services, start, end, region)
    items = [
        TemplateItem(
            id=name, text=known[name]["text"], lines=sum(counts[name]), levels=by_level(counts[name]),
            alerts=alerts.get(known[name]["text"], 0), first_seen=known[name]["first_seen"],
            last_seen=known[name]["last_seen"], example=known[name]["example"], sparkline=sparks[name],
        )
        for name in shown
    ]  # fmt: skip
    return TemplateList(
        since=minute_text(start), until=minute_text(end), total_lines=sum(map(sum, counts.values())),
        total_templates=len(counts), items=items,
    )  # fmt: skip


@router.get("/diff")
def diff(
    _: Viewer, services: Svc,
    since_a: Annotated[str, Query(max_length=40, description="First range, included.")],
    until_a: Annotated[str, Query(max_length=40, description="Its end, not included.")],
    since_b: Annotated[str, Query(max_length=40, description="Second range, included.")],
    until_b: Annotated[str, Query(max_length=40, description="Its end, not included.")],
    region_a: RegionName = None, region_b: RegionName = None,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 200,
) -> TemplateDiff:  # fmt: skip
    """What is new, gone, more or less frequent in the second range; ranges may have different lengths and regions."""
    a, b = minute_range(services, since_a, until_a), minute_range(services, since_b, until_b)
    before = {name: sum(row) for name, row in _counts(services, *a, region_a).items()}
    after = {name: sum(row) for name, row in _counts(services, *b, region_b).items()}
    minutes = a[1] - a[0], b[1] - b[0]
    texts = {name: row["text"] for name, row in _known(services, None).items()}
    changes = [
        change_of(name, texts.get(name, ""), (before.get(name, 0), after.get(name, 0)), minutes)
        for name in sorted({*before, *after})
    ]
    kinds: dict[ChangeKind, int] = defaultdict(int)
    lines: dict[ChangeKind, tuple[int, int]] = {}
    for change in changes:
        kinds[change.kind] += 1
        had = lines.get(change.kind, (0, 0))
        lines[change.kind] = had[0] + change.before, had[1] + change.after
    changes.sort(key=lambda c: (-abs(c.rate_after - c.rate_before), c.id))
    return TemplateDiff(
        lines_before=sum(before.values()), lines_after=sum(after.values()), minutes_before=minutes[0],
        minutes_after=minutes[1], kinds=kinds, lines_by_kind=lines, changes=changes[:limit],
    )  # fmt: skip


@router.get("/{identity}")
def life(
    _: Viewer, services: Svc, identity: Annotated[str, Path(pattern="^[0-9a-f]{16}$")], since: Time = None,
    until: Time = None, region: RegionName = None,
    step_minutes: Annotated[int, Query(ge=1, le=1_440, description="Length of a part, in minutes.")] = 1,
) -> TemplateLife:  # fmt: skip
    """One template over time, by level."""
    start, end = minute_range(services, since, until)
    if (end - start) / step_minutes > MAX_POINTS:
        raise ProblemError(422, f"step_minutes gives more than {MAX_POINTS:,} points; use a longer step")
    known = services.database.rows(sa.select(TEMPLATES).where(TEMPLATES.c.id == identity))
    if not known:
        raise not_found("template", identity)
    part = part_of(start, step_minutes)
    query = select_levels(start, end, region, part.label("part")).where(TEMPLATE_MINUTES.c.template == identity)
    rows = services.database.rows(query.group_by(part).order_by(part))
    points = [
        LifePoint(
            time=minute_text(start + row["part"] * step_minutes),
            lines=sum(levels_of(row)),
            levels=by_level(levels_of(row)),
        )
        for row in rows
    ]
    return TemplateLife(
        id=identity, text=known[0]["text"], regions=sorted(row["region"] for row in known),
        first_seen=min(row["first_seen"] for row in known), last_seen=max(row["last_seen"] for row in known),
        example=next((row["example"] for row in known if row["example"]), ""), step_minutes=step_minutes, points=points,
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
    kind: ChangeKind = "same"
    if not lines[0]:
        kind = "new"
    elif not lines[1]:
        kind = "gone"
    elif rates[1] >= SHIFTED * rates[0]:
        kind = "more"
    elif rates[0] >= SHIFTED * rates[1]:
        kind = "fewer"
    return TemplateChange(
        id=name, text=text, kind=kind, before=lines[0], after=lines[1], rate_before=rates[0], rate_after=rates[1]
    )


def _counts(services: Services, start: int, end: int, region: str | None) -> dict[str, Sequence[int]]:
    """Template to its lines by level."""
    template = TEMPLATE_MINUTES.c.template
    rows = services.database.rows(select_levels(start, end, region, template).group_by(template))
    return {row["template"]: levels_of(row) for row in rows}


def _sparks(
    services: Services, start: int, end: int, region: str | None, names: Sequence[str]
) -> dict[str, list[int]]:  # fmt: skip
    step = -(-(end - start) // SPARK_POINTS)
    points = -(-(end - start) // step)
    found = {name: [0] * points for name in names}
    template, part = TEMPLATE_MINUTES.c.template, part_of(start, step)
    query = select_levels(start, end, region, template, part.label("part")).group_by(template, part)
    query = query.where(template.in_(names))
    for row in services.database.rows(query):
        if row["template"] in found:
            found[row["template"]][row["part"]] += sum(levels_of(row))
    return found


def _known(services: Services, region: str | None) -> dict[str, Mapping[str, Any]]:
    """Every template by id; of several regions, the widest life."""
    table = TEMPLATES.c
    query = sa.select(
        table.id, sa.func.max(table.text).label("text"), sa.func.min(table.first_seen).label("first_seen"),
        sa.func.max(table.last_seen).label("last_seen"), sa.func.max(table.example).label("example"),
    ).group_by(table.id)  # fmt: skip
    rows = services.database.rows(query if region is None else query.where(table.region == region))
    return {row["id"]: row for row in rows}


def _alerts(services: Services, start: int, end: int, region: str | None) -> dict[str, int]:
    """Alerts by the text of the template that caused them."""
    cause = ALERTS.c.cause
    query = sa.select(cause, sa.func.count().label("n")).where(*alerts_within(start, end, region)).group_by(cause)
    return {row["cause"]: row["n"] for row in services.database.rows(query)}
