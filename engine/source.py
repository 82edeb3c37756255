"""Source: a connector as the dataflow's input, one `LineBatch` an item."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition

from connectors.base import LineBatch, Source, SourcePartition, SourceUnavailable, State

IDLE_POLL_S = 0.002
"""Pause after an empty poll. Short, because it adds to the latency of the next line; an idle engine
still stays under 5 % of a core."""

UNAVAILABLE_POLL_S = 0.5
"""Pause after a failed read: long enough not to hammer a broker that is coming up."""


class Observer:
    """What the source tells the outside; the engine's runtime overrides what it wants to know."""

    def read(self, batch: LineBatch, lag: int | None) -> LineBatch:
        """A batch was read; what comes back goes into the flow."""
        return batch

    def turn(self) -> None:
        """The reader was asked once more, whether or not there was something to read."""

    def unavailable(self, partition: str, reason: str) -> None:
        """Reading failed for now."""

    def available(self, partition: str) -> None:
        """Reading works (again)."""


class _Partition(StatefulSourcePartition[tuple[str, LineBatch], State]):
    """Hands batches of one connector partition to the dataflow."""

    def __init__(
        self, name: str, open_partition: Callable[[], SourcePartition], resume: State | None,
        stop: threading.Event, observer: Observer,
    ) -> None:  # fmt: skip
        self._name = name
        self._open = open_partition
        self._partition: SourcePartition | None = None
        self._state: State = resume if resume is not None else {}
        self._resumed = resume is not None
        self._stop = stop
        self._observer = observer
        self._awake: datetime | None = None

    def next_batch(self) -> list[tuple[str, LineBatch]]:
        if self._stop.is_set():
            raise StopIteration
        self._observer.turn()
        try:
            if self._partition is None:
                self._partition = self._open()
            batch = self._partition.next_batch()
        except SourceUnavailable as error:
            self._observer.unavailable(self._name, str(error))
            self._pause(UNAVAILABLE_POLL_S)
            return []
        self._observer.available(self._name)
        if batch is None:
            self._pause(IDLE_POLL_S)
            return []
        self._awake = None
        return [(batch.partition, self._observer.read(batch, self._partition.lag()))]

    def _pause(self, seconds: float) -> None:
        # Bytewax asks for wall-clock times here; a clock that jumps delays one poll at the most,
        # because every poll sets the time anew.
        self._awake = datetime.now(UTC) + timedelta(seconds=seconds)

    def next_awake(self) -> datetime | None:
        return self._awake

    def snapshot(self) -> State | None:
        # Before the first successful open there is nothing newer than what was resumed from.
        if self._partition is not None:
            return self._partition.snapshot()
        return self._state if self._resumed else None

    def close(self) -> None:
        if self._partition is not None:
            self._partition.close()


class SourceInput(FixedPartitionedSource[tuple[str, LineBatch], State]):
    """The connector's partitions as Bytewax partitions.

    Once `stop` is set every partition ends, which drains the flow: what was read is processed and
    delivered, positions are saved, and the flow finishes by itself.
    """

    def __init__(self, source: Source, stop: threading.Event, observer: Observer) -> None:
        self._source = source
        self._stop = stop
        self._observer = observer

    def list_parts(self) -> list[str]:
        """Asks the source, for as long as it takes: an absent broker delays the start, no more."""
        while not self._stop.is_set():
            try:
                parts = list(self._source.partitions())
            except SourceUnavailable as error:
                self._observer.unavailable("", str(error))
                self._stop.wait(UNAVAILABLE_POLL_S)
            else:
                self._observer.available("")
                return parts
        return []

    def build_part(self, _step_id: str, for_part: str, resume_state: State | None) -> Any:
        """See `FixedPartitionedSource`."""
        return _Partition(
            for_part, lambda: self._source.open(for_part, resume_state), resume_state, self._stop, self._observer
        )
