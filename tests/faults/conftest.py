"""Fixtures of the fault tests: a small trained model, an engine as a real process, and the expected alerts."""

import json
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, Producer, TopicPartition
from numpy.typing import NDArray

from connectors.base import LineBatch
from connectors.broker import EmbeddedBroker
from connectors.memory import MemorySource
from connectors.ports import free_port
from engine.clock import ManualClock
from engine.corpus.simulator import simulate
from engine.offline.detect import Preprocessing, train_on_log
from engine.offline.inputs import LogSpec
from engine.parsing.parse_settings import ParseSettings
from engine.records import ScoredWindows, WindowBatch
from engine.steps.alert import alert_id
from engine.steps.decide import Decider, DecideSettings
from engine.steps.parse import Parser
from engine.steps.window import SessionWindows, build_windower
from models.storage.store import ModelStore
from models.text.embeddings import embedding_cache
from models.train_detector import TrainSettings
from models.training.scoring import WindowScorer
from tests.support.apache_kafka import is_apache, new_kafka
from tests.support.processes import LIMIT_S, Engine, kill, until

REGION = "fault-test"
PARSE = ParseSettings(format="hdfs")
WINDOW = SessionWindows(gap_s=200, growth=(8, 16, 24))
MODEL = "event_counts"
LAST_LINES = [
    b"081231 23595%d 1 INFO dfs.FSNamesystem: BLOCK* ask 10.0.0.1:50010 to delete  blk_1" % second for second in (8, 9)
]
"""So late in event time that every session before them ends. One alone would count as a wrong clock."""


@pytest.fixture(name="until")
def _until() -> Callable[..., Any]:
    return until


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model store with versions 1 (current) and 2 of a small model; copy it before changing it."""
    folder = tmp_path_factory.mktemp("trained")
    log = simulate(40_000, seed=1, anomaly_share=0.2, release_at=1)
    (folder / "train.log").write_bytes(log.data)
    rows = (f"{key},{'Anomaly' if bad else 'Normal'}\n" for key, bad in log.labels.items())
    (folder / "train.csv").write_text("BlockId,Label\n" + "".join(rows))
    store = ModelStore(folder / "models")
    settings = TrainSettings(detector=MODEL, settings={"head": "logistic"})
    spec = LogSpec(folder / "train.log", folder / "train.csv")
    for seed in (0, 1):
        train_on_log(spec, Preprocessing(PARSE, WINDOW), settings.model_copy(update={"seed": seed}), store, MODEL)
    store.rollback(MODEL, 1)
    return folder / "models"


@pytest.fixture
def store(trained: Path, tmp_path: Path) -> Path:
    """A model store of the test's own."""
    return Path(shutil.copytree(trained, tmp_path / "models"))


@dataclass(frozen=True)
class Expected:
    """The required content of an alert, regardless of the fault that came before it."""

    session: str
    score: float
    lines: int
    first: int
    last: int
    version: int = field(default=1, compare=False)
    number: int = field(default=0, compare=False)  # of the window among all, in the order in which they come out

    @staticmethod
    def of(document: Mapping[str, Any]) -> "Expected":
        return Expected(
            document["session"], document["score"], document["line_count"],
            document["first_position"], document["last_position"],
        )  # fmt: skip


Oracle = Callable[..., dict[str, Expected]]


@pytest.fixture
def expected(trained: Path) -> Oracle:
    """Alerts by id for lines of one partition, worked out step by step without the dataflow.

    `place(i)` is the position of line i. From window number `swap_at` on, version `then` scores.
    """

    known: dict[tuple[int, frozenset[int], bool], Scored] = {}

    def scored(lines: Sequence[bytes], partition: str, versions: frozenset[int], at_end: bool) -> Scored:
        # Swaps at many places are asked about for the same lines, and only what is decided differs.
        key = id(lines), versions, at_end
        if key not in known:
            known[key] = _scored(lines, partition, {n: _scorer(trained, n) for n in versions}, at_end)
        return known[key]

    def work_out(
        lines: Sequence[bytes],
        partition: str,
        place: Callable[[int], int],
        *,
        version: int = 1,
        at_end: bool = False,
        then: int = 1,
        swap_at: int = 1 << 60,
    ) -> dict[str, Expected]:
        windows = scored(lines, partition, frozenset({version, then}), at_end)
        decider = Decider(DecideSettings(), windows.templates, sessions_end=True)
        found: dict[str, Expected] = {}
        for seen, (window, scores) in enumerate(windows.rows):
            current = then if seen >= swap_at else version
            score = scores[current]
            if decider.decide(ScoredWindows(window, score, MODEL, current, windows.thresholds[current])):
                first, last = place(int(window.first[0])), place(int(window.last[0]))
                size = len(window.windows.row(0))
                alert = Expected(window.key[0], float(score[0]), size, first, last, current, seen)
                found[alert_id(REGION, partition, alert.session, first, last)] = alert
        return found

    return work_out


