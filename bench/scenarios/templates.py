"""Scenarios `templates-loghub` and `formats-loghub`: what parsing finds, against loghub's reference.

`templates-loghub` reads each sample with its format and compares the clusters with the reference
(Zhu et al., "Tools and Benchmarks for Automated Log Parsing", ICSE-SEIP 2019): grouping accuracy
(GA) is the share of lines whose cluster holds exactly the lines of their reference template; FGA is
the F1 of the clusters that do (Jiang et al., LILAC, FSE 2024).

`formats-loghub` shows every line to detection without a file name: alone, to a detector that has
seen nothing, and in its sample, behind the lines before it.
"""

from collections import defaultdict
from collections.abc import Hashable, Sequence

import numpy as np

from bench.data.loghub import LoghubSample, samples
from bench.harness import Outcome, Run, Scenario, Target
from bench.scenarios.parse import cut
from engine.formats.loghub import FORMAT_OF
from engine.steps.parse import Parser, ParseSettings

READ_NS = 1_790_000_000 * 10**9


def templates_loghub(run: Run) -> Outcome:
    """See the module."""
    accuracy, f1 = [], []
    metrics: dict[str, float] = {}
    for i, (system, sample) in enumerate(samples().items()):
        run.progress(system, i, len(FORMAT_OF))
        ga, fga = grouping(_clusters(system, sample), sample.events)
        accuracy.append(ga)
        f1.append(fga)
        metrics |= {f"ga_{system.lower()}": ga, f"fga_{system.lower()}": fga}
    means = {"ga_mean": float(np.mean(accuracy)), "ga_min": min(accuracy), "fga_mean": float(np.mean(f1))}
    return Outcome(means | metrics)


def _clusters(system: str, sample: LoghubSample) -> list[int]:
    parser = Parser(ParseSettings(format=FORMAT_OF[system]), str_place)
    parsed = [parser.parse(batch) for batch in cut(sample.lines, len(sample.lines))]
    clusters: list[int] = [-1] * len(sample.lines)
    for row, cluster in zip(parsed[0].good.rows.tolist(), parsed[0].cluster.tolist(), strict=True):
        clusters[row] = cluster
    return clusters


def str_place(partition: str, position: int) -> str:
    """A place in words."""
    return f"{partition}/{position}"


def grouping(found: Sequence[Hashable], truth: Sequence[Hashable]) -> tuple[float, float]:
    """Grouping accuracy and FGA of clusters against the reference, line by line."""
    clusters, events = defaultdict(list), defaultdict(list)
    for i, (cluster, event) in enumerate(zip(found, truth, strict=True)):
        clusters[cluster].append(i)
        events[event].append(i)
    right = [lines for lines in clusters.values() if events[truth[lines[0]]] == lines]
    precision, recall = len(right) / len(clusters), len(right) / len(events)
    f1 = 2 * precision * recall / (precision + recall) if right else 0.0
    return sum(map(len, right)) / len(found), f1


def formats_loghub(run: Run) -> Outcome:
    """See the module."""
    alone, settled = [], []
    fresh = Parser(ParseSettings(format="auto"), str_place)
    for i, (system, sample) in enumerate(samples().items()):
        run.progress(system, i, len(FORMAT_OF))
        want = FORMAT_OF[system]
        alone.append(np.mean([fresh.take_apart(line, READ_NS).format == want for line in sample.lines]))
        parser = Parser(ParseSettings(format="auto"), str_place)
        right = 0
        for batch in cut(sample.lines, run.setting("batch_lines", 512)):
            right += int(np.sum(parser.parse(batch).rows.format == parser.formats.index(want)))
        settled.append(right / len(sample.lines))
    metrics = {"format_accuracy": float(np.mean(alone)), "format_accuracy_min": float(min(alone))}
    return Outcome(metrics | {"format_accuracy_source": float(np.mean(settled))})


TEMPLATES_LOGHUB = Scenario(
    "templates-loghub",
    "Grouping accuracy and FGA of the templates of loghub's sixteen samples against its reference",
    templates_loghub,
    {
        "ga_mean": Target(goal=0.93, floor=0.90, tolerance=0.005),
        "ga_min": Target(goal=0.75, floor=0.70, tolerance=0.01),
        "fga_mean": Target(goal=0.89, tolerance=0.005),
    },
)

FORMATS_LOGHUB = Scenario(
    "formats-loghub",
    "Share of loghub's lines whose format is recognised, each by itself and within its source",
    formats_loghub,
    {
        "format_accuracy": Target(goal=1.0, floor=0.999, tolerance=0.001),
        "format_accuracy_source": Target(goal=1.0, floor=0.999, tolerance=0.001),
    },
)
