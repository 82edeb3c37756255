"""Supervisor: N independent workers of one region, each restarted when it dies.

Workers share nothing: each has its own partitions, recovery folder and process, so a kill touches
one. A worker that ends with 0 has finished (a finite source, or a drain) and is not restarted; one
that ends with the usage code would fail the same way again, so everything stops.
"""

import logging
import os
import signal
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from engine.clock import Clock
from engine.runtime.worker import EXIT_FAILED, EXIT_OK, EXIT_USAGE
from engine.stop_flag import StopFlag

log = logging.getLogger(__name__)

FIRST_BACKOFF_S = 0.5
LAST_BACKOFF_S = 30.0
STABLE_S = 60.0
"""A worker that ran this long starts again at the first back-off."""

POLL_S = 0.1
DRAIN_KILL_S = 10.0
"""A worker still alive this long after SIGTERM is killed; its positions are those of its last snapshot."""

SUPERVISED = "DRIFTLINE_SUPERVISED"
"""The supervisor's process id in the environment of every worker, which then ends with it."""


class Process(Protocol):
    """What the supervisor needs of a running worker; `subprocess.Popen` has it."""

    @property
    def pid(self) -> int:
        """Process id."""
        ...

    def poll(self) -> int | None:
        """Exit code, None while it runs."""
        ...

    def send_signal(self, sig: int) -> None:
        """Sends a signal; does nothing to a process that has ended."""
        ...

    def kill(self) -> None:
        """Ends it at once."""
        ...

    def wait(self) -> int:
        """Waits for the end; the exit code."""
        ...


def spawn(command: Sequence[str]) -> Process:
    """A worker in a session of its own, so that a terminal's Ctrl-C reaches the supervisor alone."""
    return subprocess.Popen(command, start_new_session=True, env={**os.environ, SUPERVISED: str(os.getpid())})


@dataclass(slots=True)
class _Worker:
    """One worker; without a process it waits for its restart, or has finished with `code`."""

    number: int
    process: Process | None = None
    started_s: float = 0.0
    restart_at_s: float = 0.0
    backoff_s: float = FIRST_BACKOFF_S
    code: int | None = None


class Supervisor:
    """Runs the workers until all have finished, one cannot run at all, or a stop is requested."""

    def __init__(
        self, command: Callable[[int], Sequence[str]], workers: int, clock: Clock, stop: StopFlag,
        *, kill_after_s: float = DRAIN_KILL_S, spawn: Callable[[Sequence[str]], Process] = spawn,
    ) -> None:  # fmt: skip
        """Takes what is needed to start a worker.

        Args:
            command: The command line of worker i.
            workers: How many there are.
            clock: For back-off and deadlines.
            stop: Set to end everything with a drain.
            kill_after_s: Seconds that a worker may take to drain.
            spawn: Starts a command line; raises OSError where it cannot.
        """
        self._command = command
        self._clock = clock
        self._stop = stop
        self._kill_after_s = kill_after_s
        self._spawn = spawn
        self._workers = [_Worker(i) for i in range(workers)]
        self.restarts = 0

    def run(self) -> int:
        """Blocks until the end; the exit code for the whole."""
        for worker in self._workers:
            self._start(worker)
        while not self._stop.wait(POLL_S):
            for worker in self._workers:
                self._watch(worker)
            codes = [worker.code for worker in self._workers]
            if EXIT_USAGE in codes:
                self._drain()
                return EXIT_USAGE
            if all(code == EXIT_OK for code in codes):
                return EXIT_OK
        return self._drain()

    def pids(self) -> list[int | None]:
        """Process ids of the workers, None where one is not running."""
        return [worker.process.pid if worker.process is not None else None for worker in self._workers]

    def _start(self, worker: _Worker) -> None:
        worker.started_s = self._clock.monotonic_s()
        worker.code = None
        try:
            worker.process = self._spawn(self._command(worker.number))
        except OSError as error:
            # No memory or no process left just now; the other workers go on.
            self._plan_restart(worker, f"it cannot be started: {error}")
            return
        log.info("worker started", extra={"worker": worker.number, "pid": worker.process.pid})

    def _watch(self, worker: _Worker) -> None:
        if worker.process is not None:
            worker.code = worker.process.poll()
            if worker.code is None:
                return
            worker.process = None
            if worker.code not in (EXIT_OK, EXIT_USAGE):
                self._plan_restart(worker, f"it ended with {worker.code}")
        elif worker.code != EXIT_OK and self._clock.monotonic_s() >= worker.restart_at_s:
            self.restarts += 1
            self._start(worker)

    def _plan_restart(self, worker: _Worker, why: str) -> None:
        now_s = self._clock.monotonic_s()
        if now_s - worker.started_s >= STABLE_S:
            worker.backoff_s = FIRST_BACKOFF_S
        worker.restart_at_s = now_s + worker.backoff_s
        log.error("worker died; it is restarted", extra={"worker": worker.number, "why": why, "in_s": worker.backoff_s})
        worker.backoff_s = min(worker.backoff_s * 2, LAST_BACKOFF_S)

    def _drain(self) -> int:
        """SIGTERM to all, a kill for those that do not end in time."""
        running = [(worker.number, worker.process) for worker in self._workers if worker.process is not None]
        for _, process in running:
            process.send_signal(signal.SIGTERM)
        deadline_s = self._clock.monotonic_s() + self._kill_after_s
        while any(process.poll() is None for _, process in running) and self._clock.monotonic_s() < deadline_s:
            self._stop.pause(POLL_S)
        for number, process in running:
            if process.poll() is None:
                log.error("worker did not stop in time and is killed", extra={"worker": number})
                process.kill()
        return EXIT_OK if all(process.wait() == EXIT_OK for _, process in running) else EXIT_FAILED
