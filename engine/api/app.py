"""The application: routers by noun over the services, and what every request passes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI
from fastapi.responses import HTMLResponse
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from engine.api import (
    alerts,
    auth,
    became_normal,
    channels,
    drift_events,
    events,
    groups,
    health,
    jobs,
    markers,
    model_versions,
    oidc,
    predict,
    problems,
    questions,
    regions,
    replay,
    retention,
    rounds,
    series,
    silences,
    template_lines,
    templates,
    users,
)
from engine.api.classifying import Classifiers
from engine.api.job_runner import JobRunner
from engine.api.limits import BodyLimit, RequestCheck, SecurityHeaders
from engine.api.services import Services
from engine.api.settings import ServeSettings
from engine.api.versions import LoadedVersions
from engine.api.window_scores import WindowJudge
from foundation.version import VERSION

if TYPE_CHECKING:
    from engine.api.mcp_endpoint import McpEndpoint

CONSOLE = Path(__file__).resolve().parents[1] / "console"
"""The built console; empty in a clone in which it was not built."""

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")

DESCRIPTION = """\
REST API of Driftline. Log in with `POST /api/v1/session` and repeat `csrf_token` in the header `X-CSRF-Token` of
unsafe requests, or send `Authorization: Bearer TOKEN`. Errors are problem documents by RFC 9457. Times are RFC 3339.
"""

NOT_BUILT = """\
<!doctype html><html lang="en"><meta charset="utf-8"><title>Driftline</title>
<h1>The console is not built</h1><p>The API works: see docs/api.md.</p></html>
"""


def build_app(services: Services) -> FastAPI:
    """The application over some services; closing them is the caller's part."""
    app = FastAPI(
        title="Driftline", version=VERSION, description=DESCRIPTION, lifespan=_lifespan,
        docs_url=None, redoc_url=None, openapi_url=None,
    )  # fmt: skip
    app.state.services = services
    app.state.alert_stream = events.AlertStream(services)
    app.state.classifiers = Classifiers(services.models_url)
    app.state.window_judge = WindowJudge(services)
    app.state.versions = LoadedVersions()
    app.state.job_streams = set()
    app.state.oidc_attempts = oidc.Attempts()
    # `events` before `alerts`: /alerts/stream is not an alert's id.
    nouns = (
        health, auth, oidc, events, alerts, groups, silences, templates, template_lines, series, markers, regions,
        predict, model_versions, replay, jobs, drift_events, rounds, questions, became_normal, channels, users,
    )  # fmt: skip
    for noun in nouns:
        app.include_router(noun.router)
    app.add_api_route("/api/v1/openapi.json", _openapi, tags=["session"], responses=problems.RESPONSES)
    app.state.mcp = _mcp(services)
    if app.state.mcp is not None:
        app.router.routes.append(Route("/mcp", app.state.mcp, methods=["DELETE", "GET", "POST"], name="mcp"))
    app.router.routes.append(_console())
    problems.install(app)
    _wrap(app, services.settings)
    return app


def _wrap(app: FastAPI, settings: ServeSettings) -> None:
    """Add the middleware; the one added last sees a request first."""
    app.add_middleware(GZipMiddleware, minimum_size=1_000, compresslevel=5)
    limits = settings.requests
    larger = dict.fromkeys(("/api/predict-batch", "/api/v1/jobs"), limits.upload_bytes)
    app.add_middleware(BodyLimit, max_bytes=limits.body_bytes, larger=larger)
    listen = settings.listen
    app.add_middleware(RequestCheck, hosts=listen.hosts or (LOOPBACK_NAMES if listen.is_loopback else ()))
    app.add_middleware(SecurityHeaders)


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        services: Services = app.state.services
        for task in (app.state.alert_stream.run(), retention.keep_bounded(services), JobRunner(services).run()):
            stack.push_async_callback(events.stop, asyncio.create_task(task))
        if app.state.mcp is not None:
            await stack.enter_async_context(app.state.mcp.running())
        yield


def _openapi(_: auth.Viewer, request: Request) -> dict[str, Any]:
    """This API as an OpenAPI document."""
    return openapi_document(request.app)


def openapi_document(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document of an application, with the schema of its errors."""
    document: dict[str, Any] = app.openapi()
    document["components"]["schemas"]["Problem"] = problems.Problem.model_json_schema()
    document["components"]["securitySchemes"] = {
        "token": {"type": "http", "scheme": "bearer"},
        "session": {"type": "apiKey", "in": "cookie", "name": auth.COOKIE},
    }
    for path, method, role in auth.roles_of(app.routes):
        document["paths"][path][method] |= {"x-role": role, "security": [{"token": []}, {"session": []}]}
    return document


def _mcp(services: Services) -> "McpEndpoint | None":
    """The MCP endpoint, if the extra `mcp` is installed."""
    if find_spec("mcp") is None:
        return None
    from engine.api.mcp_endpoint import McpEndpoint

    return McpEndpoint(services)


def _console() -> Mount | Route:
    if (CONSOLE / "index.html").is_file():
        return Mount("/", StaticFiles(directory=CONSOLE, html=True), name="console")
    return Route("/", _not_built, name="console")


async def _not_built(_: Request) -> Response:
    return HTMLResponse(NOT_BUILT)
