"""The state of running workers, asked over HTTP with the token of the region's settings."""

import pytest

from connectors.ports import free_port
from engine.clock import ManualClock
from engine.runtime.engine_state import worker_states
from engine.settings import from_mapping
from engine.telemetry.telemetry import Telemetry


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


def test_a_worker_that_refuses_the_token_is_not_shown():
    port = free_port(2)
    with Telemetry(settings_of("eu", port, token="secret").telemetry, ManualClock(), {}, "eu"):
        assert worker_states(settings_of("eu", port, token="other")) == []
