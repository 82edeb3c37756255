"""kill -9, again and again, of a process that saves its windows in parts: no window is lost, cut or wrong."""

import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.faults import windowing_process

pytestmark = pytest.mark.process

KILLS = 10


@pytest.mark.timeout(300)
def test_kills_between_and_within_snapshots_change_no_window(until: Any, tmp_path: Path, record_property: Any) -> None:
    chance = random.Random(9)
    command = [sys.executable, "-m", windowing_process.__name__, str(tmp_path)]
    parts = tmp_path / "state"
    for _ in range(KILLS):
        before = _newest(parts)
        with subprocess.Popen(command) as process:
            goal = before + chance.randint(1, 20)
            until(lambda goal=goal, process=process: _newest(parts) >= goal or process.poll() is not None, "it windows")
            process.kill()
    subprocess.run(command, check=True)
    lines = (tmp_path / "windows.jsonl").read_text().splitlines()
    found = {tuple(json.loads(line)) for line in lines}
    assert found == {tuple(row) for row in windowing_process.undisturbed()}
    assert len(list(parts.glob("windows-*"))) <= 1, "folders that nothing refers to are deleted"
    record_property("windows", len(found))
    record_property("repeated", len(lines) - len(found))


def _newest(state: Path) -> int:
    """Number of the last part that was written."""
    return max((int(path.stem) for path in state.glob("windows-*/*.part")), default=0)
