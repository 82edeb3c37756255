"""Times of reading move the watermark only where no partition has times of its own."""

import numpy as np

from engine.clock import ManualClock, SystemClock
from engine.windows.watermark import Watermark
from engine.windows.window_base import NO_TIME

S = 10**9
NOW, OLD = 1_800_000_000 * S, 1_710_000_000 * S


def made() -> Watermark:
    return Watermark(0, 3600.0, SystemClock())


def test_times_of_reading_move_it_where_nothing_else_does():
    watermark = made()
    watermark.advance(0, np.array([NOW, NOW + S]), timeless=True)
    assert watermark.value_ns == NOW + S


def test_the_first_times_of_its_own_replace_those_of_reading():
    watermark = made()
    watermark.advance(0, np.array([NOW]), timeless=True)
    times, after = watermark.advance(0, np.array([OLD, OLD + S]))
    assert times.tolist() == after.tolist() == [OLD, OLD + S]
    _, after = watermark.advance(0, np.array([OLD]))
    assert after.tolist() == [OLD + S]


def test_partitions_without_times_do_not_move_that_of_others():
    watermark = made()
    watermark.advance(0, np.array([NOW]), timeless=True)
    watermark.advance(1, np.array([OLD]))
    assert watermark.value_ns == OLD
    times, after = watermark.advance(0, np.array([NOW + S]), timeless=True)
    assert (times.tolist(), after.tolist()) == ([NOW + S], [OLD])
    assert watermark.drop_idle() == OLD


def test_a_restart_keeps_which_partitions_have_no_times():
    watermark, again = made(), made()
    watermark.advance(0, np.array([NOW]), timeless=True)
    again.load(**watermark.dump())
    again.advance(0, np.array([OLD]))
    assert again.value_ns == OLD
    older = made()
    older.load(NOW, {"0": [NOW, [], NO_TIME, 0]})
    older.advance(0, np.array([NOW]))
    assert older.value_ns == NOW


def test_times_of_reading_move_it_while_all_others_are_idle():
    clock = ManualClock()
    watermark = Watermark(0, 30.0, clock)
    watermark.advance(0, np.array([NOW]))
    watermark.advance(1, np.array([NOW + S]), timeless=True)
    assert watermark.value_ns == NOW
    clock.advance(31.0)
    watermark.advance(1, np.array([NOW + 32 * S]), timeless=True)
    assert watermark.value_ns == watermark.drop_idle() == NOW + 32 * S
    watermark.advance(0, np.array([NOW + 40 * S]))
    watermark.advance(1, np.array([NOW + 60 * S]), timeless=True)
    assert watermark.value_ns == NOW + 40 * S
