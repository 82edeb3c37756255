"""Reading through librdkafka's batch call, and the reader for clients that do not allow it."""

import logging
import subprocess
import sys
from collections.abc import Callable

import pytest
from confluent_kafka import Consumer, Producer

from connectors import kafka_library, kafka_source
from connectors.broker import EmbeddedBroker
from connectors.checks import drain
from connectors.kafka_library import LibraryMismatchError, PartitionQueue
from connectors.kafka_reader import ClientReader, LibraryReader, reader_of
from connectors.kafka_source import KafkaSource, KafkaSourceSettings

OPTIONS = {"bootstrap.servers": "127.0.0.1:1", "group.id": "g", "client.id": "me", "log_level": 0}


def _nothing(*_: object) -> None:
    """A callback."""


@pytest.fixture
def consumer() -> Consumer:
    found = Consumer({**OPTIONS, "error_cb": _nothing, "stats_cb": _nothing})
    yield found
    found.close()


def test_the_installed_client_is_read_through_the_library(consumer: Consumer) -> None:
    reader = reader_of(consumer, "me", "t", 0)
    assert isinstance(reader, LibraryReader)
    assert len(reader.poll(10, 0.001, with_first=True)) == 0
    reader.close()


def test_another_client_is_read_message_by_message(consumer: Consumer, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        reader = reader_of(consumer, "somebody", "t", 0)
    assert isinstance(reader, ClientReader)
    assert "reading t/0 message by message, which is slower" in caplog.text
    assert "of 'me#consumer-" in caplog.text
    assert len(reader.poll(10, 0.001, with_first=True)) == 0


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [("_MAJOR", 3, "librdkafka is 0x02"), ("_OBJECT_BYTES", 100, r"a Consumer has \d+ bytes, not 100")],
)
def test_what_direct_reading_relies_on_is_checked(
    consumer: Consumer, monkeypatch: pytest.MonkeyPatch, name: str, value: int, words: str
) -> None:
    kafka_library._functions.cache_clear()
    monkeypatch.setattr(kafka_library, name, value)
    with pytest.raises(LibraryMismatchError, match=words):
        PartitionQueue(consumer, "me", "t", 0)
    kafka_library._functions.cache_clear()


def test_a_queue_is_freed_once_though_closed_twice(consumer: Consumer) -> None:
    queue = PartitionQueue(consumer, "me", "t", 0)
    library, freed = queue._library, []

    class Counting:
        def rd_kafka_queue_destroy(self, address: int) -> None:
            freed.append(address)
            library.rd_kafka_queue_destroy(address)

    address, queue._library = queue._queue, Counting()
    queue.close()
    queue.close()
    assert freed == [address]


def test_a_message_that_does_not_come_through_the_queue_is_not_dropped(consumer: Consumer) -> None:
    class Message:
        def error(self) -> None:
            return None

    class Strange:
        def poll(self, _timeout_s: float) -> Message:
            return Message()

    queue = PartitionQueue(consumer, "me", "t", 0)
    reader = LibraryReader(Strange(), queue, 0)  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match="a message of partition 0 past its queue"):
        reader.poll(10, 0.001, with_first=True)
    reader.close()


