"""Counts by the hour of the day."""

import numpy as np
import pytest

from engine.findings.base import Block, LineColumns, Signal, Values
from engine.findings.checks import SomeTemplates
from engine.findings.season import Season, slot_of

HOUR_NS = 3600 * 10**9
MONDAY = 4 * 24  # 5 January 1970
DAY, NIGHT = 120, 4
LOGIN, OTHER = 0, 1


def hour_block(hour: int, logins: int, others: int) -> Block:
    n = logins + others
    row = np.arange(n) + hour * 1000
    key = np.repeat(np.array([LOGIN, OTHER], np.int32), [logins, others])
    zeros = np.zeros(n, np.int32)
    times = hour * HOUR_NS + np.linspace(0, HOUR_NS - 1, n).astype(np.int64)
    lines = LineColumns(row, times, key, zeros.astype(np.int8), zeros, np.zeros(n, np.int64), Values.none())
    return Block(hour, lines, 3600.0)


def usual(hour: int, rng: np.random.Generator) -> Block:
    rate = DAY if 8 <= hour % 24 < 20 else NIGHT
    return hour_block(hour, int(rng.poisson(rate)), int(rng.poisson(5 * rate)))


def watched(hours: int, special: dict[int, tuple[int, int]]) -> list[Signal]:
    detector, rng, found = Season(), np.random.default_rng(0), []
    for hour in range(MONDAY, MONDAY + hours):
        block = hour_block(hour, *special[hour]) if hour in special else usual(hour, rng)
        found += detector.observe(block, SomeTemplates())
    return [signal for signal in found if signal.surprise > 3]


def test_a_burst_at_night_that_is_ordinary_by_day_is_found() -> None:
    night = MONDAY + 14 * 24 + 3
    (signal,) = watched(15 * 24, {night: (80, 20)})
    assert (signal.kind, signal.key, signal.observed, signal.note) == ("more", LOGIN, 80.0, {"hour": 3})
    assert signal.usual == pytest.approx(100 / 6, rel=0.2)  # its share of the lines of that hour
    assert (signal.first, signal.last) == (night * 1000, night * 1000 + 79)


def test_a_job_of_the_day_that_does_not_run_is_found() -> None:
    (signal,) = watched(15 * 24, {MONDAY + 14 * 24 + 10: (0, 600)})
    assert (signal.kind, signal.key, signal.observed) == ("fewer", LOGIN, 0.0)


def test_traffic_that_rises_as_a_whole_explains_itself() -> None:
    assert watched(15 * 24, {MONDAY + 14 * 24 + 3: (80, 400)}) == []


def test_nothing_is_judged_before_there_are_enough_days() -> None:
    assert watched(4 * 24, {MONDAY + 3 * 24 + 3: (500, 20)}) == []


def test_weekends_have_a_history_of_their_own() -> None:
    assert slot_of(MONDAY + 3) == slot_of(MONDAY + 4 * 24 + 3) == 3
    assert slot_of(MONDAY + 5 * 24 + 3) == slot_of(MONDAY + 6 * 24 + 3) == 27
