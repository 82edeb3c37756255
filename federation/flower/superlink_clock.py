"""The SuperLink's clock, as a node knows it from the `Date` header of every answer.

A SuperLink refuses a node whose signed time is more than five seconds ahead of its own or five minutes behind, and
drops a reply that expires by the sender's clock. A node therefore signs with the SuperLink's time, and counts the
life of a message from the SuperLink's time, too. The two clocks may be hours apart.
"""

import datetime
import email.utils
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flwr.supernode.node_auth_http_interceptor import NodeAuthHttpInterceptor

AHEAD = "ahead_s"
"""Key of a node's configuration: seconds by which the node's clock is ahead of the SuperLink's."""

RESOLUTION_S = 3.0
"""Differences up to this are not corrected: the header has whole seconds, and the server renews it once a second."""


class SuperLinkClock:
    """Corrects this machine's clock by what the SuperLink states."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        """Know no difference yet; `clock` is this machine's wall clock in seconds."""
        self._clock = clock
        self.ahead_s = 0.0

    def now(self) -> datetime.datetime:
        """The time at the SuperLink."""
        return datetime.datetime.fromtimestamp(self._clock() - self.ahead_s, datetime.UTC)

    def observe(self, stated: str | None) -> bool:
        """Take the time of an answer that has just arrived, if it has one; True if that changes the correction."""
        if stated is None:
            return False
        try:
            ahead_s = self._clock() - email.utils.parsedate_to_datetime(stated).timestamp()
        except ValueError:
            return False
        if abs(ahead_s - self.ahead_s) <= RESOLUTION_S:
            return False
        self.ahead_s = ahead_s if abs(ahead_s) > RESOLUTION_S else 0.0
        return True

    def authentication(self) -> "type[NodeAuthHttpInterceptor]":
        """Flower's signature of requests, which is made again if it is refused because of the clock."""
        from flwr.common.constant import TIMESTAMP_HEADER
        from flwr.supercore.constant import FLEET_HTTP_PUBLIC_KEY_HEADER, FLEET_HTTP_SIGNATURE_HEADER
        from flwr.supernode.node_auth_http_interceptor import NodeAuthHttpInterceptor

        observe = self.observe

        class Authentication(NodeAuthHttpInterceptor):
            def intercept(self, context: Any, call_next: Any) -> Any:
                answer = super().intercept(context, call_next)
                if observe(answer.headers.get("date")) and answer.status_code == HTTPStatus.UNAUTHORIZED:
                    for name in (FLEET_HTTP_PUBLIC_KEY_HEADER, FLEET_HTTP_SIGNATURE_HEADER, TIMESTAMP_HEADER):
                        del context.request.headers[name]
                    answer = super().intercept(context, call_next)
                return answer

        return Authentication
