"""`driftline demo --federated`: logs change, three regions retrain one model together, engines swap it in.

1. Find the labelled log; write the files of three regions and a coordinator; train version 1 on the first part.
2. Start broker, coordinator, nodes and engines.
3. Stream the rest, each block to its region, its label some time after its last line, with a live view. From a drift
   to the swap the stream waits, so that slow machines show the same as fast ones.
4. Compare, on the sessions that came after the swap, the engines' alerts with those that version 1 would have raised.
"""

import json
import subprocess
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from connectors.broker import EmbeddedBroker
from connectors.ports import free_port
from engine.demo.files import REGIONS, TOPICS, clear, write_fleet, write_serve
from engine.demo.log import DemoLog, closing_lines, compare, find_log, session_gap_s, session_of, sessions
from engine.demo.run import alerts_of, producer
from engine.demo.stage import Feed, FleetMetrics, Message, play, read_json, report, running, train, wait_for
from federation.coordinator.ledger import Ledger
from federation.coordinator.records import Round, RoundStep

LABELS_LATE = 0.01
"""Delay of a block's label after its last line, as a share of the stream: labels arrive late."""

ROUND_S = 600.0
"""Longest wait of the stream for a round and the swap."""

WAITED_ROUNDS = 6
"""Rounds that the stream waits for; later ones run next to it."""


def run(out: Path, first: float, seconds: float, seed: int) -> int:
    """The demonstration; the steps are the module's. Returns the exit code."""
    console, out = Console(), out.resolve()
    log = find_log(console, seed)  # 1
    files = (f"{name}{suffix}" for name in (*REGIONS, "coordinator") for suffix in ("", ".toml"))
    clear(out, "after-swap.log", "after-swap.csv", "federated.json", "serve.toml", *files)
    past, stream = log.split(first)
    past.write(out, "train")
    gap_s = session_gap_s(past.lines)
    ports = [free_port() for _ in range(len(REGIONS) + 2)]
    with EmbeddedBroker() as broker, ExitStack() as stack:
        for topic in TOPICS:
            broker.create_topic(topic)
        regions = write_fleet(out, broker.brokers, gap_s, ports)
        train(console, out, regions[0], seed)
        engines = _start(stack, out, regions, f"http://127.0.0.1:{ports[-2]}/metrics")  # 2
        closing = [(f"logs.{region}", line) for region in REGIONS for line in closing_lines(stream.lines[-1], gap_s)]
        feed = Feed(producer(broker.brokers), [*messages(stream.lines, log.labels), *closing], seconds)
        urls = {name: f"http://127.0.0.1:{port}/metrics" for name, port in zip(REGIONS, ports, strict=False)}
        story = Story(stack.enter_context(Ledger(out / "coordinator" / "ledger.db")))
        metrics = play(console, feed, urls, engines, lambda now: story.follow(now, feed.sent, time.monotonic()))  # 3
    figures: dict[str, object] = {"data": log.origin, "versions": list(versions(metrics).values())}
    figures["rounds"] = [f"{r.outcome}: {r.sentence}" for r in reversed(story.rounds) if r.step is RoundStep.DONE]
    if story.swapped_at is not None:
        figures |= _after_swap(out, regions, log, stream.lines, min(len(stream.lines), story.swapped_at))  # 4
    report(console, out / "federated.json", figures)
    write_serve(out, REGIONS[1], free_port(), coordinator=True)
    return 0


def messages(lines: Sequence[bytes], labels: dict[str, bool]) -> list[Message]:
    """The stream: every line to the topic of its region, and every label some time after its block's last line.

    Lines without a block belong to no region and are left out.
    """
    last: dict[str, int] = {}
    placed: list[tuple[float, Message]] = []
    for i, line in enumerate(lines):
        if (key := session_of(line)) is not None:
            placed.append((i, (f"logs.{region_of(key)}", line)))
            last[key] = i
    for key, i in last.items():
        if key in labels:
            document = json.dumps({"session": key, "anomalous": labels[key]}).encode()
            placed.append((i + LABELS_LATE * len(lines), ("labels", document)))
    return [message for _, message in sorted(placed, key=lambda p: p[0])]


def region_of(key: str) -> str:
    """Where a block's lines are written, by the last digit of its number."""
    return REGIONS[ord(key[-1]) % len(REGIONS)]


