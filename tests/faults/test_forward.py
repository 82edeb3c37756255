"""`driftline forward` is killed while files grow: every line arrives."""

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from connectors.broker import EmbeddedBroker
from connectors.kafka_source import KafkaSource, KafkaSourceSettings

pytestmark = pytest.mark.process

KILLS = 4
STEP = 5_000


def _start(folder: Path, broker: EmbeddedBroker, topic: str) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "engine.cli", "forward", str(folder / "app.log"), "--brokers", broker.brokers]
    command += ["--topic", topic, "--state", str(folder / "places.json"), "--lines", "50", "--age-s", "0.05"]
    with (folder / "forward.log").open("ab") as errors:
        return subprocess.Popen(command, stderr=errors)


def _lines_on(broker: EmbeddedBroker, topic: str) -> list[bytes]:
    settings = KafkaSourceSettings(brokers=broker.brokers, topic=topic, stop_at_end=True)
    reader = KafkaSource(settings).open(f"{topic}/0", None)
    found: list[bytes] = []
    while True:
        try:
            batch = reader.next_batch()
        except StopIteration:
            break
        found += [] if batch is None else [batch.line(i) for i in range(len(batch))]
    reader.close()
    return found


@pytest.mark.timeout(300)
def test_kills_lose_no_line(
    tmp_path: Path, embedded_broker: EmbeddedBroker, new_topic: Callable[..., str], until: Any
) -> None:
    topic, log = new_topic(), tmp_path / "app.log"
    lines = [b"request %d took %d ms" % (i, i % 97) for i in range(STEP * (KILLS + 1))]
    log.write_bytes(b"")
    for i in range(KILLS + 1):
        forward = _start(tmp_path, embedded_broker, topic)
        with log.open("ab") as file:
            file.write(b"".join(line + b"\n" for line in lines[STEP * i : STEP * (i + 1)]))
        if i == KILLS:
            break
        goal = lines[STEP * i + 100 * (i + 1)]
        until(lambda goal=goal: goal in _lines_on(embedded_broker, topic), "some of the new lines are on the topic")
        forward.kill()
        forward.wait()
    until(lambda: lines[-1] in _lines_on(embedded_broker, topic), "the last line is on the topic")
    forward.send_signal(signal.SIGTERM)
    assert forward.wait(30) == 0, (tmp_path / "forward.log").read_text()
    found = _lines_on(embedded_broker, topic)
    assert list(dict.fromkeys(found)) == lines  # each, in its order; some of them twice
