"""From a drift event to the last engine on the new version: three regions, all as processes, on this machine.

Everything runs as a user starts it: broker, three engines under load, three nodes with warm trainers, the
coordinator with its SuperLink. The event is put on the topic as an engine would put it there; how soon engines
find drift is measured by another scenario. A first round, not measured, warms what a region that
has been up for a while has warm. The gate lets every candidate through.

1. Engines and nodes start; a first event, a first round, a first swap.
2. The clock starts with the second event and stops when every engine's metrics name the new version.
3. The streams end. The engines are drained and read what is left, so that every window is scored.
4. New engines read the same topics from the beginning: what they alert on is what should have been alerted on.
"""

import json
import math
import re
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from confluent_kafka import Consumer, Producer, TopicPartition

from bench.data.workloads import Workload, write_workload
from bench.harness import BenchError, Number, Outcome, Run, Scenario, Target
from bench.processes.alert_delays import completing_lines, swap_pause_ms
from bench.processes.engine_process import POLL_S, EngineProcess, region
from bench.processes.running import producing, running
from bench.scenarios.engine_runs import trained_store
from bench.scenarios.interference import fill_training_store
from connectors.broker import EmbeddedBroker
from connectors.ports import free_port
from federation.coordinator.ledger import Ledger
from federation.errors import SetupError
from federation.flower.settings import SuperLinkSettings
from federation.flower.superlink import SuperLink
from federation.round import round_files
from federation.storage.training_store import TrainingSettings
from foundation.content_ids import document_id
from foundation.documents.drift_event import DriftEventDocument
from models.storage.model_cards import Notes
from models.storage.store import ModelStore

REGIONS = ("ap", "eu", "us")
LIMIT_S = 300.0
SCRAPE_S = 10.0
SETTLE_S = 5.0
"""Of load before and after the swap."""

GAP_S = 60.0
"""Session gap, in event time: windows have to end all the time, so that the swap falls among many of them."""

EVERYTHING = -1e9
"""Threshold below every score: each window that ends makes an alert, so that each can be followed."""

