"""Kafka source and sink beyond the contract: starts, lost positions, outages, refused messages."""

import time
from collections.abc import Callable

import numpy as np
import pytest
from confluent_kafka import KafkaError, Producer
from pydantic import ValidationError

from connectors.base import (
    LineBatch,
    PositionLostError,
    Record,
    SettingsError,
    SinkUnavailableError,
    SourceUnavailableError,
)
from connectors.broker import EmbeddedBroker
from connectors.checks import drain, records
from connectors.kafka_reader import Fetched, Mark
from connectors.kafka_settings import Connection, KafkaSettings
from connectors.kafka_sink import KafkaSink, KafkaSinkSettings
from connectors.kafka_source import KafkaPartition, KafkaSource, KafkaSourceSettings, place_of
from connectors.kafka_topic import Bookmark, Topic

NOWHERE = "127.0.0.1:1"
DEADLINE_S = 100.0


@pytest.fixture(params=["embedded_broker", "apache_kafka"])
def broker(request: pytest.FixtureRequest) -> EmbeddedBroker:
    """Each of the two brokers."""
    found: EmbeddedBroker = request.getfixturevalue(request.param)
    return found


def produce(broker: EmbeddedBroker, topic: str, *values: bytes | None, **options: object) -> None:
    producer = Producer({"bootstrap.servers": broker.brokers})
    for value in values:
        producer.produce(topic, value, partition=0, **options)
    assert producer.flush(DEADLINE_S) == 0


def poll(reader: KafkaPartition) -> LineBatch:
    """The next batch, within a bounded time."""
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        batch = reader.next_batch()
        if batch is not None:
            return batch
    raise AssertionError("no batch came")


class _OnePoll:
    """A reader that gives one message and, behind an offset without one, the end of the partition."""

    def __init__(self) -> None:
        self._line = np.frombuffer(b"one", np.uint8)
        self._polls = 0

    def poll(self, count: int, timeout_s: float, *, with_first: bool) -> Fetched:
        none = np.zeros(0, np.int64)
        self._polls += 1
        if self._polls > 1:
            return Fetched(none, none, none)
        address, size, offset = (np.array([n], np.int64) for n in (self._line.ctypes.data, 3, 0))
        end = KafkaError(KafkaError._PARTITION_EOF), 2
        return Fetched(address, size, offset, [end], last=Mark(0, -1, b"one"))

    def close(self) -> None:
        """Nothing to free."""


def test_an_end_that_comes_with_the_last_message_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The mark of a transaction's end is an offset without a message."""
    reader = KafkaSource(KafkaSourceSettings(brokers=NOWHERE, topic="t", stop_at_end=True)).open("t/0", None)
    reader._reader.close()
    monkeypatch.setattr(reader, "_reader", _OnePoll())
    monkeypatch.setattr(reader, "_watermark", lambda _: 2)
    batch = reader.next_batch()
    assert batch is not None
    assert batch.line(0) == b"one"
    assert reader.lag() == 0
    with pytest.raises(StopIteration):
        reader.next_batch()
    reader.close()


