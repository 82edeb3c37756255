"""Two, three and one worker, one after the other under load: every alert arrives, and once."""

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine.cli.app import run_command
from tests.faults.test_kill import LINE_BITS, Feeder
from tests.support.apache_kafka import both_brokers
from tests.support.processes import Engine, kill

pytestmark = pytest.mark.process

PARTITIONS = 4
LINES = 8_000
SECONDS = 30.0


@pytest.mark.timeout(400)
@both_brokers("broker")
def test_the_number_of_workers_changes_under_load(
    broker: Any, new_topic: Callable[[int], str], launch: Any, log_lines: Any, expected: Any, until: Any,
    stored: Any, documents: Any, consume: Any, agree: Any, tmp_path: Path, record_property: Any,
) -> None:  # fmt: skip
    topic, alerts = new_topic(PARTITIONS), new_topic(1)
    lines = [log_lines(LINES, seed) for seed in range(51, 51 + PARTITIONS)]
    wanted = {}
    for partition, its_lines in enumerate(lines):
        wanted |= expected(its_lines, f"{topic}/{partition}", lambda i: i << LINE_BITS)
    assert len(wanted) > 60
    kafka = {"type": "kafka", "brokers": broker.brokers}
    sinks = [
        {**kafka, "topic": alerts},
        {"type": "jsonl", "path": str(tmp_path / "alerts.jsonl")},
        {"type": "sql", "url": f"sqlite:///{tmp_path / 'alerts.db'}"},
    ]
    engine = launch({**kafka, "topic": topic}, sinks, workers=2)
    feeder = Feeder(broker.brokers, topic, lines, SECONDS)
    until(lambda: engine.ready(0) and engine.ready(1), "both workers answer")
    feeder.start()

    _read(until, engine, 2, 2_000)
    engine.terminate()
    assert engine.end() == 0
    _move(engine, 3)
    _read(until, engine, 3, 2_000)
    pids = engine.pids()
    engine.process.send_signal(signal.SIGSTOP)  # so that it restarts none of them
    for pid in pids:
        kill(pid)
    engine.kill()
    _move(engine, 1)

    until(lambda: feeder.left == 0, "all lines are produced")
    until(lambda: {d["id"] for d in stored(tmp_path / "alerts.db")} >= wanted.keys(), "all alerts are stored")
    engine.terminate()
    assert engine.end() == 0
    agree(stored(tmp_path / "alerts.db"), wanted, once=True)
    agree([d for file in tmp_path.glob("alerts*.jsonl") for d in documents(file)], wanted, once=True)
    agree(consume(broker.brokers, alerts), wanted, once=True)
    record_property("alerts", len(wanted))


def _read(until: Any, engine: Engine, workers: int, lines: int) -> None:
    for worker in range(workers):
        until(lambda w=worker: engine.metric("driftline_lines_total", w) >= lines, f"worker {worker} reads")


def _move(engine: Engine, workers: int) -> None:
    assert run_command(["state", "rescale", str(engine.region), "--workers", str(workers)]) == 0
    engine.workers = workers
    engine.start()
