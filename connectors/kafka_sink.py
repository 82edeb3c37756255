"""A Kafka topic as a sink: nothing counts as delivered before its delivery report.

Delivery:

1. `write` numbers each record, keeps it and gives it to librdkafka (idempotent, acks=all, no
   timeout: librdkafka tries indefinitely).
2. A good delivery report removes the record and moves its partition's offset forward.
3. A bad one (they are final: a dead producer, a refusal) marks the producer as failed; the next
   `flush` replaces it and produces everything unacknowledged again, in order. The same goes for a
   producer that the brokers have forgotten (restarted without their data, or restored), which
   librdkafka would try under ever new epochs indefinitely.
4. `flush` returns when nothing is kept any more.

Resuming: `open` reads the topic from the offsets of the saved state to the end and remembers the
ids found there (header `ce_id`); `write` drops records that carry one of them.
"""

import time
from collections.abc import Sequence
from typing import Any, Literal, Self

import orjson
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition
from pydantic import Field, model_validator

from connectors.base import Record, SinkUnavailableError, State
from connectors.kafka_settings import Connection, KafkaSettings, build_client, topic_partitions
from connectors.shapes import ShapedSinkSettings, shaped

ID_HEADER = "ce_id"
"""CloudEvents' `id` in the Kafka protocol binding."""

BACK_PRESSURE_S = 0.02
"""How long `write` serves delivery reports where librdkafka's queue is full."""

FORGOTTEN_EPOCHS = 3
"""Epochs without a good delivery report after which the brokers do not accept this producer. One or two are
librdkafka's ordinary answer to a gap in the sequence."""

NO_LEADER_PAUSE_S = 0.1
"""Pause before a partition without a leader is asked about again."""

_NO_LEADER = (KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE)

# What the promise rests on; free options do not override these.
FIXED_OPTIONS = {"enable.idempotence": True, "acks": "all", "message.timeout.ms": 0}


class KafkaSinkSettings(KafkaSettings, ShapedSinkSettings):
    """Documents to a Kafka topic, as JSON."""

    type: Literal["kafka"] = "kafka"
    compression: Literal["none", "gzip", "snappy", "lz4", "zstd"] = Field("lz4", description="Compression of batches.")
    open_timeout_s: float = Field(10.0, gt=0, description="How long the brokers may take to answer at the start.")
    delivery: Literal["at-least-once", "exactly-once"] = Field(
        "at-least-once",
        description="`exactly-once`: one Kafka transaction for each snapshot. Consumers must read with "
        "`isolation.level=read_committed`, and get alerts after `recovery.snapshot_s`.",
    )
    transaction_id: str = Field(
        "",
        description="Kafka's `transactional.id`, for `exactly-once` only: unique among all engines on the brokers, and "
        "the same after a restart. The number of the worker is appended.",
    )

    @model_validator(mode="after")
    def _names_its_transactions(self) -> Self:
        if self.delivery == "exactly-once" and not self.transaction_id:
            raise ValueError('delivery = "exactly-once" needs a transaction_id, such as "driftline-eu-west"')
        if self.delivery != "exactly-once" and self.transaction_id:
            raise ValueError('transaction_id is for delivery = "exactly-once"; remove it, or set delivery')
        return self

    def for_writer(self, number: str) -> Self:
        """The same topic, with transactions of the writer's own."""
        if not self.transaction_id:
            return self
        return self.model_copy(update={"transaction_id": f"{self.transaction_id}.{number}"})


