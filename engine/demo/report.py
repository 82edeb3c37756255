"""What the demonstration found: alerts against labels, as a table and as a file."""

import contextlib
import sqlite3
from dataclasses import dataclass
from pathlib import Path

import orjson
from rich.console import Console
from rich.table import Table

from engine.demo.log import DemoLog, LogSplit
from engine.demo.view import MetricsReading, View
from models.storage.store import Card


@dataclass(frozen=True, slots=True)
class AlertEvaluation:
    """Alerts against labels, by session."""

    true_positives: int
    false_positives: int
    false_negatives: int
    sessions: int
    not_judged: int

    @property
    def precision(self) -> float:
        """Share of alerted sessions that are anomalous; 0 without alerts."""
        alerted = self.true_positives + self.false_positives
        return self.true_positives / alerted if alerted else 0.0

    @property
    def recall(self) -> float:
        """Share of anomalous sessions that were alerted; 0 if there are none."""
        anomalous = self.true_positives + self.false_negatives
        return self.true_positives / anomalous if anomalous else 0.0

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        both = self.precision + self.recall
        return 2 * self.precision * self.recall / both if both else 0.0


def judge(alerted: set[str], labels: dict[str, bool]) -> AlertEvaluation:
    """What the alerts got right; sessions without a label are counted and left out."""
    hits = sum(labels.get(key, False) for key in alerted)
    known = sum(key in labels for key in alerted)
    anomalous = sum(labels.values())
    return AlertEvaluation(hits, known - hits, anomalous - hits, len(labels), len(alerted) - known)


def write_report(
    out: Path, log: DemoLog, parts: LogSplit, view: View, last: MetricsReading, card: Card, total_s: float
) -> dict[str, object]:
    """Judges the alerts in the store by the labels, and writes `report.json`."""
    with contextlib.closing(sqlite3.connect(out / "alerts.db")) as database:
        sessions = [row[0] for row in database.execute("SELECT session FROM alerts")]
    verdict = judge(set(sessions), parts.stream_labels)
    report: dict[str, object] = {
        "data": log.origin,
        "lines_trained": len(parts.train),
        "lines_streamed": len(parts.stream),
        "sessions_judged": verdict.sessions,
        "sessions_not_judged": verdict.not_judged,
        "anomalous_sessions": verdict.true_positives + verdict.false_negatives,
        "alerts": len(sessions),
        "precision": verdict.precision,
        "recall": verdict.recall,
        "f1": verdict.f1,
        "windows_scored": last.values.get("driftline_windows_total", 0.0),
        "busy_s": last.values.get("driftline_batch_seconds_sum", 0.0),
        "lines_per_busy_s": len(parts.stream) / max(last.values.get("driftline_batch_seconds_sum", 0.0), 1e-9),
        "p99_ms": last.p99_ms(),
        "dead_letters": last.values.get("driftline_bad_lines_total", 0.0),
        "model": f"{card.name} version {card.version}",
        "threshold": card.threshold.value,
        "total_s": total_s,
        "files": {
            "alerts": str(out / "alerts.db"),
            "model": str(out / "models"),
            "region": str(out / "region.toml"),
            "report": str(out / "report.json"),
            "engine log": str(out / "engine.log"),
        },
    }
    (out / "report.json").write_bytes(orjson.dumps(report, option=orjson.OPT_INDENT_2))
    return report


def show_summary(console: Console, report: dict[str, object]) -> None:
    """Prints the report: its figures as a table, then where everything lies."""
    table = Table("", "", title="summary", show_header=False, min_width=60)
    for key, value in report.items():
        if isinstance(value, dict):
            continue
        text = f"{value:,.3f}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else f"{value}"
        table.add_row(key.replace("_", " "), text)
    console.print(table)
    files = report["files"]
    if isinstance(files, dict):
        for name, path in files.items():
            console.print(f"{name:>10}  {path}", soft_wrap=True)
