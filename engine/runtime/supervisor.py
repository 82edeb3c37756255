"""Supervisor: N independent workers of one region, each restarted when it dies.

Workers share nothing: each has its own partitions, recovery folder and process, so a kill touches
one. A worker that stands still is killed, and restarted like one that died. A worker that ends with 0
has finished (a finite source, or a drain) and is not restarted; one that ends with the usage code would
fail the same way again, so everything stops.
"""

import logging
import os
import signal
import subprocess
from collections.abc import Callable, Sequence
from functools import partial

from engine.clock import Clock
from engine.runtime.worker import EXIT_FAILED, EXIT_OK, EXIT_USAGE
from engine.stop_flag import StopFlag
from foundation.supervision import Process, Supervised

log = logging.getLogger(__name__)

POLL_S = 0.1
DRAIN_KILL_S = 10.0
"""A worker still alive this long after SIGTERM is killed; its positions are those of its last snapshot."""

SUPERVISED = "DRIFTLINE_SUPERVISED"
"""The supervisor's process id in the environment of every worker, which then ends with it."""


def spawn(command: Sequence[str]) -> Process:
    """Start a worker in a session of its own, so that a terminal's Ctrl-C reaches the supervisor alone."""
    return subprocess.Popen(command, start_new_session=True, env={**os.environ, SUPERVISED: str(os.getpid())})


class Supervisor:
    """Runs the workers until all have finished, one cannot run at all, or a stop is requested."""

    def __init__(
        self, command: Callable[[int], Sequence[str]], workers: int, clock: Clock, stop: StopFlag,
        *, kill_after_s: float = DRAIN_KILL_S, spawn: Callable[[Sequence[str]], Process] = spawn,
        stuck: Callable[[int, int], bool] = lambda worker, starts: False,
    ) -> None:  # fmt: skip
        """Start nothing yet.

        Args:
            command: The command line of worker i.
            workers: How many there are.
            clock: For back-off and deadlines.
            stop: Set to end everything with a drain.
            kill_after_s: Seconds that a worker may take to drain.
            spawn: Starts a command line; raises OSError where it cannot.
            stuck: Whether the process of a worker, by the number of its start, has stood still for too long.
        """
        self._clock = clock
        self._stop = stop
        self._kill_after_s = kill_after_s
        self._stuck = stuck
        self._workers = [
            Supervised(f"worker {i}", partial(spawn, command(i)), clock.monotonic_s, finished=(EXIT_OK, EXIT_USAGE))
            for i in range(workers)
        ]

    @property
    def restarts(self) -> int:
        """How often a worker was started after its first time."""
        return sum(max(worker.starts - 1, 0) for worker in self._workers)

    def run(self) -> int:
        """Block until the end and return the exit code for the whole."""
        for worker in self._workers:
            worker.start_or_retry()  # where no memory is left just now, the other workers continue
        while not self._stop.wait(POLL_S):
            for number, worker in enumerate(self._workers):
                worker.watch()
                if worker.alive and self._stuck(number, worker.starts):
                    worker.kill("stands still")
            codes = [worker.code for worker in self._workers]
            if EXIT_USAGE in codes:
                self._drain()
                return EXIT_USAGE
            if all(code == EXIT_OK for code in codes):
                return EXIT_OK
        return self._drain()

    def _drain(self) -> int:
        """Send SIGTERM to all, and kill those that do not end in time."""
        running = [
            (worker.name, process)
            for worker in self._workers
            if worker.code is None and (process := worker.release()) is not None
        ]
        for _, process in running:
            process.send_signal(signal.SIGTERM)
        deadline_s = self._clock.monotonic_s() + self._kill_after_s
        while any(process.poll() is None for _, process in running) and self._clock.monotonic_s() < deadline_s:
            self._stop.pause(POLL_S)
        for name, process in running:
            if process.poll() is None:
                log.error("%s did not stop in time and is killed", name)
                process.kill()
        return EXIT_OK if all(process.wait() == EXIT_OK for _, process in running) else EXIT_FAILED
