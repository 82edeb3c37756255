"""The MCP server over streamable HTTP, at `/mcp` of the service: the same tools, with the tokens of the REST API."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.server.transport_security import TransportSecuritySettings
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from engine.api.auth import CHALLENGE, bearer
from engine.api.mcp_server import build_mcp
from engine.api.problems import ProblemError, problem_response
from engine.api.services import Services


class McpEndpoint:
    """An ASGI application; each request is complete in itself, so there are no sessions to keep."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._manager: StreamableHTTPSessionManager | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Answer within this context."""
        server = build_mcp(self._services)
        # `RequestCheck` has compared the host before, with the names in the settings.
        server.streamable_http_app(
            json_response=True, stateless_http=True,
            transport_security=TransportSecuritySettings(enable_dns_rebinding_protection=False),
        )  # fmt: skip
        self._manager = server.session_manager
        try:
            async with self._manager.run():
                yield
        finally:
            self._manager = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI; a cookie is not accepted, because a browser would send it for another site."""
        try:
            caller = await run_in_threadpool(bearer, Request(scope), self._services)
            if caller is None:
                raise ProblemError(401, "send a token of the API: Authorization: Bearer TOKEN", CHALLENGE)
            if self._manager is None:
                raise ProblemError(503, "the service is starting or stopping", {"Retry-After": "5"})
        except ProblemError as error:
            await problem_response(error.status, str(error), headers=error.headers)(scope, receive, send)
            return
        await self._manager.handle_request(scope, receive, send)
