"""Flower's SuperNode with long polling and the SuperLink's clock; takes the arguments of `flower-supernode`.

    python -m federation.flower.supernode ARGUMENTS

The stock program sleeps three seconds whenever it finds no message, and half a second between two polls for a
reply. A round is a chain of messages, each waiting for the slowest region, so that these sleeps are most of a
round: 9.0 to 9.6 s an exchange were measured with three nodes on two busy cores, hardly any of them work. Here the
SuperLink holds a request until a message comes (`federation.flower.superlink_program`), so the loop asks again
at once; its executor's request for a task is held in the same way. Times are those of the SuperLink
(`federation.flower.superlink_clock`). Nothing else is changed.
"""

import functools
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import uvicorn

from federation.flower.held_requests import Gates, HeldRequests, HeldRoute
from federation.flower.superlink_clock import AHEAD, SuperLinkClock

if TYPE_CHECKING:
    from fastapi import FastAPI

STOCK_IDLE_S = 3
"""The sleep without a message in the loop of flwr 1.41.0; a test fails if another release sleeps differently."""

IDLE_S = 1.0
"""Sleep after a request for a message that the SuperLink answers at once with nothing."""

HELD_S = 0.5
"""Time between two requests without a message from which the second one counts as held."""

REPLY_S = 0.05
"""Pause between two looks for the reply to a message, which wait in this process."""

FIRST_POLL_S = 0.05
MAX_POLL_S = 1.0
"""Pauses between two polls for a part of a message that is still on its way; the stock pauses are 1 and 10 s."""

STOP_S = 1
"""Time that held requests have to end when the program is stopped."""

TASKS = "tasks"
HELD = {"/v1/runtime/acquire-task": HeldRoute(lambda asked: TASKS)}


class ShortSleeps:
    """Takes the place of the module `time` in the SuperNode's loop."""

    def __init__(self, sleep: Callable[[float], None] = time.sleep, clock: Callable[[], float] = time.monotonic):
        """Take the real functions, or others in tests."""
        self._sleep = sleep
        self._clock = clock
        self._idle_s = float("-inf")
        self._not_held = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)

    def sleep(self, seconds: float) -> None:
        """Sleep; called with `STOCK_IDLE_S` if no message waits, and with less while a reply is expected."""
        if seconds != STOCK_IDLE_S:
            self._not_held = 0
            self._sleep(min(seconds, REPLY_S))
            return
        now_s = self._clock()
        self._not_held = self._not_held + 1 if now_s - self._idle_s < HELD_S else 0
        if self._not_held > 1:  # the first request after a message is never held
            self._sleep(IDLE_S)
        self._idle_s = self._clock()


def _with_long_polling(app: "FastAPI", gates: Gates) -> "FastAPI":
    from starlette.middleware import Middleware

    app.user_middleware.insert(len(app.user_middleware), Middleware(HeldRequests, held=HELD, wakes={}, gates=gates))
    return app


def main() -> None:
    """Run the SuperNode until it is asked to end."""
    # Loaded here because the executor reads the constants above, and should not load the SuperNode.
    from flwr.supercore.inflatable.inflatable_utils import pull_objects
    from flwr.supernode import fleet_http_connection, node_auth_http_interceptor, start_client_internal
    from flwr.supernode import main as application
    from flwr.supernode.cli import flower_supernode

    gates, clock = Gates(), SuperLinkClock()
    # The loop looks these names up in its own module at every turn.
    loop = vars(start_client_internal)
    loop["time"] = ShortSleeps()
    loop["pull_objects"] = functools.partial(pull_objects, initial_backoff=FIRST_POLL_S, backoff_cap=MAX_POLL_S)
    pull, create = loop["_pull_and_store_message"], application.create_app

    def pull_and_wake(**given: Any) -> Any:
        given["node_config"][AHEAD] = clock.ahead_s
        run_id = pull(**given)
        if run_id is not None:
            gates.wake([TASKS])
        return run_id

    loop["_pull_and_store_message"] = pull_and_wake
    vars(application)["create_app"] = lambda **given: _with_long_polling(create(**given), gates)
    vars(uvicorn)["Config"] = functools.partial(uvicorn.Config, timeout_graceful_shutdown=STOP_S)
    vars(node_auth_http_interceptor)["now"] = clock.now
    vars(fleet_http_connection)["NodeAuthHttpInterceptor"] = clock.authentication()
    flower_supernode()


if __name__ == "__main__":
    main()
