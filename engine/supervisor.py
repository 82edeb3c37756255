"""Supervisor: N independent workers of one region, each restarted when it dies.

Workers share nothing: each has its own partitions, recovery folder and process, so a kill touches
one. A worker that ends with 0 has finished (a finite source, or a drain) and is not restarted; one
that ends with the usage code would fail the same way again, so everything stops.
"""

import logging
import signal
import subprocess
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from engine.clock import Clock
from engine.worker import EXIT_FAILED, EXIT_OK, EXIT_USAGE

log = logging.getLogger(__name__)

FIRST_BACKOFF_S = 0.5
LAST_BACKOFF_S = 30.0
STABLE_S = 60.0
"""A worker that ran this long starts again at the first back-off."""

POLL_S = 0.1
DRAIN_KILL_S = 10.0
"""A worker still alive this long after SIGTERM is killed; its positions are those of its last snapshot."""


@dataclass(slots=True)
class _Worker:
    number: int
    process: "subprocess.Popen[bytes] | None" = None
    started_s: float = 0.0
    restart_at_s: float = 0.0
    backoff_s: float = FIRST_BACKOFF_S
    code: int | None = None


class Supervisor:
    """Runs the workers until all have finished, one cannot run at all, or a stop is requested."""

    def __init__(
        self, command: Callable[[int], Sequence[str]], workers: int, clock: Clock, stop: threading.Event
    ) -> None:
        """Takes what is needed to start a worker.

        Args:
            command: The command line of worker i.
            workers: How many there are.
            clock: For back-off and deadlines.
            stop: Set to end everything with a drain.
        """
        self._command = command
        self._clock = clock
        self._stop = stop
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
        return [w.process.pid if w.process is not None and w.code is None else None for w in self._workers]

    def _start(self, worker: _Worker) -> None:
        worker.process = subprocess.Popen(self._command(worker.number), start_new_session=True)
        worker.started_s = self._clock.monotonic_s()
        worker.code = None
        log.info("worker started", extra={"worker": worker.number, "pid": worker.process.pid})

    def _watch(self, worker: _Worker) -> None:
        now_s = self._clock.monotonic_s()
        if worker.code is None and worker.process is not None:
            worker.code = worker.process.poll()
            if worker.code not in (None, EXIT_OK, EXIT_USAGE):
                self._plan_restart(worker, now_s)
        elif worker.code not in (EXIT_OK, EXIT_USAGE) and now_s >= worker.restart_at_s:
            self.restarts += 1
            self._start(worker)

    def _plan_restart(self, worker: _Worker, now_s: float) -> None:
        if now_s - worker.started_s >= STABLE_S:
            worker.backoff_s = FIRST_BACKOFF_S
        worker.restart_at_s = now_s + worker.backoff_s
        log.error(
            "worker died; it is restarted",
            extra={"worker": worker.number, "exit_code": worker.code, "in_s": worker.backoff_s},
        )
        worker.backoff_s = min(worker.backoff_s * 2, LAST_BACKOFF_S)

    def _drain(self) -> int:
        """SIGTERM to all, a kill for those that do not end in time."""
        running = [w for w in self._workers if w.process is not None and w.process.poll() is None]
        for worker in running:
            assert worker.process is not None
            worker.process.send_signal(signal.SIGTERM)
        deadline_s = self._clock.monotonic_s() + DRAIN_KILL_S
        for worker in running:
            assert worker.process is not None
            try:
                worker.code = worker.process.wait(timeout=max(0.1, deadline_s - self._clock.monotonic_s()))
            except subprocess.TimeoutExpired:
                log.error("worker did not stop in time and is killed", extra={"worker": worker.number})
                worker.process.kill()
                worker.code = worker.process.wait()
        return EXIT_OK if all(w.code == EXIT_OK for w in running) else EXIT_FAILED
