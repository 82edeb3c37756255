"""Every check of the contract over every source and sink of the registry."""

import contextlib
import os
import resource
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition

from connectors.broker import EmbeddedBroker
from connectors.channels.registry import CHANNELS
from connectors.checks import SINK_CHECKS, SOURCE_CHECKS, SinkCase, SourceCase
from connectors.files import FileSettings, FileSource
from connectors.http_sink import HttpSettings, HttpSink
from connectors.jsonl import JsonlSettings, JsonlSink
from connectors.kafka_sink import KafkaSinkSettings
from connectors.kafka_source import KafkaSource, KafkaSourceSettings
from connectors.kafka_transactions import sink_of
from connectors.memory import PAUSE, MemorySink, MemorySource
from connectors.registry import SINKS, SOURCES
from connectors.sql import ALERTS, SqlSink
from connectors.sql_settings import SqlSettings
from connectors.stdin import StdinSettings, StdinSource
from tests.support.http_receiver import Receiver
from tests.support.otlp_requests import logs_request

LINES = [b"one", b"", b"three \xff\x00", b"four\r", b"f\xc3\xbcnf", b"six" * 20, b"seven", b"last"]

process = pytest.mark.process

SOURCE_NAMES = [
    "file",
    "stdin",
    pytest.param("kafka", marks=process),
    pytest.param("kafka-apache", marks=process),
    pytest.param("kafka-otlp", marks=process),
    "memory",
]
SINK_NAMES = [
    pytest.param("kafka", marks=process),
    pytest.param("kafka-apache", marks=process),
    pytest.param("kafka-exactly-once", marks=process),
    "sql",
    pytest.param("sql-postgresql", marks=process),
    "jsonl",
    "memory",
    "http",
]


def _plain(names: list[object]) -> set[str]:
    return {str(n.values[0]) if hasattr(n, "values") else str(n) for n in names}


def test_every_registered_connector_is_checked() -> None:
    assert {n.partition("-")[0] for n in _plain(SOURCE_NAMES)} == set(SOURCES)
    # Channels have a contract of their own, see tests/connectors/channels.
    assert {n.partition("-")[0] for n in _plain(SINK_NAMES)} == set(SINKS) - set(CHANNELS)


@pytest.fixture
def broker(request: pytest.FixtureRequest) -> EmbeddedBroker:
    """The broker that the case names."""
    case = request.node.callspec.params
    apache = {"kafka-apache", "kafka-exactly-once"} & {case.get("source_case"), case.get("sink_case")}
    found: EmbeddedBroker = request.getfixturevalue("apache_kafka" if apache else "embedded_broker")
    return found


@pytest.fixture
def source_case(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SourceCase]:
    with contextlib.ExitStack() as stack:
        yield SOURCE_CASES[request.param](request, tmp_path, stack)


@pytest.fixture
def sink_case(request: pytest.FixtureRequest, tmp_path: Path) -> SinkCase:
    return SINK_CASES[request.param](request, tmp_path)


@pytest.mark.parametrize("source_case", SOURCE_NAMES, indirect=True)
@pytest.mark.parametrize("check", SOURCE_CHECKS, ids=lambda c: c.__name__)
def test_source(check: Callable[[SourceCase], None], source_case: SourceCase) -> None:
    check(source_case)


@pytest.mark.parametrize("sink_case", SINK_NAMES, indirect=True)
@pytest.mark.parametrize("check", SINK_CHECKS, ids=lambda c: c.__name__)
def test_sink(check: Callable[[SinkCase], None], sink_case: SinkCase) -> None:
    check(sink_case)


def _files(request: pytest.FixtureRequest, folder: Path, stack: contextlib.ExitStack) -> SourceCase:
    first, second, empty = folder / "a.log", folder / "b.log", folder / "empty.log"
    first.write_bytes(b"\n".join(LINES))
    second.write_bytes(b"x\ny\n")
    empty.write_bytes(b"")
    settings = FileSettings(paths=(str(folder),), block_bytes=16)
    idle = FileSettings(paths=(str(empty),), follow=True)
    return SourceCase(
        lambda: FileSource(settings), lambda: FileSource(idle), {str(first): LINES, str(second): [b"x", b"y"]}
    )


