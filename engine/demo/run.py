"""`driftline demo`: the main job on one machine, with everything it needs started and stopped here.

1. Find a labelled log: the HDFS sample on this machine, else from its public home, else simulated.
2. Train a BERT-CNN on the first part of the stream and publish it to a model store.
3. Start the embedded broker and, as a user would, `driftline run` on a region's TOML file.
4. Stream the rest of the log through Kafka, one line a message, with a live view.
5. Stop the engine with SIGTERM and compare its alerts with the labels.
"""

import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.progress import Progress as ProgressBar

from connectors.broker import EmbeddedBroker
from connectors.ports import free_port
from engine.demo.log import LogSplit, closing_line, cut, find_log
from engine.demo.process import REGION, Feeder, driftline
from engine.demo.report import show_summary, write_report
from engine.demo.view import MetricsReading, View, read
from engine.offline.detect import Preprocessing, train_on_log
from engine.offline.inputs import LogSpec
from engine.parsing.parse_settings import ParseSettings
from engine.steps.window import SessionWindows
from foundation.errors import DriftlineError
from models.storage.store import Card, ModelStore
from models.train_detector import TrainSettings

GAP_S = 43_200
"""HDFS blocks rest for hours between being written and deleted; the longest pause in the sample is 12.9 h."""

GROWTH = (8, 16, 32)
START_S = 180.0


TRAINED_WITH = "train.csv"
HEADER = "BlockId,Label\n"
LEFT = ("models", "recovery", "alerts.db*", "dead-letters.jsonl", "engine.log", "region.toml", "report.*", "train.*")
"""What a demonstration leaves in its folder."""


class DemoError(DriftlineError):
    """The demonstration cannot go on; the message states why."""


def run(out: Path, first: float, seconds: float, seed: int) -> int:
    """The demonstration; the steps are the module's. Returns the exit code."""
    console = Console()
    started_s = time.monotonic()
    log = find_log(console, seed)  # 1
    parts = cut(log, first)
    out = out.resolve()
    clear(out, LEFT)
    console.print(
        f"{log.origin}: {len(log.lines):,} lines, {len(log.labels):,} sessions; the first {len(parts.train):,} lines "
        f"train, the other {len(parts.stream):,} are streamed"
    )
    card = train_first(console, out, parts, seed)  # 2
    with EmbeddedBroker() as broker:  # 3
        for topic in ("hdfs.logs", "driftline.alerts"):
            broker.create_topic(topic)
        port = free_port()
        region = out / "region.toml"
        files = {"alerts": out / "alerts.db", "dead": out / "dead-letters.jsonl", "recovery": out / "recovery"}
        settings = {"brokers": broker.brokers, "gap_s": GAP_S, "growth": list(GROWTH), "port": port}
        region.write_text(REGION.format(**settings, **files, store=out / "models"))
        stream = [*parts.stream, closing_line(parts.stream[-1], GAP_S)]
        view = View(len(stream))
        with driftline("run", region, log=out / "engine.log") as process:
            feeder = Feeder(broker.brokers, [("hdfs.logs", line) for line in stream], seconds)
            last = _watch(console, process, feeder, view, f"http://127.0.0.1:{port}/metrics", out)  # 4
        if process.returncode != 0:
            raise DemoError(f"the engine ended with code {process.returncode}; see {out / 'engine.log'}")
    console.print()
    report = write_report(out, log, parts, view, last, card, time.monotonic() - started_s)  # 5
    show_summary(console, report)
    return 0


def clear(out: Path, patterns: Sequence[str]) -> None:
    """Makes the folder, and removes what a former demonstration left in it, nothing else.

    Raises:
        DemoError: something else left it there, such as the package `models` in a checkout.
    """
    out.mkdir(parents=True, exist_ok=True)
    found = [path for pattern in patterns for path in out.glob(pattern)]
    answers = out / TRAINED_WITH
    ours = answers.is_file() and answers.read_bytes().startswith(HEADER.encode())
    if found and not ours:
        raise DemoError(f"{found[0]} does not belong to an earlier demonstration; name another folder with --out")
    for path in sorted(found, key=lambda p: p == answers):  # the file that identifies the folder goes last
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def train_first(
    console: Console, out: Path, parts: LogSplit, seed: int, growth: tuple[int, ...] = GROWTH, gap_s: int = GAP_S
) -> Card:
    """Trains on the first part, cut as the engine is going to cut the stream."""
    log, labels = out / "train.log", out / TRAINED_WITH
    log.write_bytes(b"\n".join(parts.train) + b"\n")
    rows = (f"{key},{'Anomaly' if bad else 'Normal'}\n" for key, bad in parts.train_labels.items())
    labels.write_text(HEADER + "".join(rows))
    store = ModelStore(out / "models")
    preprocessing = Preprocessing(ParseSettings(format="hdfs"), SessionWindows(gap_s=gap_s, growth=growth))
    with ProgressBar(console=console, transient=True) as bar:
        task = bar.add_task("training", total=None)

        def show(stage: str, done: int, total: int, figures: Mapping[str, float]) -> None:
            text = " ".join(f"{k} {v:.3f}" for k, v in figures.items())
            bar.update(task, description=f"{stage} {text}", completed=done, total=total)

        settings = TrainSettings(detector="bert_cnn", seed=seed)
        trained, used = train_on_log(LogSpec(log, labels), preprocessing, settings, store, "bert_cnn", progress=show)
    console.print(
        f"bert_cnn version {trained.version}: {len(used):,} windows, {int(used.labels.sum()):,} anomalous, "
        f"trained in {trained.report.train_s:.1f} s, F1 on its validation windows "
        f"{trained.notes.metrics['validation']['f1']:.3f}"
    )
    return store.card("bert_cnn")


def _watch(
    console: Console, process: subprocess.Popen[bytes], feeder: Feeder, view: View, url: str, out: Path
) -> MetricsReading:
    """Feeds the engine and shows its figures until every line is read and every session closed."""
    last = MetricsReading()
    deadline_s = time.monotonic() + START_S
    with Live(view.table("starting the engine"), console=console, refresh_per_second=4) as live:
        while True:
            if process.poll() is not None:
                raise DemoError(f"the engine ended early with code {process.returncode}; see {out / 'engine.log'}")
            reading = read(url)
            if reading is not None:
                last = reading
                view.update(time.monotonic(), reading)
                live.update(view.table("the engine, live"))
                if not feeder.is_alive() and not feeder.finished.is_set() and _ready(url):
                    feeder.start()
                if feeder.finished.is_set() and view.done(reading):
                    return last
            elif time.monotonic() > deadline_s:
                raise DemoError(f"the engine does not answer at {url}; see {out / 'engine.log'}")
            time.sleep(0.25)


def _ready(url: str) -> bool:
    """Whether a model is in service: before that, lines would only wait."""
    reading = read(url)
    return reading is not None and reading.values.get("driftline_model_swaps_total", 0) > 0