@dataclass(frozen=True)
class Scored:
    """Every window of some lines, one by one in their order, with its score by each version."""

    rows: list[tuple[WindowBatch, dict[int, NDArray[np.float32]]]]
    templates: dict[int, str]
    thresholds: dict[int, float]


def _scored(lines: Sequence[bytes], partition: str, scorers: Mapping[int, WindowScorer], at_end: bool) -> Scored:
    source = MemorySource({partition: list(lines)}, batch_lines=5000)
    parser, windower = Parser(PARSE, source.describe), build_windower(WINDOW, ManualClock())
    made = Scored([], {}, {number: scorer.threshold for number, scorer in scorers.items()})

    def take(windows: WindowBatch | None) -> None:
        if windows is not None:
            scores = {number: scorer.score(windows.windows) for number, scorer in scorers.items()}
            for i in range(len(windows)):
                made.rows.append((_row(windows, i), {number: found[i : i + 1] for number, found in scores.items()}))

    for batch in _batches(source, partition):
        parsed = parser.parse(batch).good
        made.templates.update(parsed.templates)
        take(windower.add(parsed).windows)
    if at_end:
        take(windower.close_all())
    return made


def _scorer(trained: Path, version: int) -> WindowScorer:
    stored = ModelStore(trained).load(MODEL, version, cache=embedding_cache())
    return WindowScorer(stored.detector, version, stored.card.threshold.value)


def _row(batch: WindowBatch, i: int) -> WindowBatch:
    columns = {f.name: getattr(batch, f.name) for f in fields(batch) if f.name not in ("windows", "traceparent")}
    return WindowBatch(batch.windows.take(np.array([i])), **{name: value[i : i + 1] for name, value in columns.items()})


def _batches(source: MemorySource, partition: str) -> Iterator[LineBatch]:
    reader = source.open(partition, None)
    while True:
        try:
            batch = reader.next_batch()
        except StopIteration:
            return
        if batch is not None:
            yield batch


@pytest.fixture(scope="session")
def log_lines() -> Callable[[int, int], list[bytes]]:
    """`log_lines(n, seed)`: a simulated log whose last two lines end all sessions."""

    def make(lines: int, seed: int = 7) -> list[bytes]:
        return [*simulate(lines - 2, seed=seed, anomaly_share=0.1, release_at=1).data.splitlines(), *LAST_LINES]

    return make


Launch = Callable[..., Engine]


@pytest.fixture
def launch(tmp_path: Path, store: Path) -> Iterator[Launch]:
    """Writes a region's file from its source and sinks, and starts the engine; ended with the test."""
    engines: list[Engine] = []

    def start(
        source: dict[str, Any], sinks: list[dict[str, Any]], *, workers: int = 1, run: bool = True, **sections: Any
    ) -> Engine:
        whole = {
            "region": REGION,
            "source": source,
            "parse": {"format": "hdfs"},
            "window": {"kind": "session", "gap_s": WINDOW.gap_s, "growth": list(WINDOW.steps())},
            "model": {"store": str(store), "name": MODEL, "poll_s": 0.1},
            "decide": {"alert_budget": float("inf")},
            "sinks": sinks,
            "dead_letters": {"type": "jsonl", "path": str(tmp_path / "dead.jsonl")},
            "recovery": {"path": str(tmp_path / "recovery"), "snapshot_s": 0.2},
            "telemetry": {"port": free_port(workers)},
            "drain_s": 60.0,
        }
        for name, content in sections.items():
            whole[name] = {**whole.get(name, {}), **content} if isinstance(content, dict) else content
        engine = Engine(tmp_path, whole, workers)
        engines.append(engine)
        return engine.start() if run else engine

    yield start
    for engine in engines:
        if engine.processes:
            # Shown only where the test failed.
            print(f"/readyz: {engine.wrong() or 'content, or silent'}\n{engine.text()[-3000:]}")
        for process in engine.processes:
            if process.poll() is None:
                for pid in engine.pids():
                    kill(pid)
                process.kill()
                process.wait()


