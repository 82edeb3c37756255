"""A record without a time has that of a record near it, and an old log is not late by the time of its heading."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.clock import SystemClock
from engine.parsing.undated import UndatedRecords
from engine.steps.parse import Parser, ParseSettings
from engine.steps.window import build_windower
from engine.windows.timewindow import TimeWindows
from tests.support.parsing import READ_NS, make_batch

S = 10**9
OLD = [f"2024-03-10 06:25:{second:02} INFO shop: order {second} placed".encode() for second in range(50)]
BANNER = [b"  .   ____   _", rb" /\\ / ___'_ __ _ _", b":: Boot ::  (v3.2.1)"]


def dated(second: int) -> int:
    return 1_710_051_900 * S + second * S


def times_of(batches, read_ns=READ_NS):
    parser, times = Parser(ParseSettings(), str), []
    for lines in batches:
        times += parser.parse(make_batch(lines, read_ns=read_ns)).good.time_ns.tolist()
    return times


def late_lines(batches):
    parser, windower, late = Parser(ParseSettings(), str), build_windower(TimeWindows(), SystemClock()), 0
    for lines in batches:
        late += len(windower.add(parser.parse(make_batch(lines)).good).late)
    return late


def test_lines_at_the_head_have_the_time_of_the_first_dated_line():
    times = times_of([[*BANNER, *OLD]])
    assert times[-len(OLD) :] == [dated(second) for second in range(50)]
    assert set(times[: -len(OLD)]) == {dated(0)}


def test_lines_in_between_have_the_time_of_the_line_before():
    assert times_of([[*OLD[:3], b"no time here", *OLD[3:5]]])[2:5] == [dated(2), dated(2), dated(3)]
    assert times_of([OLD[:3], [b"no time here"], OLD[3:5]])[2:5] == [dated(2), dated(2), dated(3)]


@pytest.mark.parametrize("cut", [0, 1, 3, 4, 10])
def test_no_line_of_an_old_log_is_late_because_of_its_heading(cut):
    lines = [*BANNER, *OLD]
    assert late_lines([part for part in (lines[:cut], lines[cut:]) if part]) == 0


def test_a_stream_without_times_keeps_the_times_of_reading():
    lines = [f"worker {i} did its work".encode() for i in range(60)]
    assert times_of([lines]) == [READ_NS] * 60
    build = b"2019-03-03 12:00:00 build of the program"
    assert times_of([[build, *lines]])[1:] == [READ_NS] * 60


def test_a_time_far_ahead_is_not_copied():
    ahead = b"2099-03-10 06:25:01 INFO shop: order 17 placed"
    assert times_of([[OLD[0], ahead, b"no time here", *OLD[1:]]])[2] == dated(0)


def test_a_stream_that_ceases_to_write_times_moves_on_with_the_machine():
    parser = Parser(ParseSettings(), str)
    parser.parse(make_batch(OLD[:10]))
    quiet = parser.parse(make_batch([b"no time here"], read_ns=READ_NS + 60 * S)).good
    later = parser.parse(make_batch([b"no time here"], read_ns=READ_NS + 3600 * S)).good
    assert quiet.time_ns.tolist() == [dated(9)]
    assert later.time_ns.tolist() == [dated(9) + 3600 * S]


@pytest.mark.parametrize(("next_dated", "expected"), [(30, 30), (49, 49)])
def test_after_a_long_pause_a_line_is_not_dated_to_its_beginning(next_dated, expected):
    parser = Parser(ParseSettings(), str)
    parser.parse(make_batch(OLD[:10]))
    again = parser.parse(make_batch([b"no time here", OLD[next_dated]], read_ns=READ_NS + 3600 * S)).good
    assert again.time_ns.tolist() == [dated(expected), dated(next_dated)]


@given(st.lists(st.booleans(), min_size=1, max_size=60), st.integers(0, 60))
def test_a_restart_changes_nothing(has_time, cut):
    written = np.array([dated(i) if timed else READ_NS for i, timed in enumerate([True, False, *has_time])])
    results = []
    for restarts in (False, True):
        records, found = UndatedRecords(), []
        for part in (written[: cut + 2], written[cut + 2 :]):
            found += records.date(part, part == READ_NS, READ_NS)[0].tolist()
            if restarts:
                records = UndatedRecords(*records.snapshot())
        results.append(found)
    assert results[0] == results[1]
    assert (np.array(results[0]) < READ_NS).all() or has_time.count(False) > 20


def test_a_snapshot_of_a_parser_keeps_the_last_time():
    parser = Parser(ParseSettings(), str)
    parser.parse(make_batch([*OLD[:3], b"no time here"]))
    again = Parser(ParseSettings(), str, parser.snapshot())
    assert again.parse(make_batch([b"nor here"])).good.time_ns.tolist() == [dated(2)]


def test_lines_without_times_right_after_a_restart_belong_to_the_old_log():
    parser = Parser(ParseSettings(), str)
    parser.parse(make_batch(OLD[:3]))
    again = Parser(ParseSettings(), str, parser.snapshot())
    found = again.parse(make_batch([b"no time here"] * 3)).good
    assert (found.time_ns.tolist(), found.timeless) == ([dated(2)] * 3, False)


def test_dated_lines_alone_do_not_change_the_snapshot():
    parser = Parser(ParseSettings(format="levelled"), str)
    parser.parse(make_batch(OLD[:3]))
    before = parser.snapshot()
    parser.parse(make_batch(OLD[:3]))
    assert parser.snapshot() is before
