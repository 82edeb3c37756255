"""Flower's SuperNode with shorter sleeps; takes the arguments of `flower-supernode`.

    python -m federation.flower.supernode ARGUMENTS

The stock program sleeps three seconds whenever it finds no message, and half a second between two polls for a
reply. A round is a chain of messages, each waiting for the slowest region, so that these sleeps are most of a
round: 9.0 to 9.6 s an exchange were measured with three nodes on two busy cores, hardly any of them work. This one
sleeps for a fraction of a second while a round is running and for a second otherwise. Nothing else is changed.
"""

import functools
import time
from collections.abc import Callable
from typing import Any

STOCK_IDLE_S = 3
"""The sleep without a message in the loop of flwr 1.41.0; a test fails if another release sleeps differently."""

IDLE_S = 1.0
ROUND_S = 0.3
REPLY_S = 0.1
ROUND_LASTS_S = 30.0
"""Time after a message in which another one of the same round is expected."""

FIRST_POLL_S = 0.05
MAX_POLL_S = 1.0
"""Pauses between two polls for a part of a message that is still on its way; the stock pauses are 1 and 10 s."""


class ShortSleeps:
    """Takes the place of the module `time` in the SuperNode's loop."""

    def __init__(self, sleep: Callable[[float], None] = time.sleep, clock: Callable[[], float] = time.monotonic):
        """Take the real functions, or others in tests."""
        self._sleep = sleep
        self._clock = clock
        self._round_until_s = 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)

    def sleep(self, seconds: float) -> None:
        """Sleep; called with `STOCK_IDLE_S` if no message waits, and with less while a reply is expected."""
        if seconds != STOCK_IDLE_S:
            self._round_until_s = self._clock() + ROUND_LASTS_S
            self._sleep(min(seconds, REPLY_S))
        else:
            self._sleep(ROUND_S if self._clock() < self._round_until_s else IDLE_S)


def main() -> None:
    """Run the SuperNode until it is asked to end."""
    # Loaded here because the executor reads the constants above, and should not load the SuperNode.
    from flwr.supercore.inflatable.inflatable_utils import pull_objects
    from flwr.supernode import start_client_internal
    from flwr.supernode.cli import flower_supernode

    # The loop looks these names up in its own module at every turn.
    names = vars(start_client_internal)
    names["time"] = ShortSleeps()
    names["pull_objects"] = functools.partial(pull_objects, initial_backoff=FIRST_POLL_S, backoff_cap=MAX_POLL_S)
    flower_supernode()


if __name__ == "__main__":
    main()
