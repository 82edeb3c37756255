"""The second pass of a repeated hour is an hour later, in every zone and however the stream is cut."""

import datetime as dt
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from engine.parsing.repeated_hour import RepeatedHour
from engine.steps.parse import ParseSettings

MINUTES = [110, 119, 120, 135, 150, 179, 120, 121, 150, 179, 180, 190]  # of the day in Berlin: 02:00 comes twice
PASSES = [0] * 6 + [1] * 4 + [0] * 2


def moment(minute, fold=0, zone="Europe/Berlin", day=(2025, 10, 26)):
    local = dt.datetime(*day, minute // 60, minute % 60, tzinfo=ZoneInfo(zone), fold=fold)
    return int(local.timestamp()) * 10**9


RIGHT = [moment(minute, fold) for minute, fold in zip(MINUTES, PASSES, strict=True)]
FIRST = [moment(minute) for minute in MINUTES]


@pytest.mark.parametrize("cut", range(len(MINUTES) + 1))
def test_the_second_pass(cut):
    hour, found = RepeatedHour("Europe/Berlin"), []
    for part in (FIRST[:cut], FIRST[cut:]):
        times = np.array(part, np.int64)
        hour.correct(times)
        found += times.tolist()
        hour = RepeatedHour("Europe/Berlin", hour.latest_ns, second=hour.second)
    assert found == RIGHT


@pytest.mark.parametrize(
    ("zone", "day", "minute"),
    [
        ("America/New_York", (2025, 11, 2), 60),
        ("Australia/Lord_Howe", (2025, 4, 6), 90),
        ("Europe/London", (2024, 10, 27), 60),
    ],
)
def test_other_zones(zone, day, minute):
    local = [moment(m, 0, zone, day) for m in (minute + 1, minute + 29, minute + 2, minute + 20)]
    times = np.array(local, np.int64)
    RepeatedHour(zone).correct(times)
    assert times.tolist() == [*local[:2], moment(minute + 2, 1, zone, day), moment(minute + 20, 1, zone, day)]


def test_small_steps_and_other_hours_are_left():
    for minutes in ([130, 129, 150], [200, 100, 60], [119, 50, 119]):
        times = np.array([moment(m) for m in minutes], np.int64)
        before = times.tolist()
        RepeatedHour("Europe/Berlin").correct(times)
        assert times.tolist() == before


def test_the_next_year_begins_anew_and_utc_has_none():
    hour = RepeatedHour("Europe/Berlin")
    hour.correct(np.array(FIRST, np.int64))
    later = np.array([moment(minute, 0, "Europe/Berlin", (2026, 10, 25)) for minute in MINUTES], np.int64)
    hour.correct(later)
    assert later.tolist() == [
        moment(m, f, "Europe/Berlin", (2026, 10, 25)) for m, f in zip(MINUTES, PASSES, strict=True)
    ]
    times = np.array(FIRST, np.int64)
    RepeatedHour("UTC").correct(times)
    assert times.tolist() == FIRST


def test_lines_of_the_second_pass(parser_of, batch_of):
    clock = ["01:59:50", "02:30:00", "02:59:59", "02:00:00", "02:59:59", "03:00:00"]
    lines = [f"2025-10-26 {time} INFO app: step".encode() for time in clock]
    parsed = parser_of(ParseSettings(format="levelled", timezone="Europe/Berlin")).parse(batch_of(lines))
    hours = (np.diff(parsed.good.time_ns) / 10**9).tolist()
    assert hours == [1810, 1799, 1, 3599, 1]
