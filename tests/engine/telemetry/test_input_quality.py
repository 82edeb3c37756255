"""A source that is read in the wrong way fails the condition `input`, with the reason, and recovers."""

import pytest

from engine.clock import ManualClock
from engine.telemetry.health import Health
from engine.telemetry.input_quality import InputQuality


@pytest.fixture
def health():
    return Health(ManualClock(), 30.0)


def condition(health):
    return health.conditions()["input"]


def test_few_rejected_lines_are_no_fault(health):
    quality = InputQuality(health)
    quality.parsed(1000, 20, ["has no time: x"] * 5)
    assert condition(health).ok
    assert not quality.wrong
    assert quality.summary() == "1,000 lines read: 5 went to the dead letters, 20 have the time of reading"


def test_rejected_lines_fail_it_with_their_reason(health):
    quality = InputQuality(health)
    quality.parsed(1000, 0, ["has no time: x"] * 3 + ["does not match format hdfs: y"] * 30)
    assert not condition(health).ok
    assert "3.3%" in condition(health).detail
    assert "does not match format hdfs" in condition(health).detail
    assert quality.wrong
    assert quality.summary().endswith("0 have the time of reading; rejected mostly because: does not match format hdfs")
    for _ in range(60):
        quality.parsed(1000, 0, [])
    assert condition(health).ok


@pytest.mark.parametrize(("dated", "expected"), [(True, True), (False, False)])
def test_many_lines_without_a_time_are_worth_a_warning_however_short_the_log(health, dated, expected):
    quality = InputQuality(health, dated=dated)
    quality.parsed(20, 20, [])
    assert not quality.wrong
    assert quality.worth_a_warning is expected


def test_late_lines_count_and_blank_lines_do_not(health):
    quality = InputQuality(health)
    quality.parsed(1000, 0, ["empty line"] * 500)
    assert condition(health).ok
    quality.late(40)
    assert "too late" in condition(health).detail
    assert quality.rejected == 40


def test_lines_without_time_fail_it_unless_none_is_expected(health):
    InputQuality(health, dated=False).parsed(1000, 1000, [])
    assert condition(health).ok
    InputQuality(health).parsed(1000, 400, [])
    assert "40%" in condition(health).detail


def test_few_lines_say_nothing(health):
    InputQuality(health).parsed(100, 100, ["x"] * 50)
    assert condition(health).ok
