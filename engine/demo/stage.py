"""What the demonstration does with the engines: starts the public commands, feeds them, shows their metrics."""

import json
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from confluent_kafka import Producer
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console
from rich.live import Live
from rich.table import Table

from engine.demo.files import DemoError

LOOK_S = 0.25
START_S = 300.0
DRAIN_S = 120.0
"""Longest wait, after the last message, for the engines to close every session."""

STOP_S = 20.0
"""From SIGTERM to SIGKILL: a coordinator ends its SuperLink first, a node its SuperNode."""

COLUMNS: Mapping[str, str] = {
    "lines": "driftline_lines_total",
    "windows": "driftline_windows_total",
    "drift events": "driftline_drift_events_total",
    "alerts": "driftline_alerts_total",
    "model version": "driftline_model_version",
}

Message = tuple[str, bytes]
"""A topic, and what goes to it."""

FleetMetrics = Mapping[str, Mapping[str, float]]
"""Of each region: metric's name → value, summed over its labels."""

LiveView = Callable[[FleetMetrics], tuple[str, bool]]
"""From the metrics: what to show below the table, and whether the stream waits."""


def command(*arguments: str | Path) -> list[str]:
    """`driftline …` of this installation."""
    return [sys.executable, "-m", "engine.cli", *map(str, arguments)]


def read_json(*arguments: str | Path) -> list[dict[str, object]]:
    """The JSON lines that `driftline …` prints."""
    done = subprocess.run(command(*arguments), check=True, stdout=subprocess.PIPE)
    return [json.loads(line) for line in done.stdout.splitlines()]


def train(console: Console, out: Path, region: Path, seed: int) -> None:
    """`driftline train` on the training log, with the windows of the region that will use the model."""
    settings = ("--data", out / "train.log", "--labels", out / "train.csv", "--region", region, "--runs", out / "runs")
    arguments = command("train", "bert_cnn", *settings, "--seed", str(seed))
    if console.is_terminal:
        code = subprocess.run(arguments).returncode
    else:
        done = subprocess.run(arguments, capture_output=True, text=True)
        code = done.returncode
        console.print(done.stdout + done.stderr, markup=False, soft_wrap=True)
    if code:
        raise DemoError(f"the training ended with code {code}; its message is above")


