"""librdkafka's own batch reading, for which confluent_kafka has no call.

`Consumer.consume` makes a Python object of each message, which costs more than everything else that reading does.
librdkafka's `rd_kafka_consume_batch_queue` returns pointers; compiled loops read the messages behind them. It reads the
queue of one partition, not the consumer's: there, it ends the process once the client has a callback of errors or of
statistics.

The functions and the message are part of librdkafka's public interface. The client's handle within the Python object
is not, so `PartitionQueue` checks what it relies on, and raises `LibraryMismatchError` where something differs.
"""

import ctypes
import re
from functools import cache
from typing import Any

import confluent_kafka
import numpy as np
from confluent_kafka import Consumer, KafkaError
from numpy.typing import NDArray

from foundation.errors import DriftlineError

_MAJOR = 2
"""Version of librdkafka whose `rd_kafka_message_t` is known; it changes only with the major version."""

_OBJECT_BYTES = 176
"""Size of confluent_kafka's Consumer object whose first field is known to be the handle (2.16)."""

_CONSUMER_TYPE = 1
_PARTITION_EOF = -191


class LibraryMismatchError(DriftlineError):
    """The installed client is not built as direct reading needs it; the message gives the difference."""


@cache
def _functions() -> Any:
    """The librdkafka that confluent_kafka has loaded, with the types of what is called.

    Raises:
        LibraryMismatchError: it is another version, or lacks a function.
    """
    if ctypes.sizeof(ctypes.c_void_p) != 8:
        raise LibraryMismatchError("this Python is not a 64-bit one")
    try:
        library = ctypes.CDLL(confluent_kafka.cimpl.__file__)
        pointer, size = ctypes.c_void_p, ctypes.c_size_t
        for name, result, arguments in (
            ("rd_kafka_version", ctypes.c_int, []),
            ("rd_kafka_name", ctypes.c_char_p, [pointer]),
            ("rd_kafka_type", ctypes.c_int, [pointer]),
            ("rd_kafka_queue_get_partition", pointer, [pointer, ctypes.c_char_p, ctypes.c_int32]),
            ("rd_kafka_queue_forward", None, [pointer, pointer]),
            ("rd_kafka_queue_destroy", None, [pointer]),
            ("rd_kafka_consume_batch_queue", ctypes.c_ssize_t, [pointer, ctypes.c_int, pointer, size]),
            ("rd_kafka_message_destroy", None, [pointer]),
            ("rd_kafka_message_timestamp", ctypes.c_int64, [pointer, pointer]),
            ("rd_kafka_message_headers", ctypes.c_int, [pointer, pointer]),
            ("rd_kafka_header_get", ctypes.c_int, [pointer, size, ctypes.c_char_p, pointer, pointer]),
        ):
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments
    except (OSError, AttributeError) as error:
        raise LibraryMismatchError(str(error)) from error
    expected, found = confluent_kafka.libversion()[1], library.rd_kafka_version()
    if found != expected or found >> 24 != _MAJOR:
        raise LibraryMismatchError(f"librdkafka is {found:#010x}, the client's own is {expected:#010x}")
    return library


class _Header(ctypes.Structure):
    """The fields of `rd_kafka_message_t` that Python reads."""

    _fields_ = (
        ("err", ctypes.c_int),
        ("rkt", ctypes.c_void_p),
        ("partition", ctypes.c_int32),
        ("payload", ctypes.c_void_p),
        ("len", ctypes.c_size_t),
        ("key", ctypes.c_void_p),
        ("key_len", ctypes.c_size_t),
        ("offset", ctypes.c_int64),
    )


class PartitionQueue:
    """The queue of one partition of a consumer that has not been assigned yet.

    Attributes:
        destroy: Address of the function that frees a message.
    """

    def __init__(self, consumer: Consumer, client_id: str, topic: str, partition: int) -> None:
        """Take the partition's messages away from `consumer`, whose `client.id` is `client_id`.

        Raises:
            LibraryMismatchError: the installed client is another one than this was written for.
        """
        self._queue: int | None = None
        self._consumer = consumer  # is to be destroyed after the queue: librdkafka waits for that, without end
        library = self._library = _functions()
        if Consumer.__basicsize__ != _OBJECT_BYTES:
            raise LibraryMismatchError(f"a Consumer has {Consumer.__basicsize__} bytes, not {_OBJECT_BYTES}")
        handle = ctypes.c_void_p.from_address(id(consumer) + object.__basicsize__).value
        name = (library.rd_kafka_name(handle) or b"").decode(errors="replace") if handle else ""
        kind = library.rd_kafka_type(handle) if handle else -1
        if not re.fullmatch(re.escape(client_id) + r"#consumer-[0-9]+", name) or kind != _CONSUMER_TYPE:
            raise LibraryMismatchError(f"the handle is of {name!r}, not of a consumer named {client_id!r}")
        self._queue = library.rd_kafka_queue_get_partition(handle, topic.encode(), partition)
        if not self._queue:
            raise LibraryMismatchError("the partition has no queue")
        library.rd_kafka_queue_forward(self._queue, None)
        self.destroy: int = ctypes.cast(library.rd_kafka_message_destroy, ctypes.c_void_p).value or 0

    def consume(self, pointers: NDArray[np.int64], timeout_ms: int) -> int:
        """Fill `pointers` with messages, and return how many; waits for more until the time is over."""
        found: int = self._library.rd_kafka_consume_batch_queue(
            self._queue, timeout_ms, pointers.ctypes.data, len(pointers)
        )
        return max(0, found)

    def close(self) -> None:
        """Free the queue; before the consumer is closed."""
        if self._queue:
            self._library.rd_kafka_queue_destroy(self._queue)
            self._queue = None

    def __del__(self) -> None:
        self.close()

    def error_of(self, pointer: int) -> tuple[KafkaError, int]:
        """The error that a message stands for, and its offset."""
        message = _Header.from_address(pointer)
        text = None
        if message.err != _PARTITION_EOF and message.payload:
            text = ctypes.string_at(message.payload, message.len).decode(errors="replace")
        return KafkaError(message.err, text), int(message.offset)

    def message(self, pointer: int) -> tuple[int, bytes]:
        """The offset and the payload of a message."""
        message = _Header.from_address(pointer)
        value = ctypes.string_at(message.payload, message.len) if message.payload else b""
        return int(message.offset), value

    def time_ms(self, pointer: int) -> int:
        """When a message was produced according to its timestamp, in ms since the epoch; -1 where it has none."""
        return int(self._library.rd_kafka_message_timestamp(pointer, ctypes.byref(ctypes.c_int())))

    def header(self, pointer: int, name: bytes) -> bytes | None:
        """The first header of that name."""
        headers, value, size = ctypes.c_void_p(), ctypes.c_void_p(), ctypes.c_size_t()
        if self._library.rd_kafka_message_headers(pointer, ctypes.byref(headers)):
            return None
        if self._library.rd_kafka_header_get(headers, 0, name, ctypes.byref(value), ctypes.byref(size)):
            return None
        return ctypes.string_at(value, size.value) if value.value else None
