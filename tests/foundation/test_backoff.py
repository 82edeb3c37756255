"""Back-off: pauses double up to a bound, and begin again after an attempt that lasted."""

from hypothesis import given
from hypothesis import strategies as st

from foundation.backoff import FIRST_S, LAST_S, STABLE_S, Backoff


def test_pauses_double_up_to_the_bound() -> None:
    backoff = Backoff()
    assert [backoff.pause_s(0.0) for _ in range(8)] == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]


def test_attempt_that_lasted_makes_the_pause_short_again() -> None:
    backoff = Backoff()
    pauses = [backoff.pause_s(lasted_s) for lasted_s in (0.0, 0.0, STABLE_S, 0.0)]
    assert pauses == [FIRST_S, 2 * FIRST_S, FIRST_S, 2 * FIRST_S]


@given(st.lists(st.floats(0, 2 * STABLE_S)))
def test_pauses_stay_within_their_bounds(lasted_s: list[float]) -> None:
    backoff = Backoff()
    assert all(FIRST_S <= backoff.pause_s(each) <= LAST_S for each in lasted_s)


def test_success_makes_the_pause_short_again() -> None:
    backoff = Backoff(1.0, 60.0)
    before = [backoff.pause_s() for _ in range(8)]
    backoff.reset()
    assert (before, backoff.pause_s()) == ([1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0], 1.0)
