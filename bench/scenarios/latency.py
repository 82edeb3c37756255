"""How long an alert takes: from the production of the line that completes a window to the alert's consumer."""

import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from confluent_kafka import Consumer, Message, TopicPartition
from numpy.typing import NDArray

from bench.data.workloads import Workload, write_workload
from bench.harness import BenchError, Outcome, Run, Scenario, Target
from bench.processes.alert_delays import completing_lines
from bench.processes.engine_process import GAP_S, POLL_S, EngineProcess, region
from bench.processes.running import producing
from bench.processes.stalls import Stalls, timeline
from bench.scenarios.engine_runs import run_folder, through_topics, trained_store
from connectors.broker import EmbeddedBroker
from connectors.ports import free_port

WARM_UP_S = 5.0


@dataclass(frozen=True, slots=True)
class Latencies:
    """Alerts of one run after the warm-up.

    Attributes:
        produced_ns: int64 (n,): wall clock at which the line was produced that completed each alert's window.
        waited_ms: float64 (n,): from then to the consumer.
        cpu_share: Of a core, by the engine.
        worst: The worst alerts with what the processes did meanwhile, see `bench.processes.stalls`.
    """

    produced_ns: NDArray[np.int64]
    waited_ms: NDArray[np.float64]
    cpu_share: float = 0.0
    worst: tuple[dict[str, Any], ...] = ()


def latency_kafka_hdfs(run: Run) -> Outcome:
    """Several runs at a share of the throughput measured first, or at a given rate."""
    rate, share = run.setting("lines_per_s", 0), run.setting("share", 0.3)
    runs, seconds, seed = run.setting("runs", 10), run.setting("seconds", 20), run.setting("seed", 0)
    store = trained_store(run)
    if not rate:
        workload = write_workload(run.setting("lines", 1_000_000), seed=seed)
        rate = round(share * through_topics(run, workload, store)["lines_per_s"])
    workload = write_workload(rate * seconds, seed=seed)
    run.settings["workload"] = workload.origin
    found = [_one_run(run, store, workload, rate) for _ in range(runs)]
    p50 = np.array([np.percentile(each.waited_ms, 50) for each in found])
    p99 = np.sort([np.percentile(each.waited_ms, 99) for each in found])
    nine_of_ten = float(p99[max(0, -(-9 * runs // 10) - 1)])
    return Outcome(
        {
            "p50_ms": float(np.median(p50)), "p99_ms": nine_of_ten, "p99_median_ms": float(np.median(p99)),
            "p99_worst_ms": float(p99[-1]), "alerts": sum(len(each.waited_ms) for each in found),
            "cpu_share": float(np.median([each.cpu_share for each in found])), "lines_per_s": rate,
        },
        detail={"p99_ms": p99.tolist(), "worst": [each.worst for each in found]},
    )  # fmt: skip


def _one_run(run: Run, store: Path, workload: Workload, rate: int) -> Latencies:
    with run_folder() as folder, EmbeddedBroker() as broker:
        broker.create_topic("lines", 1)
        broker.create_topic("alerts", 1)
        source = {"type": "kafka", "brokers": broker.brokers, "topic": "lines"}
        sink = {"type": "kafka", "brokers": broker.brokers, "topic": "alerts"}
        port = free_port()
        settings = region(folder, source=source, sink=sink, store=store, port=port)
        with EngineProcess(settings, port) as engine:
            _await_start(engine)
            times = folder / "times.npy"
            with producing(broker.brokers, "lines", workload.paths[0], rate, times) as producer:
                watched = {"engine": engine.pid, "broker": broker.pid or 0, "producer": producer.pid}
                with Stalls(watched) as stalls:
                    alerts, cpu_share = _consume(run, engine, broker.brokers, producer, workload.total())
        produced_ns = np.load(times)
    found = latencies(alerts, produced_ns, workload.paths[0].read_bytes())
    worst = tuple(timeline(stalls, found.produced_ns, found.waited_ms))
    return Latencies(found.produced_ns, found.waited_ms, cpu_share, worst)


_START_LIMIT_S = 120.0


def _await_start(engine: EngineProcess) -> None:
    """Waits until the engine serves its metrics, which it does once its model is in service."""
    deadline_s = time.perf_counter() + _START_LIMIT_S
    while engine.poll() and not engine.samples:
        if time.perf_counter() > deadline_s:
            raise BenchError(f"the engine did not start within {_START_LIMIT_S} s")
        time.sleep(POLL_S)


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


def latencies(alerts: list[Alert], produced_ns: NDArray[np.int64], data: bytes) -> Latencies:
    """From the production of a window's completing line to its alert, after the warm-up."""
    lines = completing_lines([alert for _, alert in alerts], data, GAP_S)
    consumed_ns = np.array([at_ns for at_ns, _ in alerts], np.int64)
    # Sessions that outlive the stream are closed by no line.
    known = lines < len(produced_ns)
    started_ns = produced_ns[lines[known]]
    warm = started_ns > produced_ns[0] + int(WARM_UP_S * 1e9)
    if not warm.any():
        raise BenchError(f"none of {len(alerts)} alerts came after the warm-up of {WARM_UP_S} s; stream for longer")
    waited_ns: NDArray[np.int64] = consumed_ns[known][warm] - started_ns[warm]
    return Latencies(started_ns[warm], waited_ns.astype(np.float64) / 1e6)


LATENCY_KAFKA_HDFS = Scenario(
    "latency-kafka-hdfs",
    "Produce to alert consumed, ten runs at 30 % of the throughput measured first; p99_ms is met by nine of them",
    latency_kafka_hdfs,
    {
        "p50_ms": Target(better="lower", tolerance=0.25),
        "p99_ms": Target(better="lower", goal=100, floor=250, tolerance=0.25),
        "p99_worst_ms": Target(better="lower", goal=100, tolerance=0.5),
    },
    detectors=("bert_cnn",),
)
