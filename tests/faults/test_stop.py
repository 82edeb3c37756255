"""SIGTERM under load and with a sink that is down; clocks that jump back."""

import datetime as dt
import os
import pickle
import signal
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from engine.clock import SystemClock
from engine.flow import bytewax_steps as steps
from engine.runtime import worker
from engine.settings import from_mapping
from tests.support.processes import LIMIT_S

pytestmark = pytest.mark.process

LINES = 40_000
LINE_BITS = 20


def _write(path: Path, lines: list[bytes]) -> Callable[[int], int]:
    """Writes the lines; gives the byte at which each begins."""
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line) + 1)
    return starts.__getitem__


def test_sigterm_under_load(
    launch: Any, log_lines: Any, expected: Any, until: Any, documents: Any, agree: Any, tmp_path: Path
) -> None:
    lines, log, alerts = log_lines(16_000), tmp_path / "app.log", tmp_path / "alerts.jsonl"
    wanted = expected(lines, str(log), _write(log, lines))
    engine = launch(
        # Small blocks, so that there is still much to read when the signal comes.
        {"type": "file", "paths": [str(log)], "follow": True, "block_bytes": 8192},
        [{"type": "jsonl", "path": str(alerts)}],
    )
    for _ in range(3):
        before = len(documents(alerts))
        until(lambda before=before: len(documents(alerts)) > before, "the engine alerts")
        engine.terminate()
        assert engine.end(30) == 0, "it waited, though not for a sink: for those it has `drain_s`"
        assert len(documents(alerts)) < len(wanted), "nothing was left to read when the signal came"
        engine.start()
    until(lambda: len(documents(alerts)) >= len(wanted), "all alerts are there")
    assert engine.drain() == 0
    # No session was cut open by a stop, nothing is missing, nothing came twice.
    agree(documents(alerts), wanted, once=True)


def test_sigterm_while_the_sink_is_down(
    own_broker: Any, launch: Any, log_lines: Any, expected: Any, until: Any, consume: Any, agree: Any, tmp_path: Path
) -> None:
    lines, log = log_lines(LINES), tmp_path / "app.log"
    wanted = expected(lines, str(log), _write(log, lines))
    _write(log, lines[:20_000])
    own_broker.start()
    own_broker.create_topic("alerts")
    engine = launch(
        {"type": "file", "paths": [str(log)], "follow": True},
        [{"type": "kafka", "brokers": own_broker.brokers, "topic": "alerts"}],
        drain_s=2.0,
    )
    until(lambda: consume(own_broker.brokers, "alerts"), "the first alert is there")
    own_broker.pause()
    with log.open("ab") as file:
        file.write(b"".join(line + b"\n" for line in lines[20_000:]))
    until(lambda: "sinks: " in engine.wrong(), "/readyz says that the sink fails")
    engine.terminate()
    assert engine.end() == 1
    assert "stopped without delivering everything; it will be read again" in engine.text()
    assert "Traceback" not in engine.text()
    assert "panicked" not in engine.text()
    own_broker.resume()
    engine.start()
    until(lambda: len({d["id"] for d in consume(own_broker.brokers, "alerts")}) >= len(wanted), "all alerts")
    assert engine.drain() == 0
    agree(consume(own_broker.brokers, "alerts"), wanted, once=False)


def test_sigterm_while_the_broker_is_absent(own_broker: Any, launch: Any, until: Any, tmp_path: Path) -> None:
    alerts = {"type": "jsonl", "path": str(tmp_path / "alerts.jsonl")}
    engine = launch({"type": "kafka", "brokers": own_broker.brokers, "topic": "logs"}, [alerts])
    until(lambda: own_broker.brokers in engine.wrong(), "the broker is missing")
    assert engine.drain() == 0
    assert "Traceback" not in engine.text()
    assert "panicked" not in engine.text()


def test_paths_that_match_nothing_are_one_sentence(launch: Any, tmp_path: Path) -> None:
    alerts = {"type": "jsonl", "path": str(tmp_path / "alerts.jsonl")}
    engine = launch({"type": "file", "paths": [str(tmp_path / "none-*.log")]}, [alerts])
    assert engine.end() == 2
    assert f"driftline: nothing to read at '{tmp_path}/none-*.log'" in engine.text()
    assert "Traceback" not in engine.text()
    assert "panicked" not in engine.text()


