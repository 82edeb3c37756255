"""Flower's SuperNode, with less waiting; takes the arguments of `flower-supernode`.

    python -m federation.flower.supernode ARGUMENTS

The stock program sleeps three seconds whenever it finds no message, and half a second between two looks
for a reply. A round is a chain of messages, each waiting for the slowest region, so that sleep is most of
a round: 9.0 to 9.6 s an exchange were measured with three nodes on two busy cores, hardly one of them work.
Here it sleeps shortly while a round is under way and a second when none is. Nothing else is changed.
"""

import functools
import time
from collections.abc import Callable
from typing import Any

STOCK_IDLE_S = 3
"""The sleep without a message in the loop of flwr 1.41.0; a test fails where another release sleeps otherwise."""

IDLE_S = 1.0
ROUND_S = 0.3
REPLY_S = 0.1
ROUND_LASTS_S = 30.0
"""So long after the last message another one of the same round is expected."""

FIRST_LOOK_S = 0.05
LAST_LOOK_S = 1.0
"""Between two looks for a part of a message that is still on its way; the stock waits are 1 and 10 s."""


class ShortSleeps:
    """The module `time` as the SuperNode's loop sees it."""

    def __init__(self, sleep: Callable[[float], None] = time.sleep, clock: Callable[[], float] = time.monotonic):
        """Takes the real ones, or others in tests."""
        self._sleep = sleep
        self._clock = clock
        self._round_until_s = 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)

    def sleep(self, seconds: float) -> None:
        """Called with `STOCK_IDLE_S` where no message waits, and with less while a reply is waited for."""
        if seconds != STOCK_IDLE_S:
            self._round_until_s = self._clock() + ROUND_LASTS_S
            self._sleep(min(seconds, REPLY_S))
        else:
            self._sleep(ROUND_S if self._clock() < self._round_until_s else IDLE_S)


def main() -> None:
    """Runs the SuperNode until it is told to end."""
    from flwr.supercore.inflatable.inflatable_utils import pull_objects
    from flwr.supernode import start_client_internal
    from flwr.supernode.cli import flower_supernode

    # The loop looks names up in its own module at every turn, so that is where they have to change.
    names = vars(start_client_internal)
    names["time"] = ShortSleeps()
    names["pull_objects"] = functools.partial(pull_objects, initial_backoff=FIRST_LOOK_S, backoff_cap=LAST_LOOK_S)
    flower_supernode()


if __name__ == "__main__":
    main()
