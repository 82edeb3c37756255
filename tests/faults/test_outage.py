"""Brokers that are absent, stop answering, die and come back; an alert topic that takes nothing."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.apache_kafka import both_brokers

pytestmark = pytest.mark.process

LINE_BITS = 20
LINES = 20_000
IMPATIENT = {"socket.timeout.ms": 2000, "message.timeout.ms": 3000}


def _place(i: int) -> int:
    return i << LINE_BITS


def _bytes_before(lines: list[bytes]) -> list[int]:
    """The byte at which each line of a file begins."""
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line) + 1)
    return starts


@both_brokers("own_broker")
def test_engine_waits_for_an_absent_broker(
    own_broker: Any, launch: Any, log_lines: Any, expected: Any, until: Any, produce: Any, consume: Any, agree: Any
) -> None:
    kafka = {"type": "kafka", "brokers": own_broker.brokers}
    engine = launch({**kafka, "topic": "logs"}, [{**kafka, "topic": "alerts", "open_timeout_s": 2}])
    address = own_broker.brokers
    until(lambda: f"sinks: 0-kafka: Kafka brokers {address} do not answer" in engine.wrong(), "the broker is missing")
    assert engine.metric("driftline_sink_errors_total") >= 1
    own_broker.start()
    own_broker.create_topic("alerts")
    until(lambda: f"source: Kafka topic 'logs' on {address}" in engine.wrong(), "/readyz misses the source's topic")
    assert "sinks: " not in engine.wrong()
    assert engine.metric("driftline_source_errors_total") >= 1
    own_broker.create_topic("logs")
    until(lambda: engine.ready().get("status") == "ok", "the engine is ready, though nothing was read yet")
    lines = log_lines(LINES)
    produce(own_broker.brokers, "logs", lines)
    wanted = expected(lines, "logs/0", _place)
    until(lambda: engine.metric("driftline_alerts_total") >= len(wanted), "all alerts are made")
    assert engine.ready()["status"] == "ok"
    assert engine.drain() == 0
    agree(consume(own_broker.brokers, "alerts"), wanted, once=True)


@both_brokers("own_broker")
def test_outage_of_the_broker_loses_nothing(
    own_broker: Any, launch: Any, log_lines: Any, expected: Any, until: Any, produce: Any, consume: Any, agree: Any
) -> None:
    own_broker.start()
    for topic in ("logs", "alerts"):
        own_broker.create_topic(topic)
    lines = log_lines(LINES)
    produce(own_broker.brokers, "logs", lines[:10_000])
    kafka = {"type": "kafka", "brokers": own_broker.brokers}
    engine = launch({**kafka, "topic": "logs"}, [{**kafka, "topic": "alerts"}])
    until(lambda: engine.metric("driftline_lines_total") > 0, "the engine reads")
    own_broker.pause()
    paused_s = time.monotonic()
    until(lambda: own_broker.brokers in engine.wrong(), "/readyz says that the broker does not answer")
    assert time.monotonic() - paused_s < 30
    own_broker.resume()
    produce(own_broker.brokers, "logs", lines[10_000:])
    wanted = expected(lines, "logs/0", _place)
    until(lambda: engine.metric("driftline_alerts_total") >= len(wanted), "all alerts are made")
    until(lambda: engine.ready().get("status") == "ok", "/readyz is content again")
    assert engine.drain() == 0
    agree(consume(own_broker.brokers, "alerts"), wanted, once=False)


@both_brokers("own_broker")
def test_broker_of_the_alerts_is_killed_and_comes_back(
    own_broker: Any, launch: Any, log_lines: Any, expected: Any, until: Any, consume: Any, agree: Any, tmp_path: Path
) -> None:
    lines = log_lines(LINES)
    path = tmp_path / "app.log"
    path.write_bytes(b"".join(line + b"\n" for line in lines[:10_000]))
    own_broker.start()
    own_broker.create_topic("alerts")
    starts = _bytes_before(lines)
    before = expected(lines[:10_000], str(path), starts.__getitem__)
    wanted = expected(lines, str(path), starts.__getitem__)
    sink = {"type": "kafka", "brokers": own_broker.brokers, "topic": "alerts", "options": IMPATIENT}
    engine = launch({"type": "file", "paths": [str(path)], "follow": True, "rescan_s": 0.1}, [sink])
    until(lambda: len(consume(own_broker.brokers, "alerts")) >= len(before), "the first alerts are there")
    found = consume(own_broker.brokers, "alerts")
    own_broker.stop()
    with path.open("ab") as log:
        log.write(b"".join(line + b"\n" for line in lines[10_000:]))
    until(lambda: "sinks: " in engine.wrong(), "/readyz says that the sink fails")
    own_broker.start()
    own_broker.create_topic("alerts")

    def ids() -> set[str]:  # a restart of the embedded broker loses what it held
        return {document["id"] for document in [*found, *consume(own_broker.brokers, "alerts")]}

    until(lambda: len(ids()) >= len(wanted), "the rest is there")
    until(lambda: engine.ready().get("status") == "ok", "/readyz is content again")
    assert engine.drain() == 0
    agree(found + consume(own_broker.brokers, "alerts"), wanted, once=False)


@pytest.mark.parametrize("own_broker", ["apache"], indirect=True)
def test_broker_is_killed_and_restarted_with_its_log(
    own_broker: Any, launch: Any, log_lines: Any, expected: Any, until: Any, produce: Any, consume: Any, agree: Any
) -> None:
    own_broker.start()
    for topic in ("logs", "alerts"):
        own_broker.create_topic(topic)
    lines = log_lines(LINES)
    wanted = expected(lines, "logs/0", _place)
    kafka = {"type": "kafka", "brokers": own_broker.brokers}
    engine = launch({**kafka, "topic": "logs", "batch_messages": 500}, [{**kafka, "topic": "alerts"}])
    step = LINES // 2
    for start in range(0, LINES, step):
        produce(own_broker.brokers, "logs", lines[start : start + step])
        until(lambda start=start: engine.metric("driftline_lines_total") > start, "the engine reads")
        own_broker.stop()
        until(lambda: own_broker.brokers in engine.wrong(), "/readyz says that the broker is gone")
        own_broker.start()
    until(lambda: engine.metric("driftline_alerts_total") >= len(wanted), "all alerts are made")
    until(lambda: engine.ready().get("status") == "ok", "/readyz is content again")
    assert engine.drain() == 0
    agree(consume(own_broker.brokers, "alerts"), wanted, once=True)


def _rss_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096


@both_brokers("own_broker")
def test_alert_topic_that_takes_nothing_holds_the_engine_back(
    broker: Any, new_topic: Callable[[], str], own_broker: Any, launch: Any, log_lines: Any, expected: Any, until: Any,
    produce: Any, consume: Any, agree: Any,
) -> None:  # fmt: skip
    topic, lines = new_topic(), log_lines(40_000)
    wanted = expected(lines, f"{topic}/0", _place)
    own_broker.start()
    own_broker.create_topic("alerts")
    engine = launch(
        {"type": "kafka", "brokers": broker.brokers, "topic": topic, "batch_messages": 500},
        [{"type": "kafka", "brokers": own_broker.brokers, "topic": "alerts"}],
    )
    until(lambda: engine.ready().get("status") == "ok", "the engine is ready")
    produce(broker.brokers, topic, lines[:10_000])
    until(lambda: consume(own_broker.brokers, "alerts"), "the first alert is there")
    own_broker.pause()
    produce(broker.brokers, topic, lines[10_000:20_000])
    # 1. Alarm.
    until(lambda: "sinks: " in engine.wrong(), "/readyz says that the sink fails")
    errors = engine.metric("driftline_sink_errors_total")
    assert errors >= 1
    assert engine.metric("driftline_sink_pending") >= 1
    # 2. Back-pressure: what is produced now is not read, and memory stays.
    read, memory = engine.metric("driftline_lines_total"), _rss_bytes(engine.process.pid)
    produce(broker.brokers, topic, lines[20_000:])
    until(lambda: engine.metric("driftline_sink_errors_total") >= errors + 3, "three more attempts fail")
    assert engine.metric("driftline_lines_total") == read
    assert read < len(lines)
    assert _rss_bytes(engine.process.pid) - memory < 20e6
    # 3. Nothing was acknowledged: a crash now costs nothing.
    engine.kill()
    own_broker.resume()
    engine.start()
    until(lambda: len({d["id"] for d in consume(own_broker.brokers, "alerts")}) >= len(wanted), "all alerts")
    assert engine.drain() == 0
    agree(consume(own_broker.brokers, "alerts"), wanted, once=False)
