import email.utils
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from engine.runtime.coordinator_clock import clock_ahead_s


class Answering(BaseHTTPRequestHandler):
    """Answers with the `Date` header of the server, or without one."""

    date: str | None = None

    def do_HEAD(self) -> None:
        self.send_response_only(404)
        if self.date is not None:
            self.send_header("Date", self.date)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@pytest.fixture
def port() -> Iterator[int]:
    server = HTTPServer(("127.0.0.1", 0), Answering)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("ahead_s", [0, 7200, -7200])
def test_the_difference_of_the_clocks(port: int, monkeypatch: pytest.MonkeyPatch, ahead_s: int) -> None:
    monkeypatch.setattr(Answering, "date", email.utils.formatdate(time.time() - ahead_s, usegmt=True))
    found = clock_ahead_s("127.0.0.1", port, None)
    assert found is not None
    assert abs(found - ahead_s) < 60


@pytest.mark.parametrize("date", [None, "yesterday"])
def test_an_answer_without_a_time(port: int, monkeypatch: pytest.MonkeyPatch, date: str | None) -> None:
    monkeypatch.setattr(Answering, "date", date)
    assert clock_ahead_s("127.0.0.1", port, None) is None


def test_nobody_answers() -> None:
    with pytest.raises(OSError, match="refused"):
        clock_ahead_s("127.0.0.1", 1, None)
