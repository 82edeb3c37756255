"""Alerts as server-sent events: one reader of the database for all listeners.

`id:` is the cursor of an alert: when it was made and its id. A client that reconnects sends it as `Last-Event-ID` and
gets what came since. Engines commit a little out of order, so alerts of the last `OVERLAP_S` before the cursor are
sent again; an alert has the same id each time. Only JSON objects with ASCII escapes are sent, because characters
such as U+2028 would break a line of text in two.
"""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from typing import Annotated, Any

from fastapi import APIRouter, Header, Request
from fastapi.responses import StreamingResponse

from connectors.base import ConnectorError
from connectors.sql_schema import ALERTS
from engine.api.alert_queries import alert_item, select_alerts
from engine.api.auth import Viewer
from engine.api.problems import RESPONSES, ProblemError
from engine.api.services import Services
from foundation.time_text import NS_PER_S, iso_time, parse_time

log = logging.getLogger(__name__)

router = APIRouter(prefix="/api/v1", tags=["alerts"], responses=RESPONSES)

POLL_S = 1.0
OVERLAP_S = 30
PING_S = 15.0
MOST = 10_000
"""Alerts that one read gives, the newest."""

LIFETIME_S = 600.0
"""Then a stream ends, so that a listener whose login has ended is refused when it reconnects."""

QUEUE = 20_000
"""Alerts that wait for one slow listener; with more it is disconnected, and resumes with its cursor."""

MAX_LISTENERS = 500


def cursor_of(row: Mapping[str, Any]) -> str:
    """The id of an alert's event."""
    return f"{row['created']} {row['id']}"


class AlertStream:
    """Reads new alerts once and gives them to every listener."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._listeners: set[asyncio.Queue[Mapping[str, Any] | None]] = set()
        self._since = services.now()
        self._sent: dict[str, str] = {}

    async def run(self) -> None:
        """Read until cancelled; an unreadable database is reported and tried again."""
        while True:
            await asyncio.sleep(POLL_S)
            try:
                rows = await asyncio.to_thread(self.read_new)
            except ConnectorError as error:
                log.warning("the alert stream waits: %s", error)
                continue
            self.publish(rows)

    def read_new(self) -> list[Mapping[str, Any]]:
        """Alerts that were not returned yet, oldest first."""
        floor = iso_time(max(0, parse_time(self._since) - OVERLAP_S * NS_PER_S))
        self._sent = {name: created for name, created in self._sent.items() if created >= floor}
        rows = [row for row in created_since(self._services, floor) if row["id"] not in self._sent]
        for row in rows:
            self._sent[row["id"]] = row["created"]
            self._since = max(self._since, row["created"])
        return rows

    def publish(self, rows: list[Mapping[str, Any]]) -> None:
        """Give alerts to every listener; one that does not keep up is ended."""
        for queue in tuple(self._listeners):
            for row in rows:
                if queue.qsize() >= QUEUE:
                    self._listeners.discard(queue)
                    queue.put_nowait(None)
                    break
                queue.put_nowait(row)

    async def listen(self, after: str) -> AsyncIterator[str]:
        """Events for one listener: those behind a cursor, then new ones, and comments that keep the line open.

        Args:
            after: `Last-Event-ID`, "" for new alerts only.
        """
        queue: asyncio.Queue[Mapping[str, Any] | None] = asyncio.Queue()
        self._listeners.add(queue)
        end_s = asyncio.get_running_loop().time() + LIFETIME_S
        try:
            yield "retry: 2000\n\n"
            for row in await asyncio.to_thread(self._missed, after) if after else ():
                yield event_text(row)
            while asyncio.get_running_loop().time() < end_s:
                try:
                    async with asyncio.timeout(PING_S):
                        arrived = await queue.get()
                except TimeoutError:
                    yield ": still here\n\n"
                    continue
                if arrived is None:
                    return
                yield event_text(arrived)
        finally:
            self._listeners.discard(queue)

    def full(self) -> bool:
        """Whether no further listener is accepted."""
        return len(self._listeners) >= MAX_LISTENERS

    def _missed(self, after: str) -> list[Mapping[str, Any]]:
        floor = iso_time(max(0, parse_time(after.partition(" ")[0]) - OVERLAP_S * NS_PER_S))
        return created_since(self._services, floor)


def created_since(services: Services, floor: str) -> list[Mapping[str, Any]]:
    """The newest `MOST` alerts made at or after a time, oldest first."""
    newest = ALERTS.c.created.desc(), ALERTS.c.id.desc()
    query = select_alerts().where(ALERTS.c.created >= floor).order_by(*newest).limit(MOST)
    return list(services.database.rows(query))[::-1]


def event_text(row: Mapping[str, Any]) -> str:
    """An alert as a server-sent event."""
    content = json.dumps(alert_item(row).model_dump(), ensure_ascii=True, separators=(",", ":"))
    return f"event: alert\nid: {cursor_of(row)}\ndata: {content}\n\n"


@router.get("/alerts/stream", response_class=StreamingResponse)
async def stream(
    request: Request, _: Viewer,
    last_event_id: Annotated[str, Header(max_length=200, description="`id` of the last event received.")] = "",
) -> StreamingResponse:  # fmt: skip
    """New alerts as server-sent events; each has the event name `alert` and an alert of the list as JSON."""
    alerts: AlertStream = request.app.state.alert_stream
    if alerts.full():
        raise ProblemError(503, f"{MAX_LISTENERS} listeners are connected already", {"Retry-After": "30"})
    if last_event_id:
        try:
            parse_time(last_event_id.partition(" ")[0])
        except ValueError as error:
            raise ProblemError(422, "Last-Event-ID is not the id of an event of this stream") from error
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(alerts.listen(last_event_id), media_type="text/event-stream", headers=headers)


async def stop(task: "asyncio.Task[None]") -> None:
    """End the reader."""
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
