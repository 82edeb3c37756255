import itertools
import os
import signal
import sys
import time

import pytest

from engine.clock import ManualClock, SystemClock
from engine.runtime.supervisor import (
    DRAIN_KILL_S,
    POLL_S,
    SUPERVISED,
    Supervisor,
    spawn,
)
from engine.runtime.worker import EXIT_FAILED, EXIT_OK, EXIT_USAGE
from engine.stop_flag import StopFlag
from foundation.backoff import FIRST_S, LAST_S, STABLE_S

PIDS = iter(range(1000, 10**6))


class Child:
    """A process that ends with `code` after `lives_s`, or `drains_s` after a SIGTERM."""

    def __init__(self, clock, lives_s=1e9, code=0, drains_s=0.5, drain_code=0):
        self.pid = next(PIDS)
        self.signals = []
        self._clock = clock
        self._ends_s = clock.monotonic_s() + lives_s
        self._code = code
        self._drain = drains_s, drain_code

    def poll(self):
        return self._code if self._clock.monotonic_s() >= self._ends_s else None

    def send_signal(self, sig):
        self.signals.append(sig)
        if self.poll() is None:
            self._ends_s, self._code = self._clock.monotonic_s() + self._drain[0], self._drain[1]

    def kill(self):
        self.signals.append(signal.SIGKILL)
        self._ends_s, self._code = self._clock.monotonic_s(), -9

    def wait(self, timeout=None):
        assert self.poll() is not None, "the supervisor would wait for ever"
        return self.poll()


class World:
    """Starts children as planned, and requests the stop at its time."""

    def __init__(self):
        self.clock = ManualClock()
        self.stop = StopFlag(self.sleep)
        self.stop_at_s = 1e9
        self.plans = {}  # worker → children's arguments, one a start; the last one repeats
        self.started = []  # (time, worker)
        self.children = []

    def sleep(self, seconds):
        self.clock.advance(seconds)
        assert self.clock.monotonic_s() < 1e5, "this would go on for ever"
        if self.clock.monotonic_s() >= self.stop_at_s:
            self.stop.set()

    def spawn(self, command):
        worker = int(command[0])
        plan = self.plans.get(worker, [{}])
        self.started.append((self.clock.monotonic_s(), worker))
        arguments = plan.pop(0) if len(plan) > 1 else plan[0]
        if isinstance(arguments, OSError):
            raise arguments
        self.children.append(Child(self.clock, **arguments))
        return self.children[-1]

    def run(self, workers, **more):
        self.supervisor = Supervisor(
            lambda i: [str(i)], workers, self.clock, self.stop, spawn=self.spawn, **more
        )  # fmt: skip
        return self.supervisor.run()

    def pauses(self, worker):
        times = [at for at, who in self.started if who == worker]
        return [b - a for a, b in itertools.pairwise(times)]


@pytest.fixture
def world():
    return World()


def test_finished_workers_are_not_started_again(world):
    world.plans = {0: [{"lives_s": 1}], 1: [{"lives_s": 3}]}
    assert world.run(2) == EXIT_OK
    assert [who for _, who in world.started] == [0, 1]
    assert world.clock.monotonic_s() == pytest.approx(3, abs=2 * POLL_S)
    assert world.supervisor.restarts == 0


def test_a_dead_worker_is_restarted_alone(world):
    world.plans = {0: [{"lives_s": 2, "code": -9}, {"lives_s": 2}], 1: [{"lives_s": 10}]}
    assert world.run(2) == EXIT_OK
    assert [who for _, who in world.started] == [0, 1, 0]
    assert world.supervisor.restarts == 1


def test_a_worker_that_stands_still_is_killed_and_restarted(world):
    asked = []

    def stuck(worker, starts):
        asked.append((worker, starts))
        return (worker, starts) == (1, 1) and world.clock.monotonic_s() > 4

    world.plans = {0: [{"lives_s": 8}], 1: [{}, {"lives_s": 2}]}
    assert world.run(2, stuck=stuck) == EXIT_OK
    assert [who for _, who in world.started] == [0, 1, 1]
    assert world.children[1].signals == [signal.SIGKILL]
    assert set(asked) == {(0, 1), (1, 1), (1, 2)}


def test_the_back_off_doubles_up_to_its_bound(world):
    world.plans = {0: [{"lives_s": 0, "code": 1}]}
    world.stop_at_s = 200
    world.run(1)
    waits = [p - POLL_S for p in world.pauses(0)]  # a death is noticed at the next poll
    expected = [min(FIRST_S * 2**i, LAST_S) for i in range(len(waits))]
    assert len(waits) >= 8
    assert waits == pytest.approx(expected, abs=2 * POLL_S)


def test_a_worker_that_ran_long_enough_starts_again_at_the_first_back_off(world):
    short, long = {"lives_s": 0, "code": 1}, {"lives_s": STABLE_S + 1, "code": 1}
    world.plans = {0: [short, short, short, long, {"lives_s": 1}]}
    assert world.run(1) == EXIT_OK
    assert world.pauses(0)[-1] == pytest.approx(STABLE_S + 1 + FIRST_S, abs=3 * POLL_S)


