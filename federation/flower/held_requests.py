"""Long polling: holds a request for work until there may be some, instead of answering "nothing" at once.

Flower's programs ask for messages, replies and tasks again and again. Each of these requests passes Flower's whole
stack and its database, some 15 ms of CPU, whether or not something is there. A SuperLink that is asked once a second
by each idle node has a full core near 45 nodes; and a node that asks less often starts late. With this
middleware a program asks once in `HOLD_S`, and is answered as soon as another request brings what it waits for.

The order within a held request:

1. A newer request with the same key replaces it: the program has been restarted, and the older one must not
   take the work.
2. Work that came before the request is handed out at once, and so is everything after an answer with content.
3. A client that is gone takes nothing: its request ends without an answer.
"""

import asyncio
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

HOLD_S = 20.0
"""Longest time for which a request is held; Flower's clients wait 30 s for an answer."""

REPLACED = "a newer request of the same program waits for this"

Key = Hashable
"""What a request waits for, such as messages for one node."""


@dataclass(frozen=True, slots=True)
class HeldRoute:
    """Requests that are held.

    Attributes:
        key: The key of a request, from its protobuf message.
        hold_s: Longest time in seconds.
    """

    key: Callable[[Any], Key]
    hold_s: float = HOLD_S


Wakes = Callable[[Any], Iterable[Key]]
"""The keys for which a request, given its protobuf message, brings work."""


class _Gate:
    """The state of one key."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.open.set()  # work of an earlier start of the program may wait in its database
        self.newest: object = None


class Gates:
    """What the requests of one program wait for."""

    def __init__(self) -> None:
        """All gates are open until their first request has been answered."""
        self._gates: dict[Key, _Gate] = {}
        self._loop: asyncio.AbstractEventLoop | None = None

    def gate(self, key: Key) -> _Gate:
        """The state of a key; called in the event loop's thread."""
        self._loop = asyncio.get_running_loop()
        return self._gates.setdefault(key, _Gate())

    def wake(self, keys: Iterable[Key]) -> None:
        """Answer the requests with these keys now, or the next ones; called in any thread."""
        for key in keys:
            if key in self._gates and self._loop is not None:  # others are open
                self._loop.call_soon_threadsafe(self._gates[key].open.set)


class HeldRequests:
    """The innermost ASGI middleware of a Flower program, behind authentication and protobuf translation."""

    def __init__(
        self, app: ASGIApp, *, held: Mapping[str, HeldRoute], wakes: Mapping[str, Wakes], gates: Gates | None = None
    ) -> None:
        """Hold nothing yet.

        Args:
            app: The application.
            held: Requests that are held, by path.
            wakes: Requests after which others are answered, by path.
            gates: Their state, if other threads answer requests, too.
        """
        self._app = app
        self._held = held
        self._wakes = wakes
        self._gates = gates or Gates()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        asked = scope.get("state", {}).get("protobuf_request") if scope["type"] == "http" else None
        path = scope.get("path", "")
        if asked is not None and path in self._held:
            await self._hold(self._held[path], asked, scope, receive, send)
            return
        await self._app(scope, receive, send)
        if asked is not None and path in self._wakes:
            self._gates.wake(self._wakes[path](asked))

    async def _hold(self, held: HeldRoute, asked: Any, scope: Scope, receive: Receive, send: Send) -> None:
        gate = self._gates.gate(held.key(asked))
        gate.newest = mine = object()
        body = await receive()
        here = await _opened_or_gone(gate.open, receive, held.hold_s)
        if gate.newest is not mine or not here:  # 1, 3
            await JSONResponse({"detail": REPLACED}, HTTPStatus.SERVICE_UNAVAILABLE)(scope, receive, send)
            return
        gate.open.clear()

        async def replay() -> Any:
            return body

        empty = False

        async def watched(message: Any) -> None:
            nonlocal empty
            if message["type"] == "http.response.start":  # the translation to protobuf removes the answer afterwards
                answer = scope["state"].get("protobuf_response")
                empty = answer is not None and not answer.ByteSize()
            await send(message)

        await self._app(scope, replay, watched)
        if not empty:  # 2
            gate.open.set()


async def _opened_or_gone(opened: asyncio.Event, receive: Receive, hold_s: float) -> bool:
    """Wait for work, at most `hold_s`; False if the client has closed the connection meanwhile."""
    if opened.is_set():
        return True
    waits, gone = asyncio.ensure_future(opened.wait()), asyncio.ensure_future(receive())
    try:
        await asyncio.wait({waits, gone}, timeout=hold_s, return_when=asyncio.FIRST_COMPLETED)
        return not gone.done()
    finally:
        waits.cancel()
        gone.cancel()
