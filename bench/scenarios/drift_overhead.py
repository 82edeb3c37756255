"""Scenario drift-overhead: what watching for drift costs the engine, next to the same engine without it."""

import re
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bench.data.workloads import Workload, write_workload
from bench.harness import BenchError, Outcome, Run, Scenario, Target
from bench.processes.engine_process import POLL_S, EngineProcess, region
from bench.scenarios.engine_runs import LIMIT_S, spread, trained_store
from connectors.ports import free_port

SPENT = re.compile(
    rb'^driftline_(?:(?:batch|snapshot)_seconds_sum\{step|sink_cpu_seconds_total\{sink)="(\w+)"\} (\S+)'
    rb"|^process_cpu_seconds_total (\S+)|^driftline_lines_total (\S+)",
    re.MULTILINE,
)
"""Seconds by step, and those of the sink of the rollup, which is called `counts`; names of other sinks have a dash."""

Sample = tuple[float, float, dict[str, float]]
EVENTS = {"drift_events": {"type": "jsonl", "path": "events.jsonl"}}
"""Sections of a region that watches for drift."""


def drift_overhead(run: Run) -> Outcome:
    """What the drift step takes of the engine's CPU time, its snapshots included.

    A second figure compares CPU time per line with and without the monitor, rounds alternating. It includes what the
    step costs elsewhere too, but on a shared machine runs differ by more than the step takes: with a step that
    did nothing, seven pairs of runs gave -8 %. So the verdict is on the step's own time, measured inside it.
    """
    lines, seed, rounds = run.setting("lines", 3_000_000), run.setting("seed", 0), run.setting("rounds", 4)
    store = trained_store(run)
    run.progress("workload", 0, 0)
    workload = write_workload(lines, seed=seed)
    run.settings["workload"] = workload.origin
    watched: list[tuple[float, float]] = []
    bare: list[tuple[float, float]] = []
    for done in range(rounds):
        # The order turns round each time, so that a machine that gets slower or faster favours neither.
        for on in (True, False) if done % 2 else (False, True):
            cpu_s, steps = spent(workload, store, EVENTS if on else {})
            (watched if on else bare).append((cpu_s, steps.get("drift", 0.0)))
        run.progress("rounds", done + 1, rounds)
    with_it, without = (float(np.median([cpu for cpu, _ in found])) for found in (watched, bare))
    differences = [one / other - 1 for (one, _), (other, _) in zip(watched, bare, strict=True)]
    return Outcome(
        {
            "overhead_share": float(np.median([step / cpu for cpu, step in watched])),
            "difference_share": float(np.median(differences)),
            "difference_sd": float(np.std(differences)),
            "cpu_ns_per_line": with_it * 1e9,
        },
        {"without drift": {"cpu_ns_per_line": without * 1e9}},
    )


def spent(
    workload: Workload, store: Path, sections: Mapping[str, Mapping[str, Any]], *, after: int = 0
) -> tuple[float, dict[str, float]]:
    """CPU seconds per line of a run, and seconds per line of each step; start and end of the process are left out.

    Args:
        workload: What is read.
        store: Of the model.
        sections: Added to the region's file; relative paths in them lie in the folder of the run.
        after: Number of the first lines that are left out as well.

    Raises:
        BenchError: the engine failed, took too long, or was done before it could be watched.
    """
    with tempfile.TemporaryDirectory(prefix="driftline-bench-") as name:
        folder = Path(name)
        port = free_port()
        settings = region(
            folder, source={"type": "file", "paths": spread(workload, folder)},
            sink={"type": "jsonl", "path": str(folder / "alerts.jsonl")}, store=store, port=port, more=sections,
        )  # fmt: skip
        with EngineProcess(settings, port) as engine:
            return watched(engine, port, after=after)


def watched(
    engine: EngineProcess, port: int, *, after: int = 0, end: threading.Event | None = None
) -> tuple[float, dict[str, float]]:
    """CPU seconds per line of a running engine, and seconds per line of each step, until it ends or `end` is set.

    Raises:
        BenchError: the engine failed, took too long, or was done before it could be watched.
    """
    samples: list[Sample] = []
    started_s = time.perf_counter()
    while engine.poll() and (end is None or not end.is_set()):
        sample = _scrape(port)
        if sample is not None and sample[0] > after:
            samples.append(sample)
        if time.perf_counter() - started_s > LIMIT_S:
            raise BenchError(f"the engine did not finish within {LIMIT_S} s")
        time.sleep(POLL_S)
    if len(samples) < 2 or samples[-1][0] <= samples[0][0]:
        raise BenchError("the engine was done before it could be watched; use more lines")
    (first_lines, first_cpu, first_steps), (last_lines, last_cpu, last_steps) = samples[0], samples[-1]
    lines = last_lines - first_lines
    steps = {name: (seconds - first_steps.get(name, 0.0)) / lines for name, seconds in last_steps.items()}
    return (last_cpu - first_cpu) / lines, steps


def _scrape(port: int) -> Sample | None:
    """Lines read, CPU seconds, and seconds by step so far, their snapshots included; None while nothing answers."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=2.0) as response:
            page = response.read()
    except (urllib.error.URLError, OSError):
        return None
    cpu = lines = 0.0
    steps: dict[str, float] = {}
    for match in SPENT.finditer(page):
        if match[1]:
            steps[match[1].decode()] = steps.get(match[1].decode(), 0.0) + float(match[2])
        cpu += float(match[3] or 0)
        lines += float(match[4] or 0)
    return lines, cpu, steps


DRIFT_OVERHEAD = Scenario(
    "drift-overhead",
    "The drift step's share of the engine's CPU time, from file to alerts file, next to runs without it",
    drift_overhead,
    {"overhead_share": Target(better="lower", goal=0.02, floor=0.03, tolerance=0.5)},
    detectors=("bert_cnn",),
)
