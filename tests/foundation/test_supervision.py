"""Supervision: restarts after the back-off, not after a finishing exit code, and again where a start fails."""

import pytest

from foundation.backoff import FIRST_S
from foundation.supervision import Supervised


class FakeProcess:
    """Runs until `code` is set."""

    pid = 7

    def __init__(self) -> None:
        self.code: int | None = None

    def poll(self) -> int | None:
        return self.code

    def send_signal(self, sig: int) -> None:
        raise AssertionError("a supervisor sends no signal by itself")

    def kill(self) -> None:
        raise AssertionError("a supervisor kills nothing by itself")

    def wait(self, timeout: float | None = None) -> int:
        assert self.code is not None
        return self.code


class World:
    def __init__(self, faults: int = 0) -> None:
        self.now_s = 0.0
        self.faults = faults
        self.processes: list[FakeProcess] = []
        self.supervised = Supervised("it", self.spawn, lambda: self.now_s, finished=(0,))

    def spawn(self) -> FakeProcess:
        if self.faults:
            self.faults -= 1
            raise OSError(11, "Resource temporarily unavailable")
        self.processes.append(FakeProcess())
        return self.processes[-1]


def test_process_that_ends_is_restarted_after_the_back_off() -> None:
    world = World()
    world.supervised.start()
    world.processes[0].code = 1
    assert world.supervised.watch()
    assert (world.supervised.code, world.supervised.alive) == (1, False)
    world.now_s = FIRST_S - 0.01
    assert not world.supervised.watch()
    assert world.supervised.starts == 1
    world.now_s = FIRST_S
    assert not world.supervised.watch()
    assert (world.supervised.starts, world.supervised.code, world.supervised.alive) == (2, None, True)


def test_finishing_exit_code_ends_the_supervision() -> None:
    world = World()
    world.supervised.start()
    world.processes[0].code = 0
    assert world.supervised.watch()
    world.now_s = 1e6
    assert not world.supervised.watch()
    assert (world.supervised.starts, world.supervised.code) == (1, 0)


def test_start_that_fails_is_tried_again_only_where_asked_for(caplog: pytest.LogCaptureFixture) -> None:
    world = World(faults=3)
    with pytest.raises(OSError, match="temporarily unavailable"):
        world.supervised.start()
    world.now_s = 1e6
    assert not world.supervised.watch()
    assert world.supervised.starts == 0
    world.supervised.start_or_retry()
    assert "it cannot be started" in caplog.text
    for _ in range(2):
        world.now_s += 60.0
        world.supervised.watch()
    assert (world.supervised.starts, world.supervised.alive) == (1, True)


def test_released_process_is_left_alone() -> None:
    world = World()
    world.supervised.start()
    assert world.supervised.release() is world.processes[0]
    world.processes[0].code = 1
    world.now_s = 1e6
    assert not world.supervised.watch()
    assert (world.supervised.release(), world.supervised.starts) == (None, 1)
