"""The coordinator as a process: one at a time, an orderly end, and what a killed one leaves behind."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from connectors.ports import free_port
from engine.runtime.federation_wiring import is_running
from engine.settings import load_coordinator
from federation.coordinator.ledger import Ledger
from tests.support.coordinator_process import publish_first
from tests.support.documents import drift_document
from tests.support.processes import LIMIT_S, until

pytestmark = [pytest.mark.process, pytest.mark.timeout(400)]

FILE = """
model = "floor"
store = "{base}/models"
folder = "{base}/coordinator"

[superlink]
folder = "{base}/coordinator/superlink"
port = {port}

[events]
type = "file"
paths = ["{base}/drift.jsonl"]
follow = true

[dead_letters]
type = "jsonl"
path = "{base}/bad.jsonl"

[telemetry]
serve = false
"""


def driftline(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "engine.cli", *map(str, arguments)]


def start(file: Path) -> subprocess.Popen[bytes]:
    with (file.parent / "coordinator.log").open("ab") as log:
        return subprocess.Popen(driftline("federate", "coordinator", file), stderr=log)


def waits(file: Path) -> bool:
    path = file.parent / "coordinator" / "ledger.db"
    if not path.exists():
        return False
    with Ledger(path) as ledger:
        return "0 nodes are online" in str(ledger.fact("waiting")) and len(ledger.pending()) == 1


def forget(file: Path) -> None:
    with Ledger(file.parent / "coordinator" / "ledger.db") as ledger:
        ledger.set_fact("waiting", "")


def test_one_coordinator_at_a_time_and_a_killed_ones_superlink_is_ended(tmp_path: Path) -> None:
    publish_first(tmp_path)
    file = tmp_path / "coordinator.toml"
    file.write_text(FILE.format(base=tmp_path, port=free_port()))
    (tmp_path / "drift.jsonl").write_text(json.dumps(drift_document()) + "\nnot an event\n")
    first = start(file)
    until(lambda: waits(file), "a round that waits for nodes")
    assert is_running(load_coordinator(file))
    second = subprocess.run(driftline("federate", "coordinator", file), capture_output=True, timeout=LIMIT_S)
    assert second.returncode == 2
    assert b"another coordinator is already running in" in second.stderr

    left = int((tmp_path / "coordinator" / "superlink" / "superlink.pid").read_text())
    first.kill()
    first.wait()
    forget(file)
    assert runs(left)
    third = start(file)
    try:
        until(lambda: not runs(left), "the end of the orphan")
        until(lambda: waits(file), "a round that waits for nodes")
        assert len((tmp_path / "bad.jsonl").read_text().splitlines()) == 1
        here = int((tmp_path / "coordinator" / "superlink" / "superlink.pid").read_text())
        third.send_signal(signal.SIGTERM)
        assert third.wait(LIMIT_S) == 0
        assert not runs(here)
    finally:
        third.kill()
        third.wait()


def runs(pid: int) -> bool:
    try:
        return bool(Path(f"/proc/{pid}/cmdline").read_bytes())
    except OSError:
        return False
