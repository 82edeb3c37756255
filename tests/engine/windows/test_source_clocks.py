"""Wrong clocks, several zones, clocks set back: few lines are lost, and quiet is still quiet."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from engine.windows.source_clocks import SourceClocks
from engine.windows.window_base import NO_TIME

START = 1_710_051_901
S, HOUR = 10**9, 3600


def read(seconds, clocks=None):
    """Times by the first clock and the latest after each line, in seconds from the start."""
    clocks = clocks or SourceClocks()
    times, latest = clocks.read(np.array([(START + s) * S for s in seconds], np.int64))
    return [int(t) // S - START for t in times], [int(t) // S - START for t in latest]


def test_ordinary_lines_are_left_as_they_are():
    assert read([0, 5, 3, 300, 290]) == ([0, 5, 3, 300, 290], [0, 5, 5, 300, 300])


def test_one_wrong_clock_moves_nothing():
    times, latest = read([0, 1, 20 * HOUR, 2, 3])
    assert times == [0, 1, 20 * HOUR, 2, 3]
    assert latest == [0, 1, 1, 2, 3]
    assert read([0, 1, -20 * HOUR, 2])[1] == [0, 1, 1, 2]


def test_quiet_is_no_other_clock():
    times, latest = read([0, 1, 5 * HOUR, 5 * HOUR + 1, 10 * HOUR, 20 * HOUR, 20 * HOUR + 3])
    assert times == [0, 1, 5 * HOUR, 5 * HOUR + 1, 10 * HOUR, 20 * HOUR, 20 * HOUR + 3]
    assert latest[-1] == 20 * HOUR + 3
    assert latest[2:4] == [1, 5 * HOUR + 1]


def test_hosts_in_two_zones_share_the_time_of_the_first():
    ahead = [second + (2 * HOUR if second % 2 else 0) for second in range(20)]
    behind = [second - (2 * HOUR if second % 2 else 0) for second in range(20)]
    for seconds in (ahead, behind):
        times, latest = read(seconds)
        # The first line of the other clock is read before anything shows what it is.
        assert times[2:] == list(range(2, 20))
        assert latest[-1] == 19


def test_a_third_zone_and_one_of_half_an_hour():
    offsets = (0, 2 * HOUR, -5 * HOUR - 1800)
    times, latest = read([second + offsets[second % 3] for second in range(60)])
    assert times[10:] == list(range(10, 60))
    assert latest[-1] == 59


def test_no_line_of_a_host_in_another_zone_is_lost():
    ahead = 5 * HOUR + 1800
    for first in range(3):
        times, latest = read([second + (ahead if second % 3 == first else 0) for second in range(600)])
        behind = max(latest) - 599
        assert all(abs(time - (second + behind)) <= 1 for second, time in enumerate(times) if second > first)
        assert latest[-1] - behind == 599


def test_a_line_that_is_late_by_another_time_stays_late():
    assert read([0, 10, -2000, 11])[0] == [0, 10, -2000, 11]


def test_a_clock_that_was_set_back_goes_on():
    seconds = [0, 10, *range(-HOUR, -HOUR + 10)]
    times, _ = read(seconds)
    assert times[:4] == seconds[:4]
    assert times[4:] == list(range(2, 10))  # an hour, the nearest difference of two zones
    times, _ = read([0, 10, *range(-2000, -1990)])
    assert times[4:] == list(range(10, 18))


def test_lines_without_a_usable_time_move_nothing():
    clocks = SourceClocks()
    times, latest = clocks.read(np.array([NO_TIME, START * S, NO_TIME], np.int64))
    assert times.tolist() == [NO_TIME, START * S, NO_TIME]
    assert latest.tolist() == [NO_TIME, START * S, START * S]


MOMENTS = st.one_of(
    st.integers(0, 900), st.integers(0, 900).map(lambda s: s + 2 * HOUR), st.integers(-30 * HOUR, 30 * HOUR)
)


@given(st.lists(MOMENTS, max_size=40), st.integers(0, 40))
def test_cuts_and_restarts_change_nothing_and_the_latest_never_falls(seconds, cut):
    whole = read(seconds) if seconds else ([], [])
    clocks = SourceClocks()
    times, latest = [], []
    for part in (seconds[:cut], seconds[cut:]):
        if part:
            more_times, more_latest = read(part, clocks)
            times, latest = times + more_times, latest + more_latest
            clocks = SourceClocks(*clocks.dump())
    assert (times, latest) == whole
    assert whole[1] == sorted(whole[1])
    assert all(abs(latest) <= 30 * HOUR for latest in whole[1])