def versions(metrics: FleetMetrics) -> dict[str, int]:
    """Version in service, by region."""
    return {region: int(values.get("driftline_model_version", 0.0)) for region, values in metrics.items()}


@dataclass(slots=True)
class Story:
    """Follows the rounds in the ledger.

    Attributes:
        swapped_at: Messages sent when all engines first had a published version in service; None before.
        lines: What happened, in sentences.
    """

    ledger: Ledger
    rounds: tuple[Round, ...] = ()
    swapped_at: int | None = None
    lines: list[str] = field(default_factory=list)
    _served: int = 0
    _waits_since_s: float | None = None

    def follow(self, metrics: FleetMetrics, sent: int, now_s: float) -> tuple[str, bool]:
        """Look again; gives the newest sentences, and whether the stream waits.

        It waits from a drift to the swap: the stream of a day is read in a minute, and what a cluster logs during a
        round would be most of it.
        """
        before = {r.round_id: r.step for r in self.rounds}
        self.rounds = self.ledger.rounds(9)
        for r in reversed(self.rounds):
            if r.round_id not in before:
                self.lines.append(f"round {r.number}: {r.reason}")
            if r.step is RoundStep.DONE and before.get(r.round_id) is not RoundStep.DONE:
                to = f" as version {r.published}" if r.published else ""
                seconds = (r.ended_ns - r.planned_ns) / 1e9
                self.lines.append(f"round {r.number}: {r.outcome}{to} after {seconds:.1f} s; {r.sentence}")
        behind = self._behind(versions(metrics), sent)
        waits = bool(self.ledger.pending()) or behind or any(r.step is not RoundStep.DONE for r in self.rounds)
        if not waits or len(self.rounds) > WAITED_ROUNDS:
            self._waits_since_s, waits = None, False
        else:
            self._waits_since_s = now_s if self._waits_since_s is None else self._waits_since_s
            waits = now_s - self._waits_since_s < ROUND_S
        return "\n".join(self.lines[-6:]), waits

    def _behind(self, serving: dict[str, int], sent: int) -> bool:
        """Whether an engine has yet to load the newest published version; a region may hold an older one."""
        newest = max(self.rounds, key=lambda r: r.published, default=None)
        if newest is None or not newest.published:
            return False
        behind = any(version < newest.held.get(region, newest.published) for region, version in serving.items())
        if not behind and self._served < newest.published:
            self._served = newest.published
            self.swapped_at = sent if self.swapped_at is None else self.swapped_at
            self.lines.append(f"all engines have version {newest.published} in service")
        return behind


def _start(stack: ExitStack, out: Path, regions: Sequence[Path], url: str) -> list[subprocess.Popen[bytes]]:
    """Coordinator, nodes and engines, each a process; returns the engines, which are drained first at the end."""
    coordinator = out / "coordinator.toml"
    (out / "coordinator").mkdir()
    stack.enter_context(running("federate", "coordinator", coordinator, log=out / "coordinator" / "coordinator.log"))
    wait_for(url, "coordinator")
    for path in regions:
        stack.enter_context(running("federate", "node", path, log=out / path.stem / "node.log"))
    return [stack.enter_context(running("run", path, log=out / path.stem / "engine.log")) for path in regions]


def _after_swap(
    out: Path, regions: Sequence[Path], log: DemoLog, lines: Sequence[bytes], at: int
) -> dict[str, float | int]:
    """F1 on the sessions that began after the swap: of the alerts, and of version 1 by `driftline score`."""
    fresh = sessions(lines[at:]) - sessions(lines[:at])
    after = DemoLog(log.origin, list(lines[at:]), {key: bad for key, bad in log.labels.items() if key in fresh})
    path, _ = after.write(out, "after-swap")
    windows = read_json("score", path, "--region", regions[0], "--version", "1", "--keep-cut", "--json")
    live = compare(set().union(*map(alerts_of, regions)), after.labels)
    first = compare({str(window["session"]) for window in windows if window["anomalous"]}, after.labels)
    return {
        "sessions_after_swap": len(after.labels),
        "anomalous_after_swap": sum(after.labels.values()),
        "f1_live": live["f1"],
        "f1_version_1": first["f1"],
    }