@pytest.fixture
def broker(request: pytest.FixtureRequest) -> EmbeddedBroker:
    """The broker that `new_topic` makes topics in: the embedded one, or what `both_brokers` asks for."""
    kind = getattr(request, "param", "embedded")
    found: EmbeddedBroker = request.getfixturevalue("apache_kafka" if is_apache(kind) else "embedded_broker")
    return found


@pytest.fixture
def own_broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[EmbeddedBroker]:
    """A broker, not yet started, that the test may stop, pause and kill; of the kind that `both_brokers` asks for."""
    apache = is_apache(getattr(request, "param", "embedded"))
    broker = new_kafka(tmp_path / "kafka") if apache else EmbeddedBroker(log_path=tmp_path / "broker.log")
    yield broker
    broker.resume()
    broker.stop()


@pytest.fixture
def produce() -> Callable[..., None]:
    """Sends lines to one partition, one a message, and waits for their acknowledgement."""

    def send(brokers: str, topic: str, lines: Sequence[bytes | None], partition: int = 0) -> None:
        producer = Producer({"bootstrap.servers": brokers, "linger.ms": 5, "queue.buffering.max.messages": 1_000_000})
        for line in lines:
            producer.produce(topic, line, partition=partition)
        assert producer.flush(LIMIT_S) == 0

    return send


@pytest.fixture
def consume() -> Callable[[str, str], list[dict[str, Any]]]:
    """All documents in a topic of one partition, in order."""

    def read(brokers: str, topic: str) -> list[dict[str, Any]]:
        consumer = Consumer(
            {"bootstrap.servers": brokers, "group.id": "reader", "enable.partition.eof": True,
             "enable.auto.commit": False, "auto.offset.reset": "error"}
        )  # fmt: skip
        consumer.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
        found: list[dict[str, Any]] = []
        deadline_s = time.monotonic() + LIMIT_S
        try:
            while time.monotonic() < deadline_s:
                for message in consumer.consume(1000, 0.2):
                    error = message.error()
                    if error is None:
                        found.append(json.loads(message.value() or b"{}"))
                    elif error.code() == KafkaError._PARTITION_EOF:
                        return found
        finally:
            consumer.close()
        pytest.fail(f"topic {topic} could not be read to its end")

    return read


@pytest.fixture
def stored() -> Callable[[Path], list[dict[str, Any]]]:
    """All documents in a SQLite store."""

    def read(path: Path) -> list[dict[str, Any]]:
        if not path.exists():
            return []
        database = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)
        try:
            return [json.loads(row[0]) for row in database.execute("SELECT document FROM alerts")]
        except sqlite3.OperationalError:
            return []  # the table is not there yet
        finally:
            database.close()

    return read


@pytest.fixture
def documents() -> Callable[[Path], list[dict[str, Any]]]:
    """All documents in a JSON-lines file, none where it is missing."""

    def read(path: Path) -> list[dict[str, Any]]:
        # Behind the last line end is what somebody is writing just now.
        return [json.loads(line) for line in path.read_bytes().split(b"\n")[:-1]] if path.exists() else []

    return read


@pytest.fixture
def agree() -> Callable[..., None]:
    """Fails unless documents are exactly the expected alerts: none missing, none wrong, none strange."""

    def compare(found: Sequence[Mapping[str, Any]], wanted: Mapping[str, Expected], *, once: bool) -> None:
        for document in found:
            assert document["id"] in wanted, f"nobody expected {document}"
            assert Expected.of(document) == wanted[document["id"]]
        missing = wanted.keys() - {document["id"] for document in found}
        assert not missing, f"{len(missing)} of {len(wanted)} alerts are missing: {sorted(missing)[:3]}"
        if once:
            assert len(found) == len(wanted), "an alert is there more than once"

    return compare
