"""Supervision of a process: it is started again, after a back-off, whenever it ends."""

import logging
from collections.abc import Callable, Container
from typing import Protocol

from foundation.backoff import Backoff

log = logging.getLogger(__name__)


class Process(Protocol):
    """What a supervisor needs of a running process; `subprocess.Popen` has it."""

    @property
    def pid(self) -> int:
        """Process id."""
        ...

    def poll(self) -> int | None:
        """Return the exit code, None while it runs."""
        ...

    def send_signal(self, sig: int) -> None:
        """Send a signal; does nothing to a process that has ended."""
        ...

    def kill(self) -> None:
        """End it at once."""
        ...

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end and return the exit code."""
        ...


class Supervised:
    """One process, restarted by `watch`.

    Attributes:
        name: What the logs call it.
        starts: How often it was started.
        code: Exit code of the latest process, None while that runs.
    """

    def __init__(
        self, name: str, spawn: Callable[[], Process], clock: Callable[[], float], finished: Container[int] = ()
    ) -> None:
        """Start nothing yet.

        Args:
            name: See the class.
            spawn: Starts the process; raises OSError where it cannot.
            clock: Seconds, monotonic.
            finished: Exit codes after which it is not started again.
        """
        self.name = name
        self.starts = 0
        self.code: int | None = None
        self._spawn = spawn
        self._clock = clock
        self._finished = finished
        self._backoff = Backoff()
        self._process: Process | None = None
        self._started_s = 0.0
        self._restart_at_s: float | None = None

    @property
    def alive(self) -> bool:
        """Whether it runs now."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it.

        Raises:
            OSError: it cannot be started; `watch` does not try again.
        """
        self._start()

    def start_or_retry(self) -> None:
        """Start it; if that fails, which may pass, `watch` tries again after a back-off."""
        try:
            self._start()
        except OSError as error:
            self._restart_later(f"cannot be started: {error}")

    def watch(self) -> bool:
        """Check it once and restart it when that is due; True if it has ended since the last check."""
        if self._restart_at_s is not None:
            if self._clock() >= self._restart_at_s:
                self.start_or_retry()
            return False
        if self._process is None or self.code is not None:
            return False
        self.code = self._process.poll()
        if self.code is not None and self.code not in self._finished:
            self._restart_later(f"ended with code {self.code}")
        return self.code is not None

    def kill(self, reason: str) -> None:
        """Kill it; `watch` restarts it."""
        if self._process is not None and self.code is None:
            log.error("%s %s; it is killed", self.name, reason)
            self._process.kill()

    def release(self) -> Process | None:
        """End the supervision and return the latest process, which may still run."""
        process, self._process, self._restart_at_s = self._process, None, None
        return process

    def _start(self) -> None:
        self._process = self.code = self._restart_at_s = None
        self._started_s = self._clock()
        self._process = self._spawn()
        self.starts += 1
        log.info("%s started", self.name, extra={"pid": self._process.pid})

    def _restart_later(self, reason: str) -> None:
        now_s = self._clock()
        pause_s = self._backoff.pause_s(now_s - self._started_s)
        self._restart_at_s = now_s + pause_s
        log.error("%s %s; it is restarted in %g s", self.name, reason, pause_s)
