"""A Kafka topic as a sink with exactly-once delivery: for consumers that read committed messages.

1. `open` adopts the transaction id: Kafka aborts the transaction that an earlier process of this id left open, and
   rejects that process from then on. Then it reads the ids from the saved offsets to the end, once no transaction is
   open before the end.
2. `write` begins a transaction with the first record, and drops records that are on the topic already.
3. `flush` waits until every record is acknowledged, and commits. Records are kept until then.
4. If a commit may or may not have happened, the sink opens again as in step 1, and drops the records that arrived.

A start without saved state reads from the offset at which the id was first used. A consumer group named like the id has
that offset as its committed one.
"""

import contextlib
import time

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

from connectors.base import State
from connectors.kafka_settings import build_client
from connectors.kafka_sink import READER_OPTIONS, KafkaSink, KafkaSinkSettings

ABORT_S = 1.0
"""How long `close` may take to end an open transaction, which would hide later messages for a minute."""


class TransactionalKafkaSink(KafkaSink):
    """See the module; also a `Sink`."""

    def __init__(self, settings: KafkaSinkSettings) -> None:
        super().__init__(settings)
        self._open = False  # a transaction
        self._committing = False
        self._acknowledged: set[int] = set()
        self._reached: dict[int, int] = {}  # offsets behind what is acknowledged, by partition

    def flush(self, timeout_s: float) -> None:
        """See `Sink.flush`."""
        deadline = time.monotonic() + timeout_s
        if self._failed:
            self._replace_producer()
        while self._kept and not self._failed and (left := deadline - time.monotonic()) > 0:
            self._enqueue()
            if self._producer is not None and len(self._acknowledged) < len(self._kept):
                self._producer.flush(min(left, 0.1))
            elif self._producer is not None:
                self._commit(self._producer, left)
        if self._kept:
            raise self._unacknowledged(timeout_s)

    def close(self) -> None:
        """See `Sink.close`."""
        if self._producer is not None and self._open:
            with contextlib.suppress(KafkaException):
                self._producer.purge()
                self._producer.abort_transaction(ABORT_S)
        self._forget_transaction()
        super().close()

    def _commit(self, producer: Producer, timeout_s: float) -> None:
        self._committing = True
        try:
            producer.commit_transaction(timeout_s)
        except KafkaException as error:
            cause: KafkaError = error.args[0]
            self.delivery_error = cause.str()
            self._failed = not cause.retriable()
            return
        self._kept = {}
        self._offsets |= self._reached
        self.delivery_error = ""
        self._forget_transaction()

    def _forget_transaction(self) -> None:
        self._open = self._committing = False
        self._acknowledged = set()
        self._reached = {}

    def _new_producer(self) -> Producer:
        producer = super()._new_producer()
        producer.init_transactions(self._settings.open_timeout_s)
        return producer

    def _replace_producer(self) -> None:
        old, self._producer = self._producer, None
        if old is not None:
            old.purge()
            old.poll(0)
        self._forget_transaction()
        known = self._delivered
        self.open(self.snapshot())
        self._kept = {n: record for n, record in self._kept.items() if record.id not in self._delivered}
        self._delivered |= known
        self._unqueued = next(iter(self._kept), self._number)
        self._failed = False

    def _enqueue(self) -> None:
        if self._producer is None or self._failed or self._committing or self._unqueued == self._number:
            return
        if not self._open:
            try:
                self._producer.begin_transaction()
            except KafkaException as error:
                self.delivery_error = error.args[0].str()
                self._failed = True
                return
            self._open = True
        super()._enqueue()

    def _report(self, number: int, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self.delivery_error = error.str()
            self._failed = True
            return
        self._acknowledged.add(number)
        partition, offset = message.partition(), message.offset()
        if partition is not None and offset is not None:
            self._reached[partition] = max(self._reached.get(partition, 0), offset + 1)

    def _saved(self, reader: Consumer, resume: State | None, ranges: dict[int, tuple[int, int]]) -> dict[int, int]:
        saved = super()._saved(reader, resume, ranges)
        if saved:
            return saved
        topic, timeout_s = self._settings.topic, self._settings.open_timeout_s
        found = reader.committed([TopicPartition(topic, n) for n in ranges], timeout=timeout_s)
        first = {p.partition: p.offset for p in found if p.offset >= 0}
        if not first:
            first = {n: high for n, (_, high) in ranges.items()}
            reader.commit(offsets=[TopicPartition(topic, n, high) for n, high in first.items()], asynchronous=False)
        return first

    def _ranges(self, reader: Consumer, numbers: list[int]) -> dict[int, tuple[int, int]]:
        """The offsets that exist, those of open transactions too: the ids before each end must be readable."""
        options = {**READER_OPTIONS, "isolation.level": "read_uncommitted", **self.connection.error_options()}
        everything = build_client(Consumer, self._settings, options)
        try:
            ranges = super()._ranges(everything, numbers)
        finally:
            everything.close()
        self._ends = {n: high for n, (_, high) in ranges.items()}
        return ranges


def sink_of(settings: KafkaSinkSettings) -> KafkaSink:
    """The sink for the delivery that the settings ask for."""
    return TransactionalKafkaSink(settings) if settings.delivery == "exactly-once" else KafkaSink(settings)
