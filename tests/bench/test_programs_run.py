"""What `bench.programs` states about a log, and what its file of daemons holds; no daemon is run here."""

import json
import subprocess
from pathlib import Path

import pytest

from bench.programs.judge import daemons, wrong
from bench.programs.run import run

ENTRIES = daemons()
KEYS = {
    "packages", "command", "time", "level", "files", "before", "send", "log", "start_s", "record", "levels", "status",
}  # fmt: skip
SECOND = 1_710_051_901 * 10**9
"""2024-03-10 06:25:01 UTC."""


@pytest.mark.parametrize("name", ENTRIES)
def test_an_entry_is_whole(name: str) -> None:
    daemon = ENTRIES[name]
    assert {"packages", "command", "time", "level"} <= daemon.keys() <= KEYS
    assert "{port}" in f"{daemon['command']}{daemon.get('files')}" or not daemon.get("send")


@pytest.mark.parametrize(
    ("text", "more", "faults"),
    [
        ("2024-03-10 06:25:01 ERROR a\n2024-03-10 06:25:02 INFO b\n", {}, []),
        ("2024-03-10 06:25:01 a\n2024-03-10 06:25:02 b\n", {}, ["level"]),
        ("2024-03-10 06:25:01 a\n", {"level": False}, []),
        ("2024-03-09 06:25:01 a\n", {"level": False}, ["time"]),
        ("a\nb\n", {"level": False}, ["time"]),
        ("a\nb\n", {"level": False, "time": False}, []),
        ("", {"level": False, "time": False}, ["records"]),
        ("2024-03-10 06:25:01 ERROR a\n  at b\n", {}, ["records"]),
        ("2024-03-10 06:25:01 ERROR a\n  at b\n", {"record": "[0-9]"}, []),
        ("2024-03-10 06:25:01 ERROR a\n", {"levels": {"pattern": "[0-9: -]+([A-Z]+)", "ERROR": "warn"}}, ["level"]),
        ('2024-03-10 06:25:01 INFO "GET / HTTP/1.1" 502 7\n', {"status": " ([0-9]{3}) [0-9]+$"}, []),
        ("2024-03-10 06:25:01 INFO told 502 7\n", {"status": " ([0-9]{3}) [0-9]+$"}, ["status"]),
    ],
)
def test_what_is_wrong_in_a_log(tmp_path: Path, text: str, more: dict[str, object], faults: list[str]) -> None:
    log = tmp_path / "a.log"
    log.write_text(text)
    log.with_suffix(".json").write_text(json.dumps({"started_ns": SECOND, "ended_ns": SECOND + 10**9}))
    assert wrong(log, {"time": True, "level": True, **more}) == faults


@pytest.fixture
def cat(monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """A daemon that is none: it writes its file of settings."""
    monkeypatch.setattr("bench.programs.run.unpack", lambda packages, cache, root: None)
    monkeypatch.setattr("bench.programs.run.START_S", 0.1)
    return {"packages": ["x"], "command": "cat {dir}/a.conf", "files": {"a.conf": "port {port}\n"}, "send": ["hello"]}


def test_a_daemon_is_started_asked_and_its_output_kept(tmp_path: Path, cat: dict[str, object]) -> None:
    log = run("cat", cat, tmp_path)
    assert log == tmp_path / "cat.log"
    assert log.read_text().startswith("port ")
    span = json.loads(log.with_suffix(".json").read_text())
    assert span["started_ns"] < span["ended_ns"]


def test_a_command_that_prepares_a_daemon_has_to_succeed(tmp_path: Path, cat: dict[str, object]) -> None:
    with pytest.raises(subprocess.CalledProcessError):
        run("cat", {**cat, "before": ["false"]}, tmp_path)
