"""What every step has as a Bytewax logic: timed, traced, discarded only with its partition, its snapshot unchanging."""

from abc import abstractmethod
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any, TypeVar

from bytewax.operators import StatefulBatchLogic

from connectors.base import LineBatch
from engine.flow.worker_context import Context
from engine.parsing.parsed import Parsed
from engine.records import ParsedLines, ScoredWindows
from foundation import native_stderr, plain_pickle
from foundation.errors import DriftlineError

V = TypeVar("V")
W = TypeVar("W")
S = TypeVar("S", bound="Step[Any, Any]")


EVERY_TURN = datetime(1970, 1, 1, tzinfo=UTC)
"""Makes Bytewax call `on_notify` at every turn of the worker's loop, where the monotonic clock decides what is due.

A notification by the wall clock would be an hour late after the clock was set back by an hour.
"""


class Step(StatefulBatchLogic[V, W, bytes]):
    """A step that is timed and traced, and discarded once its partition has ended."""

    name: str
    file_bytes = 0
    """Bytes of files that the latest `state` wrote."""

    def __init__(self, context: Context) -> None:
        self._context = context

    @abstractmethod
    def work(self, values: list[V]) -> list[W]:
        """Process the input values and return the output values."""

    def end(self) -> list[W]:
        """What the end of the partition or of the stream completes."""
        return []

    def on_batch(self, values: list[V]) -> tuple[Iterable[W], bool]:
        """Time and trace `work`."""
        clock, telemetry = self._context.clock, self._context.telemetry
        telemetry.health.progress()  # the steps of one turn together may take longer than each of them
        started_s = clock.monotonic_s()
        with telemetry.tracer.span(self.name, traceparent_of(values[0])):
            out = self.work(values)
            ended = ends_partition(values[-1])
            if ended:
                out += self.end()
        telemetry.metrics.batch_seconds.observe(clock.monotonic_s() - started_s, self.name)
        return out, StatefulBatchLogic.DISCARD if ended else StatefulBatchLogic.RETAIN

    def on_eof(self) -> tuple[Iterable[W], bool]:
        """The end of the stream completes what is open; a drain only pauses it."""
        return [] if self._context.drain.requested.is_set() else self.end(), StatefulBatchLogic.RETAIN

    @abstractmethod
    def state(self) -> Any:
        """Return plain data from which the constructor continues."""

    def snapshot(self) -> bytes:
        """Time `state`, and give Bytewax bytes of it, so that what it pickles names no code."""
        started_s = self._context.clock.monotonic_s()
        state = plain_pickle.dump(self.state())
        metrics = self._context.telemetry.metrics
        metrics.snapshot_seconds.observe(self._context.clock.monotonic_s() - started_s, self.name)
        metrics.snapshot_bytes.labels(self.name).set(len(state) + self.file_bytes)
        return state


def resumed(step: Callable[[Context, bytes | None], S], context: Context) -> Callable[[bytes | None], S]:
    """What Bytewax calls with the saved state of a key, or None, to make its step."""

    def build(snapshot: bytes | None) -> S:
        try:
            return step(context, snapshot)
        except DriftlineError:
            native_stderr.mute()  # the error is one sentence; Bytewax would print a backtrace first
            raise

    return build


def restored(snapshot: bytes | None) -> Any:
    """The state of a snapshot, None without one."""
    return None if snapshot is None else plain_pickle.load(snapshot)


def ends_partition(item: Any) -> bool:
    """Whether an item is the last of its partition, see `LineBatch.ends_partition`."""
    lines = lines_of(item)
    return lines is not None and lines.ends_partition


def lines_of(item: Any) -> LineBatch | None:
    """The batch of lines that an item carries, None where it has none."""
    if isinstance(item, Parsed):
        return item.good.lines
    if isinstance(item, ParsedLines):
        return item.lines
    return item if isinstance(item, LineBatch) else None


def traceparent_of(item: Any) -> str:
    """The W3C trace context that an item carries, "" where it has none."""
    if isinstance(item, ScoredWindows):
        return item.batch.traceparent
    lines = lines_of(item)
    return str(getattr(item if lines is None else lines, "traceparent", ""))
