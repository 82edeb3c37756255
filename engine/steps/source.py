"""Source: a connector as the dataflow's input, one `LineBatch` an item."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition

from connectors.base import (
    ConnectorError,
    LineBatch,
    PartitionsAddedError,
    Source,
    SourcePartition,
    SourceUnavailableError,
    State,
)
from engine.clock import Clock
from engine.stop_flag import StopFlag
from foundation import native_stderr, plain_pickle

IDLE_POLL_S = 0.002
"""Shortest pause once no partition has anything; it adds to the latency of the next line."""

LONGEST_IDLE_POLL_S = 0.1
"""Longest pause. At rest, polls every 2 ms took 6 to 9 % of a core; with this pause they take about 1 %."""

IDLE_SHARE = 20
"""While nothing comes, a pause is this fraction of the time since the last batch: a line that comes after a quiet
of two seconds waits up to 100 ms, one that comes after 40 ms only 2 ms."""

SMALL_LINES = 1_000
GATHER_S = 0.02
"""After batches of fewer than `SMALL_LINES` lines a reader rests this long, so that the next ones are
larger: a batch costs about 1 ms however few its lines are. At 5,000 lines/s that is 5 % of a core
instead of 40 %, for 10 ms more in the mean until an alert."""

LAG_EVERY_S = 0.5
"""Pause between two checks of the lag: for many files a check costs more than reading a batch."""

SLOW_S = 1.0
"""After a turn of the loop that takes longer than this, batches are half as large, down to `LEAST_SHARE`: signals and
snapshots wait for the end of a turn. After one that takes less than a quarter of it, they are twice as large again."""

LEAST_SHARE = 1 / 1024

UNAVAILABLE_POLL_S = 0.5
"""Pause after a failed read: long enough not to hammer a broker that is coming up."""


class Observer:
    """Reports of the source; the engine's runtime overrides those that it needs."""

    def read(self, batch: LineBatch) -> LineBatch:
        """A batch was read; the returned batch goes into the flow."""
        return batch

    def lag(self, partition: str, lag: int | None) -> None:
        """How much is left to read, if the source can report it; every `LAG_EVERY_S`, and at the end."""

    def turn(self) -> None:
        """The reader was polled once more, with or without new lines."""

    def unavailable(self, partition: str, reason: str) -> None:
        """Reading failed for now."""

    def added(self, reason: str) -> None:
        """The source has partitions that nothing reads yet."""

    def available(self, partition: str) -> None:
        """Reading works (again)."""


class Pace:
    """Rests the worker's one thread when none of its partitions had anything to read.

    Bytewax would pause until a time of the wall clock; set back by an hour, that clock would
    stop the reading for an hour.

    Attributes:
        open: Partitions that this process reads.
    """

    def __init__(self, stop: StopFlag) -> None:
        self._stop = stop
        self._empty = 0
        self._quiet_s = 0.0
        self._rested_s = 0.0
        self.open = 0

    def read(self) -> None:
        """A partition gave something."""
        self._empty = 0
        self._quiet_s = 0.0

    def empty(self) -> None:
        """A partition had nothing; rests once that is true of all of them, longer the longer nothing came."""
        self._empty += 1
        if self._empty >= self.open:
            self._empty = 0
            pause_s = min(max(self._quiet_s / IDLE_SHARE, IDLE_POLL_S), LONGEST_IDLE_POLL_S)
            self._stop.wait(pause_s)
            self._quiet_s += pause_s

    def idle(self, clock: Clock) -> None:
        """A step had nothing to do; rests in a process that reads nothing itself, where nothing else would.

        Once for many steps: Bytewax polls one after the other in every turn of the loop.
        """
        if not self.open and clock.monotonic_s() - self._rested_s > IDLE_POLL_S / 10:
            self._stop.wait(IDLE_POLL_S)
            self._rested_s = clock.monotonic_s()


class StoppedEarlyError(Exception):
    """The flow had to end before it had started; nothing was read."""


