"""Whether the workers of a supervisor move, by their `/healthz`."""

from collections.abc import Callable
from http import HTTPStatus

from engine.clock import Clock
from engine.telemetry.scrape import read_page
from engine.telemetry.telemetry import TelemetrySettings

PROBE_S = 5.0
"""Pause between two probes of one worker."""

ANSWER_S = 1.0
"""How long a worker may take to answer: a step that holds the interpreter's lock gives no answer at all."""


def healthz(host: str, port: int) -> bool:
    """Whether a worker answers that it moves."""
    try:
        return read_page(host, port, "/healthz", ANSWER_S)[0] == HTTPStatus.OK
    except (OSError, ValueError):  # no answer, or a broken one
        return False


class Liveness:
    """Finds workers that stood still for too long.

    A process counts only once it has answered for the first time: starting, and compiling the parser, take their time.
    """

    def __init__(self, settings: TelemetrySettings, clock: Clock, probe: Callable[[str, int], bool] = healthz) -> None:
        self._settings = settings
        self._clock = clock
        self._probe = probe
        self._starts: dict[int, int] = {}
        self._due_s: dict[int, float] = {}
        self._moved_s: dict[int, float] = {}

    def stuck(self, worker: int, starts: int) -> bool:
        """Whether the process that was started as number `starts` of a worker has stood still for too long."""
        if not self._settings.serve or not self._settings.port:
            return False
        if self._starts.get(worker) != starts:
            self._starts[worker] = starts
            self._moved_s.pop(worker, None)
            self._due_s.pop(worker, None)
        now_s = self._clock.monotonic_s()
        if now_s < self._due_s.get(worker, now_s):
            return False
        self._due_s[worker] = now_s + min(PROBE_S, self._settings.kill_stuck_s / 4)
        if self._probe(self._settings.host, self._settings.port + worker):
            self._moved_s[worker] = self._clock.monotonic_s()
        return now_s - self._moved_s.get(worker, now_s) >= self._settings.kill_stuck_s
