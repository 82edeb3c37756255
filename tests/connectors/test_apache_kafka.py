"""What only an Apache Kafka does: logins, transactions, retention, compaction, and a log that outlives a kill."""

import contextlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from connectors.base import (
    ConnectorError,
    LineBatch,
    PartitionsAddedError,
    PositionLostError,
    SinkUnavailableError,
    SourceUnavailableError,
)
from connectors.checks import drain, records
from connectors.kafka_sink import KafkaSink, KafkaSinkSettings
from connectors.kafka_source import KafkaPartition, KafkaSource, KafkaSourceSettings
from connectors.kafka_transactions import sink_of
from tests.support.apache_kafka import PASSWORD, USER, ApacheKafka, new_kafka, three_brokers
from tests.support.certificates import Authority
from tests.support.processes import until

pytestmark = pytest.mark.process

DEADLINE_S = 100.0
CONSUMER = "org.apache.kafka.tools.consumer.ConsoleConsumer"


@pytest.fixture
def broker(apache_kafka: ApacheKafka) -> ApacheKafka:
    return apache_kafka


@pytest.fixture
def kafka(tmp_path: Path) -> Any:
    """An Apache Kafka of the test's own, running."""
    started = new_kafka(tmp_path / "kafka").start()
    yield started
    started.stop()


def send(broker: ApacheKafka, topic: str, values: Sequence[bytes], **options: Any) -> None:
    producer = Producer({"bootstrap.servers": broker.brokers})
    for value in values:
        producer.produce(topic, value, partition=0, **options)
    assert producer.flush(DEADLINE_S) == 0


def lines_of(batches: Sequence[LineBatch]) -> list[bytes]:
    return [batch.line(i) for batch in batches for i in range(len(batch))]


def reader_of(broker: ApacheKafka, topic: str, resume: Any = None, **settings: Any) -> KafkaPartition:
    source = KafkaSource(KafkaSourceSettings(brokers=broker.brokers, topic=topic, **settings))
    return source.open(f"{topic}/0", resume)


def first_error(reader: KafkaPartition) -> ConnectorError:
    """What reading ends with, which must be an error."""

    def poll() -> ConnectorError | None:
        try:
            reader.next_batch()
        except ConnectorError as error:
            return error
        return None

    found = until(poll, "reading fails")
    reader.close()
    return found


Login = Callable[[ApacheKafka, Path], dict[str, Any]]


def _sasl(mechanism: str, password: str = PASSWORD) -> Login:
    def settings(broker: ApacheKafka, folder: Path) -> dict[str, Any]:
        return {
            "brokers": f"127.0.0.1:{broker.sasl_port}",
            "security_protocol": "SASL_PLAINTEXT",
            "sasl_mechanism": mechanism,
            "sasl_username": USER,
            "sasl_password": password,
        }

    return settings


def _tls(days: int = 1, *, trusted: bool = True, known: bool = True) -> Login:
    def settings(broker: ApacheKafka, folder: Path) -> dict[str, Any]:
        stranger = Authority(folder, "stranger")
        certificate, key = (broker.authority if known else stranger).issue(f"engine-{folder.name}", days)
        return {
            "brokers": f"127.0.0.1:{broker.tls_port}",
            "security_protocol": "SSL",
            "ssl_ca": str(broker.authority.certificate if trusted else stranger.certificate),
            "ssl_certificate": str(certificate),
            "ssl_key": str(key),
        }

    return settings


@pytest.mark.parametrize(
    "login",
    [
        pytest.param(_sasl("PLAIN"), id="plain"),
        pytest.param(_sasl("SCRAM-SHA-512"), id="scram"),
        pytest.param(_tls(), id="mtls"),
    ],
)
def test_logins(broker: ApacheKafka, new_topic: Callable[..., str], tmp_path: Path, login: Login) -> None:
    broker.create_user()
    settings = {**login(broker, tmp_path), "topic": new_topic()}
    sink = KafkaSink(KafkaSinkSettings(**settings))
    sink.open(None)
    sink.write(records(0, 3))
    sink.flush(DEADLINE_S)
    sink.close()
    reader = KafkaSource(KafkaSourceSettings(**settings, stop_at_end=True)).open(f"{settings['topic']}/0", None)
    assert [json.loads(line)["id"] for line in lines_of(drain(reader))] == ["r000000", "r000001", "r000002"]
    reader.close()


