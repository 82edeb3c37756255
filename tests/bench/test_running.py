import signal
import subprocess
from pathlib import Path

import pytest

from bench.processes.running import running


def test_a_program_is_terminated_with_its_block_also_after_an_error(tmp_path: Path) -> None:
    def fail() -> None:
        with running(["sleep", "600"], tmp_path / "a.log") as process:
            processes.append(process)
            assert process.poll() is None
            raise ZeroDivisionError

    processes: list[subprocess.Popen[bytes]] = []
    with pytest.raises(ZeroDivisionError):
        fail()
    [process] = processes
    assert process.poll() == -signal.SIGTERM


def test_output_is_appended_to_the_log_in_whose_folder_a_program_runs(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_text("before\n")
    with running(["pwd"], log) as process:
        assert process.wait(60) == 0
    assert log.read_text() == f"before\n{tmp_path}\n"