@contextmanager
def running(*arguments: str | Path, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """`driftline …` as a process of its own, its log in a file, drained with SIGTERM at the end.

    Raises:
        DemoError: it ended early or could not drain.
    """
    with log.open("wb") as output:
        process = subprocess.Popen(command(*arguments), stdout=output, stderr=output)
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(timeout=STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
    if process.returncode:
        raise DemoError(f"driftline {arguments[0]} ended with code {process.returncode}; see {log}")


def serve(console: Console, settings: Path) -> int:
    """`driftline serve` until Ctrl-C or SIGTERM; returns its exit code."""
    console.print(f"the console shows what is in {settings.parent} until Ctrl-C", soft_wrap=True)
    process = subprocess.Popen(command("serve", settings))
    try:
        return process.wait()
    except KeyboardInterrupt:  # the terminal has sent it to both
        return process.wait(STOP_S)
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()


class Feed:
    """Produces messages at a steady rate, as a cluster would over days.

    Attributes:
        sent: Messages that are in the topics.
        lines: Messages that are lines of a log, sent or not.
    """

    def __init__(self, producer: Producer, messages: Sequence[Message], seconds: float) -> None:
        self.sent = 0
        self.lines = sum(topic.startswith("logs.") for topic, _ in messages)
        self._producer = producer
        self._messages = messages
        self._rate = len(messages) / seconds
        self._due = 0.0

    @property
    def finished(self) -> bool:
        """Whether every message was sent."""
        return self.sent == len(self._messages)

    def advance(self, elapsed_s: float) -> None:
        """Send what the stream holds for the next `elapsed_s` seconds."""
        self._due = min(len(self._messages), self._due + elapsed_s * self._rate)
        while self.sent < int(self._due):
            topic, value = self._messages[self.sent]
            try:
                self._producer.produce(topic, value)
            except BufferError:  # the broker does not keep up with the stream, on a busy machine
                self._producer.poll(0.1)
            else:
                self.sent += 1
        self._producer.flush(30)


def play(
    console: Console,
    feed: Feed,
    urls: Mapping[str, str],
    engines: Sequence[subprocess.Popen[bytes]],
    view: LiveView,
) -> FleetMetrics:
    """Feed the engines and show their metrics until every line is read and every session closed.

    Args:
        console: Where to show.
        feed: The stream; it starts when every engine has a model in service.
        urls: Address of each region's metrics.
        engines: Their processes; none may end before the stream does.
        view: See `LiveView`.

    Raises:
        DemoError: an engine ended, or is not ready in time.
    """
    metrics: dict[str, dict[str, float]] = {region: {} for region in urls}
    started_s = last_s = ended_s = time.monotonic()
    with Live(console=console, refresh_per_second=4) as live:
        while True:
            now_s = time.monotonic()
            metrics = {region: read_metrics(url) or metrics[region] for region, url in urls.items()}
            ready = all(values.get("driftline_model_swaps_total") for values in metrics.values())
            if any(engine.poll() is not None for engine in engines):
                raise DemoError("an engine ended early; see its engine.log")
            if not ready and now_s - started_s > START_S:
                raise DemoError(f"the engines were not ready within {START_S:g} s; see their engine.log")
            text, waits = view(metrics)
            live.update(_table(metrics, text, waits))
            if not feed.finished:
                feed.advance(0.0 if waits or not ready else now_s - last_s)
                ended_s = now_s
            elif now_s - ended_s > DRAIN_S or drained(metrics, feed.lines):
                return metrics
            last_s = now_s
            time.sleep(LOOK_S)


def wait_for(url: str, name: str) -> None:
    """Wait until the metrics of a program are served.

    Raises:
        DemoError: they are not within `START_S`.
    """
    deadline_s = time.monotonic() + START_S
    while not read_metrics(url):
        if time.monotonic() > deadline_s:
            raise DemoError(f"the {name} was not ready within {START_S:g} s; see its log")
        time.sleep(LOOK_S)


def read_metrics(url: str) -> dict[str, float]:
    """The metrics served at `url`, summed over their labels; empty while the engine does not answer."""
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            text = answer.read().decode()
    except (urllib.error.URLError, TimeoutError, ConnectionError):
        return {}
    values: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            values[sample.name] = values.get(sample.name, 0.0) + sample.value
    return values


def drained(metrics: FleetMetrics, lines: int) -> bool:
    """Whether this many lines are read and no session is open but that of the closing lines.

    Lines count as read before they are in a session, so a region without a window has not come to them yet.
    """
    read = sum(values.get("driftline_lines_total", 0.0) for values in metrics.values())
    closed = (values.get("driftline_open_sessions", 2) <= 1 for values in metrics.values())
    windowed = (values.get("driftline_windows_total", 0) > 0 for values in metrics.values())
    return read >= lines and all(closed) and all(windowed)


def _table(metrics: FleetMetrics, text: str, waits: bool) -> Table:
    title = "the stream waits for the round" if waits else "live, from the engines' metrics"
    table = Table("region", *COLUMNS, title=title, min_width=72, caption=text, caption_justify="left")
    for region, values in metrics.items():
        table.add_row(region, *(f"{values.get(name, 0.0):,.0f}" for name in COLUMNS.values()))
    return table


def report(console: Console, path: Path, figures: Mapping[str, object]) -> None:
    """Show the figures as a table, and write them to a JSON file."""
    path.write_text(json.dumps(figures, indent=2) + "\n")
    table = Table(title="summary", show_header=False, min_width=60)
    for key, value in figures.items():
        if not isinstance(value, dict | list):
            text = f"{value:,.3f}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else value
            table.add_row(key.replace("_", " "), str(text))
    console.print(table)
    console.print(f"files: {path.parent}, with the report in {path.name}", soft_wrap=True)
