"""What every step has as a Bytewax logic: timed, traced, never discarded, with a snapshot that stays as it was."""

from abc import abstractmethod
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, TypeVar

import numpy as np
from bytewax.operators import StatefulBatchLogic

from engine.flow.worker_context import Context
from engine.parsing.parsed import Parsed
from engine.records import ParsedLines, ScoredWindows

V = TypeVar("V")
W = TypeVar("W")


EVERY_TURN = datetime(1970, 1, 1, tzinfo=UTC)
"""Makes Bytewax call `on_notify` at every turn of the worker's loop, where the monotonic clock decides what is due.

A notification by the wall clock would be an hour late after the clock was set back by an hour.
"""


class Step(StatefulBatchLogic[V, W, Any]):
    """A step that is never discarded, timed and traced."""

    name: str

    def __init__(self, context: Context) -> None:
        self._context = context

    @abstractmethod
    def work(self, values: list[V]) -> list[W]:
        """Process the input values and return the output values."""

    def on_batch(self, values: list[V]) -> tuple[Iterable[W], bool]:
        """Time and trace `work`."""
        clock, telemetry = self._context.clock, self._context.telemetry
        started_s = clock.monotonic_s()
        with telemetry.tracer.span(self.name, traceparent_of(values[0])):
            out = self.work(values)
        telemetry.metrics.batch_seconds.observe(clock.monotonic_s() - started_s, self.name)
        return out, StatefulBatchLogic.RETAIN

    @abstractmethod
    def state(self) -> Any:
        """Return plain data from which the constructor continues."""

    def snapshot(self) -> Any:
        """Time `state`."""
        started_s = self._context.clock.monotonic_s()
        state = self.state()
        metrics = self._context.telemetry.metrics
        metrics.snapshot_seconds.observe(self._context.clock.monotonic_s() - started_s, self.name)
        metrics.snapshot_bytes.labels(self.name).set(_bytes_in(state))
        return state


def _bytes_in(state: Any) -> int:
    """Bytes of the arrays and texts in a snapshot; what pickling adds is not counted."""
    if isinstance(state, bytes | str):
        return len(state)
    if isinstance(state, np.ndarray):
        return state.nbytes
    if isinstance(state, dict):
        return sum(map(_bytes_in, state.values()))
    return sum(map(_bytes_in, state)) if isinstance(state, list | tuple) else 0


def traceparent_of(item: Any) -> str:
    """The W3C trace context that an item carries, "" where it has none."""
    if isinstance(item, ParsedLines):
        return item.lines.traceparent
    if isinstance(item, Parsed):
        return item.good.lines.traceparent
    if isinstance(item, ScoredWindows):
        return item.batch.traceparent
    return str(getattr(item, "traceparent", ""))
