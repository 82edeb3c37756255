"""The engine started as a user starts it, and watched from outside while it runs."""

import json
import math
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from bench.harness import BenchError
from bench.machine import cpu_seconds, peak_rss_bytes, process_tree

POLL_S = 0.1
SCRAPE_TIMEOUT_S = 2.0
STOP_S = 15.0
COUNTERS = re.compile(
    rb"^driftline_(lines|windows|alerts|bad_lines|late_lines)_total(?:\{[^}]*\})? (\S+)", re.MULTILINE
)
GAP_S = 86_400.0
"""Session gap of all benchmark regions. Blocks of the HDFS sample pause for many hours before they are
deleted; with shorter gaps such pauses cut sessions, and detection by session suffers."""

MAX_LENGTH = 512
"""Longest window of all benchmark regions, in lines."""


@dataclass(frozen=True, slots=True)
class CounterSample:
    """Counters of all workers at one moment (`time.perf_counter` seconds)."""

    at_s: float
    counters: Mapping[str, float]


def region(
    folder: Path,
    *,
    source: Mapping[str, Any],
    sink: Mapping[str, Any],
    store: Path,
    port: int,
    snapshot_s: float = 1.0,
    name: str = "bench",
    more: Mapping[str, Mapping[str, Any]] | None = None,
) -> Path:
    """Writes a region's TOML file into `folder` and returns its path.

    `more` are sections next to the usual ones, or in their place.
    """
    sections: dict[str, Any] = {
        "source": source,
        "parse": {"format": "hdfs"},
        "window": {"kind": "session", "gap_s": GAP_S, "max_length": MAX_LENGTH},
        "model": {"store": str(store), "name": "bert_cnn"},
        "decide": {"alert_budget": math.inf},  # every alert is followed to its consumer
        "dead_letters": {"type": "jsonl", "path": str(folder / "dead-letters.jsonl")},
        "recovery": {"path": str(folder / "recovery"), "snapshot_s": snapshot_s},
        "telemetry": {"port": port},
        "log": {"level": "WARNING"},
    }
    sections.update(more or {})
    blocks = [f"region = {json.dumps(name)}"]
    for title, values in [*sections.items(), ("[sinks]", sink)]:
        blocks.append("\n".join([f"[{title}]", *(f"{key} = {_toml(value)}" for key, value in values.items())]))
    path = folder / "region.toml"
    path.write_text("\n\n".join(blocks) + "\n")
    return path


def _toml(value: Any) -> str:
    return "inf" if value == math.inf else json.dumps(value)


def run_driftline(*arguments: str, cwd: Path) -> str:
    """Runs the command to its end and returns what it printed.

    Raises:
        BenchError: it failed; the message ends with its output.
    """
    command = [sys.executable, "-m", "engine.cli", *arguments]
    done = subprocess.run(command, cwd=cwd, env=environment(), capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchError(f"driftline {arguments[0]} ended with {done.returncode}: {done.stderr[-2000:]}")
    return done.stdout


def environment() -> dict[str, str]:
    """The processes measured see this checkout, one thread each, and none of the user's own settings."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("DRIFTLINE_", "OTEL_"))}
    root = str(Path(__file__).resolve().parents[2])
    return {**kept, "PYTHONPATH": root, "OMP_NUM_THREADS": "1", "OTEL_SDK_DISABLED": "true"}


@dataclass(slots=True)
class EngineProcess:
    """A running `driftline run`; a context manager that ends it.

    Attributes:
        samples: Counters since the first worker answered, one every `POLL_S`.
        peak_rss: The most resident memory of all its processes together, in bytes.
    """

    settings: Path
    port: int
    workers: int = 1
    samples: list[CounterSample] = field(default_factory=list)
    peak_rss: int = 0
    _process: "subprocess.Popen[bytes] | None" = None
    _latest: dict[int, dict[str, float]] = field(default_factory=dict)

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "engine.cli", "run", str(self.settings), "--workers", str(self.workers)]
        folder = self.settings.parent
        with (folder / "engine.log").open("wb") as output:
            self._process = subprocess.Popen(command, cwd=folder, env=environment(), stdout=output, stderr=output)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._running.poll() is None:
            self._running.terminate()
            try:
                self._running.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self._running.kill()
                self._running.wait()

    @property
    def pid(self) -> int:
        """Process id of the engine, or of the supervisor of its workers."""
        return self._running.pid

    @property
    def _running(self) -> "subprocess.Popen[bytes]":
        if self._process is None:
            raise RuntimeError("the engine has not been started")
        return self._process

    def poll(self) -> bool:
        """Takes a sample; False once the engine has ended.

        Raises:
            BenchError: it ended with an error; the message ends with its log.
        """
        code = self._running.poll()
        if code:
            log = (self.settings.parent / "engine.log").read_text(errors="replace")
            raise BenchError(f"the engine ended with {code}: {log[-3000:]}")
        if code == 0:
            return False
        for worker in range(self.workers):
            scraped = _scrape(self.port + worker)
            if scraped:
                self._latest[worker] = scraped
        if len(self._latest) == self.workers:
            names = {name for counters in self._latest.values() for name in counters}
            total = {name: sum(c.get(name, 0.0) for c in self._latest.values()) for name in names}
            self.samples.append(CounterSample(time.perf_counter(), total))
        self.peak_rss = max(self.peak_rss, sum(map(peak_rss_bytes, process_tree(self._running.pid))))
        return True

    def cpu_s(self) -> float:
        """CPU time of all its processes so far."""
        return sum(map(cpu_seconds, process_tree(self._running.pid)))

    def run_to_end(self, lines: int, limit_s: float, report: Any) -> dict[str, float]:
        """Waits until the engine has read its finite source, and gives its rates.

        The clock starts at the first sample in which every worker has read lines, which are not
        counted, and stops when the processes have ended: everything delivered, positions saved.

        Raises:
            BenchError: it failed, took longer than `limit_s`, or ended before it could be watched.
        """
        started_s = time.perf_counter()
        while self.poll():
            report("engine", int(self.samples[-1].counters.get("lines", 0)) if self.samples else 0, lines)
            if time.perf_counter() - started_s > limit_s:
                raise BenchError(f"the engine did not finish {lines} lines within {limit_s} s")
            time.sleep(POLL_S)
        ended_s = time.perf_counter()
        busy = [sample for sample in self.samples if sample.counters.get("lines", 0) > 0]
        if len(busy) < 2:
            raise BenchError(f"the engine read {lines} lines before it could be watched; use more lines")
        first, last = busy[0], busy[-1]
        windows = last.counters.get("windows", 0) - first.counters.get("windows", 0)
        return {
            "lines_per_s": (lines - first.counters["lines"]) / (ended_s - first.at_s),
            "windows_per_s": windows / (last.at_s - first.at_s),
            "start_s": first.at_s - started_s,
            "rss_bytes": self.peak_rss,
        }


def _scrape(port: int) -> dict[str, float]:
    """The counters of one worker, or nothing while it does not answer."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=SCRAPE_TIMEOUT_S) as response:
            page = response.read()
    except (urllib.error.URLError, OSError):
        return {}
    counters: dict[str, float] = {}
    for match in COUNTERS.finditer(page):
        name = match[1].decode()
        counters[name] = counters.get(name, 0.0) + float(match[2])
    return counters