@pytest.mark.parametrize(
    ("login", "reason"),
    [
        pytest.param(_sasl("PLAIN", "wrong"), "check sasl_username and sasl_password", id="plain-password"),
        pytest.param(_sasl("SCRAM-SHA-512", "wrong"), "check sasl_username and sasl_password", id="scram-password"),
        pytest.param(_tls(-1), "check that ssl_certificate has not expired", id="expired-certificate"),
        pytest.param(_tls(known=False), "signed by an authority that the brokers know", id="unknown-certificate"),
        pytest.param(_tls(trusted=False), "ssl_ca holds the authority", id="other-authority"),
    ],
)
def test_refused_login_is_one_sentence(
    broker: ApacheKafka, new_topic: Callable[..., str], tmp_path: Path, login: Login, reason: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("connectors.kafka_topic.ANSWER_S", 1.0)
    broker.create_user()
    settings = {**login(broker, tmp_path), "topic": new_topic()}
    source = KafkaSource(KafkaSourceSettings(**settings))
    with pytest.raises(SourceUnavailableError) as listed:
        source.partitions()
    read = first_error(source.open(f"{settings['topic']}/0", None))
    with pytest.raises(SinkUnavailableError) as opened:
        KafkaSink(KafkaSinkSettings(**settings, open_timeout_s=1)).open(None)
    for error in (listed.value, read, opened.value):
        assert settings["brokers"] in str(error)
        assert reason in str(error)
        assert "\n" not in str(error)


def test_aborted_transactions_are_invisible(broker: ApacheKafka, new_topic: Callable[..., str]) -> None:
    topic = new_topic()
    producer = Producer({"bootstrap.servers": broker.brokers, "transactional.id": topic})
    producer.init_transactions(DEADLINE_S)
    for value, end in ((b"a", producer.commit_transaction), (b"b", producer.abort_transaction), (b"c", None)):
        producer.begin_transaction()
        producer.produce(topic, value, partition=0)
        producer.flush(DEADLINE_S)
        (end or producer.commit_transaction)(DEADLINE_S)
    reader = reader_of(broker, topic, stop_at_end=True)
    batches = drain(reader)
    state = reader.snapshot()
    reader.close()
    assert lines_of(batches) == [b"a", b"c"]
    assert state["offset"] == 6  # each end of a transaction takes an offset, too
    again = reader_of(broker, topic, state)
    assert again.next_batch() is None
    send(broker, topic, [b"d"])
    assert until(again.next_batch, "the next line comes").line(0) == b"d"
    again.close()


def test_gaps_of_a_compacted_topic(broker: ApacheKafka, tmp_path: Path) -> None:
    topic = f"compacted-{tmp_path.name}"
    broker.create_topic(
        topic, cleanup_policy="compact", segment_ms="200", min_cleanable_dirty_ratio="0.01", delete_retention_ms="0"
    )
    for i in range(20):
        send(broker, topic, [b"line %d" % i], key=b"same" if i % 2 else b"%d" % i)

    def compacted() -> list[LineBatch] | None:
        send(broker, topic, [b"last"], key=b"last")  # closes the segment before it
        reader = reader_of(broker, topic, stop_at_end=True, batch_messages=4)
        batches = drain(reader)
        reader.close()
        return batches if len([line for line in lines_of(batches) if line != b"last"]) == 11 else None

    batches = until(compacted, "the topic is compacted")
    places = [int(place) >> 20 for batch in batches for place in batch.positions]
    assert places[:11] == [*range(0, 20, 2), 19]
    reader = reader_of(broker, topic, {"offset": 5}, stop_at_end=True)  # compacted away meanwhile
    assert lines_of(drain(reader))[0] == b"line 6"
    reader.close()


def test_retention_past_the_saved_offset(broker: ApacheKafka, tmp_path: Path) -> None:
    topic = f"kept-{tmp_path.name}"
    broker.create_topic(topic, segment_bytes=str(1 << 20))
    send(broker, topic, [b"x" * 1000] * 3000)
    reader = reader_of(broker, topic, batch_messages=1)
    until(reader.next_batch, "the first line comes")
    state = reader.snapshot()
    reader.close()
    broker.set_topic(topic, retention_bytes=str(1 << 20))

    def low() -> int:
        consumer = Consumer({"bootstrap.servers": broker.brokers, "group.id": "low"})
        found = consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=DEADLINE_S)
        consumer.close()
        return int(found[0]) if found else 0

    first = until(low, "retention deletes the first segment")
    error = first_error(reader_of(broker, topic, state))
    assert isinstance(error, PositionLostError)
    assert f"topic {topic!r} partition 0: offset 1 is gone, the brokers hold {first} to 3000" in str(error)


