"""Scenarios rollup-overhead: what the counts per minute and template cost the engine."""

import itertools
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import sqlalchemy as sa

from bench.data.workloads import lines_of, write_workload
from bench.harness import Outcome, Run, Scenario, Target
from bench.processes.engine_process import EngineProcess, region
from bench.scenarios.drift_overhead import spent, watched
from bench.scenarios.engine_runs import trained_store
from connectors.ports import free_port
from connectors.sql_schema import TEMPLATE_MINUTES

STEPS = ("rollup", "count")
SINK = "counts"
STAMP = "%y%m%d %H%M%S"
STAMP_BYTES = 13
TICK_S = 0.1

Figures = tuple[float, float, float, float]
"""CPU seconds per line of the engine, of the steps and of the sink, and the number of rows."""


def rollup_overhead_live(run: Run) -> Outcome:
    """Share of the engine's CPU time that the rollup takes where lines come as fast as their times say.

    A file grows by `rate` lines a second, which have the time of their writing, as a busy service logs; the engine
    follows it with its default intervals. A row is then written for thousands of lines. The first minute is left out.
    """
    rate, seconds = run.setting("rate", 20_000), run.setting("seconds", 180)
    store = trained_store(run)
    workload = write_workload(rate * seconds, seed=run.setting("seed", 0))
    run.settings["workload"] = workload.origin
    with tempfile.TemporaryDirectory(prefix="driftline-bench-") as name:
        folder, port = Path(name), free_port()
        log = folder / "app.log"
        log.touch()
        settings = region(
            folder, source={"type": "file", "paths": [str(log)], "follow": True},
            sink={"type": "jsonl", "path": str(folder / "alerts.jsonl")}, store=store, port=port,
            more={**_sections(folder), "recovery": {"path": str(folder / "recovery")}},
        )  # fmt: skip
        with EngineProcess(settings, port) as engine, _written(log, workload.paths[0], rate) as end:
            cpu_s, steps = watched(engine, port, after=60 * rate, end=end)
        return _outcome([_figures(cpu_s, steps, folder)])


def rollup_overhead_archive(run: Run) -> Outcome:
    """The same where an archive is read as fast as the engine can: a row is written for a dozen lines."""
    lines, seed, rounds = run.setting("lines", 5_000_000), run.setting("seed", 0), run.setting("rounds", 3)
    store = trained_store(run)
    workload = write_workload(lines, seed=seed)
    run.settings["workload"] = workload.origin
    found: list[Figures] = []
    for done in range(rounds):
        with tempfile.TemporaryDirectory(prefix="driftline-bench-") as folder:
            cpu_s, steps = spent(workload, store, _sections(Path(folder)))
            found.append(_figures(cpu_s, steps, Path(folder)))
        run.progress("rounds", done + 1, rounds)
    return _outcome(found)


def _sections(folder: Path) -> dict[str, dict[str, Any]]:
    return {
        "rollup": {"keep_days": 36_500},
        "rollup.store": {"type": "sql", "url": f"sqlite:///{folder}/counts.db"},
    }


def _figures(cpu_s: float, steps: dict[str, float], folder: Path) -> Figures:
    engine = sa.create_engine(f"sqlite:///{folder}/counts.db")
    with engine.connect() as connection:
        rows = connection.execute(sa.select(sa.func.count()).select_from(TEMPLATE_MINUTES)).scalar_one()
    engine.dispose()
    return cpu_s, sum(steps.get(name, 0.0) for name in STEPS), steps.get(SINK, 0.0), rows


def _outcome(found: list[Figures]) -> Outcome:
    """Medians; the steps are timed within the run, snapshots included, for the reason in `drift_overhead`."""
    cpu_s, step_s, sink_s, rows = np.median(found, axis=0).tolist()
    metrics = {
        "overhead_share": (step_s + sink_s) / cpu_s,
        "step_ns_per_line": step_s * 1e9,
        "sink_ns_per_line": sink_s * 1e9,
        "cpu_ns_per_line": cpu_s * 1e9,
    }
    return Outcome(metrics, detail={"rows": rows})


@contextmanager
def _written(log: Path, source: Path, rate: int) -> Iterator[threading.Event]:
    """Append lines at a rate with the time of their writing; the event is set once all of them are written."""
    stop, end = threading.Event(), threading.Event()
    thread = threading.Thread(target=_write, args=(log, source, rate, stop, end))
    thread.start()
    try:
        yield end
    finally:
        stop.set()
        thread.join()


def _write(log: Path, source: Path, rate: int, stop: threading.Event, end: threading.Event) -> None:
    lines = itertools.chain.from_iterable(lines_of(source))
    started_s, done = time.monotonic(), 0
    with log.open("ab", buffering=0) as file:
        while not stop.wait(TICK_S):
            due = list(itertools.islice(lines, int(rate * (time.monotonic() - started_s)) - done))
            if not due:
                end.set()
                return
            done += len(due)
            stamp = datetime.now(UTC).strftime(STAMP).encode()
            file.write(b"".join(stamp + line[STAMP_BYTES:] + b"\n" for line in due))


_TARGETS = {
    "step_ns_per_line": Target(better="lower", tolerance=0.5),
    "sink_ns_per_line": Target(better="lower", tolerance=0.5),
    "cpu_ns_per_line": Target(better="lower", tolerance=0.3),
}

ROLLUP_OVERHEAD = Scenario(
    "rollup-overhead",
    "Share of the engine's CPU time that counts per minute and template take, in SQLite; 20,000 lines/s as they occur",
    rollup_overhead_live,
    {"overhead_share": Target(better="lower", goal=0.02, floor=0.03, tolerance=0.5), **_TARGETS},
    detectors=("bert_cnn",),
)

ROLLUP_OVERHEAD_ARCHIVE = Scenario(
    "rollup-overhead-archive",
    "The same for an archive that is read at full speed, where a row has a dozen lines",
    rollup_overhead_archive,
    {"overhead_share": Target(better="lower", tolerance=0.5), **_TARGETS},
    detectors=("bert_cnn",),
)