def _stdin(request: pytest.FixtureRequest, folder: Path, stack: contextlib.ExitStack) -> SourceCase:
    def pipe(content: bytes, *, closed: bool) -> StdinSource:
        out, into = os.pipe()
        stack.callback(os.close, out)
        os.write(into, content)
        if closed:
            os.close(into)
        else:
            stack.callback(os.close, into)
        return StdinSource(StdinSettings(block_bytes=16), fd=out)

    content = b"\n".join(LINES)
    return SourceCase(
        lambda: pipe(content, closed=True), lambda: pipe(b"", closed=False), {"stdin": LINES}, replayable=False
    )


def _kafka_source(request: pytest.FixtureRequest, folder: Path, stack: contextlib.ExitStack) -> SourceCase:
    broker: EmbeddedBroker = request.getfixturevalue("broker")
    new_topic = request.getfixturevalue("new_topic")
    topic, empty = new_topic(2), new_topic(1)
    producer = Producer({"bootstrap.servers": broker.brokers})
    for line in LINES[:3]:
        producer.produce(topic, line, partition=0)
    producer.produce(topic, b"\n".join(LINES[3:6]) + b"\n", partition=0)
    producer.produce(topic, None, partition=0)
    producer.produce(topic, b"x", partition=1)
    assert producer.flush(100) == 0
    shared = {"brokers": broker.brokers, "start": "earliest", "batch_messages": 2}
    return SourceCase(
        lambda: KafkaSource(KafkaSourceSettings(topic=topic, stop_at_end=True, **shared)),
        lambda: KafkaSource(KafkaSourceSettings(topic=empty, **shared)),
        {f"{topic}/0": [*LINES[:6], b""], f"{topic}/1": [b"x"]},
    )


def _otlp_source(request: pytest.FixtureRequest, folder: Path, stack: contextlib.ExitStack) -> SourceCase:
    broker: EmbeddedBroker = request.getfixturevalue("broker")
    new_topic = request.getfixturevalue("new_topic")
    topic, empty = new_topic(2), new_topic(1)
    producer = Producer({"bootstrap.servers": broker.brokers})
    for lines in (LINES[:2], LINES[2:3], [b"\n".join(LINES[3:5]), *LINES[5:]]):
        producer.produce(topic, logs_request(lines), partition=0)
    producer.produce(topic, logs_request([b"x"]), partition=1)
    assert producer.flush(100) == 0
    shared = {"brokers": broker.brokers, "batch_messages": 2, "encoding": "otlp_proto", "otlp_lines": "bodies"}
    return SourceCase(
        lambda: KafkaSource(KafkaSourceSettings(topic=topic, stop_at_end=True, **shared)),
        lambda: KafkaSource(KafkaSourceSettings(topic=empty, **shared)),
        {f"{topic}/0": LINES, f"{topic}/1": [b"x"]},
    )


def _memory_source(request: pytest.FixtureRequest, folder: Path, stack: contextlib.ExitStack) -> SourceCase:
    items = [*LINES[:3], PAUSE, *LINES[3:]]
    return SourceCase(
        lambda: MemorySource({"m/0": items, "m/1": [b"x"]}, batch_lines=2),
        lambda: MemorySource({"m/0": [PAUSE] * 20}),
        {"m/0": LINES, "m/1": [b"x"]},
    )


def _kafka_sink(request: pytest.FixtureRequest, folder: Path) -> SinkCase:
    broker: EmbeddedBroker = request.getfixturevalue("broker")
    topic = request.getfixturevalue("new_topic")(2)

    @contextlib.contextmanager
    def refusing() -> Iterator[None]:
        broker.pause()
        try:
            yield
        finally:
            broker.resume()

    settings = KafkaSinkSettings(brokers=broker.brokers, topic=topic)
    if request.node.callspec.params["sink_case"] == "kafka-exactly-once":
        settings = settings.model_copy(update={"delivery": "exactly-once", "transaction_id": topic})
    return SinkCase(
        lambda: sink_of(settings),
        lambda: read_ids(broker.brokers, topic, 2),
        refusing,
        lambda number: sink_of(settings.for_writer(number)),
    )


