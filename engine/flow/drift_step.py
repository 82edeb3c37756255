"""The drift step as a Bytewax logic: the monitor's state and comparisons, reported to health, metrics and the log."""

import logging
from dataclasses import astuple, replace
from typing import Any

import numpy as np
from bytewax.operators import StatefulBatchLogic
from numpy.typing import NDArray

from connectors.base import Record
from engine.drift.event import DriftEvent, event_record
from engine.drift.labelled import LabelCounts
from engine.drift.mistakes import mistakes_of
from engine.drift.monitor import DriftMonitor
from engine.drift.status import MonitorStatus
from engine.drift.vectors import template_vectors
from engine.flow.step import Step, restored
from engine.flow.worker_context import Context
from engine.records import ScoredWindows
from engine.steps.alert import redaction
from engine.steps.training_sampler import ServiceStart
from foundation.document_signatures import signer

log = logging.getLogger(__name__)

_LOOK_S = 0.2
"""Interval of checks of the scores: many blocks of a fast stream are checked together, which costs less."""

_PROGRESS_S = 300.0
"""Between two lines of the log about a reference that is not complete."""


class DriftStep(Step[ScoredWindows, Record]):
    """Scores of one shard → drift events."""

    name = "drift"

    def __init__(self, context: Context, snapshot: bytes | None) -> None:
        super().__init__(context)
        key = context.settings.event_key
        self._sign = None if key is None else signer(key)
        self._redact = redaction(context.settings.alert) if context.settings.drift.texts else lambda _: ""
        saved = restored(snapshot) or {}
        started = saved.get("started")
        self._started = None if started is None else ServiceStart(*started)
        self._monitor = DriftMonitor(
            context.settings.drift, context.templates, vectors=self._vectors, state=saved.get("monitor")
        )
        self._looked_s = -_LOOK_S
        self._status: MonitorStatus | None = None  # as last logged
        self._logged_s = 0.0

    def work(self, values: list[ScoredWindows]) -> list[Record]:
        """See `Step.work`."""
        events: list[DriftEvent] = []
        now_s = self._context.clock.monotonic_s()
        wait = now_s - self._looked_s < _LOOK_S
        for scored in values:
            events += self._monitor.observe(
                scored.batch.windows, scored.score, scored.batch.last_ns, model=scored.model, version=scored.version,
                threshold=self._threshold(scored), wait=wait,
            )  # fmt: skip
        events += self._labels(values[-1])
        events += self._context.models.regressions()
        if not wait:
            self._looked_s = now_s
        if events or not wait:
            self._show()
        return self._counted(events)

    def on_eof(self) -> tuple[list[Record], bool]:
        """Checks the blocks that still wait for a look."""
        events = self._monitor.look()
        self._show()
        return self._counted(events), StatefulBatchLogic.RETAIN

    def _show(self) -> None:
        """Reports the detectors, and how far their references are."""
        metrics, status = self._context.telemetry.metrics, self._monitor.status()
        for name, reading in self._monitor.readings().items():
            metrics.drift_statistic.labels(name).set(reading.statistic)
            metrics.drift_threshold.labels(name).set(reading.threshold)
            metrics.drift_raised.labels(name).set(reading.raised)
            metrics.drift_disabled.labels(name).set(name in status.blind)
            metrics.drift_reference.labels(name).set(status.references[name].blocks)
            metrics.drift_reference_needed.labels(name).set(status.references[name].needed)
        if status.seeing:
            self._context.telemetry.health.ok("drift", status.sentence())
        else:
            self._context.telemetry.health.fail("drift", status.sentence())
        self._log(status)

    def _log(self, status: MonitorStatus) -> None:
        """Logs the state where it has changed, and how far an incomplete reference is from time to time."""
        now_s, before = self._context.clock.monotonic_s(), self._status
        if before is not None and status.blind != before.blind and status.blind:
            log.warning("drift: %s", status.sentence())
        elif before is None or status.ready != before.ready:
            log.info("drift: %s", status.sentence())
        elif status.ready or now_s - self._logged_s < _PROGRESS_S:
            return
        else:
            log.info("drift: %s", status.sentence())
        self._status, self._logged_s = status, now_s

    def _counted(self, events: list[DriftEvent]) -> list[Record]:
        metrics = self._context.telemetry.metrics
        for event in events:
            metrics.drift_events.labels("over" if event.over else event.type, event.detector).inc()
        return [self._record(event) for event in events]

    def _threshold(self, scored: ScoredWindows) -> float:
        fixed = self._context.settings.decide.threshold
        return scored.threshold if fixed is None else fixed

    def _labels(self, last: ScoredWindows) -> list[DriftEvent]:
        """Passes what labels show of the version in service to the monitor."""
        collector = self._context.collector
        if collector is None or not len(last.batch):
            return []
        version, started = (last.model, last.version), self._started
        if started is None or started.version != version:
            started = ServiceStart(version, self._context.clock.wall_ns(), int(last.batch.last_ns.min()), 0.0)
        self._started = replace(started, threshold=self._threshold(last))
        said = collector.verdicts(self._started)
        if said is None:
            return []
        models, time_ns = self._context.models, int(last.batch.last_ns.max())
        models.judge(last.version, said.right, said.wrong, time_ns)
        serving = models.get()
        f1 = serving.f1 if serving.version == last.version else None
        expected = 0.0 if f1 is None else mistakes_of(f1)
        counts = LabelCounts(said.right, said.wrong, said.found, said.false, said.missed, expected)
        return self._monitor.judge(counts, time_ns)

    def _record(self, event: DriftEvent) -> Record:
        about = f"{event.kind}, by {event.detector}" if event.kind else event.detector
        log.warning(
            "%s%s: %s", event.type, " is over" if event.over else "", about,
            extra={"statistic": event.statistic, "model": event.model},
        )  # fmt: skip
        origin = f"{self._context.worker}/{self._context.of}"
        region = self._context.settings.region
        return event_record(event, region=region, origin=origin, redact=self._redact, sign=self._sign)

    def _vectors(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        return template_vectors(self._context.models.get().scorer.detector)(ids)

    def state(self) -> dict[str, Any]:
        """See `Step.state`."""
        return {
            "monitor": self._monitor.snapshot(),
            "started": None if self._started is None else astuple(self._started),
        }
