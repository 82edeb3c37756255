"""The state of running workers, asked over HTTP with the token of the region's settings."""

import socket
import threading

import pytest

from connectors.ports import free_port
from engine.clock import ManualClock
from engine.runtime.engine_state import worker_states
from engine.runtime.liveness import healthz
from engine.settings import from_mapping
from engine.telemetry.telemetry import Telemetry
from foundation.errors import DriftlineError
from tests.support.certificates import Authority


def settings_of(region, port, **telemetry):
    return from_mapping(
        {
            "region": region,
            "source": {"type": "memory"},
            "model": {"store": "m"},
            "sinks": [{"type": "memory"}],
            "dead_letters": {"type": "memory"},
            "recovery": {"path": "r"},
            "telemetry": {"port": port, **telemetry},
        },
        "here",
    )


@pytest.mark.parametrize("token", [{}, {"token": "secret"}])
def test_a_worker_is_asked_with_the_token(token):
    settings = settings_of("eu", free_port(2), **token)
    with Telemetry(settings.telemetry, ManualClock(), {}, "eu") as telemetry:
        telemetry.metrics.lines.inc(7)
        (state,) = worker_states(settings)
    assert (state.worker, state.lines, state.ready) == (0, 7, False)


def test_a_worker_is_asked_over_https(tmp_path):
    certificate, key = Authority(tmp_path, "authority").issue("engine")
    served = {"certificate": str(certificate), "key": str(key), "token": "secret"}
    settings = settings_of("eu", free_port(2), **served)
    with Telemetry(settings.telemetry, ManualClock(), {}, "eu") as telemetry:
        telemetry.metrics.lines.inc(7)
        (state,) = worker_states(settings)
        assert healthz(settings.telemetry, settings.telemetry.port)
    assert state.lines == 7


def test_a_certificate_needs_its_key():
    with pytest.raises(DriftlineError, match="certificate and key are needed together"):
        settings_of("eu", free_port(2), certificate="c.pem")


def test_a_worker_that_refuses_the_token_is_not_shown():
    port = free_port(2)
    with Telemetry(settings_of("eu", port, token="secret").telemetry, ManualClock(), {}, "eu"):
        assert worker_states(settings_of("eu", port, token="other")) == []


def test_the_token_is_not_sent_to_a_proxy(monkeypatch):
    settings = settings_of("eu", free_port(2), token="secret")
    with Telemetry(settings.telemetry, ManualClock(), {}, "eu"), socket.create_server(("127.0.0.1", 0)) as proxy:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.getsockname()[1]}")
        assert len(worker_states(settings)) == 1
        proxy.setblocking(False)
        with pytest.raises(BlockingIOError):
            proxy.accept()


def test_a_program_that_does_not_speak_http_is_not_a_worker():
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=greet, args=(server,))
        thread.start()
        port = server.getsockname()[1]
        assert worker_states(settings_of("eu", port)) == []
        assert not healthz(settings_of("eu", port).telemetry, port)
        thread.join()


def greet(server):
    """Answer two connections as a mail server does."""
    for _ in range(2):
        connection, _ = server.accept()
        with connection:
            connection.recv(1000)
            connection.sendall(b"220 mail.example ESMTP\r\n")
