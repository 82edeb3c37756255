"""Sinks: connectors as the dataflow's outputs, acknowledged before positions are saved.

The order that makes "at least once" true, per epoch:

1. `write_batch` hands the epoch's records to the connector, which only enqueues them.
2. At the end of the epoch Bytewax asks every step for its snapshot. The sink's flushes first and
   returns only when the other side has acknowledged every record.
3. Only when all snapshots are there, the source positions among them, is the epoch committed.

A sink that cannot deliver therefore holds the epoch open: nothing is acknowledged, the sources are
not read further, and the engine reports it until the other side is back. The exception is a sink whose
snapshot carries what was not delivered (notices to people): the epoch is committed with them in it.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from bytewax.outputs import FixedPartitionedSink, StatefulSinkPartition

from connectors.base import Record, Sink, SinkUnavailableError, State
from engine.stop_flag import StopFlag
from foundation import native_stderr, plain_pickle

PULSE = Record("", "", {})
"""An item without content, which makes Bytewax ask a sink for its snapshot; no other record lacks an id."""

FLUSH_TRY_S = 1.0
"""How long one attempt waits before the failure is reported and tried again."""

RETRY_PAUSE_S = 0.2
"""Pause between attempts, for errors that occur at once."""


class DrainTimeoutError(Exception):
    """The engine had to stop and a sink did not acknowledge in time; nothing was saved."""


class SinkObserver:
    """Reports of a sink."""

    def delivered(self, sink: str, pending: int) -> None:
        """Everything written so far is acknowledged."""

    def refused(self, sink: str, reason: str, pending: int) -> None:
        """An attempt failed; it is going to be repeated."""

    def worked(self, sink: str, cpu_s: float) -> None:
        """CPU time that this thread spent in the sink."""


def try_out(name: str, sink: Sink, observer: SinkObserver, stop: StopFlag) -> bool:
    """Opens and closes a sink once, for as long as that takes; False if a stop was requested before.

    The flow opens a sink only for its first record, which may be days away: without this, an
    unavailable destination would not be noticed until then.
    """
    while not stop.is_set():
        try:
            sink.open(None)
        except SinkUnavailableError as error:
            observer.refused(name, str(error), 0)
            if sink.snapshot_holds_pending:
                return True
            stop.wait(RETRY_PAUSE_S)
        else:
            observer.delivered(name, 0)
            return True
        finally:
            sink.close()
    return False


class _Partition(StatefulSinkPartition[Record, bytes]):
    def __init__(
        self, name: str, sink: Sink, resume: State | None, observer: SinkObserver,
        expired: Callable[[], bool], stop: StopFlag, max_pending: int,
    ) -> None:  # fmt: skip
        self._name = name
        self._sink = sink
        self._observer = observer
        self._expired = expired
        self._stop = stop
        self._max_pending = max_pending
        self._deliver_by(lambda: sink.open(resume))

    def write_batch(self, values: list[Record]) -> None:
        with self._accounted():
            self._sink.write([record for record in values if record.id])
            if self._sink.pending() > self._max_pending:
                self._deliver()

    def snapshot(self) -> bytes:
        with self._accounted():
            self._deliver()
            return plain_pickle.dump(self._sink.snapshot())

    def close(self) -> None:
        self._sink.close()

    @contextmanager
    def _accounted(self) -> Iterator[None]:
        started_s = time.thread_time()
        try:
            yield
        finally:
            self._observer.worked(self._name, time.thread_time() - started_s)

    def _deliver(self) -> None:
        self._deliver_by(lambda: self._sink.flush(FLUSH_TRY_S))

    def _deliver_by(self, action: Callable[[], None]) -> None:
        if not self._sink.snapshot_holds_pending:
            self._try(action)
            return
        try:
            action()
        except SinkUnavailableError as error:
            self._observer.refused(self._name, str(error), self._sink.pending())
        else:
            self._observer.delivered(self._name, self._sink.pending())

    def _try(self, action: Callable[[], None]) -> None:
        """Repeats `action` until it works, or until a requested stop has waited long enough."""
        while True:
            try:
                action()
            except SinkUnavailableError as error:
                self._observer.refused(self._name, str(error), self._sink.pending())
                if self._expired():
                    native_stderr.mute()
                    raise DrainTimeoutError(f"sink {self._name}: {error}") from error
                self._stop.pause(RETRY_PAUSE_S)
            else:
                self._observer.delivered(self._name, self._sink.pending())
                return


class SinkOutput(FixedPartitionedSink[Record, bytes]):
    """A connector as the output of `(shard, Record)` items, one Bytewax partition a shard."""

    def __init__(
        self, name: str, build: Callable[[str], Sink], shards: Sequence[str], observer: SinkObserver,
        *, expired: Callable[[], bool], stop: StopFlag, max_pending: int = 10_000,
    ) -> None:  # fmt: skip
        """Takes what is needed to make the sink of each shard.

        Args:
            name: For metrics and messages.
            build: Makes the connector of a shard, not yet open.
            shards: All shards of the flow.
            observer: Receives deliveries and refusals.
            expired: True once a requested stop may wait no longer.
            stop: Set once a stop is requested.
            max_pending: Records not yet acknowledged from which writing waits for the other side.
        """
        self._name = name
        self._build = build
        self._shards = list(shards)
        self._observer = observer
        self._expired = expired
        self._stop = stop
        self._max_pending = max_pending

    def list_parts(self) -> list[str]:
        """See `FixedPartitionedSink`."""
        return self._shards

    def part_fn(self, item_key: str) -> int:
        """The shard's own partition."""
        return self._shards.index(item_key)

    def build_part(self, _step_id: str, for_part: str, resume_state: bytes | None) -> Any:
        """See `FixedPartitionedSink`."""
        resume = None if resume_state is None else plain_pickle.load(resume_state)
        return _Partition(
            self._name, self._build(for_part), resume, self._observer,
            self._expired, self._stop, self._max_pending,
        )  # fmt: skip
