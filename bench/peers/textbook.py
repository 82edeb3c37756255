"""The textbook per-line flow on Bytewax, as a peer: what one would write from the guides.

source → parse each line (regular expression, Drain3 with the same masks) → key by session → session
window by event-time gap in a stateful step → collect windows, score them with the same detector →
alerts. One item is one line. Windows are collected because one model call a window costs ten times
all the rest, and a comparison with that would say nothing about the flow.
It keeps no recovery state, so it does less than the engine does. Runs as its own process, so that
it shares nothing with the engine next to it::

    python -m bench.peers.textbook --model STORE --file HDFS.log --alerts alerts.jsonl
    python -m bench.peers.textbook --model STORE --topic lines --bootstrap 127.0.0.1:9092
"""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import bytewax.operators as op
import numpy as np
import orjson
import typer
from bytewax.connectors.files import FileSink, FileSource
from bytewax.connectors.kafka import KafkaSource, KafkaSourceMessage
from bytewax.dataflow import Dataflow
from bytewax.inputs import Source
from bytewax.operators import StatefulLogic
from bytewax.run import cli_main

from bench.peers.guarded_drain import miner_of
from bench.processes.engine_process import GAP_S, MAX_LENGTH
from engine.parsing.template_settings import TemplateSettings
from models.base import WindowDetector, Windows, template_id

GATHER = timedelta(milliseconds=100)
GATHER_WINDOWS = 256
HEADER = re.compile(r"(\d{6} \d{6}) (\d+) (\w+) (\S+): (.*)")
BLOCK = re.compile(r"blk_-?\d+")


@dataclass(slots=True)
class Line:
    """One parsed line."""

    time_s: float
    template: int


@dataclass(slots=True)
class Meter:
    """Counts lines, and times them from the first to the end of the flow."""

    lines: int = 0
    windows: int = 0
    started_s: float = 0.0

    def count(self, line: str) -> str:
        """Passes the line through."""
        if not self.lines:
            self.started_s = time.perf_counter()
        self.lines += 1
        return line


class LineParser:
    """Takes one line apart with a regular expression and Drain3."""

    def __init__(self, detector: WindowDetector) -> None:
        self._miner = miner_of(TemplateSettings())
        self._detector = detector
        self._known: set[str] = set()

    def parse(self, line: str) -> tuple[str, Line] | None:
        """Session key and line, or None for a line of another format."""
        header = HEADER.match(line)
        block = BLOCK.search(line)
        if header is None or block is None:
            return None
        time_s = datetime.strptime(header[1], "%y%m%d %H%M%S").replace(tzinfo=UTC).timestamp()
        text = self._miner.add_log_message(header[5])["template_mined"]
        identity = template_id(text)
        if text not in self._known:
            self._known.add(text)
            self._detector.learn_templates({identity: text})
        return block[0], Line(time_s, identity)


@dataclass(slots=True)
class Session(StatefulLogic[Line, list[int], Any]):
    """Collects the lines of one session until the gap, or the end of the stream."""

    last_s: float = 0.0
    templates: list[int] = field(default_factory=list)

    def on_item(self, value: Line) -> tuple[list[list[int]], bool]:
        """Gives the window that this line ends, if it does."""
        ended = []
        if self.templates and (value.time_s - self.last_s > GAP_S or len(self.templates) >= MAX_LENGTH):
            ended.append(self.templates)
            self.templates = []
        self.last_s = value.time_s
        self.templates.append(value.template)
        return ended, StatefulLogic.RETAIN

    def on_eof(self) -> tuple[list[list[int]], bool]:
        """The stream has ended, and so has the session."""
        return [self.templates], StatefulLogic.DISCARD

    def snapshot(self) -> Any:
        """For Bytewax's recovery, which this flow is run without."""
        return self.last_s, list(self.templates)


def build(
    source: Source[Any], decode: Callable[[Any], str], detector: WindowDetector, threshold: float, alerts: Path
) -> tuple[Dataflow, Meter]:
    """The flow, and what counts its lines."""
    parser, meter = LineParser(detector), Meter()

    def score(item: tuple[str, list[tuple[str, list[int]]]]) -> list[tuple[str, str]]:
        meter.windows += len(item[1])
        values = detector.score(Windows.of([np.array(templates, np.int64) for _, templates in item[1]])).tolist()
        return [
            (session, orjson.dumps({"session": session, "score": value, "templates": templates}).decode())
            for (session, templates), value in zip(item[1], values, strict=True)
            if value >= threshold
        ]

    flow = Dataflow("textbook")
    raw = op.input("source", flow, source)
    lines = op.map("count", raw, lambda item: meter.count(decode(item)))
    parsed = op.filter_map("parse", lines, parser.parse)
    windows = op.stateful("session", parsed, lambda state: Session())
    gathered = op.collect("gather", op.key_on("all", windows, lambda _: "all"), GATHER, GATHER_WINDOWS)
    found = op.flat_map("score", gathered, score)
    op.output("alerts", found, FileSink(alerts))
    return flow, meter


def main(
    model: Annotated[Path, typer.Option(help="Folder of the model store.")],
    name: Annotated[str, typer.Option(help="Model to score with: its current version.")] = "bert_cnn",
    file: Annotated[Path | None, typer.Option(help="Log file to read.")] = None,
    topic: Annotated[str | None, typer.Option(help="Topic to read to its end.")] = None,
    bootstrap: Annotated[str, typer.Option(help="Brokers of the topic.")] = "127.0.0.1:9092",
    alerts: Annotated[Path, typer.Option(help="Alerts, one JSON document a line.")] = Path("alerts.jsonl"),
) -> None:
    """Runs the textbook flow over a file or a topic and prints what it did as JSON."""
    from models.storage.store import ModelStore

    if (file is None) == (topic is None):
        raise typer.BadParameter("give either --file or --topic")
    source: Source[Any]
    decode: Callable[[Any], str]
    if file is not None:
        source, decode = FileSource(file), str
    else:
        source, decode = KafkaSource([bootstrap], [str(topic)], tail=False), _value
    stored = ModelStore(model).load(name)
    # The text encoder is loaded with the first template: a matter of start-up, not of the stream.
    stored.detector.learn_templates({template_id("<*>"): "<*>"})
    flow, meter = build(source, decode, stored.detector, stored.card.threshold.value, alerts)
    cli_main(flow)  # type: ignore[no-untyped-call]
    elapsed_s = time.perf_counter() - meter.started_s
    rates = {"lines_per_s": meter.lines / elapsed_s, "windows_per_s": meter.windows / elapsed_s}
    typer.echo(orjson.dumps({"lines": meter.lines, "windows": meter.windows, **rates}).decode())


def _value(message: KafkaSourceMessage[Any, Any]) -> str:
    return bytes(message.value or b"").decode("utf-8", "replace")


if __name__ == "__main__":
    typer.run(main)
