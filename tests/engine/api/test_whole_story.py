"""A false alarm from its alert to the version that no longer raises it: engine, coordinator, node, service, browser.

One region learns that sessions with a postponed verification are normal. The engine reads a file to which the test adds
lines when the browser asks for them.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from connectors.ports import free_port
from tests.engine.api.test_console import WEB, missing
from tests.support.console_build import find_node

STORY_S = 400
USUAL, POSTPONED, GONE = "of size {n} terminating", "verification postponed by {n} s", "is on a disk that is gone"

REGION = """
region = "eu"
[source]
type = "file"
paths = ["app.log"]
follow = true
[parse]
format = "hdfs"
[window]
kind = "session"
gap_s = 20
growth = []
[model]
store = "models"
name = "event_counts"
poll_s = 0.5
[alert]
explain = true
[decide]
alert_budget = inf
silences = "silences.json"
[training]
path = "training.db"
windows_per_s = 10000
[recovery]
path = "state"
snapshot_s = 0.5
[[sinks]]
type = "sql"
url = "sqlite:///alerts.db"
[drift_events]
type = "jsonl"
path = "drift.jsonl"
[dead_letters]
type = "jsonl"
path = "dead.jsonl"
[telemetry]
serve = false
[node]
superlink = "127.0.0.1:{superlink}"
folder = "node"
"""

COORDINATOR = """
model = "event_counts"
store = "models"
folder = "coordinator"
regions = ["eu"]
[round]
min_regions = 1
hello_s = 60.0
deadline_s = 200.0
[superlink]
folder = "coordinator/superlink"
port = {superlink}
[events]
type = "memory"
[dead_letters]
type = "jsonl"
path = "bad-events.jsonl"
[telemetry]
serve = false
"""

SERVE = """
region = "region.toml"
coordinator = "coordinator.toml"
[listen]
port = {port}
"""


class Log:
    """The lines of sessions, one session every second, each of three lines."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._next = 0
        self._start_s = int(time.time()) - 50_000

    def add(self, *middles: str) -> None:
        """Write a session for each middle line."""
        with self._path.open("a", encoding="utf-8") as file:
            for middle in middles:
                self._next += 1
                when = datetime.fromtimestamp(self._start_s + self._next, UTC).strftime("%y%m%d %H%M%S")
                block = f"blk_{self._next}"
                for text in ("opened", middle.format(n=self._next), "closed"):
                    file.write(f"{when} 77 INFO dfs.DataNode: Block {block} {text}\n")


@contextmanager
def driftline(folder: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """`driftline …` in a folder, its log in a file there."""
    env = {**os.environ, "PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": "1"}
    with (folder / f"{'-'.join(arguments[:2])}.log").open("w") as log:
        command = [sys.executable, "-m", "engine.cli", *arguments]
        process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=log, text=True, env=env)
        try:
            yield process
        finally:
            process.terminate()
            process.wait(60)
            assert process.stdout is not None
            process.stdout.close()


def prepare(folder: Path) -> None:
    """The files, and version 1, which knows usual sessions only."""
    superlink = free_port()
    (folder / "region.toml").write_text(REGION.format(superlink=superlink), "utf-8")
    (folder / "coordinator.toml").write_text(COORDINATOR.format(superlink=superlink), "utf-8")
    (folder / "serve.toml").write_text(SERVE.format(port=free_port()), "utf-8")
    Log(folder / "train.log").add(*[USUAL] * 300)
    command = [sys.executable, "-m", "engine.cli", "train", "event_counts", "--data", "train.log"]
    subprocess.run([*command, "--region", "region.toml"], cwd=folder, check=True, capture_output=True)


@pytest.mark.process
@pytest.mark.timeout(900)
@pytest.mark.skipif(bool(missing()), reason=missing())
def test_a_false_alarm_is_labelled_learnt_and_no_longer_raised(tmp_path):
    prepare(tmp_path)
    log = Log(tmp_path / "app.log")
    log.add(*[USUAL] * 30)
    asked: dict[str, Callable[[], None]] = {
        "waiting for an alert": lambda: log.add(*[POSTPONED, USUAL] * 80, *[USUAL] * 30),
        "waiting for version 2": lambda: log.add(GONE, *[USUAL] * 30),
        "waiting for the end": lambda: log.add(*[POSTPONED, USUAL] * 30, GONE, *[USUAL] * 30),
    }
    with ExitStack() as stack:
        stack.enter_context(driftline(tmp_path, "federate", "coordinator", "coordinator.toml"))
        stack.enter_context(driftline(tmp_path, "federate", "node", "region.toml"))
        stack.enter_context(driftline(tmp_path, "run", "region.toml"))
        service = stack.enter_context(driftline(tmp_path, "serve", "serve.toml"))
        assert service.stdout is not None
        link = next(line.split()[-1] for line in service.stdout if "/#/setup/" in line)
        shots = os.environ.get("DRIFTLINE_SCREENSHOTS", str(tmp_path / "shots"))
        story = subprocess.Popen(
            [str(find_node()), "e2e/wholeStory.mjs", link, shots], cwd=WEB, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            assert story.stdout is not None
            seen = []
            for line in story.stdout:
                seen.append(line.strip())
                if seen[-1] in asked:
                    asked[seen[-1]]()
            errors = story.communicate(timeout=STORY_S)[1]
        finally:
            story.kill()
            story.wait()
    assert (story.returncode, errors) == (0, ""), "\n".join(seen)
    assert seen[-1] == "done: undo"
