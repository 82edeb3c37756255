"""Scenario alert-readers: what readers of the live alerts cost an engine that runs at full speed."""

import selectors
import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from bench.data.workloads import Workload, write_workload
from bench.harness import BenchError, Outcome, Run, Scenario, Target
from bench.processes.engine_process import EngineProcess, region
from bench.scenarios.engine_runs import LIMIT_S, spread, trained_store
from bench.scenarios.serve_predict import service
from connectors.ports import free_port

EVENT = b"event: alert"
READ_BYTES = 1 << 16
WAIT_S = 0.2


def alert_readers(run: Run) -> Outcome:
    """Throughput and CPU time of an engine whose alerts are read live, next to the same service without readers.

    The engine writes to the SQLite database that `driftline serve` reads; readers hold its stream of alerts open. The
    order of the two runs alternates, so that a machine that gets slower or faster favours neither.
    """
    lines, readers = run.setting("lines", 2_000_000), run.setting("readers", 50)
    rounds = run.setting("rounds", 3)
    store = trained_store(run)
    workload = write_workload(lines, seed=run.setting("seed", 0))
    run.settings["workload"] = workload.origin
    found: dict[int, list[tuple[float, float, float]]] = {0: [], readers: []}
    for done in range(rounds):
        for count in (readers, 0) if done % 2 else (0, readers):
            found[count].append(_run(run, workload, store, count))
        run.progress("rounds", done + 1, rounds)
    rate, cpu_s, events = np.median(found[readers], axis=0).tolist()
    alone, alone_s, _ = np.median(found[0], axis=0).tolist()
    return Outcome(
        {"slowdown_share": 1 - rate / alone, "cpu_share": cpu_s / alone_s - 1, "lines_per_s": rate},
        {"no readers": {"lines_per_s": alone}},
        detail={"events_per_reader": events},
    )


def _run(run: Run, workload: Workload, store: Path, readers: int) -> tuple[float, float, float]:
    """Lines/s, CPU seconds of the engine, and alerts that each reader received."""
    with tempfile.TemporaryDirectory(prefix="driftline-bench-") as name:
        folder, engine_port = Path(name), free_port()
        with service(folder) as (port, token):
            settings = region(
                folder, source={"type": "file", "paths": spread(workload, folder)}, store=store, port=engine_port,
                sink={"type": "sql", "url": f"sqlite:///{folder}/alerts.db"},
            )  # fmt: skip
            with _reading(port, token, readers) as received, EngineProcess(settings, engine_port) as engine:
                cpu_s = 0.0

                def report(what: str, done: int, total: int) -> None:
                    nonlocal cpu_s
                    cpu_s = max(cpu_s, engine.cpu_s())
                    run.progress(what, done, total)

                rate = engine.run_to_end(workload.total(), LIMIT_S, report)["lines_per_s"]
            if readers and not min(received):
                raise BenchError("a reader received no alert")
    return rate, cpu_s, float(np.mean(received)) if readers else 0.0


@contextmanager
def _reading(port: int, token: str, readers: int) -> Iterator[list[int]]:
    """Streams that a thread reads; the number of alerts that each one received."""
    received, stop = [0] * readers, threading.Event()
    request = f"GET /api/v1/alerts/stream HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n\r\n"
    with selectors.DefaultSelector() as ready:
        for number in range(readers):
            stream = socket.create_connection(("127.0.0.1", port))
            stream.sendall(request.encode())
            ready.register(stream, selectors.EVENT_READ, number)
        thread = threading.Thread(target=_count, args=(ready, received, stop))
        thread.start()
        try:
            yield received
        finally:
            stop.set()
            thread.join()
            for key in list(ready.get_map().values()):
                key.fileobj.close()  # type: ignore[union-attr]


def _count(ready: selectors.BaseSelector, received: list[int], stop: threading.Event) -> None:
    while not stop.is_set():
        for key, _ in ready.select(WAIT_S):
            stream: socket.socket = key.fileobj  # type: ignore[assignment]
            chunk = stream.recv(READ_BYTES)
            received[key.data] += chunk.count(EVENT)
            if not chunk:  # the service ends a stream that is too slow
                ready.unregister(stream)
                stream.close()


ALERT_READERS = Scenario(
    "alert-readers",
    "Slowdown of an engine at full speed while 50 readers of the API follow its alerts live",
    alert_readers,
    {
        "slowdown_share": Target(better="lower", goal=0.01, floor=0.03, tolerance=0.5),
        "cpu_share": Target(better="lower", tolerance=0.5),
        "lines_per_s": Target(tolerance=0.2),
    },
    detectors=("bert_cnn",),
)
