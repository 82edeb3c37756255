"""The log of the demonstration: found, or made, and cut in two."""

import lzma
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from rich.console import Console
from rich.progress import Progress as ProgressBar

from engine.corpus import data
from engine.corpus.simulator import simulate
from engine.offline.label_files import read_session_labels

SIMULATED_LINES = 200_000
TIME_FORMAT = "%y%m%d %H%M%S"
BLOCK = re.compile(rb"blk_-?[0-9]+")


@dataclass(frozen=True, slots=True)
class DemoLog:
    """A labelled log: its lines in time order, and which sessions are anomalous."""

    origin: str
    lines: list[bytes]
    labels: dict[str, bool]


def find_log(console: Console, seed: int) -> DemoLog:
    """The best log to be had here; states where it comes from."""
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


@dataclass(frozen=True, slots=True)
class LogSplit:
    """The log cut in two at a line: what is trained on, and what is streamed and judged.

    Sessions that lie across the cut are in neither set of labels: their end was not known yet when
    the model was trained, and their beginning is not in the stream.
    """

    train: list[bytes]
    train_labels: dict[str, bool]
    stream: list[bytes]
    stream_labels: dict[str, bool]


def cut(log: DemoLog, share: float) -> LogSplit:
    """The first `share` (0..1) of the lines for training, the rest for the stream."""
    at = int(len(log.lines) * share)
    before, after = _sessions(log.lines[:at]), _sessions(log.lines[at:])
    return LogSplit(
        log.lines[:at],
        {k: v for k, v in log.labels.items() if k in before and k not in after},
        log.lines[at:],
        {k: v for k, v in log.labels.items() if k in after and k not in before},
    )


def session_gap_s(lines: list[bytes], most_s: int) -> int:
    """A pause that ends a session: a third longer than any within a session of these lines, `most_s` at most."""
    last: dict[bytes, float] = {}
    longest_s = 60.0
    for line in lines:
        found = BLOCK.search(line)
        if found is not None:
            at_s = _time(line).timestamp()
            longest_s = max(longest_s, at_s - last.get(found[0], at_s))
            last[found[0]] = at_s
    return min(most_s, int(longest_s * 4 / 3))


def closing_line(last: bytes, gap_s: int) -> bytes:
    """A line so long after the last one that event time passes the gap of every open session.

    In a live cluster the next lines do this; here there are none.
    """
    later = _time(last) + timedelta(seconds=gap_s + 1)
    message = "INFO dfs.DataNode$DataXceiver: Receiving block blk_0 src: /10.0.0.1:1 dest: /10.0.0.1:50010"
    return f"{later.strftime(TIME_FORMAT)} 1 {message}".encode()


def _time(line: bytes) -> datetime:
    return datetime.strptime(line[:13].decode(), TIME_FORMAT).replace(tzinfo=UTC)


def _sessions(lines: list[bytes]) -> set[str]:
    return {match[0].decode() for line in lines if (match := BLOCK.search(line))}