_VERSION = re.compile(rb"^driftline_model_version(?:\{[^}]*\})? (\S+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class RunFolders:
    """Where everything of this run is."""

    folder: Path
    broker: EmbeddedBroker
    models: Path
    ports: int
    poll_s: float

    def region_file(self, name: str, folder: str, *, alerts: str, stop_at_end: bool) -> Path:
        """Settings of a region's engine; it keeps nothing to learn from, since the stores are filled before."""
        home = self.folder / folder
        home.mkdir(exist_ok=True)
        source = {"type": "kafka", "brokers": self.broker.brokers, "topic": f"lines-{name}", "stop_at_end": stop_at_end}
        sink = {"type": "kafka", "brokers": self.broker.brokers, "topic": alerts}
        more: dict[str, Mapping[str, Any]] = {
            "window": {"kind": "session", "gap_s": GAP_S, "growth": []},
            "model": {"store": str(self.models), "name": "bert_cnn", "poll_s": self.poll_s},
            "decide": {"threshold": EVERYTHING, "alert_budget": math.inf},
        }
        port = self.ports + REGIONS.index(name)
        return region(home, source=source, sink=sink, store=self.models, port=port, name=name, more=more)

    def node_file(self, name: str) -> Path:
        """Settings of a region's node."""
        home = self.folder / f"node-{name}"
        home.mkdir()
        nowhere = {"type": "jsonl", "path": str(home / "none.jsonl")}
        more: dict[str, Mapping[str, Any]] = {
            "training": {"path": str(self.folder / f"training-{name}.db")},
            "node": {"superlink": f"127.0.0.1:{self.ports + len(REGIONS)}", "folder": str(home)},
        }
        source = {"type": "file", "paths": [str(home / "none.log")]}
        return region(home, source=source, sink=nowhere, store=self.models, port=0, name=name, more=more)


def drift_to_swap(run: Run) -> Outcome:
    """The scenario; its steps are the module's."""
    rate, poll_s = run.setting("lines_per_s", 1_000), run.setting("poll_s", 0.5)
    debounce_s, passes, epochs = run.setting("debounce_s", 1.0), run.setting("passes", 1), run.setting("epochs", 3)
    workload = write_workload(int(3 * rate * LIMIT_S), parts=len(REGIONS), seed=run.setting("seed", 0))
    run.settings["workload"] = workload.origin
    with tempfile.TemporaryDirectory(prefix="dl-swap-", dir="/tmp") as name, EmbeddedBroker() as broker:
        place = RunFolders(Path(name), broker, _models(run, Path(name)), free_port(len(REGIONS) + 2), poll_s)
        coordinator = _coordinator_file(place, debounce_s, passes, epochs)
        for topic in ("drift", "models", *(f"{t}-{r}" for t in ("lines", "alerts", "check") for r in REGIONS)):
            broker.create_topic(topic, 1)
        for n, part in enumerate(REGIONS):
            fill_training_store(TrainingSettings(path=place.folder / f"training-{part}.db"), slice(n, None, 3))
        metrics = _swap(run, place, coordinator, workload, rate)
        for part in REGIONS:
            run.progress(f"what is left of {part}", 0, 0)
            _read_to_end(place.region_file(part, part, alerts=f"alerts-{part}", stop_at_end=True), place, part)
            run.progress(f"checking {part}", 0, 0)
            check = place.region_file(part, f"check-{part}", alerts=f"check-{part}", stop_at_end=True)
            _read_to_end(check, place, part)
        return Outcome({**metrics, **_account(place, workload)})


def _swap(run: Run, place: RunFolders, coordinator: Path, workload: Workload, rate: int) -> dict[str, Number]:
    """Steps 1 and 2."""
    with ExitStack() as stack:
        files = {r: place.region_file(r, r, alerts=f"alerts-{r}", stop_at_end=False) for r in REGIONS}
        stack.enter_context(_command(place.folder / "coordinator.log", "federate", "coordinator", str(coordinator)))
        for part in REGIONS:
            stack.enter_context(
                _command(place.folder / f"node-{part}.log", "federate", "node", str(place.node_file(part)))
            )
        for n, part in enumerate(REGIONS):
            stack.enter_context(EngineProcess(files[part], place.ports + n))
        _until(run, "nodes start", lambda: _online(place) >= len(REGIONS))
        for n, part in enumerate(REGIONS):
            topic, times = f"lines-{part}", place.folder / f"lines-{part}.npy"
            stack.enter_context(producing(place.broker.brokers, topic, workload.paths[n], rate, times))
        # An engine names its version once it has scored with it.
        _until(run, "engines score", lambda: _versions(place) == [1] * len(REGIONS))
        _event(place, 1)
        _until(run, "first round", lambda: _versions(place) == [2] * len(REGIONS))
        time.sleep(SETTLE_S)
        start_ns = time.time_ns()
        _event(place, 2)
        _until(run, "measured round", lambda: _versions(place) == [3] * len(REGIONS))
        end_ns = time.time_ns()
        time.sleep(SETTLE_S)
    return {"drift_to_swap_s": (end_ns - start_ns) / 1e9, **_parts(place, start_ns, end_ns)}


def _parts(place: RunFolders, start_ns: int, end_ns: int) -> dict[str, Number]:
    """Seconds of each part of the way, one after the other: until the round is planned, its steps, and the swap."""
    with Ledger(place.folder / "coordinator" / "ledger.db") as ledger:
        latest = ledger.rounds(1)[0]
    steps = round_files.read_steps(place.folder / "coordinator" / "rounds" / latest.round_id)
    marks = [("planned", latest.planned_ns), *((step.name, step.time_ns) for step in steps), ("swap", end_ns)]
    parts: dict[str, Number] = {}
    for name, at_ns in marks:
        parts[f"{name}_s"] = parts.get(f"{name}_s", 0.0) + (at_ns - start_ns) / 1e9
        start_ns = at_ns
    return parts


def _models(run: Run, folder: Path) -> Path:
    """A store that holds the trained model as its version 1."""
    store = ModelStore(trained_store(run))
    current = store.current("bert_cnn")
    assert current is not None
    card = store.card("bert_cnn", current)
    weights = store.weights("bert_cnn", current)
    ModelStore(folder / "models").publish_weights(card, weights, Notes(threshold=card.threshold))
    return folder / "models"


def _coordinator_file(place: RunFolders, debounce_s: float, passes: int, epochs: int) -> Path:
    kafka = {"type": "kafka", "brokers": place.broker.brokers}
    sections: dict[str, Mapping[str, Any]] = {
        "schedule": {"debounce_s": debounce_s, "cool_down_s": 0.0},
        "round": {
            "passes": passes, "local_epochs": epochs, "min_regions": len(REGIONS), "deadline_s": LIMIT_S,
            "margin_overall": -1.0, "margin_region": 1.0,
        },
        "superlink": {"folder": str(place.folder / "superlink"), "port": place.ports + len(REGIONS)},
        "events": {**kafka, "topic": "drift"},
        "dead_letters": {"type": "jsonl", "path": str(place.folder / "no-events.jsonl")},
        "telemetry": {"port": place.ports + len(REGIONS) + 1},
    }  # fmt: skip
    top = {"store": str(place.models), "folder": str(place.folder / "coordinator"), "regions": list(REGIONS)}
    lines = [f"{key} = {json.dumps(value)}" for key, value in top.items()]
    for title, values in sections.items():
        lines += [f"[{title}]", *(f"{key} = {json.dumps(value)}" for key, value in values.items())]
    path = place.folder / "coordinator.toml"
    path.write_text("\n".join(lines) + "\n")
    return path


@contextmanager
def _command(log: Path, *arguments: str) -> Iterator[None]:
    """`driftline ARGUMENTS`, stopped at the end of the block."""
    with running([sys.executable, "-m", "engine.cli", *arguments], log) as process:
        yield
        if process.poll() is not None:
            raise BenchError(f"driftline {' '.join(arguments[:2])} ended: {log.read_text(errors='replace')[-2000:]}")


def drift_event(version: int) -> DriftEventDocument:
    """Drift of a version, as the engine of the region eu writes it."""
    return {
        "id": document_id("bench", version), "type": "drift", "region": "eu", "detector": "novelty", "statistic": 0.2,
        "threshold": 0.02, "since": "2026-01-01T00:00:00.000000000Z", "time": "2026-01-01T00:01:00.000000000Z",
        "windows": 1000, "model": {"name": "bert_cnn", "version": version}, "templates": [], "evidence": {},
    }  # fmt: skip


def _event(place: RunFolders, version: int) -> None:
    producer = Producer({"bootstrap.servers": place.broker.brokers})
    producer.produce("drift", key="eu", value=orjson.dumps(drift_event(version)))
    if producer.flush(10):
        raise BenchError("the broker took no drift event")


def _until(run: Run, what: str, holds: Any) -> None:
    start_s = time.perf_counter()
    while not holds():
        waited_s = time.perf_counter() - start_s
        run.progress(what, int(waited_s), 0)
        if waited_s > LIMIT_S:
            raise BenchError(f"{what}: not within {LIMIT_S} s")
        time.sleep(POLL_S)


def _versions(place: RunFolders) -> list[int]:
    """The version in service in each engine; 0 where it does not answer."""
    found = []
    for n in range(len(REGIONS)):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{place.ports + n}/metrics", timeout=SCRAPE_S) as response:
                match = _VERSION.search(response.read())
        except OSError:
            match = None
        found.append(int(float(match[1])) if match else 0)
    return found


def _online(place: RunFolders) -> int:
    settings = SuperLinkSettings(folder=place.folder / "superlink", port=place.ports + len(REGIONS))
    try:
        return sum(node.status == "online" for node in SuperLink(settings).nodes())
    except SetupError:
        return 0


def _read_to_end(settings: Path, place: RunFolders, part: str) -> None:
    """Runs an engine until it has read its topic."""
    end_s = time.perf_counter() + LIMIT_S
    with EngineProcess(settings, place.ports + REGIONS.index(part)) as engine:
        while engine.poll():
            if time.perf_counter() > end_s:
                raise BenchError(f"{settings}: not at the end of its topic within {LIMIT_S} s")
            time.sleep(POLL_S)


Alert = tuple[int, dict[str, Any]]
"""Time stamp of the message in ms, and the document."""


def _account(place: RunFolders, workload: Workload) -> dict[str, Number]:
    """Windows lost and scored twice, and the longest pause at the measured swap."""
    lost = twice = windows = 0
    pauses = []
    for part, lines in zip(REGIONS, workload.paths, strict=True):
        seen, should = (_alerts(place.broker.brokers, f"{topic}-{part}") for topic in ("alerts", "check"))
        ids = [alert["id"] for _, alert in seen]
        windows += len(ids)
        twice += len(ids) - len(set(ids))
        lost += len({alert["id"] for _, alert in should} - set(ids))
        pauses.append(_pause_ms(place, part, seen, lines))
    return {"swap_pause_ms": max(pauses), "windows": windows, "windows_lost": lost, "windows_twice": twice}


def _pause_ms(place: RunFolders, part: str, alerts: Sequence[Alert], lines: Path) -> float:
    """The pause of a region's engine at the measured swap; see `swap_pause_ms`."""
    produced_ms = np.array([ms for ms, _ in _messages(place.broker.brokers, f"lines-{part}")], np.int64)
    completing = completing_lines([alert for _, alert in alerts], lines.read_bytes(), GAP_S)
    known = completing < len(produced_ms)
    sent_ms = np.array([ms for ms, _ in alerts], np.int64)[known]
    versions = np.array([alert["version"] for _, alert in alerts], np.int64)[known]
    return swap_pause_ms(sent_ms, sent_ms - produced_ms[completing[known]], versions, 3)


def _alerts(brokers: str, topic: str) -> list[Alert]:
    return [(ms, orjson.loads(value)) for ms, value in _messages(brokers, topic)]


def _messages(brokers: str, topic: str) -> list[tuple[int, bytes]]:
    """Time stamp in ms and value of every message of a topic."""
    consumer = Consumer({"bootstrap.servers": brokers, "group.id": "bench"})
    _, end = consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=10)
    consumer.assign([TopicPartition(topic, 0, 0)])
    found: list[tuple[int, bytes]] = []
    while len(found) < end:
        for message in consumer.consume(1_000, 1.0):
            if message.error() is None:
                found.append((message.timestamp()[1], message.value() or b"{}"))
    consumer.close()
    return found


DRIFT_TO_SWAP = Scenario(
    "drift-to-swap",
    "From a drift event to the last of three engines on the new version: engines under load, nodes, coordinator",
    drift_to_swap,
    {
        "drift_to_swap_s": Target(better="lower", goal=15, tolerance=0.25),
        "swap_pause_ms": Target(better="lower", goal=50, tolerance=0.5),
        **{f"windows_{fate}": Target(better="lower", floor=0) for fate in ("lost", "twice")},
    },
    detectors=("bert_cnn",),
)