def test_a_worker_without_partitions_reads_new_ones_from_their_beginning(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = KafkaSourceSettings(brokers=NOWHERE, topic="t", start="latest")
    source = KafkaSource(settings, worker=1, of=2)
    looks = iter([Topic("c", "t", (0,)), Topic("c", "t", (0, 1))])
    monkeypatch.setattr(source._watch, "look", lambda: next(looks))
    with pytest.raises(SourceUnavailableError, match="none for worker 1 of 2"):
        source.partitions()
    assert source.partitions() == ("t/1",)
    reader = source.open("t/1", None)
    assert reader._settings.start == "earliest"
    reader.close()


def test_the_last_message_stays_saved_while_nothing_is_read() -> None:
    saved = {"topic": {"cluster": "c", "id": "t"}, "last": [19, "ab"]}
    bookmark = Bookmark(KafkaSettings(brokers=NOWHERE, topic="t"), 0, {"offset": 20, **saved})
    assert (bookmark.last_offset, bookmark.state()) == (19, saved)
    bookmark.forget_last()
    assert (bookmark.last_offset, bookmark.state()) == (None, saved)


def test_settings_show_no_secret() -> None:
    settings = KafkaSourceSettings(
        brokers="b:1",
        topic="t",
        sasl_password="hush1",
        ssl_key_password="hush2",
        options={"ssl.keystore.password": "hush3", "client.id": "me"},
    )
    shown = f"{settings!r} {settings} {settings.model_dump_json()}"
    assert "hush1" not in shown
    assert "hush2" not in shown
    assert "hush3" not in shown
    assert settings.client_options()["sasl.password"] == "hush1"
    assert settings.client_options()["ssl.keystore.password"] == "hush3"
    assert "client.id" in repr(settings)


def test_unknown_setting_and_option_are_named() -> None:
    with pytest.raises(ValidationError, match="brokerz"):
        KafkaSettings(brokerz="b:1", brokers="b:1", topic="t")
    source = KafkaSource(KafkaSourceSettings(brokers=NOWHERE, topic="t", options={"fetch.sise": "hidden-value"}))
    with pytest.raises(SettingsError, match=r"topic 't'.*fetch\.sise") as caught:
        source.open("t/0", None)
    assert "hidden-value" not in str(caught.value)


def test_places() -> None:
    assert place_of("t/3", 7 << 20) == "t/3/7"
    assert place_of("t/3", 7 << 20 | 2) == "t/3/7#2"


def test_connection_recovers_when_a_broker_is_up() -> None:
    connection = Connection("b:1")
    connection.down = "gone"
    connection._on_stats('{"brokers": {"b": {"state": "DOWN"}}}')
    assert connection.down
    connection._on_stats('{"brokers": {"b": {"state": "UP"}}}')
    assert connection.down == ""


@pytest.mark.process
def test_absent_broker_is_named() -> None:
    source = KafkaSource(KafkaSourceSettings(brokers=NOWHERE, topic="t"))
    reader = source.open("t/0", None)
    with pytest.raises(SourceUnavailableError, match=r"127\.0\.0\.1:1 cannot be reached for t/0"):
        poll(reader)
    reader.close()
    sink = KafkaSink(KafkaSinkSettings(brokers=NOWHERE, topic="t", open_timeout_s=0.5))
    with pytest.raises(SinkUnavailableError, match=r"127\.0\.0\.1:1"):
        sink.open(None)


@pytest.mark.process
def test_unknown_topic_is_named(broker: EmbeddedBroker) -> None:
    sink = KafkaSink(KafkaSinkSettings(brokers=broker.brokers, topic="never-made"))
    with pytest.raises(SinkUnavailableError, match="'never-made'"):
        sink.open(None)


@pytest.mark.process
@pytest.mark.parametrize("offset", [99, 5])
def test_lost_position_says_what_there_is(broker: EmbeddedBroker, new_topic: Callable[..., str], offset: int) -> None:
    topic = new_topic()
    produce(broker, topic, b"a", b"b", b"c")
    reader = KafkaSource(KafkaSourceSettings(brokers=broker.brokers, topic=topic)).open(
        f"{topic}/0", {"offset": offset}
    )
    with pytest.raises(
        PositionLostError, match=rf"'{topic}' partition 0: offset {offset} is gone, the brokers hold 0 to"
    ):
        poll(reader)
    reader.close()


@pytest.mark.process
def test_resuming_at_the_very_end_waits(broker: EmbeddedBroker, new_topic: Callable[..., str]) -> None:
    topic = new_topic()
    produce(broker, topic, b"a", b"b", b"c")
    produce(broker, topic, b"d")
    reader = KafkaSource(KafkaSourceSettings(brokers=broker.brokers, topic=topic)).open(f"{topic}/0", {"offset": 4})
    for _ in range(100):
        assert reader.next_batch() is None
    produce(broker, topic, b"e")
    assert poll(reader).line(0) == b"e"
    reader.close()


@pytest.mark.process
def test_saved_start_follows_the_group(broker: EmbeddedBroker, new_topic: Callable[..., str]) -> None:
    topic = new_topic()
    produce(broker, topic, b"a", b"b")
    settings = KafkaSourceSettings(brokers=broker.brokers, topic=topic, start="saved", group=f"g-{topic}")
    reader = KafkaSource(settings).open(f"{topic}/0", None)
    assert poll(reader).line(0) == b"a"
    assert reader.snapshot()["offset"] == 2
    committed = Committed(reader)
    committed.wait(2)
    reader.close()
    produce(broker, topic, b"c")
    again = KafkaSource(settings).open(f"{topic}/0", None)
    assert poll(again).line(0) == b"c"
    again.close()


class Committed:
    """What the group knows of a reader's partition."""

    def __init__(self, reader: KafkaPartition) -> None:
        self.reader = reader

    def wait(self, offset: int) -> None:
        from confluent_kafka import TopicPartition

        topic, _, number = self.reader._name.rpartition("/")
        deadline = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline:
            (found,) = self.reader._consumer.committed([TopicPartition(topic, int(number))], timeout=DEADLINE_S)
            if found.offset == offset:
                return
        raise AssertionError(f"the group has {found.offset}, not {offset}")


@pytest.mark.process
def test_headers_times_and_odd_messages(broker: EmbeddedBroker, new_topic: Callable[..., str]) -> None:
    topic = new_topic()
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    produce(
        broker, topic, b"x\n\ny\n", None, b"", b"z" * 50, headers=[("traceparent", trace)], timestamp=1_700_000_000_000
    )
    settings = KafkaSourceSettings(brokers=broker.brokers, topic=topic, stop_at_end=True, max_line_bytes=40)
    source = KafkaSource(settings)
    reader = source.open(f"{topic}/0", None)
    (batch,) = drain(reader)
    assert [batch.line(i) for i in range(len(batch))] == [b"x", b"", b"y", b"", b""]
    assert [source.describe(batch.partition, int(p)).removeprefix(topic) for p in batch.positions] == [
        "/0/0",
        "/0/0#1",
        "/0/0#2",
        "/0/1",
        "/0/2",
    ]
    assert (batch.traceparent, batch.produced_ns) == (trace, 1_700_000_000_000_000_000)
    assert [(r.place, r.raw_bytes) for r in batch.rejects] == [(f"{topic}/0/3", 50)]
    reader.close()


@pytest.mark.process
def test_workers_share_the_partitions(broker: EmbeddedBroker, new_topic: Callable[..., str]) -> None:
    topic = new_topic(3)
    settings = KafkaSourceSettings(brokers=broker.brokers, topic=topic)
    assert list(KafkaSource(settings, worker=0, of=2).partitions()) == [f"{topic}/0", f"{topic}/2"]
    assert list(KafkaSource(settings, worker=1, of=2).partitions()) == [f"{topic}/1"]


@pytest.mark.process
def test_sink_survives_a_full_queue(broker: EmbeddedBroker, new_topic: Callable[..., str]) -> None:
    topic = new_topic()
    sink = KafkaSink(
        KafkaSinkSettings(brokers=broker.brokers, topic=topic, options={"queue.buffering.max.messages": 50})
    )
    sink.open(None)
    sink.write(records(0, 2000))
    sink.flush(DEADLINE_S)
    assert sink.snapshot() == {"offsets": {"0": 2000}}
    sink.close()


@pytest.mark.process
def test_failed_deliveries_are_sent_again_in_order(broker: EmbeddedBroker, new_topic: Callable[..., str]) -> None:
    topic = new_topic()
    sink = KafkaSink(KafkaSinkSettings(brokers=broker.brokers, topic=topic))
    sink.open(None)
    broker.pause()
    try:
        sink.write(records(0, 5))
        sink._producer.purge()  # every message gets a bad delivery report
        with pytest.raises(SinkUnavailableError, match=r"have not acknowledged 5 messages .* Purged"):
            sink.flush(0.3)
    finally:
        broker.resume()
    sink.flush(DEADLINE_S)
    assert sink.pending() == 0
    sink.close()
    reader = KafkaSource(KafkaSourceSettings(brokers=broker.brokers, topic=topic, stop_at_end=True)).open(
        f"{topic}/0", None
    )
    lines = [b.line(i) for b in drain(reader) for i in range(len(b))]
    reader.close()
    distinct = list(dict.fromkeys(lines))
    assert [b'"r%06d"' % i in line for i, line in enumerate(distinct)] == [True] * 5


@pytest.mark.process
def test_refused_message_is_named_and_kept(broker: EmbeddedBroker, new_topic: Callable[..., str]) -> None:
    sink = KafkaSink(KafkaSinkSettings(brokers=broker.brokers, topic=new_topic(), options={"message.max.bytes": 2000}))
    sink.open(None)
    sink.write([Record("big", "", {"text": "x" * 5000})])
    with pytest.raises(SinkUnavailableError, match=r"Message size too large"):
        sink.flush(0.5)
    assert sink.pending() == 1
    sink.close()
