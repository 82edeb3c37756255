"""Alerts: list, detail, answers, export."""

import csv
import io
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

import orjson
import sqlalchemy as sa
from fastapi import APIRouter, Path, Query
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from connectors.sql_schema import ALERTS
from engine.api.actions import Comment, FeedbackResult, LifeEvent, answer_alert, life_of
from engine.api.alert_queries import AlertAnswer, AlertItem, Wanted, alert_item, select_alerts
from engine.api.auth import Operator, Viewer
from engine.api.pages import Page, PageRequest, Paging
from engine.api.problems import RESPONSES, not_found
from engine.api.services import Services, Svc
from engine.offline.export import spreadsheet_text

router = APIRouter(prefix="/api/v1/alerts", tags=["alerts"], responses=RESPONSES)

AlertId = Annotated[str, Path(max_length=64, pattern=r"^[^\x00]+$", description="Id of the alert.")]

SIMILAR = 20
"""Alerts of the same group that a detail lists."""

EXPORT_ROWS = 100_000
"""Alerts in one export, the newest; give a time range for others."""

EXPORT_BATCH = 1_000


class AlertDetail(BaseModel):
    """An alert with all that is known about it."""

    alert: AlertItem
    document: Annotated[dict[str, Any], Field(description="The alert as `docs/alert.schema.json` describes it.")]
    events: Annotated[list[LifeEvent], Field(description="Life of its group, newest first.")]
    similar: Annotated[list[AlertItem], Field(description="Earlier alerts of the same group, newest first.")]


class FeedbackRequest(BaseModel):
    """An operator's answer."""

    answer: Annotated[
        AlertAnswer,
        Field(description="right: a real anomaly. wrong: a false alarm. normal: wrong, and its template is silenced."),
    ]
    comment: Comment = ""


@router.get("")
def list_alerts(_: Viewer, services: Svc, wanted: Wanted, paging: Paging) -> Page[AlertItem]:
    """Alerts in a range of event time, newest first; see the filters."""
    query = _ordered(wanted.conditions(), paging).limit(paging.limit + 1)
    return paging.page(services.database.rows(query), "last_time", "id", alert_item)


@router.get("/export", response_class=StreamingResponse)
def export(
    caller: Viewer, services: Svc, wanted: Wanted, paging: Paging,
    format: Annotated[Literal["csv", "json"], Query(description="csv: columns of the list. json: documents.")] = "csv",
) -> StreamingResponse:  # fmt: skip
    """Alerts as CSV, or their documents as JSON lines; the filters are those of the list."""
    services.audit(caller.name, "alerts.exported", format)
    query = _ordered(wanted.conditions(), paging, ALERTS.c.document)
    chunks = _csv(services, query) if format == "csv" else _json_lines(services, query)
    kind = "text/csv; charset=utf-8; header=present" if format == "csv" else "application/jsonl"
    name = f"alerts.{'csv' if format == 'csv' else 'jsonl'}"
    return StreamingResponse(chunks, media_type=kind, headers={"Content-Disposition": f'attachment; filename="{name}"'})


@router.get("/{identity}")
def show(_: Viewer, services: Svc, identity: AlertId) -> AlertDetail:
    """One alert with its lines, reasons, contributions, the life of its group, and similar earlier alerts."""
    row = services.database.row(select_alerts(ALERTS.c.document).where(ALERTS.c.id == identity))
    if row is None:
        raise not_found("alert", identity)
    item = alert_item(row)
    earlier = (
        select_alerts()
        .where(ALERTS.c.group_id == item.group, ALERTS.c.last_time <= item.last_time, ALERTS.c.id != identity)
        .order_by(ALERTS.c.last_time.desc(), ALERTS.c.id.desc())
        .limit(SIMILAR)
    )
    return AlertDetail(
        alert=item, document=orjson.loads(row["document"]), events=life_of(services, item.group),
        similar=[alert_item(found) for found in services.database.rows(earlier)],
    )  # fmt: skip


@router.post("/{identity}/feedback")
def answer(caller: Operator, services: Svc, identity: AlertId, given: FeedbackRequest) -> FeedbackResult:
    """Answer an alert; the answer becomes a label in the region's training store."""
    return answer_alert(services, caller, identity, given.answer, given.comment)


def _ordered(
    conditions: list[sa.ColumnElement[bool]], paging: PageRequest, *more: sa.ColumnElement[Any]
) -> sa.Select[Any]:
    time, identity = ALERTS.c.last_time, ALERTS.c.id
    query = select_alerts(*more).where(*conditions, *paging.within(time), *paging.behind(time, identity))
    return query.order_by(time.desc(), identity.desc())


def _batches(services: Services, query: sa.Select[Any]) -> Iterator[list[Mapping[str, Any]]]:
    """The rows of a query in short reads, so that a slow reader holds no transaction."""
    last: tuple[str, str] | tuple[()] = ()
    for _ in range(0, EXPORT_ROWS, EXPORT_BATCH):
        behind = PageRequest("", "", EXPORT_BATCH, last).behind(ALERTS.c.last_time, ALERTS.c.id)
        rows = list(services.database.rows(query.where(*behind).limit(EXPORT_BATCH)))
        if not rows:
            return
        yield rows
        last = rows[-1]["last_time"], rows[-1]["id"]


def _json_lines(services: Services, query: sa.Select[Any]) -> Iterator[bytes]:
    for rows in _batches(services, query):
        yield b"".join(orjson.dumps(orjson.loads(row["document"])) + b"\n" for row in rows)


def _csv(services: Services, query: sa.Select[Any]) -> Iterator[str]:
    names = list(AlertItem.model_fields)
    yield ",".join(names) + "\r\n"
    for rows in _batches(services, query):
        text = io.StringIO()
        writer = csv.writer(text)
        for row in rows:
            values = alert_item(row).model_dump()
            cells = (values[name] for name in names)
            writer.writerow([spreadsheet_text(cell) if isinstance(cell, str) else cell for cell in cells])
        yield text.getvalue()
