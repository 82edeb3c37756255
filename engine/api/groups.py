"""Groups of alerts: list, detail, and the actions that change their status."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import sqlalchemy as sa
from fastapi import APIRouter, Header, Path, Response
from pydantic import BaseModel, Field

from connectors.sql_schema import ALERTS, GROUP_STATES
from engine.api.actions import Comment, GroupAction, LifeEvent, act_on_group, life_of
from engine.api.alert_queries import AlertItem, Status, Wanted, alert_item, joined, select_alerts, severity_name
from engine.api.auth import Operator, Viewer
from engine.api.pages import Page, PageRequest, Paging
from engine.api.problems import RESPONSES, ProblemError, not_found
from engine.api.services import Services, Svc
from foundation.documents.alert import Severity

router = APIRouter(prefix="/api/v1/groups", tags=["groups"], responses=RESPONSES)

GroupId = Annotated[str, Path(max_length=64, pattern=r"^[^\x00]+$", description="Id of the group.")]

CHUNK, MOST_CHUNK = 200, 2_000
"""Alerts that are read at once in search of the newest groups: at first, and then."""

LATEST = 20
"""Alerts that a detail lists."""


class GroupItem(BaseModel):
    """A group of alerts with the same set of templates."""

    id: str
    status: Annotated[Status, Field(description="A group opens again with an alert that is newer than its resolution.")]
    revision: Annotated[int, Field(description="Number of changes of its status; the ETag of the group.")]
    changed: Annotated[str | None, Field(description="When its status was last changed.")]
    changed_by: str | None
    alerts: Annotated[int, Field(description="Its alerts within the range and filters.")]
    first_time: Annotated[str, Field(description="Event time of the first line of these alerts.")]
    last_time: Annotated[str, Field(description="Event time of the last line of these alerts.")]
    severity: Annotated[Severity, Field(description="The highest of these alerts.")]
    latest: Annotated[AlertItem, Field(description="The latest alert of the group.")]


class GroupDetail(BaseModel):
    """A group with its latest alerts and its life."""

    group: GroupItem
    alerts: list[AlertItem]
    events: list[LifeEvent]


class ActionRequest(BaseModel):
    """A change of a group's status."""

    action: GroupAction
    comment: Comment = ""


class BulkRequest(ActionRequest):
    """The same change of several groups."""

    groups: Annotated[
        list[Annotated[str, Field(max_length=64, pattern=r"^[^\x00]+$")]], Field(min_length=1, max_length=200)
    ]


class BulkResult(BaseModel):
    """What became of each group."""

    changed: list[str]
    failed: Annotated[dict[str, str], Field(description="Reason for each group that was not changed.")]


@router.get("")
def list_groups(_: Viewer, services: Svc, wanted: Wanted, paging: Paging) -> Page[GroupItem]:
    """Groups with alerts in a range of event time, the group with the newest alert first."""
    rows = _newest(services, wanted.conditions(), paging)
    latest = _latest(services, rows[: paging.limit])
    return paging.page(rows, "last_time", "id", lambda row: _item(row, latest[row["id"]]))


@router.get("/{group}")
def show(_: Viewer, services: Svc, group: GroupId, response: Response) -> GroupDetail:
    """One group, with its revision as `ETag`."""
    detail = _detail(services, group)
    response.headers["ETag"] = f'"{detail.group.revision}"'
    return detail


@router.post("/{group}/actions")
def act(
    caller: Operator, services: Svc, group: GroupId, given: ActionRequest, response: Response,
    if_match: Annotated[str | None, Header(max_length=100, description="ETag of the group as it was read.")] = None,
) -> GroupDetail:  # fmt: skip
    """Acknowledge, resolve or reopen a group."""
    revision = act_on_group(services, caller, group, given.action, given.comment, _revision(if_match))
    response.headers["ETag"] = f'"{revision}"'
    return _detail(services, group)


@router.post("/actions")
def act_on_several(caller: Operator, services: Svc, given: BulkRequest) -> BulkResult:
    """Acknowledge, resolve or reopen several groups."""
    changed, failed = [], {}
    for group in dict.fromkeys(given.groups):
        try:
            act_on_group(services, caller, group, given.action, given.comment)
            changed.append(group)
        except ProblemError as error:
            failed[group] = str(error)
    return BulkResult(changed=changed, failed=failed)


def _revision(if_match: str | None) -> int | None:
    if if_match is None or if_match.strip() == "*":
        return None
    text = if_match.strip().removeprefix("W/").strip('"')
    if not text.isdecimal() or len(text) > 18:
        raise ProblemError(412, "If-Match is not the ETag of this group; read it again")
    return int(text)


