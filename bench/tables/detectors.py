"""The table of all detectors on all sets in the documentation, written from the committed results.

`python -m bench.tables.detectors` reads `bench/results/detect-*.json` and writes the table between its
two marks in docs/evaluation.md.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.harness import find_scenario
from bench.scenarios.detection import EVERY_WINDOW, SUPERVISED, VARIANTS
from bench.tables.page import ROOT, GeneratedSection, figure, table

FLOORS = ("event_counts", "event_counts_logistic", "event_counts_boosted")
_CHOSEN = ("window", "seeds", "slow_seeds", "folds", "train_windows")
_FIGURES = ("f1", "precision", "recall", "f1_std", "train_s", "f1_fitted")

PUBLISHED: Mapping[str, str] = {
    "detect-hdfs-8020": "All of HDFS_v1, 80/20 by session at random: CNN .982 to .987, LogRobust .980 to .987, "
    "NeuralLog .979 to .996, decision tree on counts .998 to .999 (Le and Zhang 2022; LightAD 2024; loglizer).",
    "detect-hdfs-deeplog": "Trained on 4,855 normal sessions, tested on 16,838 abnormal and 553,366 normal ones: "
    "DeepLog .945 with short sessions padded (logdeep), .910 without (Himler et al. 2024); LogAnomaly .976; LogRobust "
    ".940; new event, length and count vectors together .988 (Landauer et al. 2024).",
    "detect-bgl-lines": "none by line; on windows of half an hour, 80/20 in time, CNN .883, LogRobust .878, PLELog "
    ".772, DeepLog .345, and on windows of 20 lines CNN .767 (Le and Zhang 2022).",
}
"""Published F1 by the same protocol, on the whole of the set where ours is a sample of it; differences are noted."""


@dataclass(frozen=True, slots=True)
class TableColumn:
    """One result, or the part of one under a name of its own.

    `figures` is metric by detector; `heading` names the set; `commands` measure it again.
    """

    scenario: str
    heading: str
    commands: tuple[str, ...]
    figures: Mapping[str, Mapping[str, float]]

    def floor(self, detector: str) -> float:
        """The best F1 of what needs no network and no more labels than the detector."""
        names = (EVERY_WINDOW, *(f for f in FLOORS if detector in SUPERVISED or f not in SUPERVISED))
        return max((self.figures[name]["f1"] for name in names if name in self.figures), default=0.0)


def columns(results: Sequence[Mapping[str, Any]]) -> list[TableColumn]:
    """The columns of the table, in the order of the results; results of one heading share a column."""
    found: dict[str, TableColumn] = {}
    for result in results:
        settings = result.get("settings", {})
        command = f"python -m bench run {result['scenario']}{_options(settings)}"
        parts: dict[str, dict[str, dict[str, float]]] = {}
        of_peers = {f"{peer}.{k}": v for peer, figures in result.get("peers", {}).items() for k, v in figures.items()}
        for name, value in {**result["metrics"], **of_peers}.items():
            detector, *part = name.split(".")
            if part and part[-1] in _FIGURES:
                parts.setdefault(" ".join(part[:-1]), {}).setdefault(detector, {})[part[-1]] = value
        for part_name, figures in parts.items():
            words = [result["scenario"].removeprefix("detect-"), settings.get("window"), part_name.replace("_", " ")]
            heading = ", ".join(map(str, filter(None, words)))
            before = found.get(heading, TableColumn(result["scenario"], heading, (), {}))
            found[heading] = TableColumn(
                result["scenario"], heading, (*before.commands, command), {**before.figures, **figures}
            )
    return list(found.values())


def _options(settings: Mapping[str, Any]) -> str:
    """Options that repeat this measurement; without any, all detectors are measured."""
    every = set(VARIANTS), set(VARIANTS) - set(SUPERVISED)
    chosen = {k: v for k, v in settings.items() if k in _CHOSEN}
    if set(names := settings.get("detectors", ",".join(VARIANTS)).split(",")) not in every:
        chosen["detectors"] = ",".join(names)
    return "".join(f" --set {k}={v}" for k, v in chosen.items())


def render(results: Sequence[Mapping[str, Any]]) -> list[str]:
    """The table with its notes."""
    found = columns(results)
    detectors = dict.fromkeys(name for column in found for name in column.figures)
    order = sorted(detectors, key=lambda n: (n in FLOORS, n == EVERY_WINDOW, n))
    return [
        "F1, with its spread over the trials; in brackets precision and recall. The best of each column is bold. The",
        "last rows need no network: event counts, and `every_window`, which calls every window anomalous. A ✗ marks a",
        "network that does not beat the best of them that needs no more labels than it does; a - was not measured. A †",
        "marks a result from before thresholds were calibrated on the stream: its F1 is that of the fitted threshold.",
        "",
        *table(
            ["detector", *(column.heading for column in found)],
            ([f"`{name}`", *(_cell(column, name) for column in found)] for name in order),
        ),
        "",
        *_notes(found),
    ]


def _cell(column: TableColumn, detector: str) -> str:
    figures = column.figures.get(detector)
    if figures is None:
        return "-"
    best = max(f["f1"] for f in column.figures.values())
    f1 = figure(figures["f1"], figures.get("f1_std") or None, best=figures["f1"] == best)
    simple = detector in (*FLOORS, EVERY_WINDOW)
    old = "" if "f1_fitted" in figures or detector == EVERY_WINDOW else " †"
    loses = " ✗" if not simple and figures["f1"] <= column.floor(detector) else ""
    return f"{f1}{loses}{old} ({figures['precision']:.3f}, {figures['recall']:.3f})"


def _notes(found: Sequence[TableColumn]) -> list[str]:
    """What each column is, the command that measures it again, and what others published."""
    notes = {}
    for column in found:
        description = find_scenario(column.scenario).description.rstrip(".")
        published = f" Published: {PUBLISHED.get(column.scenario, 'none by this protocol.')}"
        commands = " and ".join(f"`{command}`" for command in column.commands)
        notes[commands] = f"- {commands}: {description}.{published}"
    return list(notes.values())


SECTION = GeneratedSection(
    ROOT / "docs" / "evaluation.md", "Detectors, measured", "## When something is refused", "detect-*.json", render,
    "bench.tables.detectors",
)  # fmt: skip

if __name__ == "__main__":
    sys.exit(SECTION.write())
