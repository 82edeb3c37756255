"""ASGI middleware: the size of bodies, and the headers that every response has."""

from collections.abc import Mapping, Sequence

from fastapi.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from engine.api.problems import problem_response

HEADERS: Mapping[bytes, bytes] = {
    b"content-security-policy": b"default-src 'self'; object-src 'none'; base-uri 'none'; frame-ancestors 'none'; "
    b"form-action 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'",
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"no-referrer",
    b"cross-origin-opener-policy": b"same-origin",
}
"""Of every response. Scripts come from files of this service only; chart libraries need inline styles."""


class BodyLimit:
    """Refuses bodies that are too long, also those that do not state their length."""

    def __init__(self, app: ASGIApp, max_bytes: int, larger: Mapping[str, int]) -> None:
        """Wrap an application.

        Args:
            app: The application.
            max_bytes: Limit of a body.
            larger: Limits of single paths.
        """
        self._app = app
        self._max_bytes = max_bytes
        self._larger = larger

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = self._larger.get(scope["path"], self._max_bytes)
        refusal = problem_response(413, f"the body is longer than {limit:,} bytes")
        stated = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
        if not stated.isdigit() or int(stated) > limit:
            await refusal(scope, receive, send)
            return
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > limit:
                raise HTTPException(413, f"the body is longer than {limit:,} bytes")
            return message

        await self._app(scope, counted, send)


class RequestCheck:
    """Refuses other hosts, which stops DNS rebinding, and NUL characters, which PostgreSQL cannot compare."""

    def __init__(self, app: ASGIApp, hosts: Sequence[str]) -> None:
        """Wrap an application.

        Args:
            app: The application.
            hosts: Names in the `Host` header that are answered; all if empty.
        """
        self._app = app
        self._hosts = frozenset(hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] == "http" and (refusal := self._refusal(scope)) is not None:
            await refusal(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _refusal(self, scope: Scope) -> Response | None:
        given = next((value for name, value in scope["headers"] if name == b"host"), b"").decode("latin-1")
        host = given.partition("]")[0] + "]" if given.startswith("[") else given.partition(":")[0]
        if self._hosts and host not in self._hosts:
            return problem_response(421, f"this service does not answer for the host {host[:100]!r}")
        if "\x00" in scope["path"] or b"%00" in scope["query_string"]:
            return problem_response(400, "the URL contains a NUL character")
        return None


class SecurityHeaders:
    """Adds `HEADERS` to every response."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *HEADERS.items()]
            await send(message)

        await self._app(scope, receive, with_headers if scope["type"] == "http" else send)
