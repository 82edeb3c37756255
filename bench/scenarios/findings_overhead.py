"""Scenario findings-overhead: the engine's throughput with all detectors of findings on, as a share of without."""

import numpy as np

from bench.data.workloads import write_workload
from bench.harness import Outcome, Run, Scenario, Target
from bench.scenarios.drift_overhead import spent
from bench.scenarios.engine_runs import trained_store

LEARN = {"learn": {"min_lines": 1000}}
"""Sections of a region that reports findings next to the model's alerts."""


def findings_overhead(run: Run) -> Outcome:
    """Lines per CPU second with `[learn]` as a share of those without, runs alternating.

    CPU time stands for throughput, since it does not depend on other work of the machine. The first `after` lines are
    left out: they are cut into small blocks, which cost far more per line than the rest of the stream will.
    """
    lines, seed, rounds = run.setting("lines", 5_000_000), run.setting("seed", 0), run.setting("rounds", 3)
    after = run.setting("after", 1_000_000)
    store = trained_store(run)
    run.progress("workload", 0, 0)
    workload = write_workload(lines, seed=seed)
    run.settings["workload"] = workload.origin
    shares: list[float] = []
    costs: list[float] = []
    for done in range(rounds):
        # The order alternates, so that a machine that gets slower or faster favours neither.
        order = (done % 2 == 0, done % 2 == 1)
        found = {on: spent(workload, store, "find", LEARN if on else {}, after=after)[0] for on in order}
        with_it, without = found[True], found[False]
        shares.append(without / with_it)
        costs.append(with_it - without)
        run.progress("rounds", done + 1, rounds)
    return Outcome(
        {
            "engine_share": float(np.median(shares)),
            "cpu_ns_per_line": float(np.median(costs)) * 1e9,
        }
    )


FINDINGS_OVERHEAD = Scenario(
    "findings-overhead",
    "Engine throughput with all detectors of findings on, as a share of without; from file to alerts file",
    findings_overhead,
    {
        "engine_share": Target(goal=0.9, floor=0.8, tolerance=0.1),
    },
    detectors=("bert_cnn",),
)
