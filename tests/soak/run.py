"""A soak: an engine at a part of its full speed on a real Apache Kafka, with a fault every minute.

`python -m tests.soak.run --minutes 30`; it is not part of `make test`.

1. A day of a simulated log is prepared, and the alerts that it must raise are worked out without the dataflow.
2. The engine reads some days as fast as it can; `--load` of that speed is the rate from then on.
3. The day is sent again and again, each time with a later date and other block ids, and the faults happen in turn.
4. At the end every line must be counted once in the store, and every day must have its alerts, each once in the store.
"""

import argparse
import json
import sqlite3
import statistics
import sys
import tempfile
import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from confluent_kafka import Producer

from connectors.ports import free_port
from connectors.sql_schema import LEVEL_COLUMNS
from engine.corpus.simulator import simulate
from engine.offline.detect import Preprocessing, train_on_log
from engine.offline.inputs import LogSpec
from engine.records import ScoredWindows
from engine.steps.decide import Decider, DecideSettings
from models.storage.store import ModelStore
from models.train_detector import TrainSettings
from tests.faults.conftest import LAST_LINES, MODEL, PARSE, REGION, WINDOW, _scored, _scorer
from tests.soak.faults import FAULTS
from tests.support.apache_kafka import ApacheKafka, new_kafka
from tests.support.processes import Engine, until

DAY_LINES = 40_000
PER_MESSAGE = 50
WORKERS = 2
FIRST_DAY = datetime(2009, 1, 1, tzinfo=UTC)
SIMULATED = b"081109"
LATER = "blk_99999999"
"""Beginning of the block ids of the second day of the expectation; no simulated id begins so."""

SAMPLE_S = 5.0
SETTLED_S = 30.0
"""Age from which the memory of a worker counts: what it takes at its start is not growth."""


@dataclass
class Soak:
    """What runs, and what was seen.

    Attributes:
        engine: The engine under test.
        kafka: The broker of lines and alerts.
        days: Days sent to each partition.
        memory: Per worker and start: time since the beginning in s, and resident memory in MiB.
    """

    engine: Engine
    kafka: ApacheKafka
    lines: list[bytes]
    producer: Producer
    days: int = 0
    memory: list[tuple[float, int, float]] = field(default_factory=list)
    faults: Counter[str] = field(default_factory=Counter)
    born_s: dict[int, float] = field(default_factory=dict)

    def send_day(self, seconds: float = 0.0) -> None:
        """Send one day to every partition, spread over so many seconds."""
        date, number = f"{FIRST_DAY + timedelta(self.days):%y%m%d}".encode(), b"blk_%d" % (1_000 + self.days)
        made = [line.replace(SIMULATED, date, 1).replace(b"blk_", number) for line in self.lines]
        began_s, messages = time.monotonic(), range(0, len(made), PER_MESSAGE)
        for sent, start in enumerate(messages):
            text = b"\n".join(made[start : start + PER_MESSAGE])
            for partition in range(WORKERS):
                self._produce(text, partition)
            if (ahead_s := seconds * sent / len(messages) - (time.monotonic() - began_s)) > 0.02:
                time.sleep(ahead_s)
        self.days += 1

    def _produce(self, text: bytes, partition: int) -> None:
        while True:
            try:
                self.producer.produce("lines", text, partition=partition)
                self.producer.poll(0)
                return
            except BufferError:  # the broker is down at the moment
                self.producer.poll(0.1)

    def end_sessions(self) -> None:
        """Send lines of a much later day, so that all sessions end."""
        date = f"{FIRST_DAY + timedelta(self.days + 1):%y%m%d}".encode()
        for partition in range(WORKERS):
            self._produce(b"\n".join(line.replace(b"081231", date, 1) for line in LAST_LINES), partition)
        assert self.producer.flush(120) == 0

    @property
    def sent(self) -> int:
        """Lines sent so far, without those that end the sessions."""
        return self.days * len(self.lines) * WORKERS

    def counted(self) -> int:
        """Lines in the store's rows of the rollup."""
        path = self.engine.folder / "alerts.db"
        if not path.exists():
            return 0
        with closing(_opened(path)) as database:
            if not database.execute("SELECT 1 FROM sqlite_master WHERE name = 'template_minutes'").fetchone():
                return 0
            total = " + ".join(LEVEL_COLUMNS)
            return int(database.execute(f"SELECT COALESCE(SUM({total}), 0) FROM template_minutes").fetchone()[0])

    def sample(self, since_s: float) -> None:
        """Note the memory of the workers that run."""
        now_s = time.monotonic()
        for pid in self.engine.pids():
            born_s = self.born_s.setdefault(pid, now_s)
            try:
                pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
            except (OSError, IndexError):
                continue  # it has just ended
            if now_s - born_s >= SETTLED_S:
                self.memory.append((now_s - since_s, pid, pages * 4096 / 2**20))


