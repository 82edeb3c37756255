"""The processes of the demonstration: the engine as a user runs it, and what feeds it."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from confluent_kafka import Producer

STOP_S = 20.0
"""From SIGTERM to SIGKILL: a coordinator ends its SuperLink first, a node its SuperNode."""

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

[decide]
alert_budget = inf  # every alert is compared with the labels

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
def driftline(*arguments: str | Path, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """`driftline …` as a process of its own, its log in a file, drained with SIGTERM at the end."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "engine.cli", *map(str, arguments)], stdout=output, stderr=output, env={**os.environ}
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                try:
                    process.wait(timeout=STOP_S)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()


Message = tuple[str, bytes]
"""A topic, and what goes to it."""


class Feeder(threading.Thread):
    """Produces messages at a steady rate, as the cluster would over days; waits while `held` is set."""

    PIECES_PER_S = 50

    def __init__(self, brokers: str, messages: Sequence[Message], seconds: float) -> None:
        super().__init__(name="feeder", daemon=True)
        self._producer = Producer({"bootstrap.servers": brokers, "linger.ms": 5, "acks": "all", "log_level": 0})
        self._messages = messages
        self._seconds = seconds
        self.finished = threading.Event()
        self.held = threading.Event()
        self.sent = 0
        self._halt = threading.Event()

    def run(self) -> None:
        """Sends a piece every fiftieth of a second."""
        pieces = max(1, int(self._seconds * self.PIECES_PER_S))
        size = -(-len(self._messages) // pieces)
        due_s = time.monotonic()
        for i in range(pieces):
            while self.held.is_set() and not self._halt.wait(1 / self.PIECES_PER_S):
                due_s = time.monotonic()
            for topic, value in self._messages[i * size : (i + 1) * size]:
                self._send(topic, value)
            self._producer.poll(0)
            self.sent = min(len(self._messages), (i + 1) * size)
            due_s += 1 / self.PIECES_PER_S
            if self._halt.wait(max(0.0, due_s - time.monotonic())):
                return
        self._producer.flush(30)
        self.finished.set()

    def _send(self, topic: str, value: bytes) -> None:
        while not self._halt.is_set():
            try:
                return self._producer.produce(topic, value)
            except BufferError:  # the broker does not keep up with the stream, on a busy machine
                self._producer.poll(0.1)

    def stop(self) -> None:
        """Ends early."""
        self._halt.set()
        self.join(timeout=5)
