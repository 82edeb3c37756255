"""`driftline demo`: the main job on one machine, with everything it needs started and stopped here.

1. Find a labelled log: the HDFS sample on this machine, else from its public home, else simulated.
2. Train a BERT-CNN on the first part of the stream and publish it to a model store.
3. Start the embedded broker and, as a user would, `driftline run` on a region's TOML file.
4. Stream the rest of the log through Kafka, one line a message, with a live view.
5. Stop the engine with SIGTERM and compare its alerts with the labels.
"""

import lzma
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import orjson
from confluent_kafka import Producer
from rich.console import Console
from rich.live import Live
from rich.progress import Progress as ProgressBar

from connectors.broker import EmbeddedBroker
from engine import data
from engine.demo_view import View, read
from engine.simulator import simulate

SIMULATED_LINES = 200_000
BLOCK = re.compile(rb"blk_-?[0-9]+")
GAP_S = 43_200
"""HDFS blocks rest for hours between being written and deleted; the longest pause in the sample is 12.9 h."""

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
        self._producer = Producer({"bootstrap.servers": brokers, "linger.ms": 5, "acks": "all"})
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
