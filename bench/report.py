"""Benchmark results as tables, and the comparison of two results."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from rich.table import Table

from bench.harness import BenchError, Number, Scenario, Target, find_scenario


@dataclass(frozen=True, slots=True)
class MetricChange:
    """One metric in two results; `ratio` is after / before, None where before is 0."""

    metric: str
    before: Number
    after: Number
    ratio: float | None
    verdict: str

    @property
    def regressed(self) -> bool:
        """Worse by more than the metric's tolerance."""
        return self.verdict == "worse"


def read_result(path: Path) -> dict[str, Any]:
    """A result document written by `run`.

    Raises:
        BenchError: the file is missing or is not a result.
    """
    try:
        document = orjson.loads(path.read_bytes().strip().rpartition(b"\n")[2])
    except OSError as error:
        raise BenchError(f"{path} cannot be read: {error.strerror}") from error
    except orjson.JSONDecodeError as error:
        raise BenchError(f"{path} does not end with a JSON object: {error}") from error
    if not isinstance(document, dict) or not {"scenario", "metrics"} <= document.keys():
        raise BenchError(f"{path} is no benchmark result: it has no scenario and metrics")
    return document


def compare(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[MetricChange]:
    """Every metric of the two results; metrics that only one of them has count as changed.

    Raises:
        BenchError: the results are of different scenarios.
    """
    if before["scenario"] != after["scenario"]:
        raise BenchError(f"cannot compare {before['scenario']} with {after['scenario']}: different scenarios")
    targets = find_scenario(before["scenario"]).targets
    old, new = before["metrics"], after["metrics"]
    changes = [_change(name, old[name], new[name], targets.get(name)) for name in old if name in new]
    gone = [
        MetricChange(name, old[name], 0, None, "worse" if name in targets else "gone")
        for name in old
        if name not in new
    ]
    return changes + gone


def _change(metric: str, before: Number, after: Number, target: Target | None) -> MetricChange:
    ratio = after / before if before else None
    if target is None:
        return MetricChange(metric, before, after, ratio, "")
    gain = after - before if target.better == "higher" else before - after
    allowed = target.tolerance * abs(before)
    verdict = "worse" if gain < -allowed else "better" if gain > allowed else "same"
    return MetricChange(metric, before, after, ratio, verdict)


def scenario_table(scenarios: Iterable[Scenario]) -> Table:
    """Every scenario with its goals and floors."""
    table = Table("scenario", "measures", "goal", "floor")
    for scenario in scenarios:
        goals, floors = [], []
        for name, target in scenario.targets.items():
            sign = "≥" if target.better == "higher" else "≤"
            goals += [f"{name} {sign} {number(target.goal)}"] if target.goal is not None else []
            floors += [f"{name} {sign} {number(target.floor)}"] if target.floor is not None else []
        table.add_row(scenario.id, scenario.description, "\n".join(goals), "\n".join(floors))
    return table


def result_table(result: Mapping[str, Any]) -> Table:
    """One result: metrics with goal and floor, then the peers."""
    scenario = find_scenario(result["scenario"])
    table = Table("metric", "value", "goal", "floor", "", title=scenario.id)
    for name, value in result["metrics"].items():
        target = scenario.targets.get(name, Target())
        verdict = "[green]goal met[/]" if target.meets(value, target.goal) else "[yellow]floor met[/]"
        verdict = verdict if target.meets(value, target.floor) else "[red]below the floor[/]"
        verdict = "" if target.goal is None and target.floor is None else verdict
        bounds = ["" if bound is None else number(bound) for bound in (target.goal, target.floor)]
        table.add_row(name, number(value), *bounds, verdict)
    for peer, metrics in result["peers"].items():
        table.add_section()
        for name, value in metrics.items():
            table.add_row(f"{peer}: {name}", number(value), "", "", "")
    return table


def change_table(scenario: str, changes: list[MetricChange]) -> Table:
    """A comparison."""
    colour = {"worse": "red", "better": "green"}
    table = Table("metric", "before", "after", "ratio", "", title=scenario)
    for change in changes:
        ratio = "" if change.ratio is None else f"{change.ratio:.3f}"
        style = colour.get(change.verdict)
        verdict = f"[{style}]{change.verdict}[/]" if style else change.verdict
        table.add_row(change.metric, number(change.before), number(change.after), ratio, verdict)
    return table


def number(value: Number | None) -> str:
    """A number for people: thousands separated, small ones with four digits."""
    if value is None:
        return ""
    if abs(value) >= 1000 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.4g}"


def put_section(page: str, text: str, heading: str, before: str) -> str:
    """The page with its section replaced, or inserted ahead of the heading `before` where it has none.

    The first and the last line of `text` are the section's marks.
    """
    begin, *_, end = text.splitlines()
    if begin in page and end in page:
        ahead, _, rest = page.partition(begin)
        return ahead + text + rest.partition(end)[2]
    ahead, found, rest = page.partition(f"\n{before}\n")
    return f"{ahead}\n## {heading}\n\n{text}\n{found}{rest}"
