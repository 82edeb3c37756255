import pytest

from engine.clock import ManualClock
from engine.flow.worker_context import Drain, SinkReports, SourceReports
from engine.telemetry.telemetry import Telemetry, TelemetrySettings


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def telemetry(clock):
    with Telemetry(TelemetrySettings(serve=False, lag_tolerated=10), clock, {}, "eu") as made:
        yield made


def condition(telemetry, name):
    found = telemetry.health.conditions()[name]
    return found.ok, found.detail


def value(telemetry, name, **labels):
    return telemetry.metrics.registry.get_sample_value(name, labels)


# --- drain ---------------------------------------------------------------------------------------


def test_a_drain_expires_after_its_patience_from_the_first_request(clock):
    drain = Drain(clock, 8.0)
    clock.advance(100)
    assert (drain.requested.is_set(), drain.expired()) == (False, False)
    drain.request()
    clock.advance(8)
    drain.request()
    assert (drain.requested.is_set(), drain.expired()) == (True, False)
    clock.advance(0.1)
    assert drain.expired()


def test_a_wall_clock_that_jumps_does_not_end_the_patience(clock):
    drain = Drain(clock, 8.0)
    drain.request()
    clock.jump_wall(10**6)
    assert not drain.expired()


# --- source --------------------------------------------------------------------------------------


def test_batches_are_counted_with_the_lines_that_the_source_refused(telemetry, clock, line_batch):
    reports = SourceReports(telemetry, Drain(clock, 8.0))
    reports.read(line_batch([b"a", b"b"]))
    reports.read(line_batch([b"c"]))
    assert (value(telemetry, "driftline_lines_total"), value(telemetry, "driftline_batches_total")) == (3, 2)


def test_the_source_is_well_only_if_every_partition_is(telemetry, clock):
    reports = SourceReports(telemetry, Drain(clock, 8.0))
    reports.available("")
    assert condition(telemetry, "source")[0]
    reports.unavailable("t/0", "no leader")
    reports.available("t/1")
    assert condition(telemetry, "source") == (False, "t/0: no leader")
    reports.unavailable("t/2", "timed out")
    assert condition(telemetry, "source") == (False, "t/0: no leader; t/2: timed out")
    reports.available("t/0")
    reports.available("t/2")
    assert condition(telemetry, "source")[0]
    assert value(telemetry, "driftline_source_errors_total") == 2


def test_a_source_that_never_answered_is_told_as_it_is(telemetry, clock):
    SourceReports(telemetry, Drain(clock, 8.0)).unavailable("", "no broker at h:9092")
    assert condition(telemetry, "source") == (False, "no broker at h:9092")


@pytest.mark.parametrize("rebuilds", [True, False])
def test_new_partitions_drain_the_flow_where_it_is_built_again(telemetry, clock, rebuilds):
    drain = Drain(clock, 8.0, rebuilds=rebuilds)
    SourceReports(telemetry, drain).added("topic 't' has new partitions: 1")
    assert drain.requested.is_set() == rebuilds
    assert drain.again == ("topic 't' has new partitions: 1" if rebuilds else "")


def test_a_requested_stop_is_not_turned_into_a_rebuild(telemetry, clock):
    drain = Drain(clock, 8.0, rebuilds=True)
    drain.request()
    SourceReports(telemetry, drain).added("topic 't' has new partitions: 1")
    assert drain.again == ""


def test_waiting_for_a_source_is_not_being_stuck(telemetry, clock):
    reports = SourceReports(telemetry, Drain(clock, 8.0))
    for _ in range(10):
        clock.advance(20)
        reports.unavailable("t/0", "no leader")
    assert telemetry.health.alive()[0]
    clock.advance(31)
    assert not telemetry.health.alive()[0]
    reports.turn()
    assert telemetry.health.alive()[0]


def test_a_lag_that_rises_over_all_partitions_is_an_alarm(telemetry, clock):
    reports = SourceReports(telemetry, Drain(clock, 8.0))
    for step in range(1, 8):
        for partition in ("t/0", "t/1"):
            reports.lag(partition, 100 * step)
        reports.lag("t/2", None)
        clock.advance(20)
    assert not condition(telemetry, "lag")[0]
    assert value(telemetry, "driftline_source_lag", partition="t/1") == 700
    assert value(telemetry, "driftline_source_lag", partition="t/2") is None


# --- sinks ---------------------------------------------------------------------------------------


def test_sinks_are_well_only_if_each_of_them_is(telemetry):
    reports = SinkReports(telemetry)
    reports.delivered("alerts", 0)
    assert condition(telemetry, "sinks")[0]
    reports.refused("alerts", "disk full", 3)
    reports.delivered("dead-letters", 0)
    assert condition(telemetry, "sinks") == (False, "alerts: disk full")
    assert value(telemetry, "driftline_sink_pending", sink="alerts") == 3
    assert value(telemetry, "driftline_sink_errors_total", sink="alerts") == 1
    reports.delivered("alerts", 0)
    assert condition(telemetry, "sinks")[0]
    assert value(telemetry, "driftline_sink_pending", sink="alerts") == 0


def test_waiting_for_a_sink_is_not_being_stuck(telemetry, clock):
    reports = SinkReports(telemetry)
    for _ in range(10):
        clock.advance(20)
        reports.refused("alerts", "disk full", 3)
    assert telemetry.health.alive()[0]
    assert not telemetry.health.ready()[0]
