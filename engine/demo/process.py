"""The processes of the demonstration: the engine as a user runs it, and what feeds it."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from confluent_kafka import Producer

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
        self._producer = Producer({"bootstrap.servers": brokers, "linger.ms": 5, "acks": "all", "log_level": 0})
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
