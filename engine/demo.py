"""`driftline demo`: the main job on one machine, with everything it needs started and stopped here.

1. Find a labelled log: the HDFS sample on this machine, else from its public home, else simulated.
2. Train a BERT-CNN on the first part of the stream and publish it to a model store.
3. Start the embedded broker and, as a user would, `driftline run` on a region's TOML file.
4. Stream the rest of the log through Kafka, one line a message, with a live view.
5. Stop the engine with SIGTERM and compare its alerts with the labels.
"""

import contextlib
import logging
import lzma
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import orjson
from confluent_kafka import Producer
from rich.console import Console
from rich.live import Live
from rich.progress import Progress as ProgressBar
from rich.table import Table

from connectors.broker import EmbeddedBroker
from engine.corpus import data
from engine.corpus.datasets import LogSpec
from engine.corpus.simulator import simulate
from engine.demo_view import Reading, View, read
from engine.offline import Cutting, train_on_log
from engine.parsing.parse_settings import ParseSettings
from engine.window import SessionWindows
from models.store import Card, ModelStore
from models.training import TrainSettings

SIMULATED_LINES = 200_000
BLOCK = re.compile(rb"blk_-?[0-9]+")
GAP_S = 43_200
"""HDFS blocks rest for hours between being written and deleted; the longest pause in the sample is 12.9 h."""

GROWTH = (8, 16, 32)
START_S = 60.0
IDLE_S = 3.0
"""Open sessions are closed after this long without any line, so that the demo ends."""


class DemoError(Exception):
    """The demonstration cannot go on; the message says why."""


@dataclass(frozen=True, slots=True)
class DemoLog:
    """A labelled log: its lines in time order, and which sessions are anomalous."""

    origin: str
    lines: list[bytes]
    labels: dict[str, bool]


def find_log(console: Console, seed: int) -> DemoLog:
    """The best log to be had here; says where it comes from."""
    try:
        with ProgressBar(console=console, transient=True) as bar:
            task = bar.add_task("HDFS sample", total=None)
            files = data.get("hdfs-2pct", lambda done, total: bar.update(task, completed=done, total=total))
    except data.DownloadFailed as error:
        console.print(
            f"[yellow]No real log here:[/] {error}\n[yellow]Using a simulated storage cluster instead; its figures say "
            "nothing about detection on real logs.[/]"
        )
        made = simulate(SIMULATED_LINES, seed=seed)
        return DemoLog(f"simulated, seed {seed}", made.data.splitlines(), made.labels)
    log = lzma.decompress(files["HDFS_2pct.log.xz"].read_bytes())
    return DemoLog("HDFS 2 % sample", log.splitlines(), data.read_labels(files["HDFS_2pct_labels.csv"]))


@dataclass(frozen=True, slots=True)
class Parts:
    """The log cut in two at a line: what is trained on, and what is streamed and judged.

    Sessions that lie across the cut are in neither set of labels: their end was not known yet when
    the model was trained, and their beginning is not in the stream.
    """

    train: list[bytes]
    train_labels: dict[str, bool]
    stream: list[bytes]
    stream_labels: dict[str, bool]


def cut(log: DemoLog, share: float) -> Parts:
    """The first `share` (0..1) of the lines for training, the rest for the stream."""
    at = int(len(log.lines) * share)
    before, after = _sessions(log.lines[:at]), _sessions(log.lines[at:])
    return Parts(
        log.lines[:at],
        {k: v for k, v in log.labels.items() if k in before and k not in after},
        log.lines[at:],
        {k: v for k, v in log.labels.items() if k in after and k not in before},
    )


def _sessions(lines: list[bytes]) -> set[str]:
    return {match[0].decode() for line in lines if (match := BLOCK.search(line))}


REGION = """\
# Written by `driftline demo`; a region's file looks like this.
region = "demo"

[source]
type = "kafka"
brokers = "{brokers}"
topic = "hdfs.logs"
start = "earliest"

[parse]
format = "hdfs"

[window]
kind = "session"
gap_s = {gap_s}
growth = {growth}
idle_s = {idle_s}

[model]
store = "{store}"
name = "bert_cnn"

[[sinks]]
type = "kafka"
brokers = "{brokers}"
topic = "driftline.alerts"

[[sinks]]
type = "sql"
url = "sqlite:///{alerts}"

[dead_letters]
type = "jsonl"
path = "{dead}"

[recovery]
path = "{recovery}"
snapshot_s = 0.5

[telemetry]
port = {port}
"""


