import os
import signal
import threading

import pytest

from engine.clock import ManualClock
from engine.stop_flag import NOTICE_S, StopFlag


def test_a_pause_lasts_as_long_as_asked():
    clock = ManualClock()
    assert StopFlag(clock.advance).wait(0.5) is False
    assert clock.monotonic_s() == pytest.approx(0.5)


def test_a_request_ends_a_pause_within_the_notice_time():
    clock = ManualClock()

    def sleep(seconds):
        clock.advance(seconds)
        if clock.monotonic_s() >= 1:
            stop.set()

    stop = StopFlag(sleep)
    assert stop.wait(60) is True
    assert clock.monotonic_s() <= 1 + NOTICE_S


def test_once_set_it_stays_set_and_only_a_plain_pause_still_waits():
    clock = ManualClock()
    stop = StopFlag(clock.advance)
    assert not stop.is_set()
    stop.set()
    stop.set()
    assert (stop.is_set(), stop.wait(5), clock.monotonic_s()) == (True, True, 0)
    stop.pause(0.2)
    assert clock.monotonic_s() == pytest.approx(0.2)


def test_no_lock_is_taken_so_a_handler_may_interrupt_a_wait():
    stop = StopFlag()
    before = signal.signal(signal.SIGUSR1, lambda *_: stop.set())
    try:
        threading.Timer(0.01, os.kill, (os.getpid(), signal.SIGUSR1)).start()
        assert stop.wait(30) is True
    finally:
        signal.signal(signal.SIGUSR1, before)
