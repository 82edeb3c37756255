"""Conditions, the stuck worker, and a lag that rises."""

import logging

import pytest

from engine.clock import ManualClock
from engine.telemetry.health import CONDITIONS, Health, LagWatch

START_NS = 1_700_000_000_000_000_000


@pytest.fixture
def clock():
    return ManualClock(START_NS)


@pytest.fixture
def health(clock):
    return Health(clock, stall_s=30)


@pytest.fixture
def ready_health(health):
    for name in CONDITIONS:
        health.ok(name)
    return health


def test_nothing_is_ready_before_it_has_reported(health):
    ok, page = health.ready()
    assert not ok
    assert page["wrong"] == [f"{name}: not reported yet" for name in CONDITIONS]


def test_all_parts_ok_is_ready(ready_health):
    ok, page = ready_health.ready()
    assert ok
    assert page["status"] == "ok"
    assert page["wrong"] == []


@pytest.mark.parametrize("name", CONDITIONS)
def test_each_part_alone_makes_it_unready_and_recovers(ready_health, clock, name):
    clock.advance(10)
    ready_health.fail(name, "broker 127.0.0.1:9092 does not answer")
    ok, page = ready_health.ready()
    assert not ok
    assert page["wrong"] == [f"{name}: broker 127.0.0.1:9092 does not answer"]
    assert page["conditions"][name] == {
        "ok": False,
        "detail": "broker 127.0.0.1:9092 does not answer",
        "since": "2023-11-14T22:13:30Z",
    }
    ready_health.ok(name)
    assert ready_health.ready()[0]


def test_since_is_when_it_broke_and_not_the_latest_report(ready_health, clock):
    ready_health.fail("sinks", "first")
    clock.advance(60)
    ready_health.fail("sinks", "second")
    condition = ready_health.conditions()["sinks"]
    assert (condition.detail, condition.since_ns) == ("second", START_NS)


def test_an_unknown_part_is_an_error_that_lists_the_known(health):
    with pytest.raises(ValueError, match="source, sinks, model, recovery, lag"):
        health.ok("sauce")


def test_a_worker_without_progress_is_not_alive(ready_health, clock):
    clock.advance(30)
    assert ready_health.alive()[0]
    clock.advance(1)
    ok, page = ready_health.alive()
    assert not ok
    assert page["detail"] == "the worker made no progress for 31.0 s; 30 s are allowed"
    assert not ready_health.ready()[0]
    ready_health.progress()
    assert ready_health.alive()[0]


def test_the_wall_clock_may_jump(ready_health, clock):
    clock.jump_wall(-86_400)
    assert ready_health.alive()[0]
    assert ready_health.ready()[0]


@pytest.fixture
def lag(ready_health, clock):
    watch = LagWatch(ready_health, clock, tolerated=1000)

    def feed(*lags):
        for one in lags:
            clock.advance(10)
            ready_health.progress()
            watch.observe(one)
        return ready_health.conditions()["lag"]

    return feed


def test_a_growing_lag_fails_and_a_falling_one_recovers(lag):
    failing = lag(2000, 2500, 3000, 4000, 4500, 5000)
    assert not failing.ok
    assert failing.detail == "rising: from 2000 to 4000 within 30 s"
    assert lag(4000, 3000, 2500).ok


@pytest.mark.parametrize(
    "lags",
    [
        (10, 200, 900, 910, 950, 990),
        (50_000, 1500, 50_000, 50_000, 1500, 50_000),
        (9000, 8000, 7000, 6000, 5000, 4000),
        (None, None, None, None, None, None),
    ],
    ids=["below the tolerated", "sawtooth", "backlog worked off", "unknown"],
)
def test_no_alarm(lag, lags):
    assert lag(*lags).ok


def test_what_begins_to_fail_and_its_recovery_are_logged_once_each(health, caplog):
    with caplog.at_level(logging.INFO, "engine"):
        health.ok("recovery")
        health.fail("source", "no broker at b:1")  # the first report already
        health.fail("source", "no broker at b:1, still")
        health.ok("source")
        health.ok("source", "reading")
        health.fail("source", "gone")
    assert [(r.levelname, r.getMessage()) for r in caplog.records] == [
        ("WARNING", "source: no broker at b:1"),
        ("INFO", "source: again, the source can be read"),
        ("WARNING", "source: gone"),
    ]
