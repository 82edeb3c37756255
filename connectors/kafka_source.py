"""Kafka topics as a source: one reader per partition, positions kept by the engine.

Partitions are assigned by number, never by group, so a reader's place is what the engine saved and
nothing else; offsets are committed to the group (best effort) only so that lag tools see them.
A position is `offset << 20 | index of the line in its message`.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
from confluent_kafka import (
    OFFSET_BEGINNING,
    OFFSET_END,
    OFFSET_STORED,
    Consumer,
    KafkaError,
    KafkaException,
    TopicPartition,
)
from pydantic import Field

from connectors.base import (
    LineBatch,
    PartitionsAddedError,
    PositionLostError,
    SourceUnavailableError,
    State,
)
from connectors.kafka_reader import Fetched, reader_of
from connectors.kafka_settings import Connection, KafkaSettings, build_client
from connectors.kafka_topic import Bookmark, TopicWatch
from connectors.line_splitter import reject_long
from connectors.packed.positions import LINE_BITS, place_of

POLL_S = 0.002
"""How long one poll gathers messages: next to nothing in latency, and a batch at any rate that matters."""

BATCH_LINES = 10_000
"""About how many lines one batch holds, so that messages of many lines do not make it large and late."""

BATCH_BYTES = 1 << 22
"""How many bytes of messages are unpacked at once, or one message: a record of OTLP can have two bytes, and takes about
200 in memory."""

RANGE_S = 5.0
"""How long the brokers may take to name the offsets that they hold."""

# Measured with one line a message: the first is worth a factor of five (default 1000 ms of pause
# whenever the local queue is full), the others keep that queue filled.
FETCH_OPTIONS = {
    "fetch.queue.backoff.ms": 5,
    "fetch.wait.max.ms": 20,
    "queued.min.messages": 100_000,
    "queued.max.messages.kbytes": 131_072,
    "reconnect.backoff.max.ms": 2000,
}

# What correctness rests on; free options do not override these.
FIXED_OPTIONS = {
    "auto.offset.reset": "error",  # the default jumps to the end when an offset is out of range
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "enable.partition.eof": True,
}


class KafkaSourceSettings(KafkaSettings):
    """Lines from a Kafka topic; a message holds one line or several."""

    type: Literal["kafka"] = "kafka"
    group: str = Field("driftline", description="Consumer group to which offsets are committed, for lag tools.")
    start: Literal["earliest", "latest", "saved"] = Field(
        "earliest",
        description="Position of the first start. `saved`: the group's committed offset, or else the earliest one.",
    )
    stop_at_end: bool = Field(
        False, description="Stop at the offsets that were the end at the start, instead of following."
    )
    encoding: Literal["lines", "otlp_proto", "otlp_json"] = Field(
        "lines",
        description="What a message holds. `lines`: text, one line or several. `otlp_proto`, `otlp_json`: a batch of "
        "log records, as the OpenTelemetry Collector's Kafka exporter writes it with the encoding of that name.",
    )
    otlp_lines: Literal["records", "bodies"] = Field(
        "records",
        description="What becomes a line of OTLP. `records`: time, level, host, service, ids of trace and span, "
        "attributes and body, in format `otlp`. `bodies`: the body alone, whose lines have a format of their own, as "
        "those that the Collector's `filelog` receiver reads.",
    )
    batch_messages: int = Field(10_000, ge=1, description="Maximum number of messages in one batch.")
    max_line_bytes: int = Field(1_048_576, ge=1, description="Longer lines go to the dead letters, in bytes.")


def _unpacker(settings: KafkaSourceSettings, name: str) -> Any:
    """What turns messages into lines; importing it loads the compiler."""
    from connectors.packed.lines import TextMessages
    from connectors.packed.otlp import OtlpMessages
    from connectors.packed.otlp_json import OtlpJsonMessages

    if settings.encoding == "lines":
        return TextMessages(name)
    kind = OtlpMessages if settings.encoding == "otlp_proto" else OtlpJsonMessages
    return kind(name, whole=settings.otlp_lines == "records")


class KafkaPartition:
    """Reads one partition.

    Attributes:
        connection: What is known of the brokers.
    """

    def __init__(
        self, settings: KafkaSourceSettings, number: int, resume: State, wall_ns: Callable[[], int], watch: TopicWatch
    ) -> None:
        self.connection = Connection(settings.brokers)
        self._settings = settings
        self._watch = watch
        self._bookmark = Bookmark(settings, number, resume)
        self._number = number
        self._name = f"{settings.topic}/{number}"
        self._wall_ns = wall_ns
        self._next: int | None = resume.get("offset")
        self._end: int | None = None
        self._ended = False
        self._wanted = settings.batch_messages if settings.encoding == "lines" else 1 + BATCH_LINES // 100
        self._committed: int | None = None
        self._rest: Fetched | None = None
        self._passed = 0  # messages of the last poll before the rest
        self._consumer: Consumer | None = build_client(
            Consumer,
            settings,
            {
                **{k: v for k, v in FETCH_OPTIONS.items() if k not in settings.options},
                "group.id": settings.group,
                **self.connection.options(),
                **FIXED_OPTIONS,
            },
        )
        name = str(settings.client_options().get("client.id", "rdkafka"))
        self._reader = reader_of(self._consumer, name, settings.topic, number)
        self._unpacker = _unpacker(settings, self._name)
        watch.join()
        starts = {"earliest": OFFSET_BEGINNING, "latest": OFFSET_END, "saved": OFFSET_STORED}
        first = self._next if self._bookmark.last_offset is None else self._bookmark.last_offset
        self._assign(starts[settings.start] if first is None else first)

    def next_batch(self, share: float = 1.0) -> LineBatch | None:
        """See `SourcePartition.next_batch`."""
        consumer = self._consumer
        if consumer is None or self._ended:
            raise StopIteration
        self._check_topic()
        compare = self._bookmark.last_offset is not None
        found = self._fetch(max(1, int(share * self._wanted)), with_first=compare)
        at_end = self._handle_errors(found.errors)
        high = self._watermark(consumer)
        begin = 0
        if found.first is not None and self._bookmark.is_known(found.first):
            begin = 1
        if found.last is not None and len(found) > begin:
            self.connection.down = ""
            self._next = max(self._next or 0, found.last.offset + 1)  # an end behind it may have been reported
            self._bookmark.passed(found.last, self._next)
        self._stop_where_due(high, at_end)
        if len(found) > begin:
            return self._batch(found, begin)
        if self._ended:
            raise StopIteration
        if reason := self.connection.down or self._watch.down:
            raise SourceUnavailableError(
                f"Kafka brokers {self.connection.brokers} cannot be reached for {self._name}: {reason}"
            )
        return None

    def _fetch(self, count: int, *, with_first: bool) -> Fetched:
        """What the last poll left over, or a new poll; of either at most `BATCH_BYTES`, or one message."""
        found = self._rest or self._reader.poll(count, POLL_S, with_first=with_first)
        taken = int(np.searchsorted(np.cumsum(found.sizes), BATCH_BYTES, side="right")) or 1
        self._rest = None
        if taken < len(found):
            self._passed += taken
            found, self._rest = found.split(taken, self._reader.mark(self._passed - 1))
        else:
            self._passed = 0
        return found

    def snapshot(self) -> State:
        """The offset of the next message; committed to the consumer group as well."""
        if self._next is not None and self._next != self._committed and self._consumer is not None:
            self._commit(self._consumer, self._next)
        return {} if self._next is None else {"offset": self._next, **self._bookmark.state()}

    def lag(self) -> int | None:
        """Messages between here and the end as the last fetch saw it."""
        if self._consumer is None or self._next is None:
            return None
        high = self._watermark(self._consumer)
        return None if high is None else max(0, high - self._next)

    def close(self) -> None:
        """Leaves without committing anything."""
        if self._consumer is not None:
            self._reader.close()
            self._consumer.close()
            self._consumer = None
            self._watch.leave()

    def _check_topic(self) -> None:
        self._bookmark.check_topic(self._watch.topic)
        if not self._settings.stop_at_end and (news := self._watch.news()):
            raise PartitionsAddedError(
                f"topic {self._settings.topic!r} has new partitions: {', '.join(map(str, news))}"
            )

    def _assign(self, offset: int) -> None:
        assert self._consumer is not None
        self._consumer.assign([TopicPartition(self._settings.topic, self._number, offset)])

    def _commit(self, consumer: Consumer, offset: int) -> None:
        try:
            consumer.commit(offsets=[TopicPartition(self._settings.topic, self._number, offset)], asynchronous=True)
        except KafkaException as error:
            self.connection.last_error = f"commit of {self._name}/{offset}: {error.args[0].str()}"
            return
        self._committed = offset

    def _watermark(self, consumer: Consumer) -> int | None:
        """The end of the partition as the last fetch saw it, or None before the first one."""
        try:
            _, high = consumer.get_watermark_offsets(
                TopicPartition(self._settings.topic, self._number), cached=True
            ) or (-1, -1)
        except KafkaException:
            return None
        if high >= 0 and self._next is not None and self._next > high:
            raise self._lost(consumer, self._next)
        return high if high >= 0 else None

    def _stop_where_due(self, high: int | None, at_end: bool) -> None:
        if not self._settings.stop_at_end:
            return
        if self._end is None:
            self._end = high
        if self._end is not None and (self._next or 0) >= self._end:
            self._ended = True
        elif at_end and (self._next is None or self._end is None or self._next >= self._end):
            self._ended = True

    def _handle_errors(self, errors: Sequence[tuple[KafkaError, int]]) -> bool:
        """Whether the end of the partition was reached behind the messages."""
        at_end = False
        for error, offset in errors:
            if error.code() == KafkaError._PARTITION_EOF:
                self.connection.down = ""
                at_end = True
                # Behind the last line may be offsets without one: ends of transactions, compacted messages.
                self._next = max(self._next or 0, offset)
            else:
                self._handle(error)
        return at_end

    def _handle(self, error: KafkaError) -> None:
        consumer = self._consumer
        assert consumer is not None
        if error.code() in (KafkaError._NO_OFFSET, KafkaError._AUTO_OFFSET_RESET) and self._next is None:
            self._assign(OFFSET_BEGINNING)  # `saved`, and the group has committed nothing yet
        elif error.code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):
            if self._next is not None and self._bookmark.last_offset is not None:
                self._bookmark.forget_last()
                self._assign(self._next)
                return
            raise self._lost(consumer, self._next or 0)
        else:
            self.connection.last_error = error.str()
            self.connection.down = error.str()

    def _lost(self, consumer: Consumer, offset: int) -> PositionLostError:
        part = TopicPartition(self._settings.topic, self._number)
        try:
            low, high = consumer.get_watermark_offsets(part, timeout=RANGE_S)
            there = f"the brokers hold {low} to {high}"
        except KafkaException as error:
            there = f"the range that exists is unknown ({error.args[0].str()})"
        return PositionLostError(
            f"topic {self._settings.topic!r} partition {self._number}: offset {offset} is gone, {there}. "
            "Reading on would skip or repeat lines: restart from the earliest, or restore the topic."
        )

    def _batch(self, found: Fetched, begin: int) -> LineBatch:
        lines = self._unpacker.unpack(found.addresses[begin:], found.sizes[begin:], found.offsets[begin:])
        each = max(1, len(lines.ends) // len(found))
        self._wanted = max(1, min(self._settings.batch_messages, BATCH_LINES // each))
        data, ends, positions, letters = lines.data, lines.ends, lines.positions, lines.rejects
        limit = self._settings.max_line_bytes
        if len(data) > limit:
            data, ends, positions, long = reject_long(data, ends, positions, limit, self._words)
            letters += long
        now = self._wall_ns()
        created_ns = found.time_ms * 1_000_000 if found.time_ms > 0 else now
        return LineBatch(self._name, data, ends, positions, now, created_ns, letters, found.traceparent)

    def _words(self, position: int) -> str:
        return place_of(self._name, position)


class KafkaSource:
    """The partitions of a topic whose number modulo `of` is `worker`."""

    def __init__(
        self,
        settings: KafkaSourceSettings,
        *,
        worker: int = 0,
        of: int = 1,
        wall_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        """Takes worker `worker` of `of`."""
        self._settings = settings
        self._worker = worker
        self._of = of
        self._wall_ns = wall_ns
        self._watch = TopicWatch(settings)
        self._added: set[int] = set()  # since the first list: read from their beginning, as nobody has read them

    def partitions(self) -> Sequence[str]:
        """`topic/number` of each; asks the brokers."""
        topic = self._watch.look()
        if self._watch.listed:
            self._added |= set(topic.partitions) - self._watch.listed
        self._watch.listed = frozenset(topic.partitions)
        mine = tuple(n for n in topic.partitions if n % self._of == self._worker)
        if not mine and not self._settings.stop_at_end:
            raise SourceUnavailableError(
                f"Kafka topic {self._settings.topic!r} has {len(topic.partitions)} partitions, none for worker "
                f"{self._worker} of {self._of}; it waits for more partitions"
            )
        return tuple(f"{self._settings.topic}/{n}" for n in mine)

    def open(self, partition: str, resume: State | None) -> KafkaPartition:
        """See `Source.open`; connects in the background."""
        number = int(partition.rpartition("/")[2])
        settings = self._settings
        if number in self._added:
            settings = settings.model_copy(update={"start": "earliest"})
        return KafkaPartition(settings, number, resume or {}, self._wall_ns, self._watch)

    def describe(self, partition: str, position: int) -> str:
        """`topic/partition/offset`, with `#i` for the i-th line of a message of several."""
        return place_of(partition, position)


__all__ = ["LINE_BITS", "KafkaPartition", "KafkaSource", "KafkaSourceSettings", "place_of"]
