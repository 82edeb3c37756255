"""Context: the running parts that the steps of one worker process share."""

import logging
from dataclasses import dataclass, field, replace
from pathlib import Path

from connectors.base import LineBatch, Source
from engine.clock import Clock
from engine.serving.hot_swap import Templates
from engine.serving.shadow import ModelFollower
from engine.settings import RegionSettings
from engine.steps.classify import Classify
from engine.steps.sinks import SinkObserver
from engine.steps.source import Observer, Pace
from engine.steps.suspects import Suspects
from engine.steps.training_sampler import Collector
from engine.stop_flag import StopFlag
from engine.telemetry.telemetry import Telemetry
from engine.windows.recent import RecentLines

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Drain:
    """A requested stop, and how long it may take.

    Attributes:
        requested: Set once the engine shall stop: sources end, and lines already read are processed.
        deadline_s: Monotonic time at which waiting for others ends.
        rebuilds: Whether the process builds its flow again when a step asks for it.
        again: Why the flow is built again after the stop, "" where the process ends.
    """

    clock: Clock
    patience_s: float
    requested: StopFlag = field(default_factory=StopFlag)
    deadline_s: float = float("inf")
    rebuilds: bool = False
    again: str = ""

    def request(self) -> None:
        """Asks for the stop; a second call changes nothing. Safe in a signal handler."""
        if not self.requested.is_set():
            self.deadline_s = self.clock.monotonic_s() + self.patience_s
            self.requested.set()

    def rebuild(self, reason: str) -> None:
        """Asks for the stop, and for the flow to be built again after it; does nothing once a stop is requested."""
        if not self.rebuilds:
            log.warning("%s; restart the engine to read them", reason)
        elif not self.requested.is_set():
            self.again = reason
            self.request()

    def expired(self) -> bool:
        """Whether a requested stop has waited long enough."""
        return self.clock.monotonic_s() > self.deadline_s


@dataclass(frozen=True, slots=True)
class Context:
    """What the steps are given next to their own settings."""

    settings: RegionSettings
    worker: int
    of: int
    source: Source
    clock: Clock
    drain: Drain
    templates: Templates
    recent: RecentLines
    follower: ModelFollower | None
    telemetry: Telemetry
    pace: Pace = field(default_factory=lambda: Pace(StopFlag()))
    classify: Classify | None = None
    collector: Collector | None = None
    suspects: Suspects | None = None
    state_folder: Path | None = None
    """Where steps may keep files that belong to their snapshots; None: a snapshot is all that is kept."""

    @property
    def models(self) -> ModelFollower:
        """The models that score windows; used only if the settings name one."""
        if self.follower is None:
            raise ValueError("the region has no model")
        return self.follower


class SourceReports(Observer):
    """Turn reports of the source into metrics, health and the root span of each batch."""

    def __init__(self, telemetry: Telemetry, drain: Drain) -> None:
        self._telemetry = telemetry
        self._drain = drain
        self._lags: dict[str, int] = {}
        self._failing: dict[str, str] = {}
        self._said = False

    def read(self, batch: LineBatch) -> LineBatch:
        """Counts the batch and opens its trace."""
        metrics = self._telemetry.metrics
        metrics.lines.inc(len(batch) + len(batch.rejects))
        metrics.batches.inc()
        with self._telemetry.tracer.span("source", batch.traceparent, lines=len(batch)) as span:
            return replace(batch, traceparent=span.traceparent) if span.traceparent != batch.traceparent else batch

    def lag(self, partition: str, lag: int | None) -> None:
        """Watches the lag of all partitions together."""
        if lag is not None:
            self._lags[partition] = lag
            self._telemetry.metrics.source_lag.labels(partition).set(lag)
            self._telemetry.lag.observe(sum(self._lags.values()))

    def turn(self) -> None:
        """The worker's loop came round."""
        self._telemetry.health.progress()

    def unavailable(self, partition: str, reason: str) -> None:
        """Reading failed for now."""
        self._telemetry.metrics.source_errors.inc()
        self._failing[partition] = reason
        self._report()
        self.turn()

    def added(self, reason: str) -> None:
        """Bytewax lists partitions once, so the flow is drained and built again."""
        self._drain.rebuild(reason)

    def available(self, partition: str) -> None:
        """Reading works. Called at every poll, so it only speaks where that is news."""
        if self._failing.pop(partition, None) is not None or not self._said:
            self._report()

    def _report(self) -> None:
        self._said = True
        if self._failing:
            words = (f"{partition}: {reason}" if partition else reason for partition, reason in self._failing.items())
            self._telemetry.health.fail("source", "; ".join(words))
        else:
            self._telemetry.health.ok("source")


class SinkReports(SinkObserver):
    """Turn reports of the sinks into metrics and health."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry
        self._failing: dict[str, str] = {}

    def delivered(self, sink: str, pending: int) -> None:
        """Everything is acknowledged."""
        self._telemetry.metrics.sink_pending.labels(sink).set(pending)
        self._failing.pop(sink, None)
        self._report()

    def refused(self, sink: str, reason: str, pending: int) -> None:
        """Not acknowledged; tried again."""
        self._telemetry.metrics.sink_errors.labels(sink).inc()
        self._telemetry.metrics.sink_pending.labels(sink).set(pending)
        self._failing[sink] = reason
        self._report()
        # Waiting for a sink is not being stuck: a restart would not help.
        self._telemetry.health.progress()

    def worked(self, sink: str, cpu_s: float) -> None:
        """Add up the CPU time."""
        self._telemetry.metrics.sink_cpu_seconds.labels(sink).inc(cpu_s)

    def _report(self) -> None:
        if self._failing:
            self._telemetry.health.fail("sinks", "; ".join(f"{s}: {r}" for s, r in self._failing.items()))
        else:
            self._telemetry.health.ok("sinks")