@contextmanager
def engine(region: Path, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """`driftline run` as a process of its own, drained with SIGTERM at the end."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "engine.cli", "run", str(region)], stderr=output, env={**os.environ}
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                try:
                    process.wait(timeout=15)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()


class Feeder(threading.Thread):
    """Produces the lines to the topic at a steady rate, as the cluster would over days."""

    PIECES_PER_S = 50

    def __init__(self, brokers: str, topic: str, lines: list[bytes], seconds: float) -> None:
        super().__init__(name="feeder", daemon=True)
        self._producer = Producer(
            {"bootstrap.servers": brokers, "linger.ms": 5, "acks": "all"}, logger=logging.getLogger("rdkafka")
        )
        self._topic = topic
        self._lines = lines
        self._seconds = seconds
        self.finished = threading.Event()
        self._halt = threading.Event()

    def run(self) -> None:
        """Sends a piece every fiftieth of a second."""
        pieces = max(1, int(self._seconds * self.PIECES_PER_S))
        size = -(-len(self._lines) // pieces)
        started_s = time.monotonic()
        for i in range(pieces):
            for line in self._lines[i * size : (i + 1) * size]:
                self._producer.produce(self._topic, line)
            self._producer.poll(0)
            ahead_s = started_s + (i + 1) / self.PIECES_PER_S - time.monotonic()
            if self._halt.wait(max(0.0, ahead_s)):
                return
        self._producer.flush(30)
        self.finished.set()

    def stop(self) -> None:
        """Ends early."""
        self._halt.set()
        self.join(timeout=5)


@dataclass(frozen=True, slots=True)
class Judgement:
    """Alerts against labels, by session."""

    true_positives: int
    false_positives: int
    false_negatives: int
    sessions: int
    not_judged: int

    @property
    def precision(self) -> float:
        """Share of alerted sessions that are anomalous; 0 without alerts."""
        alerted = self.true_positives + self.false_positives
        return self.true_positives / alerted if alerted else 0.0

    @property
    def recall(self) -> float:
        """Share of anomalous sessions that were alerted; 0 where there are none."""
        anomalous = self.true_positives + self.false_negatives
        return self.true_positives / anomalous if anomalous else 0.0

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        both = self.precision + self.recall
        return 2 * self.precision * self.recall / both if both else 0.0


def judge(alerted: set[str], labels: dict[str, bool]) -> Judgement:
    """What the alerts got right; sessions without a label are counted and left out."""
    hits = sum(labels.get(key, False) for key in alerted)
    known = sum(key in labels for key in alerted)
    anomalous = sum(labels.values())
    return Judgement(hits, known - hits, anomalous - hits, len(labels), len(alerted) - known)


def run(out: Path, first: float, seconds: float, seed: int) -> int:
    """The demonstration; the steps are the module's. Returns the exit code."""
    console = Console()
    started_s = time.monotonic()
    log = find_log(console, seed)  # 1
    parts = cut(log, first)
    out = out.resolve()
    _clear(out)
    console.print(
        f"{log.origin}: {len(log.lines):,} lines, {len(log.labels):,} sessions; the first {len(parts.train):,} lines "
        f"train, the other {len(parts.stream):,} are streamed"
    )
    card = _train(console, out, parts, seed)  # 2
    with EmbeddedBroker() as broker:  # 3
        for topic in ("hdfs.logs", "driftline.alerts"):
            broker.create_topic(topic)
        port = free_port()
        region = out / "region.toml"
        region.write_text(
            REGION.format(
                brokers=broker.brokers, gap_s=GAP_S, growth=list(GROWTH), idle_s=IDLE_S, port=port, store=out / "models",
                alerts=out / "alerts.db", dead=out / "dead-letters.jsonl", recovery=out / "recovery",
            )
        )  # fmt: skip
        view = View(len(parts.stream))
        with engine(region, out / "engine.log") as process:
            feeder = Feeder(broker.brokers, "hdfs.logs", parts.stream, seconds)
            last = _watch(console, process, feeder, view, f"http://127.0.0.1:{port}/metrics", out)  # 4
        if process.returncode != 0:
            raise DemoError(f"the engine ended with code {process.returncode}; see {out / 'engine.log'}")
    report = _report(out, log, parts, view, last, card, time.monotonic() - started_s)  # 5
    _summary(console, report)
    return 0


def _clear(out: Path) -> None:
    """Makes the folder, and removes what a former demonstration left in it, nothing else."""
    out.mkdir(parents=True, exist_ok=True)
    for name in ("models", "recovery"):
        shutil.rmtree(out / name, ignore_errors=True)
    for pattern in ("alerts.db*", "dead-letters.jsonl", "engine.log", "region.toml", "report.*", "train.*"):
        for path in out.glob(pattern):
            path.unlink()


def _train(console: Console, out: Path, parts: Parts, seed: int) -> Card:
    """Trains on the first part, cut as the engine is going to cut the stream."""
    log, labels = out / "train.log", out / "train.csv"
    log.write_bytes(b"\n".join(parts.train) + b"\n")
    rows = (f"{key},{'Anomaly' if bad else 'Normal'}\n" for key, bad in parts.train_labels.items())
    labels.write_text("BlockId,Label\n" + "".join(rows))
    store = ModelStore(out / "models")
    cutting = Cutting(ParseSettings(format="hdfs"), SessionWindows(gap_s=GAP_S, growth=GROWTH, idle_s=IDLE_S))
    with ProgressBar(console=console, transient=True) as bar:
        task = bar.add_task("training", total=None)

        def show(stage: str, done: int, total: int, figures: Mapping[str, float]) -> None:
            text = " ".join(f"{k} {v:.3f}" for k, v in figures.items())
            bar.update(task, description=f"{stage} {text}", completed=done, total=total)

        settings = TrainSettings(detector="bert_cnn", seed=seed)
        trained, used = train_on_log(LogSpec(log, labels), cutting, settings, store, "bert_cnn", progress=show)
    console.print(
        f"bert_cnn version {trained.version}: {len(used):,} windows, {int(used.labels.sum()):,} anomalous, "
        f"trained in {trained.report.train_s:.1f} s, F1 on its validation windows "
        f"{trained.notes.metrics['validation']['f1']:.3f}"
    )
    return store.card("bert_cnn")


def free_port() -> int:
    """A TCP port on the loopback interface that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _watch(
    console: Console, process: subprocess.Popen[bytes], feeder: Feeder, view: View, url: str, out: Path
) -> Reading:
    """Feeds the engine and shows its figures until every line is read and every session closed."""
    last = Reading()
    deadline_s = time.monotonic() + START_S
    with Live(view.table("starting the engine"), console=console, refresh_per_second=4) as live:
        while True:
            if process.poll() is not None:
                raise DemoError(f"the engine ended early with code {process.returncode}; see {out / 'engine.log'}")
            reading = read(url)
            if reading is not None:
                last = reading
                view.update(time.monotonic(), reading)
                live.update(view.table("the engine, live"))
                if not feeder.is_alive() and not feeder.finished.is_set() and _ready(url):
                    feeder.start()
                if feeder.finished.is_set() and view.done(reading):
                    return last
            elif time.monotonic() > deadline_s:
                raise DemoError(f"the engine does not answer at {url}; see {out / 'engine.log'}")
            time.sleep(0.25)


def _ready(url: str) -> bool:
    """Whether a model is in service: before that, lines would only wait."""
    reading = read(url)
    return reading is not None and reading.values.get("driftline_model_swaps_total", 0) > 0


def _report(
    out: Path, log: DemoLog, parts: Parts, view: View, last: Reading, card: Card, total_s: float
) -> dict[str, object]:
    """Judges the alerts in the store by the labels, and writes `report.json`."""
    with contextlib.closing(sqlite3.connect(out / "alerts.db")) as database:
        sessions = [row[0] for row in database.execute("SELECT session FROM alerts")]
    verdict = judge(set(sessions), parts.stream_labels)
    report: dict[str, object] = {
        "data": log.origin,
        "lines_trained": len(parts.train),
        "lines_streamed": len(parts.stream),
        "sessions_judged": verdict.sessions,
        "sessions_not_judged": verdict.not_judged,
        "anomalous_sessions": verdict.true_positives + verdict.false_negatives,
        "alerts": len(sessions),
        "precision": verdict.precision,
        "recall": verdict.recall,
        "f1": verdict.f1,
        "windows_scored": last.values.get("driftline_windows_total", 0.0),
        "peak_lines_per_s": view.peak_lines_per_s,
        "p99_ms": last.p99_ms(),
        "dead_letters": last.values.get("driftline_bad_lines_total", 0.0),
        "model": f"{card.name} version {card.version}",
        "threshold": card.threshold.value,
        "total_s": total_s,
        "files": {
            "alerts": str(out / "alerts.db"),
            "model": str(out / "models"),
            "region": str(out / "region.toml"),
            "report": str(out / "report.json"),
            "engine log": str(out / "engine.log"),
        },
    }
    (out / "report.json").write_bytes(orjson.dumps(report, option=orjson.OPT_INDENT_2))
    return report


def _summary(console: Console, report: dict[str, object]) -> None:
    table = Table("", "", title="summary", show_header=False, min_width=60)
    for key, value in report.items():
        if isinstance(value, dict):
            continue
        text = f"{value:,.3f}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else f"{value}"
        table.add_row(key.replace("_", " "), text)
    console.print(table)
    files = report["files"]
    if isinstance(files, dict):
        for name, path in files.items():
            console.print(f"{name:>10}  {path}", soft_wrap=True)