class _Partition(StatefulSourcePartition[tuple[str, LineBatch], bytes]):
    """Hands batches of one connector partition to the dataflow."""

    def __init__(
        self, name: str, open_partition: Callable[[], SourcePartition], resume: State | None,
        stop: StopFlag, observer: Observer, clock: Clock, pace: Pace, small_lines: int,
    ) -> None:  # fmt: skip
        self._name = name
        self._open = open_partition
        self._partition: SourcePartition | None = None
        self._resume = resume
        self._stop = stop
        self._observer = observer
        self._clock = clock
        self._read_at_s = self._lag_at_s = clock.monotonic_s()
        self._pace = pace
        self._small_lines = small_lines
        self._small: set[str] = set()
        self._closed = False
        self._share = 1.0
        self._given_s: float | None = None
        pace.open += 1

    def next_batch(self) -> list[tuple[str, LineBatch]]:
        if self._stop.is_set():
            raise StopIteration
        self._observer.turn()
        batch = self._read()
        if batch is None:
            self._pace.empty()
            return []
        self._pace.read()
        return [batch]

    def _read(self) -> tuple[str, LineBatch] | None:
        if self._clock.monotonic_s() < self._read_at_s:
            return None
        try:
            if self._partition is None:
                self._partition = self._open()
            batch = self._partition.next_batch(self._fitting_share())
        except SourceUnavailableError as error:
            self._observer.unavailable(self._name, str(error))
            self._read_at_s = self._clock.monotonic_s() + UNAVAILABLE_POLL_S
            return None
        except PartitionsAddedError as error:
            self._observer.added(str(error))
            return None
        except StopIteration:
            self._observer.lag(self._name, 0)
            raise
        except ConnectorError:
            native_stderr.mute()
            raise
        self._observer.available(self._name)
        if self._clock.monotonic_s() >= self._lag_at_s:
            self._lag_at_s = self._clock.monotonic_s() + LAG_EVERY_S
            self._observer.lag(self._name, self._partition.lag())
        if batch is None:
            return None
        if self._share == 1.0 and len(batch) < self._small_lines:
            self._gather(batch.partition)
        self._given_s = self._clock.monotonic_s()
        return batch.partition, self._observer.read(batch)

    def _fitting_share(self) -> float:
        """The part of a usual batch that the steps can process in one turn, by how long they took for the last."""
        if self._given_s is not None:
            took_s, self._given_s = self._clock.monotonic_s() - self._given_s, None
            if took_s > SLOW_S:
                self._share = max(self._share / 2, LEAST_SHARE)
            elif took_s < SLOW_S / 4:
                self._share = min(self._share * 2, 1.0)
        return self._share

    def _gather(self, name: str) -> None:
        """Rests once all that had little were read: the reader's other files have waited long enough."""
        if name in self._small:
            self._small.clear()
            self._read_at_s = self._clock.monotonic_s() + GATHER_S
        self._small.add(name)

    def next_awake(self) -> datetime:
        return _AT_ONCE

    def snapshot(self) -> bytes:
        # Before the first successful open the resume state is the newest one.
        return plain_pickle.dump(self._resume if self._partition is None else self._partition.snapshot())

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._pace.open -= 1
        if self._partition is not None:
            self._partition.close()


_AT_ONCE = datetime(1970, 1, 1, tzinfo=UTC)
"""Make Bytewax poll again without a pause of its own; see `Pace`."""


class SourceInput(FixedPartitionedSource[tuple[str, LineBatch], bytes]):
    """The connector's partitions as Bytewax partitions.

    Once `stop` is set every partition ends, which drains the flow: lines already read are processed and
    delivered, positions are saved, and the flow finishes.
    """

    def __init__(
        self, source: Source, stop: StopFlag, observer: Observer, clock: Clock, *,
        pace: Pace | None = None, small_lines: int = SMALL_LINES,
    ) -> None:  # fmt: skip
        self._source = source
        self._stop = stop
        self._observer = observer
        self._clock = clock
        self._pace = pace or Pace(stop)
        self._small_lines = small_lines

    def list_parts(self) -> list[str]:
        """List the source's partitions, and retry until it answers: an absent broker only delays the start.

        The source is queried once even if a stop was requested already: without partitions Bytewax cannot place
        the state that it continues from, and fails.

        Raises:
            StoppedEarlyError: a stop was requested, and the source does not answer.
        """
        while True:
            try:
                parts = list(self._source.partitions())
            except SourceUnavailableError as error:
                self._observer.unavailable("", str(error))
                if self._stop.is_set():
                    native_stderr.mute()
                    raise StoppedEarlyError(str(error)) from error
                self._stop.wait(UNAVAILABLE_POLL_S)
            except ConnectorError:
                native_stderr.mute()
                raise
            else:
                self._observer.available("")
                return parts

    def build_part(self, _step_id: str, for_part: str, resume_state: bytes | None) -> Any:
        """See `FixedPartitionedSource`."""
        resume = None if resume_state is None else plain_pickle.load(resume_state)
        return _Partition(
            for_part, lambda: self._source.open(for_part, resume), resume,
            self._stop, self._observer, self._clock, self._pace, self._small_lines,
        )  # fmt: skip