@pytest.fixture
def saved(broker: ApacheKafka, tmp_path: Path) -> tuple[str, dict[str, Any]]:
    """A topic of 30 lines, and the position behind its 20th."""
    topic = f"saved-{tmp_path.name}"
    broker.create_topic(topic)
    send(broker, topic, [b"line %d" % i for i in range(30)])
    source = KafkaSource(KafkaSourceSettings(brokers=broker.brokers, topic=topic, batch_messages=20))
    (name,) = source.partitions()
    reader = source.open(name, None)
    while reader.snapshot().get("offset") != 20:
        reader.next_batch()
    state = json.loads(json.dumps(reader.snapshot()))
    reader.close()
    return topic, state


def resumed(broker: ApacheKafka, topic: str, state: Any) -> KafkaPartition:
    source = KafkaSource(KafkaSourceSettings(brokers=broker.brokers, topic=topic, stop_at_end=True))
    (name,) = source.partitions()
    return source.open(name, state)


def test_position_goes_on_behind_the_last_message(broker: ApacheKafka, saved: tuple[str, Any]) -> None:
    reader = resumed(broker, *saved)
    assert lines_of(drain(reader)) == [b"line %d" % i for i in range(20, 30)]
    reader.close()


def test_topic_that_was_made_again_is_refused(broker: ApacheKafka, saved: tuple[str, Any]) -> None:
    topic, state = saved
    broker.delete_topic(topic)
    broker.create_topic(topic)
    send(broker, topic, [b"other %d" % i for i in range(50)])
    error = first_error(resumed(broker, topic, state))
    assert isinstance(error, PositionLostError)
    assert "offset 20 is of another topic of this name" in str(error)
    assert "another recovery.path" in str(error)


def test_topic_that_was_cut_and_filled_again_is_refused(broker: ApacheKafka, saved: tuple[str, Any]) -> None:
    topic, state = saved
    del state["topic"]  # as after an unclean election: the topic keeps its id
    broker.delete_topic(topic)
    broker.create_topic(topic)
    send(broker, topic, [b"other %d" % i for i in range(50)])
    error = first_error(resumed(broker, topic, state))
    assert isinstance(error, PositionLostError)
    assert "offset 19 holds another message than the one that was read there" in str(error)


def test_other_cluster_is_refused(kafka: ApacheKafka, saved: tuple[str, Any]) -> None:
    topic, state = saved
    kafka.create_topic(topic)
    send(kafka, topic, [b"line %d" % i for i in range(30)])
    error = first_error(resumed(kafka, topic, state))
    assert isinstance(error, PositionLostError)
    assert f"in cluster {state['topic']['cluster']}, now" in str(error)


def test_last_message_that_retention_deleted_is_not_asked_for(broker: ApacheKafka, saved: tuple[str, Any]) -> None:
    topic, state = saved
    broker.delete_before(topic, 20)
    reader = resumed(broker, topic, state)
    assert lines_of(drain(reader)) == [b"line %d" % i for i in range(20, 30)]
    reader.close()


def test_topic_deleted_while_it_is_read(broker: ApacheKafka, saved: tuple[str, Any]) -> None:
    topic, _ = saved
    source = KafkaSource(KafkaSourceSettings(brokers=broker.brokers, topic=topic))
    (name,) = source.partitions()
    reader = source.open(name, None)
    until(reader.next_batch, "lines come")
    broker.delete_topic(topic)
    error = first_error(reader)
    assert isinstance(error, PositionLostError)
    assert f"topic {topic!r} partition 0 on {broker.brokers}: the topic was deleted" in str(error)


