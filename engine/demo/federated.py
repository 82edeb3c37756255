"""`driftline demo --federated`: logs change, three regions retrain one model together, engines swap it in.

1. Find the labelled log; train version 1 on the first part of it.
2. Write the files of three regions and a coordinator, start broker, coordinator, nodes and engines.
3. Stream the rest, each block to its region, its label a while later, with a live view. From a drift to
   the swap the stream waits, so that slow machines show the same as fast ones.
4. Compare, on the sessions that came after the swap, the engines' alerts with those that version 1 would have raised.
"""

import contextlib
import sqlite3
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import orjson
from rich.console import Console
from rich.live import Live
from rich.table import Table

from connectors.broker import EmbeddedBroker
from connectors.ports import free_port
from engine.demo.fleet import REGIONS, TOPICS, fleet, messages, write_files
from engine.demo.log import BLOCK, DemoLog, closing_line, cut, find_log, session_gap_s
from engine.demo.process import Feeder
from engine.demo.report import AlertEvaluation, judge
from engine.demo.run import GAP_S, DemoError, clear, train_first
from engine.demo.view import read
from engine.offline.detect import Preprocessing, score_log
from engine.offline.inputs import LogSpec
from engine.parsing.parse_settings import ParseSettings
from engine.steps.window import SessionWindows
from federation.coordinator.ledger import Ledger
from federation.coordinator.records import Round, RoundStep
from models.storage.store import ModelStore

LOOK_S = 0.5
START_S = 180.0
ROUND_S = 600.0
"""Longest wait of the stream for a round and the swap."""

WAITED_ROUNDS = 6
"""Rounds that the stream waits for; later ones run next to it."""

DRAIN_S = 60.0


@dataclass(slots=True)
class Scene:
    """What is seen of the fleet now.

    Attributes:
        figures: Of each region: metric's name → value.
        asked_for: Whether a round is asked for and not started.
        swapped_at: Messages sent when the last engine took the first published version over; None before.
        served: Latest published version that all engines had in service at a time; 0 before.
        story: What happened, in sentences.
    """

    figures: dict[str, dict[str, float]] = field(default_factory=lambda: {region: {} for region in REGIONS})
    rounds: tuple[Round, ...] = ()
    asked_for: bool = False
    swapped_at: int | None = None
    served: int = 0
    story: list[str] = field(default_factory=list)

    def value(self, region: str, name: str) -> float:
        """A metric of a region, summed over its labels; 0 where it is not there yet."""
        return self.figures[region].get(name, 0.0)

    @property
    def ready(self) -> bool:
        """Whether every engine has a model in service."""
        return all(self.value(region, "driftline_model_swaps_total") > 0 for region in REGIONS)

    @property
    def versions(self) -> list[int]:
        """Version in service, by region."""
        return [int(self.value(region, "driftline_model_version")) for region in REGIONS]


def run(out: Path, first: float, seconds: float, seed: int) -> int:
    """The demonstration; the steps are the module's. Returns the exit code."""
    console = Console()
    log = find_log(console, seed)  # 1
    out = out.resolve()
    clear(out, ("models", "coordinator", *REGIONS))
    parts = cut(log, first)
    gap_s = session_gap_s(parts.train, GAP_S)
    train_first(console, out, parts, seed, growth=(), gap_s=gap_s)
    with EmbeddedBroker() as broker:  # 2
        for topic in TOPICS:
            broker.create_topic(topic, compacted=topic == "driftline.models")
        ports = [free_port() for _ in range(len(REGIONS) + 1)]
        write_files(out, broker.brokers, gap_s, ports)
        urls = {region: f"http://127.0.0.1:{port}/metrics" for region, port in zip(REGIONS, ports, strict=False)}
        stream = messages(parts.stream, log.labels)
        closing = [(f"logs.{region}", closing_line(parts.stream[-1], gap_s)) for region in REGIONS]
        feeder = Feeder(broker.brokers, [*stream, *closing], seconds)
        with fleet(out):
            scene = _watch(console, out, feeder, urls)  # 3
    report = _report(out, log, parts.stream, scene, gap_s)  # 4
    _show(console, report)
    return 0


def _watch(console: Console, out: Path, feeder: Feeder, urls: dict[str, str]) -> Scene:
    """Feeds the fleet and shows it until every line is read and every session closed."""
    scene, begun_s, held_s = Scene(), time.monotonic(), 0.0
    with Ledger(out / "coordinator" / "ledger.db") as ledger, Live(console=console, refresh_per_second=4) as live:
        finished_s: float | None = None
        while finished_s is None or time.monotonic() - finished_s < DRAIN_S:
            _look(scene, urls, ledger, feeder)
            live.update(_table(scene, feeder))
            if scene.ready and not feeder.is_alive() and not feeder.sent:
                feeder.start()
            elif not scene.ready and time.monotonic() - begun_s > START_S:
                raise DemoError(f"the engines were not ready within {START_S:g} s; see the logs in {out}")
            held_s = _hold(scene, feeder, held_s)
            if feeder.finished.is_set():
                finished_s = finished_s or time.monotonic()
                if all(scene.value(region, "driftline_open_sessions") <= 1 for region in REGIONS):
                    break
            time.sleep(LOOK_S)
    feeder.stop()
    return scene


