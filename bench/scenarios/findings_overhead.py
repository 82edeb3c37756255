"""Scenario findings-overhead: the engine's throughput with all detectors of findings on, as a share of without."""

import numpy as np

from bench.data.workloads import write_workload
from bench.harness import Outcome, Run, Scenario, Target
from bench.scenarios.drift_overhead import spent
from bench.scenarios.engine_runs import trained_store

LEARN = {"learn": {"min_lines": 1000}}
"""Sections of a region that reports findings next to the model's alerts."""


def findings_overhead(run: Run) -> Outcome:
    """Share of the time of all steps that is not the find step's, within one run; snapshots included.

    Runs with and without findings differ by more than the step takes on a shared machine (see `drift_overhead`), while
    other work of the machine slows all steps of one run alike. Reading, sinks and Bytewax itself are not counted, so
    the engine's true share is higher. The first `after` lines are left out: they are cut into small blocks, which cost
    far more per line than the rest of the stream will.
    """
    lines, seed, rounds = run.setting("lines", 5_000_000), run.setting("seed", 0), run.setting("rounds", 3)
    after = run.setting("after", 1_000_000)
    store = trained_store(run)
    run.progress("workload", 0, 0)
    workload = write_workload(lines, seed=seed)
    run.settings["workload"] = workload.origin
    found: list[tuple[float, float]] = []
    for done in range(rounds):
        _, steps = spent(workload, store, LEARN, after=after)
        found.append((1 - steps["find"] / sum(steps.values()), steps["find"]))
        run.progress("rounds", done + 1, rounds)
    share, step_s = np.median(found, axis=0).tolist()
    return Outcome({"engine_share": share, "step_ns_per_line": step_s * 1e9})


FINDINGS_OVERHEAD = Scenario(
    "findings-overhead",
    "Engine throughput with all detectors of findings on, as a share of without; from file to alerts file",
    findings_overhead,
    {
        "engine_share": Target(goal=0.9, floor=0.8, tolerance=0.1),
        "step_ns_per_line": Target(better="lower", tolerance=0.5),
    },
    detectors=("bert_cnn",),
)
