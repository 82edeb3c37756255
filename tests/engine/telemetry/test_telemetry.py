"""The bundle that a worker starts."""

import urllib.request

import pytest
from pydantic import ValidationError

from connectors.ports import free_port
from engine.clock import ManualClock
from engine.telemetry.telemetry import Telemetry, TelemetrySettings


def test_a_worker_serves_its_metrics_and_stops():
    with Telemetry(TelemetrySettings(port=0), ManualClock(), {}, "eu", worker=1) as telemetry:
        telemetry.metrics.lines.inc(7)
        url = f"http://127.0.0.1:{telemetry.endpoints.port}/metrics"
        with urllib.request.urlopen(url, timeout=10) as answer:
            page = answer.read().decode()
        assert "driftline_lines_total 7.0" in page
        assert 'region="eu"' in page
        assert not telemetry.tracer.enabled
    telemetry.close()


def test_each_worker_has_a_port_of_its_own():
    first = free_port(2)
    with Telemetry(TelemetrySettings(port=first), ManualClock(), {}, "eu", worker=1) as second:
        assert second.endpoints.port == first + 1


def test_serving_can_be_turned_off():
    with Telemetry(TelemetrySettings(serve=False), ManualClock(), {}, "eu") as telemetry:
        assert telemetry.endpoints is None


@pytest.mark.parametrize("wrong", [{"port": 70_000}, {"stall_s": 0}, {"trace_ratio": 2}, {"prot": 1}])
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(ValidationError):
        TelemetrySettings(**wrong)


def test_every_setting_is_described():
    assert all(field.description for field in TelemetrySettings.model_fields.values())