def test_damaged_state_of_a_step_is_one_sentence(launch: Any, tmp_path: Path) -> None:
    (tmp_path / "a.log").write_bytes(b"081109 203615 148 INFO dfs.DataNode: Receiving block blk_1\n" * 10)
    alerts = {"type": "jsonl", "path": str(tmp_path / "alerts.jsonl")}
    engine = launch({"type": "file", "paths": [str(tmp_path / "a.log")]}, [alerts])
    assert engine.end() == 0
    path = tmp_path / "recovery" / "worker-0-of-1" / "part-0.sqlite3"
    with closing(sqlite3.connect(path)) as database, database:
        damaged = pickle.dumps(b"not a state")
        changed = database.execute("UPDATE snaps SET ser_change = ? WHERE step_id = 'driftline.parse'", (damaged,))
        assert changed.rowcount > 0
    assert engine.start().end() == 2
    assert "driftline: the data is damaged: " in engine.text()
    assert "Traceback" not in engine.text()
    assert "panicked" not in engine.text()


def test_sigterm_just_before_the_flow_goes_on_from_its_state(
    launch: Any, log_lines: Any, until: Any, documents: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, alerts = tmp_path / "app.log", tmp_path / "alerts.jsonl"
    _write(log, log_lines(8_000))
    engine = launch({"type": "file", "paths": [str(log)], "follow": True}, [{"type": "jsonl", "path": str(alerts)}])
    until(lambda: documents(alerts), "the engine alerts")
    assert engine.drain() == 0
    monkeypatch.setattr(worker, "keep_freed_memory", lambda: os.kill(os.getpid(), signal.SIGTERM))
    assert worker.run(from_mapping(engine.sections, "test")) == 0


class FallingClock(SystemClock):
    """Every look at the wall clock is ten minutes before the one before it."""

    def __init__(self) -> None:
        self._wall_ns = super().wall_ns()

    def wall_ns(self) -> int:
        self._wall_ns -= 600 * 1_000_000_000
        return self._wall_ns


def test_wall_clock_that_falls_changes_no_alert(
    launch: Any, log_lines: Any, expected: Any, documents: Any, agree: Any, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    lines, log, alerts = log_lines(LINES), tmp_path / "app.log", tmp_path / "alerts.jsonl"
    place = _write(log, lines)
    engine = launch(
        {"type": "file", "paths": [str(log)], "block_bytes": 65_536}, [{"type": "jsonl", "path": str(alerts)}],
        run=False, score={"max_age_ms": 200.0},
    )  # fmt: skip
    _set_back(monkeypatch)
    started_s = time.monotonic()
    assert worker.run(from_mapping(engine.sections, "test"), clock=FallingClock()) == 0
    assert time.monotonic() - started_s < LIMIT_S, "it waited for a time of the wall clock"
    agree(documents(alerts), expected(lines, str(log), place, at_end=True), once=True)


class Ahead(dt.datetime):
    @classmethod
    def now(cls, tz: dt.tzinfo | None = None) -> "Ahead":
        return super().now(tz) + dt.timedelta(hours=1)


def _set_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Appointments are made by a clock an hour ahead of the machine's, as if that had been set back after each."""
    monkeypatch.setattr(steps, "datetime", Ahead)


def test_clock_set_back_delays_no_window(
    launch: Any, log_lines: Any, expected: Any, until: Any, documents: Any, agree: Any, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    lines, log, alerts = log_lines(10_000), tmp_path / "app.log", tmp_path / "alerts.jsonl"
    wanted = expected(lines, str(log), _write(log, lines))
    engine = launch(
        {"type": "file", "paths": [str(log)], "follow": True}, [{"type": "jsonl", "path": str(alerts)}], run=False,
        score={"max_age_ms": 200.0},
    )  # fmt: skip
    _set_back(monkeypatch)
    seen: list[int] = []

    def watch() -> None:
        # The last windows wait for others, and nothing comes any more that would take them along.
        until(lambda: len(documents(alerts)) >= len(wanted), "the last windows are scored")
        seen.append(len(documents(alerts)))

    watcher = threading.Thread(target=_then_stop, args=(watch,))
    watcher.start()
    assert worker.run(from_mapping(engine.sections, "test")) == 0
    watcher.join()
    assert seen == [len(wanted)]
    agree(documents(alerts), wanted, once=True)


def _then_stop(action: Callable[[], None]) -> None:
    try:
        action()
    finally:
        os.kill(os.getpid(), signal.SIGTERM)