def test_a_worker_that_cannot_be_started_is_tried_again_and_the_others_go_on(world):
    world.plans = {0: [OSError(11, "Resource temporarily unavailable"), {"lives_s": 1}], 1: [{"lives_s": 5}]}
    assert world.run(2) == EXIT_OK
    assert [who for _, who in world.started] == [0, 1, 0]


def test_the_usage_code_stops_all_since_a_restart_would_meet_it_again(world):
    world.plans = {0: [{"lives_s": 1, "code": EXIT_USAGE}]}
    assert world.run(3) == EXIT_USAGE
    assert [child.signals for child in world.children] == [[], [signal.SIGTERM], [signal.SIGTERM]]
    assert [who for _, who in world.started] == [0, 1, 2]


def test_a_stop_drains_every_worker(world):
    world.stop_at_s = 5
    assert world.run(2) == EXIT_OK
    assert [child.signals for child in world.children] == [[signal.SIGTERM], [signal.SIGTERM]]
    assert world.clock.monotonic_s() == pytest.approx(5.5, abs=3 * POLL_S)


def test_a_worker_that_does_not_drain_is_killed_and_the_others_are_not(world):
    world.plans = {0: [{"drains_s": 1e9}], 1: [{"drains_s": 3}]}
    world.stop_at_s = 5
    assert world.run(2) == EXIT_FAILED
    assert [child.signals for child in world.children] == [[signal.SIGTERM, signal.SIGKILL], [signal.SIGTERM]]
    assert world.clock.monotonic_s() == pytest.approx(5 + DRAIN_KILL_S, abs=3 * POLL_S)


def test_the_time_to_drain_can_be_set(world):
    world.plans = {0: [{"drains_s": 25}]}
    world.stop_at_s = 5
    assert world.run(1, kill_after_s=30) == EXIT_OK


def test_a_drain_that_fails_is_told_by_the_exit_code(world):
    world.plans = {0: [{"drain_code": EXIT_FAILED}]}
    world.stop_at_s = 1
    assert world.run(2) == EXIT_FAILED


def test_a_stop_during_a_back_off_starts_nothing(world):
    world.plans = {0: [{"lives_s": 0, "code": 1}]}
    world.stop_at_s = 20
    world.run(1)
    assert world.started[-1][0] < 20


def test_a_stop_before_the_first_turn_still_drains_what_was_started(world):
    world.stop.set()
    assert world.run(2) == EXIT_OK
    assert [child.signals for child in world.children] == [[signal.SIGTERM]] * 2


# --- real processes ------------------------------------------------------------------------------


def python(code):
    return [sys.executable, "-c", code]


def real(commands, stop, **more):
    return Supervisor(commands.__getitem__, len(commands), SystemClock(), stop, **more)


def stop_once(condition, deadline_s=100.0):
    """A stop flag that is set once `condition` holds; the deadline fails the test instead of hanging it."""
    ends_s = time.monotonic() + deadline_s

    def sleep(seconds):
        time.sleep(seconds)
        assert time.monotonic() < ends_s, "did not happen in time"
        if condition():
            flag.set()

    flag = StopFlag(sleep)
    return flag


@pytest.mark.process
def test_a_killed_child_is_restarted(tmp_path):
    log = tmp_path / "starts"
    code = f"import os, signal; open({str(log)!r}, 'a').write('x'); os.kill(os.getpid(), signal.SIGKILL)"
    supervisor = real([python(code)], stop_once(lambda: log.exists() and len(log.read_text()) >= 2))
    supervisor.run()
    assert supervisor.restarts >= 1


@pytest.mark.process
def test_children_drain_on_sigterm_and_know_that_they_are_supervised(tmp_path):
    ready = tmp_path / "ready"
    code = (
        "import os, signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))\n"
        f"open({str(ready)!r}, 'w').write(os.environ[{SUPERVISED!r}])\n"
        "time.sleep(60)"
    )
    assert real([python(code)], stop_once(lambda: ready.exists() and ready.read_text() != "")).run() == EXIT_OK
    assert ready.read_text() == str(os.getpid())


@pytest.mark.process
def test_a_child_that_ignores_sigterm_is_killed(tmp_path):
    ready = tmp_path / "ready"
    code = (
        "import signal, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        f"open({str(ready)!r}, 'w').write('x')\n"
        "time.sleep(60)"
    )
    assert real([python(code)], stop_once(ready.exists), kill_after_s=0.3).run() == EXIT_FAILED


@pytest.mark.process
def test_a_child_has_a_session_of_its_own():
    child = spawn(python("import time; time.sleep(60)"))
    try:
        assert os.getsid(child.pid) == child.pid != os.getsid(0)
    finally:
        child.kill()
        assert child.wait() == -signal.SIGKILL
