"""Flower's SuperLink with long polling and a shorter way for each request; takes the arguments of `flower-superlink`.

    python -m federation.flower.superlink_program ARGUMENTS

Three things differ from the stock program, none of them in what a request does:

- A node's request for a message, a round's for replies and the executor's for a round are held until there is
  something (`federation.flower.held_requests`).
- Layers that concern one interface are skipped for the others. Each layer costs as much CPU as the handlers of the
  fleet's requests themselves, and a round of three regions has about 500 of them.
- Tasks that have expired are looked for once a second, and not within every request.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import uvicorn
from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send

from federation.flower.held_requests import HeldRequests, HeldRoute, Key

REPLIES_HOLD_S = 1.0
"""Shorter than for messages: Flower also answers this request when a node is offline, which nothing announces."""

STOP_S = 1
"""Time that held requests have to end when the program is stopped."""

EXPIRY_S = 1.0

HELD = {
    "/v1/fleet/pull-messages": HeldRoute(lambda asked: ("messages", asked.node.node_id)),
    "/v1/runtime/pull-messages": HeldRoute(lambda asked: "replies", REPLIES_HOLD_S),
    "/v1/runtime/acquire-task": HeldRoute(lambda asked: "run"),
}


def _addressees(pushed: Any) -> Iterator[Key]:
    for message in pushed.messages_list:
        yield "messages", message.metadata.dst_node_id


WAKES = {
    "/v1/runtime/push-messages": _addressees,
    "/v1/fleet/push-messages": lambda pushed: ["replies"],
    "/v1/control/start-run": lambda asked: ["run"],
}

CONCERNS = {
    "ControlSensitiveResponseMiddleware": "/v1/control/",
    "ControlAuthenticationMiddleware": "/v1/control/",
    "ControlLicenseMiddleware": "/v1/control/",
    "ControlEventLogMiddleware": "/v1/control/",
    "RuntimeTracingMiddleware": "/v1/runtime/",
    "NodeAuthMiddleware": "/v1/fleet/",
    "FleetEventLogMiddleware": "/v1/fleet/",
}
"""The paths that a layer of flwr 1.41.0 looks at; it passes requests to others on. A test compares it with Flower."""


class OnlyBelow:
    """Another ASGI middleware, for the paths that it concerns."""

    def __init__(self, app: ASGIApp, *, prefix: str, layer: Middleware) -> None:
        """Take the application, and the middleware with the prefix of its paths."""
        self._prefix = prefix
        self._others = app
        self._concerned = layer.cls(app, *layer.args, **layer.kwargs)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        concerned = scope["type"] != "http" or scope["path"].startswith(self._prefix)
        await (self._concerned if concerned else self._others)(scope, receive, send)


def shortened(app: FastAPI) -> FastAPI:
    """The SuperLink's application with long polling, and without layers that do nothing for a path."""
    app.user_middleware[:] = [
        Middleware(OnlyBelow, prefix=prefix, layer=layer) if (prefix := CONCERNS.get(_name(layer))) else layer
        for layer in app.user_middleware
    ]
    app.user_middleware.append(Middleware(HeldRequests, held=HELD, wakes=WAKES))
    return app


def _name(layer: Middleware) -> str:
    return str(getattr(layer.cls, "__name__", ""))


def at_most_every(
    seconds: float, call: Callable[[Any], None], clock: Callable[[], float] = time.monotonic
) -> Callable[[Any], None]:
    """The method `call`, which does nothing if it was called less than `seconds` ago."""
    called_s = float("-inf")

    def calls(of: Any) -> None:
        nonlocal called_s
        if clock() - called_s >= seconds:
            called_s = clock()
            call(of)

    return calls


def _serve(run: Callable[..., None], given: Mapping[str, Any]) -> None:
    run(**{**given, "access_log": False, "timeout_graceful_shutdown": STOP_S})


def main() -> None:
    """Run the SuperLink until it is asked to end."""
    from flwr.supercore.corestate.sql_corestate import SqlCoreState
    from flwr.superlink import main as application
    from flwr.superlink.cli import flower_superlink

    create, run = application.create_app, uvicorn.run
    vars(application)["create_app"] = lambda *given: shortened(create(*given))
    vars(uvicorn)["run"] = lambda **given: _serve(run, given)
    expire = "_cleanup_expired_task_tokens"
    setattr(SqlCoreState, expire, at_most_every(EXPIRY_S, getattr(SqlCoreState, expire)))
    flower_superlink()


if __name__ == "__main__":
    main()
