import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import orjson
import pytest
from confluent_kafka import Consumer, TopicPartition

from bench.data.workloads import BaseLog, Workload, produce, write_workload
from bench.processes.engine_process import environment
from connectors.broker import EmbeddedBroker

pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def broker() -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker() as running:
        yield running


@pytest.fixture
def workload(small_log: BaseLog, tmp_path: Path) -> Workload:
    return write_workload(2_500, parts=2, folder=tmp_path, base=small_log)


def read(broker: EmbeddedBroker, topic: str, partition: int, count: int) -> list[bytes]:
    consumer = Consumer({"bootstrap.servers": broker.brokers, "group.id": "test"})
    consumer.assign([TopicPartition(topic, partition, 0)])
    lines: list[bytes] = []
    while len(lines) < count:
        messages = consumer.consume(count - len(lines), 60.0)
        assert messages, f"{len(lines)} of {count} lines within a minute"
        lines += [message.value() or b"" for message in messages]
    consumer.close()
    return lines


def test_each_part_goes_to_its_partition_in_order(broker: EmbeddedBroker, workload: Workload) -> None:
    broker.create_topic("parts", 2)
    seen: list[int] = []
    produce(broker.brokers, "parts", workload, seen.append)
    assert seen == sorted(seen)
    for part, path in enumerate(workload.paths):
        assert read(broker, "parts", part, workload.lines[part]) == path.read_bytes().splitlines()


def test_the_steady_producer_notes_when_each_line_went(
    broker: EmbeddedBroker, workload: Workload, tmp_path: Path
) -> None:
    broker.create_topic("steady", 1)
    times, lines = tmp_path / "times.npy", workload.lines[0]
    command = [sys.executable, "-m", "bench.processes.producer", str(workload.paths[0]), "--bootstrap", broker.brokers]
    command += ["--topic", "steady", "--times", str(times), "--rate", "5000"]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=True, timeout=200)
    note = orjson.loads(done.stdout.splitlines()[-1])
    assert note["lines"] == lines
    assert note["unacknowledged"] == 0
    stamps = np.load(times)
    assert len(stamps) == lines
    assert (np.diff(stamps) >= 0).all()
    # The rate is never exceeded: the last tick starts no earlier than its share of the whole.
    assert (stamps[-1] - stamps[0]) / 1e9 >= (lines - 50) / 5_000
    assert read(broker, "steady", 0, lines) == workload.paths[0].read_bytes().splitlines()
