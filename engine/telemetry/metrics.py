"""What the engine counts: every metric with its name, unit, labels and help, in one table.

The methods `_make_…` of `Metrics` are that table; `Metrics.specs` lists it for the documentation and for tests. Names
and units follow OpenMetrics: base units, the unit as the name's end, `_total` behind counters.

Everything here is meant to be called once a batch. A histogram takes a whole numpy column at once,
because one call per window would cost more than scoring it.
"""

import re
import threading
from bisect import bisect_left
from collections import Counter as Tally
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate
from math import isfinite

import numpy as np
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry, Counter, Gauge, Info
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

DURATIONS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
LATENCIES_S = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.25, 0.35, 0.5, 0.75, 1.0, 2.5, 5.0, 10.0, 60.0, 600.0)
ROUNDS_S = (1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0)
# Probabilities crowd at both ends; reconstruction errors and counts go beyond 1.
SCORES = (0.001, 0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 0.999, 1.0, 2.0, 5.0, 10.0, 100.0)

_VALUE = re.compile(r"\S*[0-9]\S*")

MAX_REASONS = 50
"""Distinct values of the `reason` label; further ones count as `other`, so that input cannot grow memory."""


@dataclass(frozen=True, slots=True)
class MetricSpec:
    """One row of the table: `name` is the family's name, without a counter's `_total`."""

    name: str
    kind: str
    unit: str
    labels: tuple[str, ...]
    help: str

    @property
    def sample(self) -> str:
        """The name as a query writes it."""
        return self.name + {"counter": "_total", "info": "_info"}.get(self.kind, "")


@dataclass(slots=True)
class _Series:
    counts: list[int]
    total: float = 0.0


class Histogram(Collector):
    """A histogram that takes a column of values in one call; safe to read from another thread."""

    def __init__(self, spec: MetricSpec, bounds: tuple[float, ...]) -> None:
        self._spec = spec
        self._bounds = bounds
        self._edges = np.array(bounds)
        self._series: dict[tuple[str, ...], _Series] = {}
        self._lock = threading.Lock()

    def observe(self, value: float, *labels: str) -> None:
        """Counts one value; one that is not finite is left out, since it would stay in the sum."""
        if not isfinite(value):
            return
        with self._lock:
            series = self._of(labels)
            series.counts[bisect_left(self._bounds, value)] += 1
            series.total += value

    def observe_all(self, values: NDArray[np.floating], *labels: str) -> None:
        """Counts every value of a column but those that are not finite, see `observe`."""
        known = np.isfinite(values)
        if not known.all():
            values = values[known]
        if not len(values):
            return
        found = np.bincount(np.searchsorted(self._edges, values), minlength=len(self._bounds) + 1).tolist()
        with self._lock:
            series = self._of(labels)
            series.counts = [a + b for a, b in zip(series.counts, found, strict=True)]
            series.total += float(values.sum(dtype=np.float64))

    def _of(self, labels: tuple[str, ...]) -> _Series:
        series = self._series.get(labels)
        if series is None:
            if len(labels) != len(self._spec.labels):
                raise ValueError(f"{self._spec.name} takes the labels {self._spec.labels}, not {labels}")
            series = self._series[labels] = _Series([0] * (len(self._bounds) + 1))
        return series

    def describe(self) -> Iterator[HistogramMetricFamily]:
        """The family without samples: lets the registry refuse a second metric of this name."""
        yield HistogramMetricFamily(self._spec.name, self._spec.help, labels=self._spec.labels, unit=self._spec.unit)

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """The family as it is now."""
        family = HistogramMetricFamily(self._spec.name, self._spec.help, labels=self._spec.labels, unit=self._spec.unit)
        names = [*map(str, self._bounds), "+Inf"]
        with self._lock:
            now = {labels: (list(series.counts), series.total) for labels, series in self._series.items()}
        for labels, (counts, total) in now.items():
            family.add_metric(labels, list(zip(names, accumulate(counts), strict=True)), total)
        yield family


