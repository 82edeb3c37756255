"""A channel as a sink: notices that are due go out, and what is not delivered stays in the state.

The state is part of the flow's recovery state, undelivered notices included. A service that is down
therefore holds up neither the stream nor the other sinks, and nothing is lost when the engine is killed.
After a crash a notice may come again, with the same identity for the service to merge it by.
"""

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

from connectors.base import Record, SinkUnavailableError, State
from connectors.channels.alert_text import severity_of
from connectors.channels.base import Channel, ChannelSettings, Notice, Request
from connectors.channels.group_book import GroupBook, group_of
from connectors.http_delivery import Delivery, HttpDelivery, ServiceBusyError
from foundation.backoff import Backoff
from foundation.documents.alert import SEVERITIES

log = logging.getLogger(__name__)

FIRST_PAUSE_S = 1.0
LAST_PAUSE_S = 60.0

Send = Callable[[Request], Delivery]


class ChannelSink:
    """See the module; also a `Sink`.

    Attributes:
        snapshot_holds_pending: A failed flush may be left: the snapshot carries what was not delivered.
        refused: Notices that the service will never accept; they are logged with the reason.
    """

    snapshot_holds_pending = True

    def __init__(
        self,
        settings: ChannelSettings,
        channel: Channel,
        address: str,
        *,
        repeat_s: float | None = None,
        clock: Callable[[], float] = time.time,
        send: Send | None = None,
    ) -> None:
        """Connects nowhere yet.

        Args:
            settings: What all channels share.
            channel: Makes the requests.
            address: Is connected to by `open`, so that a wrong address shows at the start.
            repeat_s: Seconds after which a firing group is reported again, for channels that want it.
            clock: Seconds since 1970.
            send: Delivers a request; by default over HTTP.
        """
        self._settings = settings
        self._channel = channel
        self._address = address
        self._clock = clock
        self._http = HttpDelivery(settings.timeout_s)
        self._send = send or self._over_http
        self._own_send = send is not None
        self._least = SEVERITIES.index(settings.min_severity)
        self._book = GroupBook(
            update_s=settings.update_s,
            resolve_after_s=settings.resolve_after_s,
            max_groups_per_minute=settings.max_groups_per_minute,
            repeat_s=repeat_s if channel.repeats else None,
        )
        self._backoff = Backoff(FIRST_PAUSE_S, LAST_PAUSE_S)
        self._not_before_s = 0.0
        self._problem = ""
        self.refused = 0

    def open(self, resume: State | None) -> None:
        """See `Sink.open`."""
        if resume:
            self._book.restore(resume)
        if not self._own_send:
            self._http.reach(self._address)

    def write(self, records: Sequence[Record]) -> None:
        """See `Sink.write`."""
        now_s = self._clock()
        for record in records:
            document = {"id": record.id, **record.document}
            if severity_of(document) >= self._least:
                self._book.add(group_of(document), document, now_s)

    def pending(self) -> int:
        """See `Sink.pending`."""
        return self._book.pending(self._clock())

    def flush(self, timeout_s: float) -> None:
        """See `Sink.flush`; also sends what time makes due: updates, reminders, ends of groups, digests."""
        now_s = self._clock()
        if now_s < self._not_before_s:
            raise SinkUnavailableError(self._problem)
        notices = {notice.group: notice for notice in self._book.due(now_s)}
        deadline_s = now_s + timeout_s
        for request in self._channel.requests(list(notices.values())):
            self._deliver(request, [notices[group] for group in request.groups])
            if self._clock() > deadline_s and request.groups[-1] != next(reversed(notices)):
                raise SinkUnavailableError(f"{len(self._book.due(self._clock()))} notices wait to be sent")
        self._book.forget_ended(now_s)

    def snapshot(self) -> State:
        """See `Sink.snapshot`."""
        return self._book.snapshot()

    def close(self) -> None:
        """See `Sink.close`."""
        self._http.close()

    def send_alone(self, notice: Notice) -> str:
        """Send a notice that belongs to no group in the state, such as a test, and wait for the answer.

        Returns:
            What later notices about it refer to, or "".

        Raises:
            SinkUnavailableError: it was not delivered, or will never be accepted.
        """
        reference = ""
        for request in self._channel.requests([notice]):
            delivery = self._send(request)
            answer = self._channel.answer(delivery.status, delivery.body)
            if problem := delivery.refused or answer.problem:
                raise SinkUnavailableError(problem)
            reference = answer.reference
        return reference

    def _deliver(self, request: Request, notices: Sequence[Notice]) -> None:
        try:
            delivery = self._send(request)
            answer = None if delivery.refused else self._channel.answer(delivery.status, delivery.body)
            if answer is not None and answer.problem:
                raise SinkUnavailableError(answer.problem)
        except SinkUnavailableError as error:
            wanted_s = error.retry_after_s if isinstance(error, ServiceBusyError) else 0.0
            self._not_before_s = self._clock() + max(self._backoff.pause_s(), wanted_s)
            self._problem = str(error)
            raise
        self._backoff.reset()
        self._not_before_s = 0.0
        if delivery.refused:
            self.refused += len(notices)
            log.error("%s; %d notices are dropped here and stay in the other sinks", delivery.refused, len(notices))
        for notice in notices:
            self._book.delivered(notice, self._clock(), answer.reference if answer is not None else "")

    def _over_http(self, request: Request) -> Delivery:
        headers: dict[str, Any] = {"Content-Type": "application/json", **request.headers}
        return self._http.send(request.method, request.url, request.body, headers)