def _hold(scene: Scene, feeder: Feeder, held_s: float) -> float:
    """Lets the stream wait from a drift to the swap; gives the time it waited since, or 0.

    The stream of a day is read in a minute: what a cluster logs during a round would be most of it.
    """
    newest = max(scene.rounds, key=lambda r: r.published, default=None)
    published, held = (newest.published, newest.held) if newest else (0, {})
    behind = any(version < held.get(region, published) for region, version in zip(REGIONS, scene.versions, strict=True))
    if published and not behind and scene.served < published:
        scene.served = published
        scene.swapped_at = feeder.sent if scene.swapped_at is None else scene.swapped_at
        scene.story.append(f"all engines have version {published} in service")
    begun = any(r.step is not RoundStep.DONE for r in scene.rounds)
    if not (scene.asked_for or begun or behind) or len(scene.rounds) > WAITED_ROUNDS:
        feeder.held.clear()
        return 0.0
    held_s = held_s or time.monotonic()
    if time.monotonic() - held_s < ROUND_S:
        feeder.held.set()
    else:
        feeder.held.clear()
    return held_s


def _look(scene: Scene, urls: dict[str, str], ledger: Ledger, feeder: Feeder) -> None:
    for region, url in urls.items():
        reading = read(url)
        if reading is not None:
            scene.figures[region] = reading.values
    before = {r.round_id: r.step for r in scene.rounds}
    scene.rounds, scene.asked_for = ledger.rounds(9), bool(ledger.pending())
    for r in reversed(scene.rounds):
        if r.round_id not in before:
            scene.story.append(f"round {r.number}: {r.reason}")
        if r.step is RoundStep.DONE and before.get(r.round_id) is not RoundStep.DONE:
            took_s = (r.ended_ns - r.planned_ns) / 1e9
            to = f" as version {r.published}" if r.published else ""
            scene.story.append(f"round {r.number}: {r.outcome}{to} after {took_s:.1f} s; {r.sentence}")


def _table(scene: Scene, feeder: Feeder) -> Table:
    title = "the stream waits for the round" if feeder.held.is_set() else "three regions, live"
    table = Table("region", "lines", "windows", "drift events", "alerts", "model version", title=title, min_width=72)
    names = (
        "driftline_lines_total",
        "driftline_windows_total",
        "driftline_drift_events_total",
        "driftline_alerts_total",
    )
    for region in REGIONS:
        version = int(scene.value(region, "driftline_model_version"))
        table.add_row(region, *(f"{scene.value(region, name):,.0f}" for name in names), f"{version or 'starting'}")
    table.caption = "\n".join(scene.story[-6:]) or "starting coordinator, nodes and engines"
    table.caption_justify = "left"
    return table


def _report(out: Path, log: DemoLog, lines: list[bytes], scene: Scene, gap_s: int) -> dict[str, object]:
    """Judges what came after the swap, live and as version 1 would have; writes `federated.json`."""
    rounds = [
        {"outcome": r.outcome, "why": r.reason, "sentence": r.sentence, "seconds": (r.ended_ns - r.planned_ns) / 1e9}
        for r in reversed(scene.rounds)
        if r.step is RoundStep.DONE
    ]
    report: dict[str, object] = {"data": log.origin, "versions": scene.versions, "rounds": rounds}
    if scene.swapped_at is not None:
        at = min(len(lines), scene.swapped_at)
        fresh = _sessions(lines[at:]) - _sessions(lines[:at])
        labels = {session: label for session, label in log.labels.items() if session in fresh}
        report["sessions_after_swap"] = len(labels)
        report["anomalous_after_swap"] = sum(labels.values())
        report["f1_live"] = judge(_alerted(out), labels).f1
        report["f1_version_1"] = _static(out, lines[at:], labels, gap_s).f1
    (out / "federated.json").write_bytes(orjson.dumps(report, option=orjson.OPT_INDENT_2))
    return report


def _sessions(lines: list[bytes]) -> set[str]:
    return {match[0].decode() for line in lines if (match := BLOCK.search(line))}


def _alerted(out: Path) -> set[str]:
    found: set[str] = set()
    for region in REGIONS:
        with contextlib.closing(sqlite3.connect(out / region / "alerts.db")) as database:
            found.update(row[0] for row in database.execute("SELECT session FROM alerts"))
    return found


def _static(out: Path, lines: list[bytes], labels: dict[str, bool], gap_s: int) -> AlertEvaluation:
    """Version 1's answers for the same sessions."""
    log, answers = out / "after-swap.log", out / "after-swap.csv"
    log.write_bytes(b"\n".join(lines) + b"\n")
    rows = (f"{key},{'Anomaly' if bad else 'Normal'}\n" for key, bad in labels.items())
    answers.write_text("BlockId,Label\n" + "".join(rows))
    preprocessing = Preprocessing(ParseSettings(format="hdfs"), SessionWindows(gap_s=gap_s, growth=()))
    store = ModelStore(out / "models")
    scored = score_log(LogSpec(log, answers), preprocessing, store, "bert_cnn", 1, keep_cut=True)
    units = scored.units()
    called = {units.keys[i] for i in np.flatnonzero(units.scores >= scored.threshold)}
    return judge(called, labels)


def _show(console: Console, report: dict[str, object]) -> None:
    table = Table("", "", title="summary", show_header=False, min_width=60)
    for key, value in report.items():
        if key != "rounds":
            table.add_row(key.replace("_", " "), f"{value:,.3f}" if isinstance(value, float) else f"{value}")
    console.print(table)
