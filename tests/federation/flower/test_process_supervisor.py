"""Supervision of other programs: restarts with growing pauses, and an end that leaves nothing behind."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from federation.errors import SetupError
from federation.flower.environment import flower_environment, flower_program
from federation.flower.process_supervisor import LOG_CHECK_S, STOP_S, Program
from federation.flower.program_logs import LogBounds, bound_log
from foundation.backoff import FIRST_S, LAST_S, STABLE_S
from tests.support.fleet import LIMIT_S, until


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def _program(tmp_path: Path, clock: Clock, code: str) -> Program:
    return Program("it", [sys.executable, "-c", code], dict(os.environ), tmp_path / "it.log", clock=clock)


def _wait(program: Program) -> None:
    process = program._process
    assert process is not None
    process.wait(LIMIT_S)


def test_a_program_that_ends_is_started_again_after_pauses_that_grow(tmp_path: Path) -> None:
    clock = Clock()
    program = _program(tmp_path, clock, "print('gone')")
    program.start()
    pauses = []
    for _ in range(4):
        _wait(program)
        assert program.watch()
        assert not program.watch()
        start_s, starts = clock.now_s, program.starts
        while program.starts == starts:
            clock.now_s += 0.25
            program.watch()
        pauses.append(clock.now_s - start_s)
    assert pauses == [FIRST_S, 2 * FIRST_S, 4 * FIRST_S, 8 * FIRST_S]
    assert 8 * FIRST_S < LAST_S
    _wait(program)
    program.stop()
    assert program.last_output() == "\n".join(["gone"] * 5)


def test_a_program_that_ran_for_long_is_started_again_soon(tmp_path: Path) -> None:
    clock = Clock()
    program = _program(tmp_path, clock, "")
    program.start()
    for _ in range(3):
        _wait(program)
        clock.now_s += STABLE_S + 1
        assert program.watch()
        clock.now_s += FIRST_S
        program.watch()
    assert program.starts == 4
    program.stop()


@pytest.mark.process
def test_stopping_ends_also_what_the_program_started(tmp_path: Path) -> None:
    code = "import subprocess, sys; p = subprocess.Popen(['sleep', '60']); print(p.pid, flush=True); p.wait()"
    program = _program(tmp_path, Clock(), code)
    program.start()
    while not program.last_output().isdigit():
        assert program.alive
    program.stop()
    child = Path(f"/proc/{program.last_output()}/stat")
    until("the child is gone", lambda: not child.exists() or child.read_text().split()[2] == "Z")
    program.stop()


def test_a_program_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    program = Program("it", ["/nowhere/it"], {}, tmp_path / "it.log")
    with pytest.raises(SetupError, match="it cannot be started: /nowhere/it: No such file"):
        program.start()
    with pytest.raises(SetupError, match="install the extra"):
        flower_program("flower-nothing")


def test_flower_tells_nobody_and_takes_no_settings_from_outside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLWR_DATABASE", "postgresql://elsewhere")
    monkeypatch.setenv("DRIFTLINE_TRAINING__KEY", "secret")
    environment = flower_environment(tmp_path)
    assert environment["FLWR_TELEMETRY_ENABLED"] == "0"
    assert environment["FLWR_DISABLE_UPDATE_CHECK"] == "1"
    assert environment["FLWR_HOME"] == str(tmp_path)
    assert "FLWR_DATABASE" not in environment
    assert "secret" not in environment.values()


def test_a_program_that_does_not_end_when_told_is_killed(tmp_path: Path) -> None:
    clock = Clock()
    code = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); signal.pause()"
    program = _program(tmp_path, clock, code)
    program.start()
    while program.last_output() != "up":
        assert program.alive
    program.end()
    clock.now_s += STOP_S
    assert not program.watch()
    assert program.alive
    clock.now_s += 0.1
    ended = program.watch()  # it may be dead as soon as it is killed
    _wait(program)
    assert ended or program.watch()
    program.stop()


def test_what_a_killed_supervisor_left_running_is_ended_first(tmp_path: Path) -> None:
    left = _program(tmp_path, Clock(), "import time; time.sleep(600)")
    left.start()
    process = left._process
    assert process is not None
    new = _program(tmp_path, Clock(), "import time; time.sleep(600)")
    new.start()
    assert process.wait(LIMIT_S) == -9
    assert new.alive
    new.stop()


def test_another_program_under_the_same_number_is_let_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with subprocess.Popen(["sleep", "600"], start_new_session=True) as other:
        (tmp_path / "it.pid").write_text(str(other.pid))
        program = _program(tmp_path, Clock(), "pass")
        program.start()
        program.stop()
        assert other.poll() is None
        other.kill()
    assert "of an earlier start" not in caplog.text
    assert int((tmp_path / "it.pid").read_text()) != other.pid


def test_a_program_that_cannot_be_started_again_is_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock, faults = Clock(), [OSError(28, "No space left on device")]

    def before() -> None:
        if program.starts and faults:
            raise faults.pop()

    program = Program("it", [sys.executable, "-c", ""], {}, tmp_path / "it.log", before=before, clock=clock)
    program.start()
    _wait(program)
    for starts in (1, 2):
        program.watch()
        clock.now_s += LAST_S
        program.watch()
        assert program.starts == starts
    assert "it cannot be started" in caplog.text
    assert "No space left on device" in caplog.text
    _wait(program)
    program.stop()


def test_a_program_whose_number_cannot_be_kept_does_not_run_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = _program(tmp_path, Clock(), "import time; time.sleep(600)")
    opened = Path.open

    def full(path: Path, mode: str = "r", **named: Any) -> Any:
        return opened(Path("/dev/full") if (path.suffix, mode) == (".pid", "w") else path, mode, **named)

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(SetupError, match=r"it cannot be started: .*No space left"):
        program.start()
    assert not program.alive


def test_a_log_is_moved_aside_when_it_is_large_and_its_program_goes_on_writing(tmp_path: Path) -> None:
    clock, bounds = Clock(), LogBounds(max_bytes=1000, files=2)
    code = (
        "import os, time, pathlib; n = 0\n"
        "while n < 6:\n"
        "    if pathlib.Path('go').exists(): os.unlink('go'); n += 1; print(str(n) * 999, n, flush=True)\n"
        "    time.sleep(0.01)"
    )
    program = Program("it", [sys.executable, "-c", code], {}, tmp_path / "it.log", logs=bounds, clock=clock)
    program.start()
    for n in range(1, 5):
        (tmp_path / "go").touch()
        until("the line is there", lambda n=n: program.last_output(2) == f"{n}")  # type: ignore[misc]
        clock.now_s += LOG_CHECK_S
        program.watch()
    assert sorted(p.name for p in tmp_path.glob("it.log*")) == ["it.log", "it.log.1", "it.log.2"]
    assert [(tmp_path / f"it.log{end}").read_text().split()[-1:] for end in ("", ".1", ".2")] == [[], ["4"], ["3"]]
    (tmp_path / "go").touch()
    until("the program wrote on", lambda: (tmp_path / "it.log").read_bytes().startswith(b"55"))
    program.stop()


def test_logs_moved_aside_are_removed_after_their_days(tmp_path: Path) -> None:
    for name in ("it.log", "it.log.1", "it.log.2"):
        (tmp_path / name).write_text("x")
    os.utime(tmp_path / "it.log", (0, 0))
    os.utime(tmp_path / "it.log.2", (0, 0))
    bound_log(tmp_path / "it.log", LogBounds())
    assert sorted(p.name for p in tmp_path.iterdir()) == ["it.log", "it.log.1"]


def test_without_room_for_a_copy_the_old_output_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(source: Path, target: Path) -> None:
        target.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", full)
    (tmp_path / "it.log").write_bytes(b"x" * 2000)
    bound_log(tmp_path / "it.log", LogBounds(max_bytes=1000))
    assert [p.name for p in tmp_path.iterdir()] == ["it.log"]
    assert (tmp_path / "it.log").read_bytes() == b""
    assert "no space for a copy" in caplog.text
