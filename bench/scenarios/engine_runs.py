"""Whole-engine scenarios: the engine as processes of its own, from raw lines to delivered alerts."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from confluent_kafka import Consumer, Message, TopicPartition
from numpy.typing import NDArray

from bench.data.workloads import Workload, base_log, cache_folder, produce, write_workload
from bench.harness import BenchError, Number, Outcome, Run, Scenario, Target
from bench.processes.alert_delays import completing_lines
from bench.processes.engine_process import (
    GAP_S,
    POLL_S,
    EngineProcess,
    environment,
    region,
    run_driftline,
)
from connectors.broker import EmbeddedBroker
from connectors.files import FileSettings, FileSource
from connectors.ports import free_port
from models.base import ModelStoreError
from models.storage.store import ModelStore

LIMIT_S = 900.0
WARM_UP_S = 5.0


def engine_file_hdfs(run: Run) -> Outcome:
    """File to alerts file; with --processes N as many workers, each on its own file."""
    lines, seed = run.setting("lines", 5_000_000), run.setting("seed", 0)
    store = trained_store(run)
    run.progress("workload", 0, 0)
    workload = write_workload(lines, parts=run.processes, seed=seed)
    run.settings["workload"] = workload.origin
    with _folder() as folder:
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
        ours.append(_through_topics(run, workload, store))
        theirs.append(_textbook(run, short, store))
    metrics: dict[str, Number] = _median(ours)
    textbook = _median(theirs)
    metrics["ratio"] = metrics["lines_per_s"] / textbook["lines_per_s"]
    return Outcome(metrics, {"textbook": textbook})


def latency_kafka_hdfs(run: Run) -> Outcome:
    """From a line's production to the alert it completes, consumed by another process."""
    rate, seconds = run.setting("lines_per_s", 100_000), run.setting("seconds", 30)
    seed = run.setting("seed", 0)
    store = trained_store(run)
    workload = write_workload(rate * seconds, seed=seed)
    run.settings["workload"] = workload.origin
    with _folder() as folder, EmbeddedBroker() as broker:
        broker.create_topic("lines", 1)
        broker.create_topic("alerts", 1)
        source = {"type": "kafka", "brokers": broker.brokers, "topic": "lines"}
        sink = {"type": "kafka", "brokers": broker.brokers, "topic": "alerts"}
        port = free_port()
        settings = region(folder, source=source, sink=sink, store=store, port=port)
        with EngineProcess(settings, port) as engine:
            _await_start(engine)
            times = folder / "times.npy"
            with _producer(broker.brokers, workload, rate, times) as producer:
                alerts, cpu_share = _consume(run, engine, broker.brokers, producer, workload.total())
        produced_ns = np.load(times)
    latency_ms = latencies_ms(alerts, produced_ns, workload.paths[0].read_bytes())
    p50_ms, p99_ms = np.percentile(latency_ms, [50, 99]).tolist()
    return Outcome(
        {"p50_ms": p50_ms, "p99_ms": p99_ms, "alerts": len(latency_ms), "cpu_share": cpu_share, "lines_per_s": rate}
    )


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


def _through_topics(run: Run, workload: Workload, store: Path) -> dict[str, float]:
    """One run of the engine over a filled topic."""
    with _folder() as folder, EmbeddedBroker() as broker:
        broker.create_topic("lines", len(workload.paths))
        broker.create_topic("alerts", 1)
        produce(broker.brokers, "lines", workload, lambda done: run.progress("producing", done, workload.total()))
        source = {"type": "kafka", "brokers": broker.brokers, "topic": "lines", "stop_at_end": True}
        sink = {"type": "kafka", "brokers": broker.brokers, "topic": "alerts"}
        port = free_port(run.processes)
        settings = region(folder, source=source, sink=sink, store=store, port=port)
        with EngineProcess(settings, port, run.processes) as engine:
            return engine.run_to_end(workload.total(), LIMIT_S, run.progress)


def _textbook(run: Run, workload: Workload, store: Path) -> dict[str, float]:
    """One run of the textbook flow over a filled topic."""
    run.progress("textbook", 0, 0)
    with _folder() as folder, EmbeddedBroker() as broker:
        broker.create_topic("lines", 1)
        produce(broker.brokers, "lines", workload)
        command = [sys.executable, "-m", "bench.peers.textbook", "--model", str(store), "--topic", "lines"]
        command += ["--bootstrap", broker.brokers, "--alerts", str(folder / "alerts.jsonl")]
        done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False, timeout=LIMIT_S)
    if done.returncode:
        raise BenchError(f"the textbook flow failed: {done.stderr[-2000:]}")
    result: dict[str, float] = orjson.loads(done.stdout.splitlines()[-1])
    return result


