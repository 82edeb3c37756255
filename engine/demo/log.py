"""The log of the demonstration: found or simulated, and cut in two."""

import lzma
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from rich.console import Console
from rich.progress import Progress as ProgressBar

from engine.corpus import data
from engine.corpus.simulator import simulate
from engine.offline.label_files import read_session_labels

SIMULATED_LINES = 200_000
TIME_FORMAT = "%y%m%d %H%M%S"
LABELS_HEADER = "BlockId,Label\n"
GAP_S = 43_200
"""HDFS blocks rest for hours between being written and deleted; the longest pause in the sample is 12.9 h."""

_BLOCK = re.compile(rb"blk_-?[0-9]+")


@dataclass(frozen=True, slots=True)
class DemoLog:
    """A labelled log: its lines in time order, and which sessions are anomalous."""

    origin: str
    lines: list[bytes]
    labels: dict[str, bool]

    def split(self, share: float) -> tuple["DemoLog", "DemoLog"]:
        """The first `share` (0..1) of the lines for training, and the rest for the stream.

        Sessions across the cut have no label on either side: the model was trained before they ended, and the
        stream lacks their beginning.
        """
        at = int(len(self.lines) * share)
        parts = self.lines[:at], self.lines[at:]
        before, after = (sessions(part) for part in parts)
        first, rest = (
            DemoLog(self.origin, part, {key: bad for key, bad in self.labels.items() if key in keys})
            for part, keys in zip(parts, (before - after, after - before), strict=True)
        )
        return first, rest

    def write(self, folder: Path, stem: str) -> tuple[Path, Path]:
        """Write `STEM.log` and its labels `STEM.csv`, as `driftline train` reads them."""
        log, labels = folder / f"{stem}.log", folder / f"{stem}.csv"
        log.write_bytes(b"\n".join(self.lines) + b"\n")
        rows = (f"{key},{'Anomaly' if bad else 'Normal'}\n" for key, bad in self.labels.items())
        labels.write_text(LABELS_HEADER + "".join(rows))
        return log, labels


def find_log(console: Console, seed: int) -> DemoLog:
    """The HDFS sample on this machine, else from its public home, else a simulated cluster."""
    try:
        with ProgressBar(console=console, transient=True) as bar:
            task = bar.add_task("HDFS sample", total=None)
            files = data.get("hdfs-2pct", lambda done, total: bar.update(task, completed=done, total=total))
    except data.DownloadFailedError as error:
        console.print(
            f"[yellow]No real log here:[/] {error}\n[yellow]Using a simulated storage cluster instead; its figures do "
            "not show how well real logs are detected.[/]"
        )
        made = simulate(SIMULATED_LINES, seed=seed)
        return DemoLog(f"simulated, seed {seed}", made.data.splitlines(), made.labels)
    log = lzma.decompress(files["HDFS_2pct.log.xz"].read_bytes())
    return DemoLog("HDFS 2 % sample", log.splitlines(), read_session_labels(files["HDFS_2pct_labels.csv"]))


def session_of(line: bytes) -> str | None:
    """The block that a line is about."""
    found = _BLOCK.search(line)
    return None if found is None else found[0].decode()


def sessions(lines: Iterable[bytes]) -> set[str]:
    """The blocks that lines are about."""
    return {key for line in lines if (key := session_of(line)) is not None}


def session_gap_s(lines: Iterable[bytes]) -> int:
    """A gap that ends a session: a third longer than every pause within a session of these lines, up to `GAP_S`."""
    last: dict[str, datetime] = {}
    longest = timedelta(minutes=1)
    for line in lines:
        if (key := session_of(line)) is not None:
            at = _time(line)
            longest = max(longest, at - last.get(key, at))
            last[key] = at
    return min(GAP_S, int(longest.total_seconds() * 4 / 3))


def closing_lines(last: bytes, gap_s: int) -> list[bytes]:
    """Two lines so long after the last one that event time passes the gap of every open session.

    In a live cluster the next lines do this; here there are none. One line alone would count as a wrong clock.
    """
    message = "INFO dfs.DataNode$DataXceiver: Receiving block blk_0 src: /10.0.0.1:1 dest: /10.0.0.1:50010"
    times = (_time(last) + timedelta(seconds=gap_s + more) for more in (1, 2))
    return [f"{time.strftime(TIME_FORMAT)} 1 {message}".encode() for time in times]


def compare(alerted: set[str], labels: Mapping[str, bool]) -> dict[str, float]:
    """Alerts against labels, by session; alerted sessions without a label are counted and left out."""
    hits = sum(labels.get(key, False) for key in alerted)
    known, anomalous = sum(key in labels for key in alerted), sum(labels.values())
    return {
        "sessions_judged": len(labels),
        "sessions_not_judged": len(alerted) - known,
        "anomalous_sessions": anomalous,
        "precision": hits / known if known else 0.0,
        "recall": hits / anomalous if anomalous else 0.0,
        "f1": 2 * hits / (known + anomalous) if hits else 0.0,
    }


def _time(line: bytes) -> datetime:
    return datetime.strptime(line[:13].decode(), TIME_FORMAT).replace(tzinfo=UTC)
