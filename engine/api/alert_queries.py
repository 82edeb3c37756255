"""Alerts and groups in the SQL store, with what operators decided about them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import sqlalchemy as sa
from fastapi import Depends, Query
from pydantic import BaseModel, Field

from connectors.sql_schema import ALERTS, FEEDBACK, GROUP_STATES
from foundation.documents.alert import SEVERITIES, Severity

Status = Literal["open", "acknowledged", "resolved"]
AlertAnswer = Literal["right", "wrong", "normal"]

STATUS = sa.case(
    (sa.and_(GROUP_STATES.c.status == "resolved", ALERTS.c.created > GROUP_STATES.c.changed), "open"),
    else_=sa.func.coalesce(GROUP_STATES.c.status, "open"),
)
"""Status of an alert: that of its group; an alert that is newer than a resolution opens the group again."""

SHOWN = (
    "id", "group_id", "title", "severity", "kind", "line_class", "region", "source", "session", "score", "threshold",
    "model", "version", "first_time", "last_time", "created", "cause",
)  # fmt: skip


class AlertItem(BaseModel):
    """An alert in a list."""

    id: str
    group: Annotated[str, Field(description="Id of its group: alerts with the same set of templates.")]
    status: Annotated[Status, Field(description="Of its group.")]
    answer: Annotated[AlertAnswer | None, Field(description="The last answer of an operator.")]
    title: Annotated[str, Field(description="What happened, in one line.")]
    severity: Severity
    kind: Annotated[str, Field(description="Kind of its strongest reason, such as new; score: a window's score.")]
    line_class: Annotated[str, Field(description="One of the seven classes, or empty if lines are not classified.")]
    cause: Annotated[str, Field(description="Text of the template that caused it, or empty.")]
    region: str
    source: str
    session: str
    score: float | None
    threshold: float | None
    model: str
    version: int | None
    first_time: str
    last_time: str
    created: str


@dataclass(frozen=True, slots=True)
class AlertFilter:
    """Conditions on alerts; all that are given must hold."""

    severity: Annotated[Severity, Query(description="Mildest severity.")] = "info"
    status: Annotated[Status | None, Query(description="Status of the group.")] = None
    answer: Annotated[AlertAnswer | Literal["none"] | None, Query(description="Last answer; none: not answered.")] = (
        None
    )
    group: Annotated[str | None, Query(max_length=64, description="Id of the group.")] = None
    region: Annotated[str | None, Query(max_length=256)] = None
    source: Annotated[str | None, Query(max_length=1_000)] = None
    session: Annotated[str | None, Query(max_length=1_000)] = None
    kind: Annotated[str | None, Query(max_length=64, description="Kind of the strongest reason.")] = None
    line_class: Annotated[str | None, Query(max_length=64)] = None
    model: Annotated[str | None, Query(max_length=256)] = None
    version: Annotated[int | None, Query(ge=0, le=1 << 31)] = None
    text: Annotated[str | None, Query(max_length=200, description="Text in the title or the causing template.")] = None

    def conditions(self) -> list[sa.ColumnElement[bool]]:
        """The conditions on rows of `select_alerts`."""
        found: list[sa.ColumnElement[bool]] = []
        for name in ("region", "source", "session", "kind", "line_class", "model", "version"):
            value = getattr(self, name)
            if value is not None:
                found.append(ALERTS.c[name] == value)
        if self.severity != "info":
            found.append(ALERTS.c.severity >= SEVERITIES.index(self.severity))
        if self.group is not None:
            found.append(ALERTS.c.group_id == self.group)
        if self.status is not None:
            found.append(STATUS == self.status)
        if self.answer is not None:
            found.append(FEEDBACK.c.answer.is_(None) if self.answer == "none" else FEEDBACK.c.answer == self.answer)
        if self.text:
            found.append(sa.or_(*(ALERTS.c[c].icontains(self.text, autoescape=True) for c in ("title", "cause"))))
        return found


Wanted = Annotated[AlertFilter, Depends()]
"""The fields of the filter as parameters of their own in the query."""


def select_alerts(*more: sa.ColumnElement[Any]) -> sa.Select[Any]:
    """A query of the columns that a list shows, with status and answer."""
    return sa.select(*(ALERTS.c[name] for name in SHOWN), STATUS.label("status"), FEEDBACK.c.answer, *more).select_from(
        joined()
    )


def joined() -> sa.FromClause:
    """Alerts with the state of their group and the answer, where there are any."""
    return ALERTS.outerjoin(GROUP_STATES, GROUP_STATES.c.group_id == ALERTS.c.group_id).outerjoin(
        FEEDBACK, FEEDBACK.c.alert_id == ALERTS.c.id
    )


def alert_item(row: Mapping[str, Any]) -> AlertItem:
    """Make an item of a row; columns that older programs left empty get their default."""
    texts = {name: row[name] or "" for name in SHOWN if name not in ("score", "threshold", "version", "severity")}
    return AlertItem(
        **{key: value for key, value in texts.items() if key != "group_id"}, group=texts["group_id"],
        severity=severity_name(row["severity"]), status=row["status"], answer=row["answer"], score=row["score"],
        threshold=row["threshold"], version=row["version"],
    )  # fmt: skip


def severity_name(grade: int | None) -> Severity:
    """Return the severity of a column; medium where older programs left it empty."""
    return "medium" if grade is None else SEVERITIES[grade]