_START_LIMIT_S = 120.0


def _await_start(engine: EngineProcess) -> None:
    """Waits until the engine serves its metrics, which it does once its model is in service."""
    deadline_s = time.perf_counter() + _START_LIMIT_S
    while engine.poll() and not engine.samples:
        if time.perf_counter() > deadline_s:
            raise BenchError(f"the engine did not start within {_START_LIMIT_S} s")
        time.sleep(POLL_S)


@contextmanager
def _producer(brokers: str, workload: Workload, rate: int, times: Path) -> "Iterator[subprocess.Popen[str]]":
    """The producing process, ended with the block."""
    command = [sys.executable, "-m", "bench.processes.producer", str(workload.paths[0]), "--bootstrap", brokers]
    command += ["--topic", "lines", "--rate", str(rate), "--times", str(times)]
    process = subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


Alert = tuple[int, dict[str, Any]]
"""Wall clock in ns at which it was consumed, and the document."""


def _consume(
    run: Run, engine: EngineProcess, brokers: str, producer: "subprocess.Popen[str]", lines: int
) -> tuple[list[Alert], float]:
    """Alerts until the producer has finished and none came for a second; the engine's CPU share meanwhile."""
    consumer = Consumer({"bootstrap.servers": brokers, "group.id": "bench", "fetch.wait.max.ms": 5})
    consumer.assign([TopicPartition("alerts", 0, 0)])
    alerts: list[tuple[int, Message]] = []
    started_s = last_s = polled_s = time.perf_counter()
    cpu_s, share = engine.cpu_s(), 0.0
    while producer.poll() is None or time.perf_counter() - last_s < 1.0:
        messages = consumer.consume(1_000, 0.005)
        now_ns, now_s = time.time_ns(), time.perf_counter()
        alerts += [(now_ns, message) for message in messages if message.error() is None]
        last_s = now_s if messages else last_s
        if producer.poll() is None:
            share = (engine.cpu_s() - cpu_s) / (now_s - started_s) if now_s - polled_s > 1.0 else share
        if now_s - polled_s > 1.0:
            polled_s = now_s
            engine.poll()
            run.progress("streaming", int(engine.samples[-1].counters.get("lines", 0)), lines)
    consumer.close()
    note = orjson.loads(producer.stdout.read().splitlines()[-1]) if producer.stdout else {}
    if producer.returncode or note.get("unacknowledged"):
        raise BenchError(f"the producer failed: code {producer.returncode}, {note}")
    run.settings["producer_behind_s"] = round(note["behind_s"], 3)
    return [(at_ns, orjson.loads(message.value() or b"{}")) for at_ns, message in alerts], share


def latencies_ms(alerts: list[Alert], produced_ns: NDArray[np.int64], data: bytes) -> NDArray[np.float64]:
    """Milliseconds from the production of a window's completing line to its alert, after the warm-up."""
    lines = completing_lines([alert for _, alert in alerts], data, GAP_S)
    consumed_ns = np.array([at_ns for at_ns, _ in alerts], np.int64)
    # Sessions that outlive the stream are closed by no line.
    known = lines < len(produced_ns)
    started_ns = produced_ns[lines[known]]
    warm = started_ns > produced_ns[0] + int(WARM_UP_S * 1e9)
    if not warm.any():
        raise BenchError(f"none of {len(alerts)} alerts came after the warm-up of {WARM_UP_S} s; stream for longer")
    waited_ns: NDArray[np.int64] = consumed_ns[known][warm] - started_ns[warm]
    return waited_ns.astype(np.float64) / 1e6


def _median(results: list[dict[str, float]]) -> dict[str, Number]:
    """The median of every figure."""
    return {name: float(np.median([result[name] for result in results])) for name in results[0]}


@contextmanager
def _folder() -> Iterator[Path]:
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

LATENCY_KAFKA_HDFS = Scenario(
    "latency-kafka-hdfs",
    "Produce to alert consumed, at a steady 100,000 lines/s",
    latency_kafka_hdfs,
    {
        "p50_ms": Target(better="lower", tolerance=0.25),
        "p99_ms": Target(better="lower", goal=250, floor=500, tolerance=0.25),
    },
    detectors=("bert_cnn",),
)
