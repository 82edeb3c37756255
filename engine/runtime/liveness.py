"""Whether the workers of a supervisor move, by their `/healthz`."""

from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus

from engine.clock import Clock
from engine.telemetry.scrape import read_page
from engine.telemetry.telemetry import TelemetrySettings

PROBE_S = 5.0
"""Pause between two probes of one worker."""

ANSWER_S = 1.0
"""How long a worker may take to answer: a step that holds the interpreter's lock gives no answer at all."""


def healthz(settings: TelemetrySettings, port: int) -> bool:
    """Whether a worker answers that it moves."""
    try:
        return (
            read_page(settings.host, port, "/healthz", ANSWER_S, certificate=settings.certificate)[0] == HTTPStatus.OK
        )
    except (OSError, ValueError):  # no answer, or a broken one
        return False


@dataclass(slots=True)
class _Watched:
    """A process by the number of its start: when it is asked next, and when it last moved (None before the first)."""

    starts: int
    due_s: float
    moved_s: float | None = None


class Liveness:
    """Finds workers that stood still for too long.

    A process counts only once it has answered for the first time: starting, and compiling the parser, take their time.
    """

    def __init__(
        self, settings: TelemetrySettings, clock: Clock, probe: Callable[[TelemetrySettings, int], bool] = healthz
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._probe = probe
        self._watched: dict[int, _Watched] = {}

    def stuck(self, worker: int, starts: int) -> bool:
        """Whether the process that was started as number `starts` of a worker has stood still for too long."""
        if not self._settings.serve or not self._settings.port:
            return False
        now_s = self._clock.monotonic_s()
        watched = self._watched.get(worker)
        if watched is None or watched.starts != starts:
            watched = self._watched[worker] = _Watched(starts, now_s)
        if now_s < watched.due_s:
            return False
        watched.due_s = now_s + min(PROBE_S, self._settings.kill_stuck_s / 4)
        if self._probe(self._settings, self._settings.port + worker):
            watched.moved_s = self._clock.monotonic_s()
        return watched.moved_s is not None and now_s - watched.moved_s >= self._settings.kill_stuck_s
