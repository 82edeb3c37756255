"""kill -9 while a region without a model learns and finds: no finding is lost, and repeats have the same id."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from connectors.ports import free_port
from tests.engine.findings.lines import syslog
from tests.support.processes import Engine, until

pytestmark = pytest.mark.process

OOM = (
    "kernel: Out of memory: Killed process 4711 (mysqld) total-vm:8123456kB",
    "systemd[1]: mysql.service: Main process exited, code=killed, status=9/KILL",
)
DISK = (
    "kernel: Buffer I/O error on device sda1, logical block 20480",
    "kernel: Read-only file system: journal aborted",
)
PIECES = 8

Region = Callable[[str], Engine]


@pytest.fixture
def log() -> list[bytes]:
    """Ordinary lines with two incidents, both followed by many ordinary lines."""
    first, _ = syslog(4000, seed=1, incident=OOM, at=2500)
    return [*first[:3500], *(first[3499].partition(b" web-")[0] + b" web-1 " + t.encode() for t in DISK), *first[3500:]]


@pytest.fixture
def region(tmp_path: Path) -> Iterator[Region]:
    """Starts a region without a model on `app.log`; `name` is the folder of its alerts and its state."""
    engines: list[Engine] = []

    def start(name: str) -> Engine:
        folder = tmp_path / name
        folder.mkdir()
        sections = {
            "region": "eu",
            "source": {"type": "file", "paths": [str(tmp_path / "app.log")], "follow": True},
            "parse": {"format": "syslog"},
            "sinks": [{"type": "jsonl", "path": str(folder / "alerts.jsonl")}],
            "dead_letters": {"type": "jsonl", "path": str(folder / "dead.jsonl")},
            "recovery": {"path": str(folder / "recovery"), "snapshot_s": 0.1},
            "learn": {"min_lines": 1000, "idle_s": 3600.0},
            "telemetry": {"port": free_port(1)},
        }
        engines.append(Engine(folder, sections).start())
        return engines[-1]

    yield start
    for engine in engines:
        if engine.process.poll() is None:
            engine.kill()


def alerts(engine: Engine) -> dict[str, dict[str, Any]]:
    """By id, without what depends on the clock; fails where two alerts with one id differ."""
    path, found = engine.folder / "alerts.jsonl", {}
    for line in path.read_bytes().split(b"\n")[:-1] if path.exists() else []:
        document = {k: v for k, v in json.loads(line).items() if k not in ("created", "traceparent")}
        # After a restart, lines read before it are not quoted.
        for reason in document["reasons"]:
            del reason["examples"]
        for name in ("lines", "lines_omitted"):
            del document[name]
        assert found.setdefault(document["id"], document) == document
    return found


@pytest.mark.timeout(600)
def test_kills_lose_no_finding(log: list[bytes], region: Region, tmp_path: Path) -> None:
    path = tmp_path / "app.log"
    path.write_bytes(b"".join(line + b"\n" for line in log))
    whole = region("whole")
    until(lambda: whole.metric("driftline_lines_total") >= len(log), "the region reads the log")
    until(lambda: len(alerts(whole)) >= 2, "both incidents are found")
    assert whole.drain() == 0
    wanted = alerts(whole)
    sentences = [reason["sentence"] for alert in wanted.values() for reason in alert["reasons"]]
    assert any("Out of memory" in sentence for sentence in sentences)
    assert any("I/O error" in sentence for sentence in sentences)

    path.unlink()
    killed = region("killed")
    for piece in range(PIECES):
        with path.open("ab") as file:
            part = log[len(log) * piece // PIECES : len(log) * (piece + 1) // PIECES]
            file.write(b"".join(line + b"\n" for line in part))
        until(lambda: killed.metric("driftline_lines_total") >= 1, "the region reads")
        killed.kill()
        killed.start()
    until(lambda: alerts(killed).keys() >= wanted.keys(), "all findings are alerts")
    assert killed.drain() == 0
    assert alerts(killed) == wanted