def read_ids(brokers: str, topic: str, partitions: int) -> list[str]:
    """Ids in a topic, partition after partition."""
    ids: list[str] = []
    for number in range(partitions):
        consumer = Consumer(
            {
                "bootstrap.servers": brokers,
                "group.id": "look",
                "auto.offset.reset": "earliest",
                "enable.partition.eof": True,
                "enable.auto.commit": False,
            }
        )
        consumer.assign([TopicPartition(topic, number, 0)])
        ended = False
        while not ended:
            for message in consumer.consume(500, 0.05):
                if message.error() is None:
                    ids.append(dict(message.headers())["ce_id"].decode())
                else:
                    ended = message.error().code() == KafkaError._PARTITION_EOF
        consumer.close()
    return ids


def _sqlite(request: pytest.FixtureRequest, folder: Path) -> SinkCase:
    return _sql(f"sqlite:///{folder}/alerts.db", "BEGIN EXCLUSIVE", "ROLLBACK")


def _postgresql(request: pytest.FixtureRequest, folder: Path) -> SinkCase:
    return _sql(request.getfixturevalue("postgres_url"), "LOCK TABLE alerts IN ACCESS EXCLUSIVE MODE", "ROLLBACK")


def _sql(url: str, lock: str, unlock: str) -> SinkCase:
    def delivered() -> list[str]:
        engine = sa.create_engine(url)
        with engine.connect() as connection:
            ids = [row[0] for row in connection.execute(sa.select(ALERTS.c.id))]
        engine.dispose()
        return ids

    @contextlib.contextmanager
    def refusing() -> Iterator[None]:
        engine = sa.create_engine(url)
        with engine.connect() as connection:
            connection.exec_driver_sql(lock)
            yield
            connection.exec_driver_sql(unlock)
        engine.dispose()

    settings = SqlSettings(url=url)
    return SinkCase(
        lambda: SqlSink(settings),
        delivered,
        refusing,
        lambda number: SqlSink(settings.for_writer(number)),
        ordered=False,
    )


def _jsonl(request: pytest.FixtureRequest, folder: Path) -> SinkCase:
    path = folder / "out" / "alerts.jsonl"

    @contextlib.contextmanager
    def disk_full() -> Iterator[None]:
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 10, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    def delivered() -> list[str]:
        import json

        return [json.loads(line)["id"] for line in path.read_bytes().splitlines()]

    settings = JsonlSettings(path=str(path))
    return SinkCase(
        lambda: JsonlSink(settings), delivered, disk_full, lambda number: JsonlSink(settings.for_writer(number))
    )


def _memory_sink(request: pytest.FixtureRequest, folder: Path) -> SinkCase:
    delivered: list = []
    made: list[MemorySink] = []

    def make() -> MemorySink:
        made.append(MemorySink(delivered))
        return made[-1]

    @contextlib.contextmanager
    def refusing() -> Iterator[None]:
        made[-1].refusing = True
        yield
        made[-1].refusing = False

    return SinkCase(make, lambda: [r.id for r in delivered], refusing, lambda _: make())


def _http(request: pytest.FixtureRequest, folder: Path) -> SinkCase:
    receiver = Receiver()
    request.addfinalizer(receiver.close)
    settings = HttpSettings(url=receiver.url)

    @contextlib.contextmanager
    def refusing() -> Iterator[None]:
        receiver.status = 503
        yield
        receiver.status = 200

    return SinkCase(
        lambda: HttpSink(settings),
        lambda: [r.headers["Idempotency-Key"] for r in receiver.received],
        refusing,
        lambda number: HttpSink(settings.for_writer(number)),
        rereads=False,
    )


SOURCE_CASES = {
    "file": _files,
    "stdin": _stdin,
    "kafka": _kafka_source,
    "kafka-apache": _kafka_source,
    "kafka-otlp": _otlp_source,
    "memory": _memory_source,
}
SINK_CASES = {
    "kafka": _kafka_sink,
    "kafka-apache": _kafka_sink,
    "kafka-exactly-once": _kafka_sink,
    "sql": _sqlite,
    "sql-postgresql": _postgresql,
    "jsonl": _jsonl,
    "memory": _memory_sink,
    "http": _http,
}