@pytest.mark.process
def test_both_readers_give_the_same(
    embedded_broker: EmbeddedBroker, new_topic: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    topic = new_topic()
    producer = Producer({"bootstrap.servers": embedded_broker.brokers})
    trace = [("other", b"x"), ("traceparent", b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")]
    for value in (b"one", None, b"", b"two\nthree\n", b"x" * 1000, *(b"line %d" % i for i in range(500))):
        producer.produce(topic, value, partition=0, headers=trace, timestamp=1_700_000_000_000)
    assert producer.flush(60) == 0
    settings = KafkaSourceSettings(
        brokers=embedded_broker.brokers, topic=topic, stop_at_end=True, batch_messages=64, max_line_bytes=900
    )

    def read(resume: dict[str, object] | None) -> tuple[object, ...]:
        reader = KafkaSource(settings, wall_ns=lambda: 0).open(f"{topic}/0", resume)
        batches, state = drain(reader), reader.snapshot()
        reader.close()
        state.pop("topic", None)  # asked for in the background, so it may not be known yet
        lines = [(int(p), b.line(i)) for b in batches for i, p in enumerate(b.positions)]
        rejects = [letter for b in batches for letter in b.rejects]
        return lines, rejects, {b.traceparent for b in batches}, {b.produced_ns for b in batches}, state

    whole = read(None)
    rest = read({**whole[-1], "offset": 505})
    monkeypatch.setattr(kafka_library, "_OBJECT_BYTES", 0)
    assert read(None) == whole
    assert read({**whole[-1], "offset": 505}) == rest
    assert len(whole[0]) == 505
    assert [letter.raw_bytes for letter in whole[1]] == [1000]
    assert whole[3] == {1_700_000_000_000_000_000}


_DROP = """
import gc, sys
from connectors.kafka_source import KafkaSource, KafkaSourceSettings
brokers, topic, cycle = sys.argv[1:]
reader = KafkaSource(KafkaSourceSettings(brokers=brokers, topic=topic, group="g")).open(f"{topic}/0", None)
while reader.next_batch(0.001) is None:
    pass
if cycle:
    reader.itself = reader
del reader
gc.collect()
print("dropped")
"""


@pytest.mark.process
@pytest.mark.parametrize("cycle", ["", "cycle"])
def test_a_reader_that_was_not_closed_does_not_hold_up_its_process(
    embedded_broker: EmbeddedBroker, new_topic: Callable[..., str], cycle: str
) -> None:
    """As when another step fails: librdkafka waits without end for messages and queues that nobody freed."""
    topic = new_topic()
    producer = Producer({"bootstrap.servers": embedded_broker.brokers})
    for i in range(5_000):
        producer.produce(topic, b"line %d" % i, partition=0)
    assert producer.flush(60) == 0
    command = [sys.executable, "-c", _DROP, embedded_broker.brokers, topic, cycle]
    found = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert found.stdout == "dropped\n"


@pytest.mark.process
@pytest.mark.parametrize("way", ["the library", "the client"])
def test_messages_with_too_many_bytes_are_several_batches(
    embedded_broker: EmbeddedBroker, new_topic: Callable[..., str], monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """Records of two bytes each, as only a hostile producer writes them; a restart can come behind any batch."""
    records = [3, 400, 20, 300, 2, 500, 1, 7, 250, 250, 2_000, 5]
    topic = new_topic()
    producer = Producer({"bootstrap.servers": embedded_broker.brokers})
    for count in records:
        producer.produce(topic, _request(b"\x12\x00" * count), partition=0)
    assert producer.flush(60) == 0
    monkeypatch.setattr(kafka_source, "BATCH_BYTES", 1_000)
    if way == "the client":
        monkeypatch.setattr(kafka_source, "reader_of", lambda consumer, *_: ClientReader(consumer))
    settings = KafkaSourceSettings(
        brokers=embedded_broker.brokers, topic=topic, stop_at_end=True, encoding="otlp_proto"
    )
    source = KafkaSource(settings, wall_ns=lambda: 0)
    reader, positions, sizes, state = source.open(f"{topic}/0", None), [], [], None
    while True:
        try:
            batch = reader.next_batch()
        except StopIteration:
            break
        if batch is None:
            continue
        positions += batch.positions.tolist()
        sizes.append(len(batch))
        state = reader.snapshot()
        if len(sizes) % 2:
            reader.close()
            reader = source.open(f"{topic}/0", state)
    reader.close()
    assert positions == [offset << 20 | i for offset, count in enumerate(records) for i in range(count)]
    assert max(sizes) == 2_000, "a message is not divided"
    assert sorted(sizes)[-2] <= 500, "two bytes a record"


def _request(records: bytes) -> bytes:
    """A log request of OTLP with these records in one scope of one resource."""
    for tag in (0x12, 0x0A):
        records = bytes([tag]) + _varint(len(records)) + records
    return records


def _varint(number: int) -> bytes:
    out = b""
    while number > 127:
        out += bytes([number & 127 | 128])
        number >>= 7
    return out + bytes([number])