def test_new_partitions_are_read_from_their_beginning(broker: ApacheKafka, new_topic: Callable[..., str]) -> None:
    topic = new_topic()
    source = KafkaSource(KafkaSourceSettings(brokers=broker.brokers, topic=topic, start="latest"))
    idle = KafkaSource(KafkaSourceSettings(brokers=broker.brokers, topic=topic), worker=1, of=2)
    (name,) = source.partitions()
    with pytest.raises(SourceUnavailableError, match="has 1 partitions, none for worker 1 of 2; it waits for more"):
        idle.partitions()
    reader = source.open(name, None)
    assert reader.next_batch() is None
    broker.add_partitions(topic, 2)

    def added() -> str:
        try:
            reader.next_batch()
        except PartitionsAddedError as error:
            return str(error)
        return ""

    assert until(added, "the new partition is noticed") == f"topic {topic!r} has new partitions: 1"
    assert reader.next_batch() is None
    producer = Producer({"bootstrap.servers": broker.brokers})
    producer.produce(topic, b"early", partition=1)
    assert producer.flush(DEADLINE_S) == 0
    assert list(source.partitions()) == [f"{topic}/0", f"{topic}/1"]
    assert list(idle.partitions()) == [f"{topic}/1"]
    new = source.open(f"{topic}/1", None)
    assert until(new.next_batch, "its first line comes").line(0) == b"early"
    new.close()
    reader.close()


def test_sink_across_a_kill_of_the_broker(kafka: ApacheKafka) -> None:
    kafka.create_topic("alerts")
    sink = KafkaSink(KafkaSinkSettings(brokers=kafka.brokers, topic="alerts"))
    sink.open(None)
    sink.write(records(0, 500))
    sink.flush(DEADLINE_S)
    sink.write(records(500, 1000))
    kafka.stop()
    sink.write(records(1000, 1200))
    with pytest.raises(SinkUnavailableError, match="They are kept and will be sent again"):
        sink.flush(0.5)
    kafka.start()
    sink.flush(DEADLINE_S)
    sink.close()
    reader = reader_of(kafka, "alerts", stop_at_end=True)
    ids = [json.loads(line)["id"] for line in lines_of(drain(reader))]
    reader.close()
    assert ids == [record.id for record in records(0, 1200)]


def test_leader_is_killed(tmp_path: Path) -> None:
    with three_brokers(tmp_path) as brokers:
        brokers[0].create_replicated("alerts", 3)
        shared = {"brokers": ",".join(broker.brokers for broker in brokers), "topic": "alerts"}
        exactly = {"delivery": "exactly-once", "transaction_id": "x"}
        sink = sink_of(KafkaSinkSettings(**shared, **exactly, open_timeout_s=DEADLINE_S))
        sink.open(None)
        sink.write(records(0, 500))
        sink.flush(DEADLINE_S)
        reader = KafkaSource(KafkaSourceSettings(**shared)).open("alerts/0", None)
        read = lines_of([until(reader.next_batch, "the first lines come")])
        sink.write(records(500, 600))
        leader = brokers[0].leader("alerts")
        brokers[leader - 1].stop()
        sink.write(records(600, 1000))
        sink.flush(DEADLINE_S)

        def rest() -> bool:
            with contextlib.suppress(SourceUnavailableError):
                batch = reader.next_batch()
                read.extend(lines_of([batch]) if batch is not None else [])
            return len(read) >= 1000

        until(rest, "everything is read from the new leader")
        assert [json.loads(line)["id"] for line in read] == [record.id for record in records(0, 1000)]
        assert brokers[leader % 3].leader("alerts") not in (leader, -1)
        reader.close()
        sink.close()


def test_headers_in_a_console_consumer(broker: ApacheKafka, new_topic: Callable[..., str]) -> None:
    topic = new_topic()
    sink = KafkaSink(KafkaSinkSettings(brokers=broker.brokers, topic=topic))
    sink.open(None)
    sink.write(records(0, 1))
    sink.flush(DEADLINE_S)
    sink.close()
    printed = broker.console(
        CONSUMER, "--bootstrap-server", broker.brokers, "--topic", topic, "--from-beginning", "--max-messages", "1",
        "--formatter-property", "print.headers=true", "--formatter-property", "print.key=true",
    )  # fmt: skip
    headers, key, document = printed.strip().split("\t")
    assert headers == "ce_type:check,ce_id:r000000"
    assert (key, json.loads(document)) == ("key", {"id": "r000000", "n": 0})
