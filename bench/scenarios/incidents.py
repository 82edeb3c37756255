"""Incidents injected into ordinary logs: which detector finds them, at which rank, among how many other alerts."""

from typing import Any

from bench.harness import Outcome, Run, Scenario, Target
from bench.incidents.backgrounds import BACKGROUNDS
from bench.incidents.detectors import DETECTORS, OURS, SCRIPT, chosen
from bench.incidents.kinds import KINDS
from bench.incidents.matrix import EVERY_SPOT, Plan, metrics, missed, missing, not_worse, run_plan, table

QUICK = ((0, 1), (1, 3))
"""Small ones early and medium ones late."""
SHOWN = ("found", "rank1", "others_per_10k_stationary", "others_per_10k_daily", "others_per_10k_real")


def incidents(run: Run) -> Outcome:
    """Every background, kind, size and place; or with `quick` two of the fifteen, for development.

    `backgrounds`, `kinds` and `detectors` are names separated by commas, or `all`.
    """
    quick, seeds = run.setting("quick", False), run.setting("seeds", 1)
    plan = Plan(
        _names(run.setting("backgrounds", "all"), BACKGROUNDS),
        _names(run.setting("kinds", "all"), KINDS),
        QUICK if quick else EVERY_SPOT,
        range(seeds),
    )
    detectors = chosen(_names(run.setting("detectors", "all"), DETECTORS))
    runs = run_plan(plan, detectors, run.progress)
    every = {name: metrics(some) for name, some in runs.items()}
    tables = {name: table(some) for name, some in runs.items()}
    ours = dict(every.get(OURS, {}))
    for name, figures in every.items():
        if name != OURS:
            ours |= {f"{name}.{metric}": figures[metric] for metric in SHOWN if metric in figures}
    detail: dict[str, Any] = {"tables": tables, "missing": missing(plan)}
    if OURS in runs:
        detail["missed"] = missed(runs[OURS])
    if OURS in tables and SCRIPT in tables:
        detail["not_worse_than_script"] = not_worse(tables[OURS], tables[SCRIPT])
    return Outcome(ours, {name: every[name] for name in every if name != OURS}, detail)


def _names(text: str, known: Any) -> list[str]:
    return list(known) if text == "all" else [name.strip() for name in text.split(",")]


INCIDENTS = Scenario(
    "incidents",
    "Incidents of twelve kinds in thirteen ordinary logs: found, rank, other alerts, delay, and peers",
    incidents,
    {
        "found": Target(goal=0.98, floor=0.95, tolerance=0.01),
        "rank1": Target(goal=0.9, floor=0.8, tolerance=0.02),
        "others_per_10k_stationary": Target(better="lower", goal=0.3, floor=1.0, tolerance=0.2),
        "others_per_10k_real": Target(better="lower", goal=2.0, floor=4.0, tolerance=0.2),
    },
)
