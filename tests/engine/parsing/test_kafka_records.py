"""Messages of a topic that hold one record over several lines, or several records: each with a place of its own."""

from collections.abc import Callable

import pytest
from confluent_kafka import Producer

from connectors.broker import EmbeddedBroker
from connectors.checks import drain
from connectors.kafka_source import KafkaSource, KafkaSourceSettings
from engine.steps.parse import Parser, ParseSettings

pytestmark = pytest.mark.process

MESSAGES = (
    b'{"time":"2026-01-05T10:00:00Z","level":"info","message":"plain"}',
    b'{"Records":[{"eventTime":"2026-01-05T10:00:01Z","eventName":"a"},{"eventTime":"2026-01-05T10:00:02Z",'
    b'"eventName":"b"}]}',
    b'{\n  "time": "2026-01-05T10:00:03Z",\n  "message": "pretty"\n}',
    b'{"time":"2026-01-05T10:00:04Z","message":"cut in the mid',
    b'[{"time":"2026-01-05T10:00:05Z","message":"c"},\n {"time":"2026-01-05T10:00:06Z","message":"d"}]\n',
    b'{"time":"2026-01-05T10:00:07Z","message":"one"}\n{"time":"2026-01-05T10:00:08Z","message":"two"}\n',
)

EXPECTED = [
    ("0", 0, "plain"),
    ("1#12", 1, "eventName=a"),
    ("1#65", 2, "eventName=b"),
    ("2", 3, "pretty"),
    ("3", 4, MESSAGES[3].decode()),
    ("4#1", 5, "c"),
    ("4#2", 6, "d"),
    ("5", 7, "one"),
    ("5#1", 8, "two"),
]
"""Place in the partition, second, and message of each record; `#` is behind the first line, or inside a line."""


@pytest.mark.parametrize("at_a_time", [1, 100])
def test_every_record_has_its_place(broker: EmbeddedBroker, new_topic: Callable[..., str], at_a_time: int) -> None:
    topic = new_topic()
    producer = Producer({"bootstrap.servers": broker.brokers})
    for value in MESSAGES:
        producer.produce(topic, value, partition=0)
    assert producer.flush(100) == 0
    settings = KafkaSourceSettings(brokers=broker.brokers, topic=topic, batch_messages=at_a_time)
    source = KafkaSource(settings)
    reader, found = source.open(f"{topic}/0", None), []
    parser = Parser(ParseSettings(), source.describe)
    while len(found) < len(EXPECTED):
        parsed = parser.parse(next(iter(drain(reader, 1))))
        assert parsed.good.bad == ()
        lines = parsed.good.lines
        for row, time_ns in zip(parsed.good.rows.tolist(), parsed.good.time_ns.tolist(), strict=True):
            fields = parser.take_apart(lines.line(row), lines.read_ns)
            place = source.describe(lines.partition, int(lines.positions[row])).removeprefix(f"{topic}/0/")
            found.append((place, time_ns // 1_000_000_000 % 60, fields.message))
    reader.close()
    # The fourth message is cut, so that its time is the time of reading.
    assert [(place, second if place != "3" else 4, text) for place, second, text in found] == EXPECTED
    assert parser.finish() is None
