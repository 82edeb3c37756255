"""Whole-engine scenarios: the engine as processes of its own, from raw lines to delivered alerts."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import orjson

from bench.data.workloads import Workload, base_log, cache_folder, produce, write_workload
from bench.harness import BenchError, Number, Outcome, Run, Scenario, Target
from bench.processes.engine_process import (
    GAP_S,
    EngineProcess,
    environment,
    region,
    run_driftline,
)
from bench.processes.topics import topics
from connectors.files import FileSettings, FileSource
from connectors.ports import free_port
from models.base import ModelStoreError
from models.storage.store import ModelStore

LIMIT_S = 900.0


def engine_file_hdfs(run: Run) -> Outcome:
    """File to alerts file; with --processes N as many workers, each on its own file."""
    lines, seed = run.setting("lines", 5_000_000), run.setting("seed", 0)
    store = trained_store(run)
    run.progress("workload", 0, 0)
    workload = write_workload(lines, parts=run.processes, seed=seed)
    run.settings["workload"] = workload.origin
    with run_folder() as folder:
        source = {"type": "file", "paths": spread(workload, folder)}
        sink = {"type": "jsonl", "path": str(folder / "alerts.jsonl")}
        port = free_port(run.processes)
        settings = region(folder, source=source, sink=sink, store=store, port=port)
        with EngineProcess(settings, port, run.processes) as engine:
            rates = engine.run_to_end(lines, LIMIT_S, run.progress)
        alerts = sum(path.read_bytes().count(b"\n") for path in folder.glob("alerts*.jsonl*"))
    return Outcome({**rates, "alerts": alerts})


def engine_kafka_hdfs(run: Run) -> Outcome:
    """The same through topics, alternating with the textbook flow on fewer lines."""
    lines, seed = run.setting("lines", 2_000_000), run.setting("seed", 0)
    textbook_lines, rounds = run.setting("textbook_lines", 200_000), run.setting("rounds", 2)
    store = trained_store(run)
    workload = write_workload(lines, parts=run.processes, seed=seed)
    short = write_workload(textbook_lines, seed=seed)
    run.settings["workload"] = workload.origin
    ours: list[dict[str, float]] = []
    theirs: list[dict[str, float]] = []
    for _ in range(rounds):
        ours.append(through_topics(run, workload, store))
        theirs.append(_textbook(run, short, store))
    metrics: dict[str, Number] = median_of(ours)
    textbook = median_of(theirs)
    metrics["ratio"] = metrics["lines_per_s"] / textbook["lines_per_s"]
    return Outcome(metrics, {"textbook": textbook})


def engine_kafka_otlp(run: Run) -> Outcome:
    """The same lines as records of OTLP requests, alternating with one line a message."""
    lines, seed = run.setting("lines", 2_000_000), run.setting("seed", 0)
    each, rounds = run.setting("records", 100), run.setting("rounds", 2)
    store = trained_store(run)
    workload = write_workload(lines, parts=run.processes, seed=seed)
    run.settings["workload"] = workload.origin
    packed: list[dict[str, float]] = []
    single: list[dict[str, float]] = []
    for _ in range(rounds):
        packed.append(through_topics(run, workload, store, packed=each))
        single.append(through_topics(run, workload, store))
    metrics, peer = median_of(packed), median_of(single)
    metrics["ratio"] = metrics["lines_per_s"] / peer["lines_per_s"]
    return Outcome(metrics, {"one line a message": peer})


def trained_store(run: Run) -> Path:
    """A model store with a bert_cnn trained on the whole base log, kept between runs.

    That it has seen the log makes alerts about as frequent as failures are, which is what the
    speed depends on; how well it detects is measured by another scenario.
    """
    base, folder = base_log(), cache_folder()
    store = folder / f"store-{base.origin}-{GAP_S:.0f}"
    if not _usable(ModelStore(store)):
        run.progress("training", 0, 0)
        folder.mkdir(parents=True, exist_ok=True)
        log, labels = store.with_suffix(".log"), store.with_suffix(".csv")
        log.write_bytes(base.data)
        rows = (f"{block},{'Anomaly' if bad else 'Normal'}\n" for block, bad in base.labels.items())
        labels.write_text("BlockId,Label\n" + "".join(rows))
        source, sink = {"type": "file", "paths": [str(log)]}, {"type": "jsonl", "path": "alerts.jsonl"}
        settings = region(folder, source=source, sink=sink, store=store, port=0)
        options = ["--data", str(log), "--labels", str(labels), "--region", str(settings)]
        run_driftline("train", "bert_cnn", *options, cwd=folder)
    return store


def _usable(store: ModelStore) -> bool:
    """Whether there is a model that today's code can load: one kept from before may have other settings."""
    try:
        store.load("bert_cnn", device="cpu")
    except ModelStoreError:
        return False
    return True


