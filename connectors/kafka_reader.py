"""Messages of one partition, many at a time, without a Python object for each.

`LibraryReader` reads them by librdkafka's own batch call. `ClientReader` reads them by `Consumer.consume`, where the
installed client does not allow the former. Both give `Fetched`: where each payload lies in memory.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
from confluent_kafka import Consumer, KafkaError, Message
from numpy.typing import NDArray

from connectors.kafka_library import LibraryMismatchError, PartitionQueue

log = logging.getLogger(__name__)

TRACEPARENT = "traceparent"


@dataclass(frozen=True, slots=True)
class Mark:
    """One message, as it is compared after a restart: its offset, its time in ms since the epoch, and its payload."""

    offset: int
    time_ms: int
    value: bytes


@dataclass(frozen=True, slots=True)
class Fetched:
    """What one poll brought; addresses are valid until the next poll.

    Attributes:
        addresses, sizes, offsets: int64 (n,): where the payload of each message lies, its bytes, and its offset.
        errors: Errors and ends of the partition among the messages, each with its offset.
        time_ms: Time of the first message, in ms since the epoch; -1 where it has none.
        traceparent: W3C trace context of the first message, or "".
        last: The last message.
        first: The first message, if asked for.
    """

    addresses: NDArray[np.int64]
    sizes: NDArray[np.int64]
    offsets: NDArray[np.int64]
    errors: Sequence[tuple[KafkaError, int]] = ()
    time_ms: int = -1
    traceparent: str = ""
    first: Mark | None = None
    last: Mark | None = None
    kept: object = field(default=None, repr=False)
    """What the addresses point into, where that is an object of Python's."""

    def __len__(self) -> int:
        return len(self.addresses)

    def split(self, count: int, last: Mark) -> tuple["Fetched", "Fetched"]:
        """The first `count` messages, whose last one is `last`, and the others with the errors."""
        head = replace(
            self, addresses=self.addresses[:count], sizes=self.sizes[:count], offsets=self.offsets[:count], errors=(),
            last=last,
        )  # fmt: skip
        rest = replace(
            self, addresses=self.addresses[count:], sizes=self.sizes[count:], offsets=self.offsets[count:], first=None
        )
        return head, rest


class MessageReader(Protocol):
    """Reads the messages of the one partition that a consumer is assigned to."""

    def poll(self, count: int, timeout_s: float, *, with_first: bool) -> Fetched:
        """At most `count` messages and errors, gathered for `timeout_s`."""
        ...

    def mark(self, index: int) -> Mark:
        """A message of the last poll."""
        ...

    def close(self) -> None:
        """Frees everything but the consumer; before that is closed."""
        ...


def reader_of(consumer: Consumer, client_id: str, topic: str, partition: int) -> MessageReader:
    """The fastest reader that the installed client allows, for a consumer that has not been assigned yet."""
    try:
        return LibraryReader(consumer, PartitionQueue(consumer, client_id, topic, partition), partition)
    except LibraryMismatchError as error:
        log.warning(
            "reading %s/%s message by message, which is slower, because confluent_kafka is not built as expected: %s",
            topic, partition, error,
        )  # fmt: skip
        return ClientReader(consumer)


class LibraryReader:
    """See `MessageReader`."""

    def __init__(self, consumer: Consumer, queue: PartitionQueue, partition: int) -> None:
        self._count = 0
        self._pointers = np.zeros(0, np.int64)
        self._columns = np.zeros((3, 0), np.int64)
        self._queue = queue
        self._consumer = consumer
        self._partition = partition
        from connectors.packed import compile_loops, gather  # load the compiler

        compile_loops.compile_loops()
        self._gather = gather

    def poll(self, count: int, timeout_s: float, *, with_first: bool) -> Fetched:
        """See `MessageReader.poll`."""
        self._free()
        if len(self._pointers) < count:
            self._pointers, self._columns = np.zeros(count, np.int64), np.zeros((3, count), np.int64)
        pointers, columns, queue = self._pointers, self._columns, self._queue
        reported = self._consumer.poll(0)  # serves the callbacks; errors of the client arrive here
        self._count = found = queue.consume(pointers[:count], round(timeout_s * 1000))
        good = self._gather.read_messages(pointers, found, self._partition, columns[0], columns[1], columns[2])
        if good < 0:
            raise RuntimeError(f"librdkafka gave messages of another partition than {self._partition}")
        errors = [queue.error_of(pointer) for pointer in pointers[good:found].tolist()]
        if reported is not None:
            if (error := reported.error()) is None:
                raise RuntimeError(f"librdkafka gave a message of partition {self._partition} past its queue")
            errors.append((error, reported.offset() or 0))
        addresses, sizes, offsets = columns[:, :good]
        if not good:
            return Fetched(addresses, sizes, offsets, errors)
        first, last = int(pointers[0]), int(pointers[good - 1])
        trace = queue.header(first, TRACEPARENT.encode())
        return Fetched(
            addresses, sizes, offsets, errors, queue.time_ms(first), (trace or b"").decode("latin-1"),
            self._mark(first) if with_first else None, self._mark(last),
        )  # fmt: skip

    def mark(self, index: int) -> Mark:
        """See `MessageReader.mark`."""
        return self._mark(int(self._pointers[index]))

    def _mark(self, pointer: int) -> Mark:
        offset, value = self._queue.message(pointer)
        return Mark(offset, self._queue.time_ms(pointer), value)

    def _free(self) -> None:
        if not self._count:
            return
        self._gather.free_messages(self._pointers, self._count, self._queue.destroy)
        self._count = 0

    def close(self) -> None:
        """See `MessageReader.close`."""
        self._free()
        self._queue.close()

    def __del__(self) -> None:
        """Free what librdkafka waits for, without end, when a consumer is dropped that was not closed."""
        self.close()


class ClientReader:
    """See `MessageReader`."""

    def __init__(self, consumer: Consumer) -> None:
        self._consumer = consumer
        self._messages: list[Message] = []

    def poll(self, count: int, timeout_s: float, *, with_first: bool) -> Fetched:
        """See `MessageReader.poll`."""
        found = self._consumer.consume(count, timeout_s)
        errors = [(error, message.offset() or 0) for message in found if (error := message.error()) is not None]
        messages = [message for message in found if message.error() is None] if errors else found
        self._messages = messages
        values: list[Any] = [message.value() or b"" for message in messages]
        blob = np.frombuffer(b"".join(values), np.uint8)
        sizes = np.fromiter(map(len, values), np.int64, len(values))
        addresses = blob.ctypes.data + np.cumsum(sizes) - sizes
        offsets = np.fromiter((message.offset() or 0 for message in messages), np.int64, len(messages))
        if not messages:
            return Fetched(addresses, sizes, offsets, errors)
        first, last = messages[0], messages[-1]
        return Fetched(
            addresses, sizes, offsets, errors, first.timestamp()[1], _traceparent(first),
            _mark(first) if with_first else None, _mark(last), blob,
        )  # fmt: skip

    def mark(self, index: int) -> Mark:
        """See `MessageReader.mark`."""
        return _mark(self._messages[index])

    def close(self) -> None:
        """See `MessageReader.close`."""
        self._messages = []


def _mark(message: Message) -> Mark:
    value: Any = message.value()
    return Mark(message.offset() or 0, message.timestamp()[1], value or b"")


def _traceparent(message: Message) -> str:
    headers = message.headers()
    if not headers:
        return ""
    for name, value in headers.items() if isinstance(headers, dict) else headers:
        if name == TRACEPARENT and value is not None:
            return value.decode("latin-1") if isinstance(value, bytes) else str(value)
    return ""