def _newest(
    services: Services, conditions: Sequence[sa.ColumnElement[bool]], paging: PageRequest
) -> list[Mapping[str, Any]]:
    """The groups of a page and the first of the next one.

    Alerts are read from the newest one on until their groups fill the page, because adding up all groups of a large
    store to show the newest ones takes seconds.
    """
    time, identity = ALERTS.c.last_time, ALERTS.c.group_id
    query = sa.select(time, identity).select_from(joined()).where(*conditions, *paging.within(time))
    query = query.order_by(time.desc(), identity.desc())
    if paging.after:
        query = query.where(time <= paging.after[0])
    seen: set[str] = set()
    found: list[Mapping[str, Any]] = []
    rest, size = query, CHUNK
    while True:
        rows = services.database.tuples(rest.limit(size))
        groups = list(dict.fromkeys(group for _, group in rows if group not in seen))
        seen.update(groups)
        for i in range(0, len(groups), paging.limit + 1):
            found += _counted(services, conditions, paging, groups[i : i + paging.limit + 1])
            if len(found) > paging.limit:
                return found[: paging.limit + 1]
        if len(rows) < size:
            return found
        last, group = rows[-1]
        rest, size = query.where(sa.or_(time < last, sa.and_(time == last, identity < group))), MOST_CHUNK


def _counted(
    services: Services, conditions: Sequence[sa.ColumnElement[bool]], paging: PageRequest, groups: Sequence[str]
) -> Sequence[Mapping[str, Any]]:
    """These groups with their counts, without those of earlier pages."""
    if not groups:
        return ()
    grouped = _grouped(conditions, paging, groups).subquery()
    order = grouped.c.last_time.desc(), grouped.c.id.desc()
    query = sa.select(grouped).where(*paging.behind(grouped.c.last_time, grouped.c.id))
    return services.database.rows(query.order_by(*order))


def _grouped(
    conditions: Sequence[sa.ColumnElement[bool]], paging: PageRequest, groups: Sequence[str]
) -> sa.Select[Any]:
    # Without conditions an index answers alone, unless answers are joined by the alerts' ids.
    decided = ALERTS.outerjoin(GROUP_STATES, GROUP_STATES.c.group_id == ALERTS.c.group_id)
    source = joined() if conditions else decided
    return (
        sa.select(
            ALERTS.c.group_id.label("id"),
            sa.func.count().label("alerts"),
            sa.func.min(ALERTS.c.first_time).label("first_time"),
            sa.func.max(ALERTS.c.last_time).label("last_time"),
            sa.func.max(ALERTS.c.severity).label("severity"),
            sa.func.max(GROUP_STATES.c.revision).label("revision"),
            sa.func.max(GROUP_STATES.c.changed).label("changed"),
            sa.func.max(GROUP_STATES.c.changed_by).label("changed_by"),
            sa.func.max(ALERTS.c.created).label("created"),
            sa.func.max(GROUP_STATES.c.status).label("decided"),
        )
        .select_from(source)
        .where(*conditions, ALERTS.c.group_id.in_(groups), *paging.within(ALERTS.c.last_time))
        .group_by(ALERTS.c.group_id)
    )


def _latest(services: Services, rows: Any) -> dict[str, AlertItem]:
    """The latest alert of each group."""
    if not rows:
        return {}
    wanted = {row["id"]: row["last_time"] for row in rows}
    # SQLite reads the whole table for a condition on pairs.
    within = ALERTS.c.group_id.in_(wanted), ALERTS.c.last_time.in_(set(wanted.values()))
    items = map(alert_item, services.database.rows(select_alerts().where(*within).order_by(ALERTS.c.id)))
    # Of alerts at the same time, the one with the greatest id.
    return {item.group: item for item in items if item.last_time == wanted[item.group]}


def _item(row: Mapping[str, Any], latest: AlertItem) -> GroupItem:
    # One alert that is newer than the resolution opens the group again.
    opened = row["decided"] is None or (row["decided"] == "resolved" and (row["created"] or "") > row["changed"])
    return GroupItem(
        id=row["id"], status="open" if opened else row["decided"], revision=row["revision"] or 0,
        changed=row["changed"], changed_by=row["changed_by"], alerts=row["alerts"], first_time=row["first_time"],
        last_time=row["last_time"], severity=severity_name(row["severity"]),
        latest=latest,
    )  # fmt: skip


def _detail(services: Services, group: str) -> GroupDetail:
    paging = PageRequest("", "", LATEST, ())
    row = services.database.row(_grouped((), paging, [group]))
    if row is None:
        raise not_found("group", group)
    newest = select_alerts().where(ALERTS.c.group_id == group)
    rows = services.database.rows(newest.order_by(ALERTS.c.last_time.desc(), ALERTS.c.id.desc()).limit(LATEST))
    alerts = [alert_item(found) for found in rows]
    return GroupDetail(group=_item(row, alerts[0]), alerts=alerts, events=life_of(services, group))