class KafkaSink:
    """See the module; also a `Sink`.

    Attributes:
        snapshot_holds_pending: See `Sink`.
        connection: What is known of the brokers.
        delivery_error: The reason of the last bad delivery report, "" where the last one was good.
    """

    snapshot_holds_pending = False

    def __init__(self, settings: KafkaSinkSettings) -> None:
        self.connection = Connection(settings.brokers)
        self.delivery_error = ""
        self._settings = settings
        self._producer: Producer | None = None
        self._kept: dict[int, Record] = {}  # by number, ascending: adopted and not acknowledged
        self._unqueued = 0  # first number that librdkafka has not taken yet
        self._number = 0
        self._offsets: dict[int, int] = {}
        self._delivered: frozenset[str] = frozenset()
        self._failed = False
        self._ends: dict[int, int] = {}  # by partition, ends that reading back must reach; others may be any end
        self._good_epoch = 0  # the producer's epoch at the last good delivery report

    @property
    def last_error(self) -> str:
        """The last error as text; "" if there was none."""
        return self.delivery_error or self.connection.last_error

    def open(self, resume: State | None) -> None:
        """See `Sink.open`."""
        connection = Connection(self._settings.brokers)
        options = {**READER_OPTIONS, "group.id": self._settings.transaction_id or READER_GROUP}
        reader = build_client(Consumer, self._settings, {**options, **connection.error_options()})
        try:
            numbers = topic_partitions(reader, self._settings, self._settings.open_timeout_s, connection)
            producer = self._new_producer()
            ranges = self._ranges(reader, numbers)
            saved = self._saved(reader, resume, ranges)
            # An offset out of range means that the topic was emptied: all that is there may be ours.
            first = {
                n: saved[n] if n in saved and low <= saved[n] <= high else low if n in saved else high
                for n, (low, high) in ranges.items()
            }
            if saved:
                first.update({n: low for n, (low, _) in ranges.items() if n not in saved})
            self._offsets = first
            self._delivered = frozenset(self._ids(reader, first) if saved else ())
        except LookupError as error:
            raise SinkUnavailableError(str(error)) from error
        except KafkaException as error:
            raise SinkUnavailableError(
                f"Kafka topic {self._settings.topic!r} on {self._settings.brokers}: {error.args[0].str()}"
            ) from error
        finally:
            reader.close()
        self._producer = producer

    def write(self, records: Sequence[Record]) -> None:
        """See `Sink.write`; gives way to delivery reports where the queue is full."""
        for record in records:
            if record.id not in self._delivered:
                self._kept[self._number] = record
                self._number += 1
        self._enqueue()

    def pending(self) -> int:
        """See `Sink.pending`."""
        if self._producer is not None:
            self._producer.poll(0)
        return len(self._kept)

    def flush(self, timeout_s: float) -> None:
        """See `Sink.flush`."""
        deadline = time.monotonic() + timeout_s
        if self.connection.epoch - self._good_epoch >= FORGOTTEN_EPOCHS:
            self.delivery_error = "the brokers do not know this producer any more"
            self._failed = True
        if self._failed:
            self._replace_producer()
        while self._kept and not self._failed:
            left = deadline - time.monotonic()
            if left <= 0:
                break
            self._enqueue()
            if self._producer is not None:
                # In steps: `flush` delays callbacks for as long as it runs.
                self._producer.flush(min(left, 0.1))
        if self._kept:
            raise self._unacknowledged(timeout_s)

    def snapshot(self) -> State:
        """The offset behind the last acknowledged message of each partition."""
        return {"offsets": {str(n): offset for n, offset in sorted(self._offsets.items())}}

    def close(self) -> None:
        """See `Sink.close`."""
        if self._producer is not None:
            self._producer.purge()
            self._producer.poll(0)
            self._producer = None
        self._kept = {}
        self._unqueued, self._failed = self._number, False

    def _unacknowledged(self, timeout_s: float) -> SinkUnavailableError:
        return SinkUnavailableError(
            f"Kafka brokers {self._settings.brokers} have not acknowledged {len(self._kept)} messages to topic "
            f"{self._settings.topic!r} within {timeout_s:g} s: {self.last_error or 'no answer'}. "
            "They are kept and will be sent again."
        )

    def _new_producer(self) -> Producer:
        producer: Producer = build_client(
            Producer,
            self._settings,
            {
                "linger.ms": 2,  # long enough for batches; `options` can set another
                "compression.type": self._settings.compression,
                "reconnect.backoff.max.ms": 2000,
                **{k: v for k, v in self._settings.client_options().items() if k not in FIXED_OPTIONS},
                **self.connection.options(),
                **FIXED_OPTIONS,
                **({"transactional.id": self._settings.transaction_id} if self._settings.transaction_id else {}),
            },
        )
        return producer

    def _replace_producer(self) -> None:
        """Starts over with a new producer; everything unacknowledged is queued again, in order."""
        old, self._producer = self._producer, None
        if old is not None:
            old.purge()
            old.flush(1.0)
        self.connection.epoch = self._good_epoch = 0
        self._producer = self._new_producer()
        self._unqueued = next(iter(self._kept), self._number)
        self._failed = False

    def _enqueue(self) -> None:
        producer = self._producer
        if producer is None or self._failed:
            return
        for number in range(self._unqueued, self._number):
            record = self._kept.get(number)
            if record is None:
                continue
            try:
                self._produce(producer, number, record)
            except BufferError:
                producer.poll(BACK_PRESSURE_S)
                return
            except KafkaException as error:
                self.delivery_error = error.args[0].str()
                self._failed = True
                return
            self._unqueued = number + 1
        producer.poll(0)

    def _produce(self, producer: Producer, number: int, record: Record) -> None:
        def on_delivery(error: KafkaError | None, message: Message) -> None:
            if producer is not self._producer:
                return  # a report of a producer already given up: its record has been queued again
            self._report(number, error, message)

        document = shaped(record.document, record.id, self._settings.shape)
        producer.produce(
            self._settings.topic,
            value=orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY),
            key=record.key.encode("utf-8", "backslashreplace") if record.key else None,
            headers=[
                (name, text.encode("utf-8", "backslashreplace"))
                for name, text in {**record.headers, ID_HEADER: record.id}.items()
            ],
            on_delivery=on_delivery,
        )

    def _report(self, number: int, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self.delivery_error = error.str()
            self._failed = True
            return
        self._kept.pop(number, None)
        self.delivery_error = ""
        self.connection.down = ""
        self._good_epoch = self.connection.epoch
        partition, offset = message.partition(), message.offset()
        if partition is not None and offset is not None:
            self._offsets[partition] = max(self._offsets.get(partition, 0), offset + 1)

    def _ranges(self, reader: Consumer, numbers: list[int]) -> dict[int, tuple[int, int]]:
        """First offset and end of each partition."""
        return {n: self._range(reader, n) for n in numbers}

    def _saved(self, reader: Consumer, resume: State | None, ranges: dict[int, tuple[int, int]]) -> dict[int, int]:
        """Offsets by partition from which the topic may hold records that are written again."""
        return {int(n): int(offset) for n, offset in (resume or {}).get("offsets", {}).items()}

    def _range(self, reader: Consumer, number: int) -> tuple[int, int]:
        """First offset and end of a partition; while its leader changes, no broker knows them."""
        partition = TopicPartition(self._settings.topic, number)
        deadline = time.monotonic() + self._settings.open_timeout_s
        while True:
            try:
                found = reader.get_watermark_offsets(partition, timeout=self._settings.open_timeout_s)
            except KafkaException as error:
                cause: KafkaError = error.args[0]
                if cause.code() not in _NO_LEADER or time.monotonic() > deadline:
                    raise LookupError(self._no_offsets(number, cause.str())) from error
                reader.poll(NO_LEADER_PAUSE_S)
            else:
                if found is None:
                    raise LookupError(self._no_offsets(number, "no answer"))
                return found

    def _no_offsets(self, number: int, reason: str) -> str:
        return (
            f"Kafka topic {self._settings.topic!r} partition {number}: the brokers {self._settings.brokers} "
            f"returned no offsets: {reason}"
        )

    def _ids(self, reader: Consumer, first: dict[int, int]) -> set[str]:
        """Ids in the topic from the offsets `first` to the end of every partition."""
        reader.assign([TopicPartition(self._settings.topic, n, offset) for n, offset in first.items()])
        ids: set[str] = set()
        open_ends = set(first)
        deadline = time.monotonic() + self._settings.open_timeout_s
        while open_ends:
            messages = reader.consume(1000, 0.05)
            for message in messages:
                error = message.error()
                if error is None:
                    ids.update(_id_of(message))
                elif error.code() == KafkaError._PARTITION_EOF:
                    number = message.partition() or 0
                    if (message.offset() or 0) >= self._ends.get(number, 0):
                        open_ends.discard(number)
            if any(m.error() is None for m in messages):
                deadline = time.monotonic() + self._settings.open_timeout_s
            elif open_ends and time.monotonic() > deadline:
                raise LookupError(
                    f"Kafka brokers {self._settings.brokers} did not give what topic {self._settings.topic!r} already "
                    f"holds (partitions {sorted(open_ends)}) within {self._settings.open_timeout_s:g} s"
                )
        return ids


READER_GROUP = "driftline-read-back"

READER_OPTIONS: dict[str, Any] = {
    "group.id": READER_GROUP,
    "auto.offset.reset": "earliest",
    "enable.auto.commit": False,
    "enable.partition.eof": True,
}


def _id_of(message: Message) -> tuple[str, ...]:
    headers = message.headers() or []
    for name, value in headers.items() if isinstance(headers, dict) else headers:
        if name == ID_HEADER and isinstance(value, bytes):
            return (value.decode("utf-8", "replace"),)
    return ()
