"""What an operator sees of the coordinator: metrics, health and one trace a round.

The span `round` starts a trace; its context is in the plan, in every message to the regions and on the card of
the version, so the spans of ServerApp steps, trainers and engines are below it. Rounds are rare: every one is
traced where tracing is on.
"""

import logging
from contextlib import AbstractContextManager
from pathlib import Path

from engine.clock import Clock
from engine.telemetry.health import COORDINATOR, Health
from engine.telemetry.telemetry import ServedTelemetry, TelemetrySettings
from engine.telemetry.tracing import Tracer
from federation.coordinator.hooks import RoundObserver
from federation.coordinator.records import Round
from federation.errors import StorageError
from federation.round.round_files import read_steps

log = logging.getLogger(__name__)

TRACE_ALL = 1.0
"""Share of rounds that are traced where OTEL_TRACES_SAMPLER is not set."""


class RoundTelemetry(ServedTelemetry, RoundObserver):
    """Telemetry of the coordinator."""

    def __init__(self, settings: TelemetrySettings, clock: Clock, tracer: Tracer) -> None:
        """Starts serving at once.

        Args:
            settings: Where to serve.
            clock: For ages and stamps.
            tracer: Makes the spans; closed with this.

        Raises:
            EndpointError: the address cannot be served on.
        """
        super().__init__(settings, Health(clock, settings.stall_s, COORDINATOR, {}), tracer, "coordinator")

    def begin(self, round_id: str) -> str:
        """See `RoundObserver`."""
        with self.tracer.span("round", round=round_id) as span:
            return span.traceparent

    def step(self, name: str, traceparent: str) -> AbstractContextManager[object]:
        """See `RoundObserver`."""
        return self.tracer.span(f"round.{name}", traceparent)

    def ended(self, ended: Round, folder: Path) -> None:
        """See `RoundObserver`; the steps that the ServerApp noted become spans of their own."""
        self.metrics.rounds.labels(ended.outcome).inc()
        self.metrics.round_seconds.observe((ended.ended_ns - ended.planned_ns) / 1e9)
        if ended.epsilon is not None:
            self.metrics.privacy_epsilon.set(ended.epsilon)
        if ended.published:
            self.metrics.model_version.labels(ended.model).set(ended.published)
        before_ns = ended.started_ns
        try:
            steps = read_steps(folder)
        except StorageError as error:
            log.warning("the trace of round %s lacks its steps: %s", ended.round_id, error)
            return
        for step in steps:
            times_ns = (min(before_ns, step.time_ns), step.time_ns)
            self.tracer.past(f"server.{step.name}", ended.traceparent, times_ns, **step.figures)
            before_ns = step.time_ns

    def missing(self, region: str, count: int) -> None:
        """See `RoundObserver`."""
        self.metrics.region_missed.labels(region).set(count)

    def rolled_back(self, model: str, version: int) -> None:
        """See `RoundObserver`."""
        self.metrics.rollbacks.inc()
        self.metrics.model_version.labels(model).set(version)

    def events_problem(self, reason: str) -> None:
        """See `RoundObserver`; called at every turn of the loop."""
        self.health.progress()
        self._report("events", reason)

    def step_problem(self, reason: str) -> None:
        """See `RoundObserver`."""
        self._report("rounds", reason)

    def _report(self, name: str, sentence: str) -> None:
        if sentence:
            self.health.fail(name, sentence)
        else:
            self.health.ok(name)
