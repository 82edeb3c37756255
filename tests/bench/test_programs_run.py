"""What `bench.programs.run` states about a log, and what its file of daemons holds; no program is run here."""

import tomllib
from pathlib import Path

import pytest

from bench.programs.run import DAEMONS, judge, run

ENTRIES = tomllib.loads(DAEMONS.read_text("utf-8"))
KEYS = {"packages", "command", "time", "level", "files", "before", "send", "log", "start_s"}


@pytest.mark.parametrize("name", ENTRIES)
def test_an_entry_is_whole(name: str) -> None:
    daemon = ENTRIES[name]
    assert {"packages", "command", "time", "level"} <= daemon.keys() <= KEYS
    assert "{port}" in f"{daemon['command']}{daemon.get('files')}" or not daemon.get("send")


@pytest.mark.parametrize(
    ("text", "time", "level", "right"),
    [
        ("2024-03-10 06:25:01 ERROR a\n2024-03-10 06:25:02 INFO b\n", True, True, True),
        ("2024-03-10 06:25:01 a\n2024-03-10 06:25:02 b\n", True, True, False),
        ("2024-03-10 06:25:01 a\n", True, False, True),
        ("a\nb\n", True, False, False),
        ("a\nb\n", False, False, True),
        ("", False, False, False),
    ],
)
def test_a_log_is_right_with_the_time_and_levels_that_it_has(
    tmp_path: Path, text: str, time: bool, level: bool, right: bool
) -> None:
    log = tmp_path / "a.log"
    log.write_text(text)
    found = judge(log, {"time": time, "level": level})
    assert (found["right"], found["records"]) == (right, text.count("\n"))


def test_a_daemon_is_started_asked_and_its_output_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.programs.run.unpack", lambda packages, cache, root: None)
    monkeypatch.setattr("bench.programs.run.START_S", 0.1)
    daemon = {"packages": ["x"], "command": "cat {dir}/a.conf", "files": {"a.conf": "port {port}\n"}, "send": ["hello"]}
    log = run("cat", daemon, tmp_path)
    assert log == tmp_path / "cat.log"
    assert log.read_text().startswith("port ")
