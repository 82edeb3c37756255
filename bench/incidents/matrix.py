"""Runs detectors over backgrounds, kinds, sizes, places and seeds, and tabulates what came out.

A detector reads the past of a background once and the `now` of every case in order. What it knows after the
past is the same for all cases of a background, so that reading it again would change nothing.
"""

import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bench.incidents.backgrounds import background
from bench.incidents.base import Background, IncidentCase, IncidentDetector
from bench.incidents.inject import free_case, make_case
from bench.incidents.judge import DetectorSummary, RunResult, judge, summarise
from bench.incidents.kinds import KINDS, NONE, PLACES, SIZES

ALL = "all"
EVERY_SPOT = tuple(itertools.product(range(len(SIZES)), range(len(PLACES))))


@dataclass(frozen=True, slots=True)
class Plan:
    """Which cases are run.

    Attributes:
        backgrounds: Their names.
        kinds: Kinds of incident; a background leaves out those that it cannot show.
        spots: Pairs of a size (0 to 2) and a place (0 to 4).
        seeds: From 0.
    """

    backgrounds: Sequence[str]
    kinds: Sequence[str] = tuple(KINDS)
    spots: Sequence[tuple[int, int]] = EVERY_SPOT
    seeds: Sequence[int] = (0,)

    def logs(self) -> Iterator[tuple[Background, int]]:
        """Every background with every seed."""
        for name in self.backgrounds:
            for seed in self.seeds:
                yield background(name, seed), seed

    def cases(self, log: Background, seed: int) -> Iterator[IncidentCase]:
        """The cases with an incident, of one background."""
        for kind in self.kinds:
            if kind in log.system.recipes:
                for size, place in self.spots:
                    yield make_case(log, kind, size, place, seed)


@dataclass(frozen=True, slots=True)
class DetectorRuns:
    """What one detector did: its verdicts, and the CPU seconds it took for 10,000 lines of the past."""

    verdicts: Sequence[RunResult]
    learn_s_per_10k: float


def run_plan(
    plan: Plan, detectors: Mapping[str, IncidentDetector], report: Callable[[str, int, int], None] = lambda *_: None
) -> dict[str, DetectorRuns]:
    """Every detector on every case of the plan."""
    verdicts: dict[str, list[RunResult]] = {name: [] for name in detectors}
    seconds, lines = dict.fromkeys(detectors, 0.0), 0
    logs = list(plan.logs())
    for number, (log, seed) in enumerate(logs):
        lines += log.cut
        for name, detector in detectors.items():
            report(name, number, len(logs))
            begin = time.process_time()
            watch = detector.learn(log.past)
            seconds[name] += time.process_time() - begin
            free = free_case(log)
            begin = time.process_time()
            usual = watch.watch(free.now)
            verdicts[name].append(judge(free, usual, (), time.process_time() - begin))
            for case in plan.cases(log, seed):
                begin = time.process_time()
                alerts = watch.watch(case.now)
                verdicts[name].append(judge(case, alerts, usual, time.process_time() - begin))
            report(name, number + 1, len(logs))
    return {name: DetectorRuns(verdicts[name], seconds[name] / max(lines, 1) * 1e4) for name in detectors}


def metrics(runs: DetectorRuns) -> dict[str, float]:
    """The figures of one detector over the whole plan, without those that no run can tell."""
    figures: dict[str, Any] = asdict(summarise(runs.verdicts))
    for group in ("stationary", "daily", "real"):
        some = [verdict for verdict in runs.verdicts if verdict.case.background.group == group]
        if some:
            figures[f"others_per_10k_{group}"] = summarise(some).others_per_10k
    figures["learn_s_per_10k"] = runs.learn_s_per_10k
    return {name: value for name, value in figures.items() if value is not None}


def table(runs: DetectorRuns) -> dict[str, dict[str, dict[str, float]]]:
    """By background and kind: found, rank1, others per 10,000 lines, delay in lines.

    The background and the kind `all` sum up; the kind `none` is the run without an incident.
    """
    out: dict[str, dict[str, dict[str, float]]] = {}
    for name in (ALL, *dict.fromkeys(verdict.case.background.name for verdict in runs.verdicts)):
        some = [verdict for verdict in runs.verdicts if name in (ALL, verdict.case.background.name)]
        out[name] = {ALL: _row(summarise(some))}
        for kind in dict.fromkeys(verdict.case.kind for verdict in some):
            out[name][kind] = _row(summarise([verdict for verdict in some if verdict.case.kind == kind]))
    return out


def missed(runs: DetectorRuns) -> list[str]:
    """The names of the cases whose incident was not found."""
    return [verdict.case.name for verdict in runs.verdicts if verdict.case.kind != NONE and not verdict.found]


def _row(figures: DetectorSummary) -> dict[str, float]:
    row = {
        "found": figures.found,
        "rank1": figures.rank1,
        "others_per_10k": figures.others_per_10k,
        "delay_lines": figures.delay_lines,
    }
    return {name: round(value, 4) for name, value in row.items() if value is not None}


def missing(plan: Plan) -> dict[str, dict[str, str]]:
    """By background: the kinds that it cannot show, and why."""
    return {name: dict(background(name).system.missing) for name in plan.backgrounds}


def not_worse(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> dict[str, dict[str, bool]]:
    """By background: whether `ours` finds as many incidents, and raises as few other alerts, as `theirs`."""
    return {
        name: {
            "found": ours[name][ALL]["found"] >= theirs[name][ALL]["found"],
            "others": ours[name][ALL]["others_per_10k"] <= theirs[name][ALL]["others_per_10k"],
        }
        for name in ours
        if name != ALL and "found" in ours[name][ALL]
    }