def _opened(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=20)


def expected_sessions(store: Path, lines: list[bytes]) -> set[str]:
    """Sessions of the second of two days that raise an alert, by the end of their block id, which every day has.

    How many alerts follow the first one of a session depends on all days before.
    """
    later = [line.replace(SIMULATED, b"081110", 1).replace(b"blk_", LATER.encode()) for line in lines]
    scored = _scored([*lines, *later, *LAST_LINES], "lines/0", {1: _scorer(store, 1)}, at_end=False)
    decider = Decider(DecideSettings(), scored.templates, sessions_end=True)
    found: set[str] = set()
    for window, scores in scored.rows:
        decided = decider.decide(ScoredWindows(window, scores[1], MODEL, 1, scored.thresholds[1]))
        if decided and window.key[0].startswith(LATER):
            found.add(window.key[0].removeprefix(LATER))
    return found


def trained(folder: Path) -> Path:
    """A store with a small model."""
    log = simulate(DAY_LINES, seed=1, anomaly_share=0.2, release_at=1)
    (folder / "train.log").write_bytes(log.data)
    rows = (f"{key},{'Anomaly' if bad else 'Normal'}\n" for key, bad in log.labels.items())
    (folder / "train.csv").write_text("BlockId,Label\n" + "".join(rows))
    spec, settings = (
        LogSpec(folder / "train.log", folder / "train.csv"),
        TrainSettings(detector=MODEL, settings={"head": "logistic"}),
    )
    train_on_log(spec, Preprocessing(PARSE, WINDOW), settings, ModelStore(folder / "models"), MODEL)
    return folder / "models"


def engine_of(folder: Path, kafka: ApacheKafka, store: Path) -> Engine:
    """The engine that is soaked, not started."""
    topic = {"type": "kafka", "brokers": kafka.brokers}
    sections: dict[str, Any] = {
        "region": REGION,
        "source": {**topic, "topic": "lines"},
        "parse": {"format": "hdfs"},
        "window": {"kind": "session", "gap_s": WINDOW.gap_s, "growth": list(WINDOW.steps())},
        "model": {"store": str(store), "name": MODEL},
        "decide": {"alert_budget": float("inf"), "calibrate": False},
        "sinks": [{**topic, "topic": "alerts"}, {"type": "sql", "url": f"sqlite:///{folder / 'alerts.db'}"}],
        "rollup": {"keep_days": 36_500, "flush_s": 1.0},
        "dead_letters": {"type": "jsonl", "path": str(folder / "dead.jsonl"), "rotate_bytes": 1_000_000},
        "recovery": {"path": str(folder / "recovery")},
        "telemetry": {"port": free_port(WORKERS)},
        "drain_s": 60.0,
    }
    return Engine(folder, sections, WORKERS)


def full_speed(soak: Soak) -> float:
    """Lines a second that the engine reads of a backlog."""
    for _ in range(4):
        soak.send_day()
    assert soak.producer.flush(120) == 0
    soak.engine.start()
    until(lambda: soak.counted() > 0, "the engine reads")
    first, since_s = soak.counted(), time.monotonic()
    until(lambda: soak.counted() > 0.9 * soak.sent, "the backlog is read")
    return (soak.counted() - first) / (time.monotonic() - since_s)


