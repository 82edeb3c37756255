"""An engine as a real process of its own, and waiting for what it does."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from typing import Any, TypeVar

import pytest
from prometheus_client.parser import text_string_to_metric_families

T = TypeVar("T")

POLL_S = 0.02
LIMIT_S = 100.0
"""How long anything is waited for: only a failure takes that long, and a busy machine may need much of it."""
ANSWER_S = 20.0


def until(look: Callable[[], T | None], what: str) -> T:
    """The first thing `look` gives that is true; fails after `LIMIT_S` of looking."""
    deadline_s = time.monotonic() + LIMIT_S
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > deadline_s:
            pytest.fail(f"not within {LIMIT_S:g} s: {what}")
        time.sleep(POLL_S)


def toml(sections: Mapping[str, Any]) -> str:
    """The few kinds of values that a region's file needs."""
    top = [f"{key} = {json.dumps(value)}" for key, value in sections.items() if not isinstance(value, dict | list)]
    parts = ["\n".join(top)]
    for name, content in sections.items():
        for table in content if isinstance(content, list) else [content] if isinstance(content, dict) else []:
            head = f"[[{name}]]" if isinstance(content, list) else f"[{name}]"
            parts.append("\n".join([head, *(f"{key} = {_value(value)}" for key, value in table.items())]))
    return "\n\n".join(parts) + "\n"


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {_value(part)}" for key, part in value.items()) + "}"
    return "inf" if value == float("inf") else json.dumps(value)


@dataclass
class Engine:
    """`driftline run` on a region's file in `folder`, as processes that can be killed."""

    folder: Path
    sections: dict[str, Any]
    workers: int = 1
    processes: list["subprocess.Popen[bytes]"] = field(default_factory=list)

    @property
    def region(self) -> Path:
        return self.folder / "region.toml"

    @property
    def port(self) -> int:
        return int(self.sections["telemetry"]["port"])

    @property
    def process(self) -> "subprocess.Popen[bytes]":
        return self.processes[-1]

    def start(self, *options: str, limits: Sequence[tuple[int, int]] = ()) -> "Engine":
        self.write()
        command = [
            sys.executable,
            "-m",
            "engine.cli",
            "run",
            str(self.region),
            "--workers",
            str(self.workers),
            *options,
        ]

        def limit() -> None:
            for kind, most in limits:
                resource.setrlimit(kind, (most, resource.getrlimit(kind)[1]))

        with (self.folder / "engine.log").open("ab") as log:
            self.processes.append(
                subprocess.Popen(command, stdout=log, stderr=log, preexec_fn=limit if limits else None)
            )
        return self

    def write(self) -> None:
        self.region.write_text(toml(self.sections))

    def text(self) -> str:
        """Everything that all the engines so far wrote."""
        return (self.folder / "engine.log").read_text("utf-8", "replace")

    def _get(self, page: str, worker: int) -> bytes:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port + worker}/{page}", timeout=ANSWER_S) as answer:
                return bytes(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.read()
        except (OSError, HTTPException):  # nobody listens yet, or it died in the middle of its answer
            return b""

    def ready(self, worker: int = 0) -> dict[str, Any]:
        """The page /readyz; empty while nobody answers."""
        return dict(json.loads(self._get("readyz", worker) or b"{}"))

    def wrong(self, worker: int = 0) -> str:
        """What /readyz calls wrong, as one text; "" where nothing is or nobody answers."""
        return "; ".join(self.ready(worker).get("wrong", []))

    def metric(self, name: str, worker: int = 0, **labels: str) -> float:
        """The sum of all samples of that name with those labels; 0 if there are none."""
        families = text_string_to_metric_families(self._get("metrics", worker).decode())
        samples = [s for f in families for s in f.samples if s.name == name and labels.items() <= s.labels.items()]
        return sum(sample.value for sample in samples)

    def pids(self) -> list[int]:
        """The workers under the supervisor."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in children.read_text().split()]

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def end(self, seconds: float = LIMIT_S) -> int:
        """The exit code; fails if it still runs after `seconds`."""
        try:
            return self.process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            pytest.fail(f"the engine did not end within {seconds:g} s:\n{self.text()[-3000:]}")

    def drain(self) -> int:
        self.terminate()
        return self.end()


def kill(pid: int) -> None:
    """Kill a process and wait until it has let go of its files; its parent may be stopped and not collect it."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    until(lambda: has_ended(pid), f"process {pid} is gone")


def has_ended(pid: int) -> bool:
    """Whether a process has ended, even if its parent has not collected it yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True
