"""A worker counts as standing still once it has answered and then gave no good answer for long enough."""

import http.server
import threading

import pytest

from engine.clock import ManualClock
from engine.runtime.liveness import PROBE_S, Liveness, healthz
from engine.telemetry.telemetry import TelemetrySettings

SETTINGS = TelemetrySettings(port=9000, kill_stuck_s=60)


class Workers:
    """Answers of workers by port, and which were asked."""

    def __init__(self):
        self.moves = {}
        self.asked = []

    def __call__(self, settings, port):
        self.asked.append((settings.host, port))
        return self.moves.get(port, False)


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def workers():
    return Workers()


def stuck_after(liveness, clock, seconds, worker=0, starts=1):
    """Whether the worker counted as stuck at the end of so many seconds, asked every tenth."""
    found = False
    for _ in range(int(seconds * 10)):
        clock.advance(0.1)
        found = liveness.stuck(worker, starts)
        if found:
            break
    return found


def test_a_worker_that_never_answered_is_still_starting(clock, workers):
    assert not stuck_after(Liveness(SETTINGS, clock, workers), clock, 1000)


def test_a_worker_that_moves_is_asked_now_and_then(clock, workers):
    workers.moves[9003] = True
    assert not stuck_after(Liveness(SETTINGS, clock, workers), clock, 100, worker=3)
    assert set(workers.asked) == {("127.0.0.1", 9003)}
    assert len(workers.asked) == pytest.approx(100 / PROBE_S, abs=2)


def test_a_worker_that_stops_answering_is_stuck_after_the_bound(clock, workers):
    liveness = Liveness(SETTINGS, clock, workers)
    workers.moves[9000] = True
    assert not liveness.stuck(0, 1)
    workers.moves[9000] = False
    assert not stuck_after(liveness, clock, 59)
    assert stuck_after(liveness, clock, PROBE_S + 1)


def test_a_new_process_of_the_worker_starts_afresh(clock, workers):
    liveness = Liveness(SETTINGS, clock, workers)
    workers.moves[9000] = True
    assert not liveness.stuck(0, 1)
    workers.moves[9000] = False
    assert stuck_after(liveness, clock, 100)
    assert not stuck_after(liveness, clock, 100, starts=2)


@pytest.mark.parametrize("settings", [{"serve": False}, {"port": 0}])
def test_without_a_known_port_nobody_is_stuck(clock, workers, settings):
    liveness = Liveness(SETTINGS.model_copy(update=settings), clock, workers)
    assert not stuck_after(liveness, clock, 200)
    assert workers.asked == []


@pytest.mark.parametrize(("status", "moves"), [(200, True), (503, False)])
def test_healthz_is_asked_over_http(status, moves):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status if self.path == "/healthz" else 404)
            self.end_headers()

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        assert healthz(SETTINGS, server.server_port) is moves
        thread.join()
    assert not healthz(SETTINGS, server.server_port)
