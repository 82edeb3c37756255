"""A topic that is deleted, created again, or given more partitions, with an engine as a real process."""

from pathlib import Path
from typing import Any

import pytest

from tests.support.apache_kafka import ApacheKafka

pytestmark = pytest.mark.process

LINES = 20_000


@pytest.fixture
def kafka(apache_kafka: ApacheKafka) -> ApacheKafka:
    """The topics `logs-…` and `alerts-…` of a test are its own; see `topics`."""
    return apache_kafka


@pytest.fixture
def topics(kafka: ApacheKafka, tmp_path: Path) -> tuple[str, str]:
    """Names of a topic for lines and of one for alerts, both of one partition."""
    names = f"logs-{tmp_path.name}", f"alerts-{tmp_path.name}"
    for name in names:
        kafka.create_topic(name)
    return names


def _place(i: int) -> int:
    return i << 20


def test_topic_is_deleted_while_the_engine_reads(
    kafka: ApacheKafka, topics: tuple[str, str], launch: Any, log_lines: Any, until: Any, produce: Any
) -> None:
    logs, alerts = topics
    produce(kafka.brokers, logs, log_lines(LINES))
    shared = {"type": "kafka", "brokers": kafka.brokers}
    engine = launch({**shared, "topic": logs}, [{**shared, "topic": alerts}])
    until(lambda: engine.metric("driftline_lines_total") >= LINES, "the lines are read")
    kafka.delete_topic(logs)
    assert engine.end() == 2
    assert f"driftline: topic '{logs}' partition 0 on {kafka.brokers}: the topic was deleted." in engine.text()
    assert "Traceback" not in engine.text()
    assert "panicked" not in engine.text()


def test_topic_is_created_again_while_the_engine_is_stopped(
    kafka: ApacheKafka, topics: tuple[str, str], launch: Any, log_lines: Any, expected: Any, until: Any,
    produce: Any, consume: Any, agree: Any, tmp_path: Path,
) -> None:  # fmt: skip
    logs, alerts = topics
    lines = log_lines(LINES)
    wanted = expected(lines, f"{logs}/0", _place)
    produce(kafka.brokers, logs, lines[:5_000])
    shared = {"type": "kafka", "brokers": kafka.brokers}
    engine = launch({**shared, "topic": logs}, [{**shared, "topic": alerts}])
    until(lambda: engine.metric("driftline_lines_total") >= 5_000, "the lines are read")
    assert engine.drain() == 0
    kafka.delete_topic(logs)
    kafka.create_topic(logs)
    produce(kafka.brokers, logs, lines)
    engine.start()
    assert engine.end() == 2
    assert "offset 5000 is of another topic of this name" in engine.text()
    assert "panicked" not in engine.text()
    # The way on that the sentence names.
    engine.sections["recovery"]["path"] = str(tmp_path / "recovery-2")
    engine.start()
    until(lambda: engine.metric("driftline_alerts_total") >= len(wanted), "all alerts are made")
    assert engine.drain() == 0
    agree(consume(kafka.brokers, alerts), wanted, once=False)


@pytest.mark.parametrize("workers", [1, 2])
def test_partitions_are_added_while_the_engine_reads(
    kafka: ApacheKafka, topics: tuple[str, str], launch: Any, log_lines: Any, expected: Any, until: Any,
    produce: Any, consume: Any, agree: Any, workers: int,
) -> None:  # fmt: skip
    logs, alerts = topics
    lines = [log_lines(LINES, 31), log_lines(LINES, 32)]
    wanted = expected(lines[0], f"{logs}/0", _place) | expected(lines[1], f"{logs}/1", _place)
    shared = {"type": "kafka", "brokers": kafka.brokers}
    engine = launch({**shared, "topic": logs}, [{**shared, "topic": alerts}], workers=workers)
    produce(kafka.brokers, logs, lines[0][: LINES // 2])
    until(lambda: engine.metric("driftline_lines_total") >= LINES // 2, "the first partition is read")
    kafka.add_partitions(logs, 2)
    produce(kafka.brokers, logs, lines[1], 1)
    produce(kafka.brokers, logs, lines[0][LINES // 2 :])

    def read() -> float:
        return sum(engine.metric("driftline_lines_total", worker) for worker in range(workers))

    until(lambda: read() >= 2 * LINES, "both partitions are read")
    until(lambda: len(consume(kafka.brokers, alerts)) >= len(wanted), "all alerts are there")
    assert engine.drain() == 0
    assert "it is restarted" not in engine.text()
    assert f"topic '{logs}' has new partitions: 1; the flow is built again to read them" in engine.text()
    agree(consume(kafka.brokers, alerts), wanted, once=True)
