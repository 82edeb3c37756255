"""kill -9, ten times in one stream: every alert arrives, right, and once in the store."""

import os
import random
import signal
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from connectors.memory import MemorySource
from connectors.sql_schema import LEVEL_COLUMNS
from engine.parsing.minute_counts import MinuteCounts
from engine.steps.parse import Parser, ParseSettings
from engine.steps.rollup import LEVELS, RollupSettings
from foundation.documents.base import template_id_text
from tests.support.apache_kafka import both_brokers

pytestmark = pytest.mark.process

KILLS = 10
LINES = 30_000
SECONDS = 25.0
LINE_BITS = 20
WINDOWS_OF_ALL = "SELECT SUM(windows), SUM(anomalous), SUM(alerts) FROM {} WHERE span = 1440 AND template = ''"
EXACT_KILLS = int(os.environ.get("DRIFTLINE_KILLS", "6"))
EXACT_SECONDS = 2.0 * EXACT_KILLS


class Feeder(threading.Thread):
    """Produces the lines of each partition at a steady rate, until all are there."""

    def __init__(self, brokers: str, topic: str, lines: list[list[bytes]], seconds: float) -> None:
        super().__init__(daemon=True)
        self._producer = Producer({"bootstrap.servers": brokers, "linger.ms": 5})
        self._topic, self._lines, self._seconds = topic, lines, seconds
        self.left = -1

    def run(self) -> None:
        pieces, pause = int(self._seconds * 20), threading.Event()
        for i in range(pieces):
            for partition, lines in enumerate(self._lines):
                for line in lines[len(lines) * i // pieces : len(lines) * (i + 1) // pieces]:
                    self._producer.produce(self._topic, line, partition=partition)
            self._producer.poll(0)
            pause.wait(0.05)
        self.left = self._producer.flush(30)


@pytest.mark.timeout(600)
@both_brokers("broker")
def test_ten_kills_lose_nothing(
    broker: Any, new_topic: Callable[[int], str], launch: Any, log_lines: Any, expected: Any, until: Any,
    consume: Any, stored: Any, agree: Any, tmp_path: Path, record_property: Any,
) -> None:  # fmt: skip
    topic, alerts = new_topic(2), new_topic(1)
    lines = [log_lines(LINES, 11), log_lines(LINES, 12)]
    wanted = {}
    for partition, its_lines in enumerate(lines):
        wanted |= expected(its_lines, f"{topic}/{partition}", lambda i: i << LINE_BITS)
    assert len(wanted) > 100
    engine = launch(
        {"type": "kafka", "brokers": broker.brokers, "topic": topic},
        [
            {"type": "kafka", "brokers": broker.brokers, "topic": alerts},
            {"type": "sql", "url": f"sqlite:///{tmp_path / 'alerts.db'}"},
        ],
        workers=2,
        rollup={"flush_s": 0.3, "keep_days": 3_650},
    )
    feeder = Feeder(broker.brokers, topic, lines, SECONDS)
    until(lambda: engine.ready(0), "the first worker answers")
    feeder.start()
    chance = random.Random(5)
    for i in range(KILLS):
        worker = i % 2
        if i < 6:  # while it reads
            goal = chance.randint(1, 2_000)
            _until_read(until, engine, worker, goal)
            _kill_worker(until, engine, worker)
        else:  # at any moment, be it while it starts
            kill_after(until, engine, worker, chance.uniform(0.0, 3.0))
    until(lambda: feeder.left == 0, "all lines are produced")
    until(lambda: {d["id"] for d in stored(tmp_path / "alerts.db")} >= wanted.keys(), "all alerts are stored")
    assert engine.drain() == 0
    assert engine.text().count("it is restarted") == KILLS
    agree(stored(tmp_path / "alerts.db"), wanted, once=True)
    on_topic = consume(broker.brokers, alerts)
    agree(on_topic, wanted, once=False)
    for partition, its_lines in enumerate(lines):
        assert _counts(tmp_path / "alerts.db", f"{topic}/{partition}") == _undisturbed(its_lines)
    quiet = launch(
        {"type": "kafka", "brokers": broker.brokers, "topic": topic},
        [{"type": "sql", "url": f"sqlite:///{tmp_path / 'quiet.db'}"}],
        workers=2,
        recovery={"path": str(tmp_path / "quiet"), "snapshot_s": 0.2},
        rollup={"flush_s": 0.3, "keep_days": 3_650},
    )
    total = sum(map(len, lines))
    until(lambda: sum(quiet.metric("driftline_lines_total", w) for w in (0, 1)) >= total, "all lines are read")
    assert quiet.drain() == 0
    for table in ("template_minutes", "template_spans", "score_spans", "alert_hours"):
        assert _rows(tmp_path / "alerts.db", table) == _rows(tmp_path / "quiet.db", table), table
    ((windows, anomalous, sent),) = _rows(tmp_path / "quiet.db", "template_spans", WINDOWS_OF_ALL)
    assert windows > anomalous >= sent == len(wanted)
    record_property("alerts", len(wanted))
    record_property("repeats_on_the_topic", len(on_topic) - len(wanted))


@pytest.mark.timeout(900)
@pytest.mark.parametrize("broker", ["apache"], indirect=True)
def test_kills_deliver_exactly_once(
    broker: Any, new_topic: Callable[[int], str], launch: Any, log_lines: Any, expected: Any, until: Any,
    consume: Any, agree: Any, record_property: Any,
) -> None:  # fmt: skip
    topic, alerts = new_topic(2), new_topic(1)
    lines = [log_lines(LINES, 41), log_lines(LINES, 42)]
    wanted = {}
    for partition, its_lines in enumerate(lines):
        wanted |= expected(its_lines, f"{topic}/{partition}", lambda i: i << LINE_BITS)
    kafka = {"type": "kafka", "brokers": broker.brokers}
    engine = launch(
        {**kafka, "topic": topic},
        [{**kafka, "topic": alerts, "delivery": "exactly-once", "transaction_id": alerts}],
        workers=2,
    )
    feeder = Feeder(broker.brokers, topic, lines, EXACT_SECONDS)
    until(lambda: engine.ready(0), "the first worker answers")
    feeder.start()
    chance = random.Random(6)
    for i in range(EXACT_KILLS):
        if i % 3:
            kill_after(until, engine, i % 2, chance.uniform(0.0, 2.0))
        else:
            _until_read(until, engine, i % 2, chance.randint(1, 2_000))
            _kill_worker(until, engine, i % 2)
    until(lambda: feeder.left == 0, "all lines are produced")
    until(lambda: {d["id"] for d in consume(broker.brokers, alerts)} >= wanted.keys(), "all alerts are committed")
    assert engine.drain() == 0
    assert engine.text().count("it is restarted") == EXACT_KILLS
    agree(consume(broker.brokers, alerts), wanted, once=True)
    record_property("alerts", len(wanted))


def _counts(path: Path, partition: str) -> dict[tuple[int, int, str], tuple[int, ...]]:
    """Rows of the rollup: minute, part and template to lines by level."""
    names = ", ".join(LEVEL_COLUMNS)
    with closing(sqlite3.connect(path)) as database:
        query = f"SELECT minute, part, template, {names} FROM template_minutes WHERE partition = ?"
        return {row[:3]: row[3:] for row in database.execute(query, (partition,))}


def _rows(path: Path, table: str, query: str = "SELECT * FROM {}") -> list[Any]:
    with closing(sqlite3.connect(path)) as database:
        return sorted(database.execute(query.format(table)))


def _undisturbed(lines: list[bytes]) -> dict[tuple[int, int, str], tuple[int, ...]]:
    """The same, of an engine that nothing interrupts."""
    parser = Parser(ParseSettings(format="hdfs"), lambda p, n: f"{p}/{n}")
    counts = MinuteCounts(RollupSettings().late_minutes, LEVELS)
    reader = MemorySource({"lines": lines}).open("lines", None)
    with suppress(StopIteration):
        while True:
            if (batch := reader.next_batch()) is not None:
                parsed = parser.parse(batch)
                counts.add_lines(parsed.good.time_ns, parsed.good.template, parsed.level())
    return {(row.minute, row.part, template_id_text(row.template)): row.counts for row in counts.changed()}


def test_supervisor_killed_while_its_workers_start(
    broker: Any, new_topic: Callable[[int], str], launch: Any, until: Any, tmp_path: Path
) -> None:
    engine = launch(
        {"type": "kafka", "brokers": broker.brokers, "topic": new_topic(2)},
        [{"type": "sql", "url": f"sqlite:///{tmp_path / 'alerts.db'}"}],
        workers=2,
    )
    orphans = until(lambda: len(engine.pids()) == 2 and engine.pids(), "both workers are there")
    engine.kill()
    until(lambda: not any(_alive(pid) for pid in orphans), "the workers end when their supervisor is gone")


def _until_read(until: Any, engine: Any, worker: int, lines: int) -> None:
    until(lambda: engine.metric("driftline_lines_total", worker) >= lines, f"{worker} reads {lines} lines")


def kill_after(until: Any, engine: Any, worker: int, seconds: float) -> None:
    pid = until(lambda: _pid(engine, worker), f"worker {worker} is there")
    moment_s = time.monotonic() + seconds
    until(lambda: time.monotonic() >= moment_s, "the moment has come")
    _kill(until, pid)


def _kill(until: Any, pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    until(lambda: not _alive(pid), "the killed worker is gone, and not taken for the next one")


def _pid(engine: Any, worker: int) -> int | None:
    for pid in engine.pids():
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if b"--worker" in words and words[words.index(b"--worker") + 1] == b"%d" % worker:
            return pid
    return None


def _kill_worker(until: Any, engine: Any, worker: int) -> None:
    pid = _pid(engine, worker)
    assert pid is not None
    _kill(until, pid)


def test_killed_supervisor_leaves_no_workers_behind(
    broker: Any, new_topic: Callable[[int], str], launch: Any, log_lines: Any, expected: Any, until: Any,
    produce: Any, stored: Any, agree: Any, tmp_path: Path,
) -> None:  # fmt: skip
    topic = new_topic(2)
    lines = [log_lines(16_000, 21), log_lines(16_000, 22)]
    wanted = {}
    for partition, its_lines in enumerate(lines):
        wanted |= expected(its_lines, f"{topic}/{partition}", lambda i: i << LINE_BITS)
        produce(broker.brokers, topic, its_lines[:10_000], partition)
    engine = launch(
        {"type": "kafka", "brokers": broker.brokers, "topic": topic},
        [{"type": "sql", "url": f"sqlite:///{tmp_path / 'alerts.db'}"}],
        workers=2,
    )
    for worker in (0, 1):
        _until_read(until, engine, worker, 1)
    orphans = engine.pids()
    assert len(orphans) == 2
    engine.kill()
    until(lambda: not any(_alive(pid) for pid in orphans), "the workers end when their supervisor is gone")
    engine.start()
    for partition, its_lines in enumerate(lines):
        produce(broker.brokers, topic, its_lines[10_000:], partition)
    until(lambda: {d["id"] for d in stored(tmp_path / "alerts.db")} >= wanted.keys(), "all alerts are stored")
    assert engine.drain() == 0
    agree(stored(tmp_path / "alerts.db"), wanted, once=True)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
