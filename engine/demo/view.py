"""The live view of `driftline demo`: the engine's `/metrics` as a table that refreshes."""

import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field

from prometheus_client.parser import text_string_to_metric_families
from rich.table import Table


@dataclass(slots=True)
class MetricsReading:
    """A snapshot of an engine's metrics.

    `latency` holds the cumulative buckets of the alert latency: upper bound in seconds → alerts.
    """

    values: dict[str, float] = field(default_factory=dict)
    latency: dict[float, float] = field(default_factory=dict)

    def p99_ms(self) -> float | None:
        """The 99th percentile of the alert latency in milliseconds; None without alerts.

        Interpolated inside its bucket, as query languages for histograms do.
        """
        total = self.latency.get(float("inf"), 0.0)
        if not total:
            return None
        rank, below, start = total * 0.99, 0.0, 0.0
        for bound, count in sorted(self.latency.items()):
            if count >= rank:
                if bound == float("inf"):
                    return start * 1000
                return (start + (bound - start) * (rank - below) / max(count - below, 1e-9)) * 1000
            below, start = count, bound
        return None


def read(url: str) -> MetricsReading | None:
    """The metrics served at `url`, or None while the engine does not answer."""
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            text = answer.read().decode()
    except (urllib.error.URLError, TimeoutError, ConnectionError):
        return None
    reading = MetricsReading()
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == "driftline_latency_seconds_bucket":
                reading.latency[float(sample.labels["le"])] = sample.value
            elif not sample.name.endswith(("_bucket", "_created")):
                reading.values[sample.name] = reading.values.get(sample.name, 0.0) + sample.value
    return reading


class View:
    """Turns readings into a table; rates are between the last two readings."""

    ROWS: Mapping[str, str] = {
        "lines read": "driftline_lines_total",
        "windows scored": "driftline_windows_total",
        "alerts": "driftline_alerts_total",
        "templates": "driftline_templates",
        "open sessions": "driftline_open_sessions",
        "model version": "driftline_model_version",
    }

    def __init__(self, total_lines: int) -> None:
        self._total = total_lines
        self._before: tuple[float, MetricsReading] | None = None
        self._rates: dict[str, float] = {}
        self._now = MetricsReading()
        self.peak_lines_per_s = 0.0

    def update(self, at_s: float, reading: MetricsReading) -> None:
        """Takes a reading made at monotonic time `at_s`."""
        if self._before is not None and at_s > self._before[0]:
            span = at_s - self._before[0]
            for name in ("driftline_lines_total", "driftline_windows_total"):
                grown = reading.values.get(name, 0.0) - self._before[1].values.get(name, 0.0)
                self._rates[name] = grown / span
            self.peak_lines_per_s = max(self.peak_lines_per_s, self._rates["driftline_lines_total"])
        self._before = (at_s, reading)
        self._now = reading

    def done(self, reading: MetricsReading) -> bool:
        """Whether every line was read, and every session closed but that of the closing line."""
        return (
            reading.values.get("driftline_lines_total", 0) >= self._total
            and reading.values.get("driftline_open_sessions", 2) <= 1
        )

    def table(self, title: str) -> Table:
        """The table as of the last reading."""
        table = Table(title=title, show_header=False, min_width=60)
        table.add_column(style="bold")
        table.add_column(justify="right")
        table.add_column(justify="right", style="cyan")
        for label, name in self.ROWS.items():
            value = f"{self._now.values.get(name, 0):,.0f}"
            if label == "lines read":
                value += f" of {self._total:,}"
            rate = f"{self._rates[name]:,.0f}/s" if name in self._rates else ""
            table.add_row(label, value, rate)
        p99 = self._now.p99_ms()
        table.add_row("p99 from line to alert", "-" if p99 is None else f"{p99:,.0f} ms", "")
        return table