class FiniteGauge(Gauge):
    """A gauge that keeps its last value where it is given one that is not finite."""

    def set(self, value: float) -> None:
        """See the class."""
        if isfinite(value):
            super().set(value)


class Metrics:
    """Every metric of one engine process, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.specs: list[MetricSpec] = []
        self._reasons: set[str] = set()

        self.engine = self._info("driftline_engine", "Region, worker and program version of this process.")
        self._make_lines()
        self._make_windows()
        self._make_scores()
        self._make_alerts()
        self._make_drift()
        self._make_rounds()
        self._make_flow()
        ProcessCollector(registry=self.registry)

    def _make_lines(self) -> None:
        """Source and parse."""
        self.lines = self._counter("driftline_lines", "Lines read from the source, good and bad.")
        self.batches = self._counter("driftline_batches", "Micro-batches read from the source.")
        self.bad_lines = self._counter(
            "driftline_bad_lines", "Lines sent to the dead-letter sink, by the kind of fault.", "reason"
        )
        self.joined_lines = self._counter(
            "driftline_joined_lines",
            "Lines that are part of another record: stack traces, and pieces of long lines.",
        )
        self.undated_lines = self._counter(
            "driftline_undated_lines", "Lines without a time that can be read; they have the time of reading."
        )
        self.source_lag = self._gauge(
            "driftline_source_lag", "Not yet read from the source (Kafka: messages; files: bytes).", "partition"
        )
        self.source_errors = self._counter("driftline_source_errors", "Failed reads; they are repeated.")
        self.templates = self._gauge("driftline_templates", "Templates known to this process.")

    def _make_windows(self) -> None:
        """Windows."""
        self.late_lines = self._counter(
            "driftline_late_lines", "Lines older than the allowed lateness; they are not in any window."
        )
        self.open_sessions = self._gauge("driftline_open_sessions", "Sessions held in memory.")
        self.evicted_sessions = self._counter(
            "driftline_evicted_sessions", "Sessions closed early because the bound on open sessions was reached."
        )
        self.windows = self._counter("driftline_windows", "Windows passed to the model, growth steps included.")

    def _make_scores(self) -> None:
        """Scores and the model that makes them."""
        self.score = self._histogram("driftline_score", "Scores of windows; higher means more anomalous.", SCORES)
        self.score_cache_hits = self._counter("driftline_score_cache_hits", "Windows whose score was in the cache.")
        self.score_cache_misses = self._counter("driftline_score_cache_misses", "Windows that the model scored.")
        self.model_version = self._gauge("driftline_model_version", "Version of the model in use.", "model")
        self.model_swaps = self._counter(
            "driftline_model_swaps",
            "New versions by outcome: swapped, shadowing, refused, unreachable, recovered or taken_back.",
            "outcome",
        )

    def _make_alerts(self) -> None:
        """Decisions, alerts and sinks."""
        self.alerts = self._counter("driftline_alerts", "Alerts passed to the sinks.")
        self.alerts_withheld = self._counter(
            "driftline_alerts_withheld", "Alerts beyond the budget, which are sent together as one."
        )
        self.alert_classes = self._counter(
            "driftline_alert_classes", "Alerts by the class that the line classifier gave them.", "class"
        )
        self.suppressed = self._counter(
            "driftline_suppressed_windows", "Anomalous windows that repeat an alert and do not raise another one."
        )
        self.latency_seconds = self._histogram(
            "driftline_latency_seconds", "From the production of a line to the alert on its window.", LATENCIES_S
        )
        self.sink_pending = self._gauge("driftline_sink_pending", "Records not yet acknowledged by a sink.", "sink")
        self.sink_errors = self._counter(
            "driftline_sink_errors", "Flushes that were not acknowledged in time; the records are kept.", "sink"
        )
        self.sink_cpu_seconds = self._counter(
            "driftline_sink_cpu_seconds", "CPU time of the engine's own thread in a sink.", "sink"
        )

    def _make_drift(self) -> None:
        """Drift, and what is kept to learn from."""
        self.drift_statistic = self._gauge("driftline_drift_statistic", "Statistic of each drift detector.", "detector")
        self.drift_threshold = self._gauge("driftline_drift_threshold", "Threshold of the drift detector.", "detector")
        self.drift_raised = self._gauge(
            "driftline_drift_raised", "1 while the drift detector reports drift.", "detector"
        )
        self.drift_disabled = self._gauge(
            "driftline_drift_disabled",
            "1 if the stream varies too much without drift for the drift detector.",
            "detector",
        )
        self.drift_reference = self._gauge(
            "driftline_drift_reference_windows", "Windows in the reference of the drift detector.", "detector"
        )
        self.drift_reference_needed = self._gauge(
            "driftline_drift_reference_needed_windows", "Windows that its reference needs for a verdict.", "detector"
        )
        self.drift_events = self._counter(
            "driftline_drift_events",
            "Events sent: drift, its end (over), or regression of a new model version.",
            "type",
            "detector",
        )
        self.training_windows = self._counter(
            "driftline_training_windows",
            "Windows for the training store: written, or dropped if the store did not accept them.",
            "outcome",
        )

    def _make_rounds(self) -> None:
        """Federated rounds, in the coordinator's process."""
        self.rounds = self._counter(
            "driftline_rounds",
            "Federated rounds by outcome: published, refused, superseded, failed or interrupted.",
            "outcome",
        )
        self.round_seconds = self._histogram(
            "driftline_round_seconds", "From the plan of a round to its end.", ROUNDS_S
        )
        self.region_missed = self._gauge(
            "driftline_region_missed", "Consecutive rounds without a region; logged from two on.", "region"
        )
        self.privacy_epsilon = self._gauge(
            "driftline_privacy_epsilon",
            "Epsilon over all rounds of the region that has spent most, as of the last round with a privacy budget.",
        )
        self.rollbacks = self._counter("driftline_rollbacks", "Versions rolled back, after a regression or by command.")

    def _make_flow(self) -> None:
        """The flow itself."""
        self.batch_seconds = self._histogram(
            "driftline_batch_seconds", "Time that one step takes for one micro-batch.", DURATIONS_S, "step"
        )
        self.snapshot_seconds = self._histogram(
            "driftline_snapshot_seconds",
            "Time that a step takes for its snapshot.",
            DURATIONS_S,
            "step",
        )
        self.snapshot_bytes = self._gauge("driftline_snapshot_bytes", "Size of a step's latest snapshot.", "step")

    def count_bad_lines(self, reasons: Iterable[str]) -> None:
        """Counts dead letters by kind: a reason up to its first colon, with `#` instead of the values in it."""
        for reason, n in Tally(_VALUE.sub("#", reason.partition(": ")[0]) for reason in reasons).items():
            if reason not in self._reasons and len(self._reasons) >= MAX_REASONS:
                reason = "other"
            self._reasons.add(reason)
            self.bad_lines.labels(reason).inc(n)

    def expose(self, accept: str = "") -> tuple[str, bytes]:
        """Content type and page for an HTTP `Accept` header: OpenMetrics if asked for, else Prometheus text."""
        encode, content_type = choose_encoder(accept)
        return content_type, encode(self.registry)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        spec = self._row(name, "counter", text, labels)
        return Counter(name, text, labels, unit=spec.unit, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        spec = self._row(name, "gauge", text, labels)
        return FiniteGauge(name, text, labels, unit=spec.unit, registry=self.registry)

    def _info(self, name: str, text: str) -> Info:
        return Info(self._row(name, "info", text, ()).name, text, registry=self.registry)

    def _histogram(self, name: str, text: str, bounds: tuple[float, ...], *labels: str) -> Histogram:
        histogram = Histogram(self._row(name, "histogram", text, labels), bounds)
        self.registry.register(histogram)
        return histogram

    def _row(self, name: str, kind: str, text: str, labels: tuple[str, ...]) -> MetricSpec:
        unit = next((u for u in ("seconds", "bytes") if name.endswith("_" + u)), "")
        self.specs.append(MetricSpec(name, kind, unit, labels, text))
        return self.specs[-1]
