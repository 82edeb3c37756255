"""A request to stop that a signal handler may make, and pauses that it cuts short.

`threading.Event` does not serve here: its `set` takes a lock that the main thread may hold inside `wait`
at the very moment the handler interrupts it, which would then wait for itself indefinitely.
"""

import time
from collections.abc import Callable

NOTICE_S = 0.05
"""A pause notices the request after this long at the latest."""


class StopFlag:
    """Not set at first; once set it stays so."""

    __slots__ = ("_set", "_sleep")

    def __init__(self, sleep: Callable[[float], None] = time.sleep) -> None:
        """`sleep` is called with seconds; tests move a manual clock there instead."""
        self._set = False
        self._sleep = sleep

    def set(self) -> None:
        """Requests the stop. One assignment: safe in a signal handler and from any thread."""
        self._set = True

    def is_set(self) -> bool:
        """Whether the stop was requested."""
        return self._set

    def wait(self, seconds: float) -> bool:
        """Pauses for `seconds`, or until the stop is requested; whether it is."""
        left = seconds
        while left > 0 and not self._set:
            self._sleep(min(left, NOTICE_S))
            left -= NOTICE_S
        return self._set

    def pause(self, seconds: float) -> None:
        """Pauses for `seconds`, whether or not the stop is requested."""
        self._sleep(seconds)
