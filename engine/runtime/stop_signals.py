"""SIGTERM and SIGINT as a drain of the flow that runs now, or of the next one that the process builds."""

import os
import signal
from typing import Any, Self

from engine.flow.worker_context import Drain


class StopSignals:
    """SIGTERM and SIGINT ask for a drain; a second one ends the process as usual.

    One object lasts for all flows that the process builds, so a signal between two of them stops the next one.
    """

    def __init__(self) -> None:
        self._asked = False
        self._drain: Drain | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._handle) for number in (signal.SIGTERM, signal.SIGINT)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def drain(self, drain: Drain) -> None:
        """Let signals stop this flow from now on."""
        self._drain = drain  # first, so that a signal at any moment reaches the new flow in one of the two ways
        if self._asked:
            self._stop()

    def _handle(self, signum: int, _frame: object) -> None:
        if self._asked:
            signal.signal(signum, signal.SIG_DFL)
            os.kill(os.getpid(), signum)
        self._asked = True
        self._stop()

    def _stop(self) -> None:
        if self._drain is not None:
            self._drain.again = ""
            self._drain.request()
