"""An Apache Kafka that slows its clients down, and one whose consumer group is rebalanced."""

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import Consumer

from connectors.base import SinkUnavailableError
from connectors.checks import drain, records
from connectors.kafka_sink import KafkaSink, KafkaSinkSettings
from connectors.kafka_source import KafkaPartition
from tests.connectors.test_apache_kafka import lines_of, reader_of, send
from tests.support.apache_kafka import ApacheKafka
from tests.support.processes import until

pytestmark = pytest.mark.process

STEP = 300


@pytest.fixture
def broker(apache_kafka: ApacheKafka) -> ApacheKafka:
    return apache_kafka


def test_quotas_slow_down_and_lose_nothing(broker: ApacheKafka, new_topic: Callable[..., str]) -> None:
    topic, client = new_topic(), f"quota-{new_topic()}"
    # A broker lets ten seconds of a rate pass at once, and delays the request after the one that passes them.
    limits = "producer_byte_rate=15000,consumer_byte_rate=60000"
    broker.console(
        "kafka.admin.ConfigCommand", "--bootstrap-server", broker.brokers, "--alter", "--add-config", limits,
        "--entity-type", "clients", "--entity-name", client,
    )  # fmt: skip
    settings: dict[str, Any] = {"brokers": broker.brokers, "topic": topic, "options": {"client.id": client}}
    sink = KafkaSink(KafkaSinkSettings(**settings, compression="none"))
    sink.open(None)
    written, refusals = 0, list[str]()

    def delivered() -> bool:
        try:
            sink.flush(0.5)
        except SinkUnavailableError as error:
            refusals.append(str(error))
            return False
        return True

    def throttled() -> bool:
        """Write 30 kB more; a broker applies a new quota a moment after it has accepted it."""
        nonlocal written
        sink.write(records(written, written + STEP))
        written += STEP
        until(delivered, "the sink delivers")
        time.sleep(0.1)
        return bool(refusals)

    until(throttled, "the sink is throttled, and keeps what it has")
    sink.close()
    reader = reader_of(broker, topic, stop_at_end=True, options={"client.id": client})
    assert [json.loads(line)["id"] for line in lines_of(drain(reader))] == [record.id for record in records(0, written)]
    reader.close()


def test_rebalance_of_the_group_disturbs_no_reader(broker: ApacheKafka, new_topic: Callable[..., str]) -> None:
    """A source is assigned its partitions itself; members of the group of its name come and go."""
    topic, group = new_topic(), f"group-{new_topic()}"
    values = [b"%d" % i for i in range(300)]
    send(broker, topic, values[:100])
    reader = reader_of(broker, topic, group=group)
    read = _read(reader, 100)
    reader.snapshot()
    member = Consumer({"bootstrap.servers": broker.brokers, "group.id": group, "auto.offset.reset": "earliest"})
    assigned: list[Any] = []
    member.subscribe([topic], on_assign=lambda _, partitions: assigned.extend(partitions))
    until(lambda: member.poll(0.05) is None and assigned, "the stranger has the partition")
    send(broker, topic, values[100:200])
    read += _read(reader, 100)
    place = reader.snapshot()
    member.close()  # the group is rebalanced once more
    send(broker, topic, values[200:])
    read += _read(reader, 100)
    reader.close()
    assert read == values
    again = reader_of(broker, topic, place, group=group)
    assert _read(again, 100) == values[200:]
    again.close()


def _read(reader: KafkaPartition, lines: int) -> list[bytes]:
    """The next lines, as many as given or more."""
    found: list[bytes] = []

    def poll() -> bool:
        batch = reader.next_batch()
        found.extend([] if batch is None else lines_of([batch]))
        return len(found) >= lines

    until(poll, f"{lines} lines are read")
    return found