def run(folder: Path, minutes: float, load: float, fault_every_s: float) -> dict[str, Any]:
    """Soak an engine and return the figures."""
    lines = simulate(DAY_LINES, seed=7, anomaly_share=0.02, release_at=1).data.replace(b"blk_-", b"blk_").splitlines()
    store = trained(folder)
    wanted = expected_sessions(store, lines)
    kafka = new_kafka(folder / "kafka").start()
    kafka.create_topic("lines", WORKERS, retention_bytes="500000000", segment_bytes="50000000")
    kafka.create_topic("alerts", 1)
    options = {"bootstrap.servers": kafka.brokers, "linger.ms": 20, "compression.type": "lz4"}
    soak = Soak(engine_of(folder, kafka, store), kafka, lines, Producer(options))
    try:
        speed = full_speed(soak)
        day_s = len(lines) * WORKERS / (load * speed)
        print(f"full speed {speed:,.0f} lines/s, soaked with {load * speed:,.0f}", flush=True)
        _soak(soak, minutes * 60, day_s, fault_every_s)
        soak.end_sessions()
        until(lambda: soak.counted() >= soak.sent, "every line is counted")
        soak.engine.terminate()
        code = soak.engine.end()
        return {"exit_code": code, "full_speed": round(speed), **_figures(soak, wanted)}
    finally:
        if soak.engine.processes and soak.engine.process.poll() is None:
            soak.engine.terminate()
            soak.engine.process.wait(120)
        kafka.stop()


def _soak(soak: Soak, seconds: float, day_s: float, fault_every_s: float) -> None:
    since_s = sampled_s = time.monotonic()
    faults = iter(list(FAULTS.items()) * 1_000)
    due_s = since_s + fault_every_s
    while time.monotonic() - since_s < seconds:
        soak.send_day(day_s)
        if time.monotonic() >= due_s:
            due_s += fault_every_s
            name, fault = next(faults)
            print(f"{time.monotonic() - since_s:6.0f} s: {name}", flush=True)
            fault(soak.engine, soak.kafka)
            soak.faults[name] += 1
        if time.monotonic() - sampled_s >= SAMPLE_S:
            sampled_s = time.monotonic()
            soak.sample(since_s)


def _figures(soak: Soak, wanted: set[str]) -> dict[str, Any]:
    with closing(_opened(soak.engine.folder / "alerts.db")) as database:
        found = set(database.execute("SELECT source, session FROM alerts").fetchall())
        twice = database.execute(
            "SELECT COUNT(*) FROM (SELECT 1 FROM alerts GROUP BY source, session, first_position, last_position "
            "HAVING COUNT(*) > 1)"
        ).fetchone()[0]
    # Templates of the first day are still being learnt.
    expected = {
        (f"lines/{partition}", f"blk_{1_000 + day}{session}")
        for partition in range(WORKERS) for day in range(1, soak.days) for session in wanted
    }  # fmt: skip
    first_day = f"blk_{1_000}"
    strange = [each for each in found - expected if not each[1].startswith(first_day)]
    thirds = _thirds([mib for _, _, mib in sorted(soak.memory)])
    return {
        "days": soak.days, "lines": soak.sent, "lines_counted": soak.counted() - WORKERS * len(LAST_LINES),
        "sessions_expected": len(expected), "sessions_lost": len(expected - found), "sessions_strange": len(strange),
        "alerts_twice_in_store": twice, "faults": dict(soak.faults),
        "restarts": soak.engine.text().count("it is restarted"), "memory_mib_by_third": thirds,
    }  # fmt: skip


def _thirds(values: list[float]) -> list[int]:
    """Median of each third of the samples, in the order of time."""
    size = len(values) // 3
    return [round(statistics.median(values[i * size : (i + 1) * size])) for i in range(3)] if size else []


def main() -> int:
    """Run a soak by the command line; 0 if nothing was lost or repeated."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30.0, help="length")
    parser.add_argument("--load", type=float, default=0.3, help="part of the full speed")
    parser.add_argument("--fault-every", type=float, default=60.0, help="seconds between two faults")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="driftline-soak-") as folder:
        figures = run(Path(folder), chosen.minutes, chosen.load, chosen.fault_every)
    print(json.dumps(figures, indent=1))
    whole = figures["lines"] == figures["lines_counted"]
    return 0 if whole and not figures["sessions_lost"] and not figures["alerts_twice_in_store"] else 1


if __name__ == "__main__":
    sys.exit(main())
