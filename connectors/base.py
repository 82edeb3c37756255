"""Contracts of sources and sinks, and the records that pass through them.

A source hands out `LineBatch`es: many raw lines at once, with the place of every line. A sink takes
`Record`s and only counts them as delivered once the other side has acknowledged them. Everything
that is known about bytes is kept as bytes; nothing here decodes or parses.

Errors::

    ConnectorError
    ├── SettingsError       the connector was asked for something that cannot work; fix the settings
    ├── SourceUnavailableError   the source cannot be read now; it may return
    ├── PartitionsAddedError     the source has partitions that it had not when it was listed; list it again
    ├── PositionLostError        the saved position no longer exists in the source; data would be skipped
    └── SinkUnavailableError     records were not acknowledged in time; nothing is lost, flush again
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from foundation.errors import DriftlineError

State = dict[str, Any]
"""What a connector saves to resume: JSON-compatible plain data that never changes afterwards."""


class ConnectorError(DriftlineError):
    """Base of every error that a connector raises on purpose."""


class SettingsError(ConnectorError):
    """The settings name something that cannot work; the message gives what would."""


class SourceUnavailableError(ConnectorError):
    """The source cannot be read now; reading may be tried again."""


class PartitionsAddedError(ConnectorError):
    """The source has partitions that it did not have when it was listed; they are read once it is listed again."""


class PositionLostError(ConnectorError):
    """The position to resume from is gone (retention, deletion); resuming would skip lines."""


class SinkUnavailableError(ConnectorError):
    """Records were not acknowledged in time; they are kept, and `flush` may be called again."""


RAW_BYTES = 4096
"""How much of a refused line a dead letter keeps."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One line that cannot be processed, with the reason and the place it came from.

    `place` is written for people and for programs alike: `topic/partition/offset` for Kafka (with
    `#i` behind it for the i-th line of a message), `path, line L, byte N` for a file, where N is the byte
    at which the line begins and L its number, which is left out where it is not known. `raw` is cut to the
    first `RAW_BYTES`; `raw_bytes` is the full length.
    """

    place: str
    reason: str
    raw: bytes
    raw_bytes: int


@dataclass(frozen=True, slots=True)
class LineBatch:
    r"""Raw lines of one partition, in the order of the source.

    Attributes:
        partition: The stream these lines belong to, stable across restarts and file rotation
            (`topic/3`, `/var/log/app.log`). State is kept per partition.
        data: The lines, each followed by exactly one `\n` (a final `\r` belongs to the line).
        ends: int64 (n,), ascending: the index in `data` of the `\n` that closes each line.
        positions: int64 (n,), ascending: the place of each line in its partition, unique within
            it indefinitely. `Source.describe` turns one into words. Kafka: offset << 20 | index of the
            line in its message. File: generation << 44 | byte offset; the generation counts
            rotations and truncations.
        read_ns: Wall clock at the read, ns since the epoch.
        produced_ns: Wall clock of the oldest line's production according to the source (Kafka's
            message time), or `read_ns`.
        rejects: Lines the source itself refused (too long, not text at all), already placed.
        traceparent: W3C trace context of the batch, or "".
        ends_partition: Nothing more will come from the partition (its file is gone), so its state can be dropped.
    """

    partition: str
    data: bytes
    ends: NDArray[np.int64]
    positions: NDArray[np.int64]
    read_ns: int
    produced_ns: int
    rejects: tuple[DeadLetter, ...] = ()
    traceparent: str = ""
    ends_partition: bool = False

    def __len__(self) -> int:
        return len(self.ends)

    def lines(self, start: int, stop: int) -> "LineBatch":
        """Lines `start` to `stop`; rejected lines stay with the first, the end of the partition with the last."""
        begin, end = self.start_of(start), self.start_of(stop)
        return replace(
            self, data=self.data[begin:end], ends=self.ends[start:stop] - begin, positions=self.positions[start:stop],
            rejects=self.rejects if start == 0 else (), ends_partition=self.ends_partition and stop == len(self),
        )  # fmt: skip

    def line(self, i: int) -> bytes:
        """The i-th line without its line end."""
        return self.data[self.start_of(i) : int(self.ends[i])]

    def dead_letter(self, i: int, reason: str, describe: Callable[[str, int], str]) -> DeadLetter:
        """The dead letter of the i-th line; `describe` as in `Source`."""
        place, raw = describe(self.partition, int(self.positions[i])), self.line(i)
        return DeadLetter(place, reason, raw[:RAW_BYTES], len(raw))

    def start_of(self, i: int) -> int:
        """Where the i-th line begins in `data`, or the next one would."""
        return 0 if i == 0 else int(self.ends[i - 1]) + 1


@dataclass(frozen=True, slots=True)
class Record:
    """One document for a sink.

    Attributes:
        id: Deterministic: the same document made again after a crash has the same id.
        key: Ordering and partitioning key (the session), may be empty.
        document: JSON-compatible content.
        headers: Text headers (CloudEvents attributes, trace context) for sinks that carry them.
    """

    id: str
    key: str
    document: Mapping[str, Any]
    headers: Mapping[str, str] = field(default_factory=dict)


class SourcePartition(Protocol):
    """A reader of one unit of parallelism (a Kafka partition, a set of files, stdin).

    It may yield batches of several `LineBatch.partition`s (a directory is read as one unit).
    """

    def next_batch(self, share: float = 1.0) -> LineBatch | None:
        """The next lines, or None if there are none now. Never blocks longer than 50 ms.

        Args:
            share: Part of a usual batch that is wanted at most, above 0 and up to 1; a batch has a line at least.

        Raises:
            StopIteration: the source has ended and will give nothing more.
            SourceUnavailableError: reading failed for now; the position is unchanged, call again.
            PositionLostError: see the class.
            PartitionsAddedError: see the class; once for each change, and the position is unchanged.
        """
        ...

    def snapshot(self) -> State:
        """The position behind the last line handed out, for `Source.open`.

        Called when everything handed out before has been processed; the place to commit
        positions to the outside (Kafka's group offsets), best effort.
        """
        ...

    def lag(self) -> int | None:
        """Lines (Kafka: messages; files: bytes) not yet handed out, or None where unknown."""
        ...

    def close(self) -> None:
        """Frees everything; a second call does nothing."""
        ...


class Source(Protocol):
    """A configured source; cheap to build, connects nowhere until `open`."""

    def partitions(self) -> Sequence[str]:
        """Names of the units of parallelism, stable across restarts.

        Raises:
            SourceUnavailableError: the other side could not be asked; try again.
        """
        ...

    def open(self, partition: str, resume: State | None) -> SourcePartition:
        """A reader from `resume` (what `snapshot` gave), or from the configured start if None."""
        ...

    def describe(self, partition: str, position: int) -> str:
        """The place of a line as text, for dead letters and alerts (see `DeadLetter.place`)."""
        ...


class Sink(Protocol):
    """A configured sink; connects nowhere until `open`. One thread uses it at a time.

    Attributes:
        snapshot_holds_pending: Whether `snapshot` carries records that are not acknowledged yet. The
            stream then continues while the other side does not answer; otherwise it waits.
    """

    snapshot_holds_pending: bool

    def open(self, resume: State | None) -> None:
        """Connects, and with `resume` learns what was already delivered past that state.

        Raises:
            SinkUnavailableError: the other side is not there; `open` may be called again.
        """
        ...

    def write(self, records: Sequence[Record]) -> None:
        """Takes records over for delivery. Only buffers or enqueues; raises nothing but bugs.

        Records whose id was already delivered past the resumed state are dropped here.
        """
        ...

    def pending(self) -> int:
        """Records adopted and not yet acknowledged."""
        ...

    def flush(self, timeout_s: float) -> None:
        """Returns once every record adopted is acknowledged by the other side.

        Raises:
            SinkUnavailableError: not all were within `timeout_s`; what is missing stays buffered, in
                order, and the next flush delivers it (at least once).
        """
        ...

    def snapshot(self) -> State:
        """What `open` needs to drop repeats after a crash; called right after a good flush."""
        ...

    def close(self) -> None:
        """Frees everything without waiting for deliveries; a second call does nothing."""
        ...