def spread(workload: Workload, folder: Path) -> list[str]:
    """Paths in `folder` that lead to the workload's files, named so that each worker gets one."""
    workers = len(workload.paths)
    paths = []
    for worker, target in enumerate(workload.paths):
        for attempt in range(10_000):
            path = folder / f"part-{worker}-{attempt}.log"
            path.symlink_to(target)
            source = FileSource(FileSettings(paths=(str(path),)), worker=worker, of=workers)
            if source.files():
                paths.append(str(path))
                break
            path.unlink()
    return paths


def through_topics(run: Run, workload: Workload, store: Path, *, packed: int = 0) -> dict[str, float]:
    """One run of the engine over a filled topic: one line a message, or OTLP requests of `packed` records each."""
    with run_folder() as folder, topics(run, len(workload.paths), 1) as (brokers, lines, alerts):
        produce(brokers, lines, workload, lambda done: run.progress("producing", done, workload.total()), packed=packed)
        source = {"type": "kafka", "brokers": brokers, "topic": lines, "stop_at_end": True}
        source |= {"encoding": "otlp_proto", "otlp_lines": "bodies"} if packed else {}
        sink = {"type": "kafka", "brokers": brokers, "topic": alerts}
        port = free_port(run.processes)
        settings = region(folder, source=source, sink=sink, store=store, port=port)
        with EngineProcess(settings, port, run.processes) as engine:
            return engine.run_to_end(workload.total(), LIMIT_S, run.progress)


def _textbook(run: Run, workload: Workload, store: Path) -> dict[str, float]:
    """One run of the textbook flow over a filled topic."""
    run.progress("textbook", 0, 0)
    with run_folder() as folder, topics(run, 1) as (brokers, lines):
        produce(brokers, lines, workload)
        command = [sys.executable, "-m", "bench.peers.textbook", "--model", str(store), "--topic", lines]
        command += ["--bootstrap", brokers, "--alerts", str(folder / "alerts.jsonl")]
        done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False, timeout=LIMIT_S)
    if done.returncode:
        raise BenchError(f"the textbook flow failed: {done.stderr[-2000:]}")
    result: dict[str, float] = orjson.loads(done.stdout.splitlines()[-1])
    return result


def median_of(results: list[dict[str, float]]) -> dict[str, Number]:
    """The median of every figure."""
    return {name: float(np.median([result[name] for result in results])) for name in results[0]}


@contextmanager
def run_folder() -> Iterator[Path]:
    """A folder for one run's files."""
    with tempfile.TemporaryDirectory(prefix="driftline-bench-") as folder:
        yield Path(folder)


ENGINE_FILE_HDFS = Scenario(
    "engine-file-hdfs",
    "File to alerts file through parse, session windows, BERT-CNN and decide, recovery on; fresh block ids",
    engine_file_hdfs,
    {
        "lines_per_s": Target(goal=1_000_000, floor=400_000, tolerance=0.15),
        "windows_per_s": Target(tolerance=0.15),
        "rss_bytes": Target(better="lower", tolerance=0.2),
    },
    detectors=("bert_cnn",),
    processes=True,
)

ENGINE_KAFKA_HDFS = Scenario(
    "engine-kafka-hdfs",
    "The same through Kafka topics, one line a message, next to the textbook per-line flow",
    engine_kafka_hdfs,
    {
        "lines_per_s": Target(goal=500_000, floor=250_000, tolerance=0.15),
        "windows_per_s": Target(tolerance=0.15),
        "ratio": Target(floor=6, tolerance=0.2),
    },
    detectors=("bert_cnn",),
    processes=True,
)

ENGINE_KAFKA_OTLP = Scenario(
    "engine-kafka-otlp",
    "The same as OTLP requests of 100 records a message, next to one line a message",
    engine_kafka_otlp,
    {
        "lines_per_s": Target(tolerance=0.15),
        "windows_per_s": Target(tolerance=0.15),
        "ratio": Target(goal=3, floor=2, tolerance=0.2),
    },
    detectors=("bert_cnn",),
    processes=True,
)
