"""What changed since a deploy: exact counts of templates before and after it, and the alerts that came since."""

from typing import Annotated

import sqlalchemy as sa
from pydantic import BaseModel, Field

from connectors.sql_schema import MARKERS
from engine.api import groups, templates
from engine.api.accounts import Caller
from engine.api.alert_queries import AlertFilter
from engine.api.groups import GroupItem
from engine.api.markers import Marker
from engine.api.minutes import MINUTE_NS
from engine.api.pages import page_request
from engine.api.problems import ProblemError
from engine.api.services import Services
from engine.api.templates import TemplateDiff
from foundation.time_text import iso_time, parse_time

GROUPS = 20


class SinceDeploy(BaseModel):
    """A deploy, and what is different since."""

    deploy: Marker
    minutes: Annotated[int, Field(description="Length of the range after it, and of the one before it.")]
    templates: Annotated[TemplateDiff, Field(description="Range a is before the deploy, range b after it.")]
    groups: Annotated[list[GroupItem], Field(description="Groups with an alert since, the newest first.")]


def since_deploy(services: Services, caller: Caller, label: str, max_minutes: int, limit: int) -> SinceDeploy:
    """Compare the time since a deploy with as much time before it.

    Args:
        services: The running service.
        caller: Who asks.
        label: Part of the deploy's label; "" for the last one.
        max_minutes: Longest range.
        limit: Templates that changed most.

    Raises:
        ProblemError: no such deploy was marked, or it is not a minute old.
    """
    query = sa.select(MARKERS).order_by(MARKERS.c.time.desc(), MARKERS.c.id)
    row = services.database.row(query.where(MARKERS.c.label.contains(label, autoescape=True)) if label else query)
    if row is None:
        raise ProblemError(404, f"no deploy {label[:100]!r} was marked" if label else "no deploy was marked")
    marked_ns = parse_time(row["time"]) // MINUTE_NS * MINUTE_NS
    minutes = min(max_minutes, (services.now_ns() - marked_ns) // MINUTE_NS)
    if minutes < 1:
        raise ProblemError(409, f"the deploy {row['label'][:100]!r} was marked for {row['time']}; ask a minute later")
    before, at, after = (iso_time(marked_ns + n * minutes * MINUTE_NS) for n in (-1, 0, 1))
    paging = page_request(at, None, GROUPS, None)
    return SinceDeploy(
        deploy=Marker(id=row["id"], time=row["time"], kind="deploy", label=row["label"]), minutes=minutes,
        templates=templates.diff(caller, services, before, at, at, after, None, None, limit),
        groups=groups.list_groups(caller, services, AlertFilter(), paging).items,
    )  # fmt: skip
