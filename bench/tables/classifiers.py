"""The tables of all line classifiers in the documentation, written from the committed results.

`python -m bench.tables.classifiers` reads `bench/results/classify-*.json` and writes the tables between
their two marks in docs/classification.md.
Results of one scenario on one label set may be in several files, with other classifiers in each.
"""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from bench.tables.page import ROOT, GeneratedSection, figure, table

LABELS = ("weak", "corrected")
SIMPLE = ("template_lookup", "rules")
"""What does not learn from the words of lines."""
PUBLISHED: Mapping[str, tuple[float, float]] = {
    "hybrid_bert": (0.928, 0.943), "dann_bert": (0.903, 0.921), "lora_bert": (0.887, 0.905),
    "xgboost": (0.885, 0.912), "random_forest": (0.872, 0.898),
}  # fmt: skip
"""Macro F1 and accuracy that the authors of the weak labels published, for a random split."""
PROTOCOLS: Mapping[str, str] = {
    "classify-seven-random": "random lines", "classify-seven-template": "new templates",
    "classify-seven-source": "new systems",
}  # fmt: skip
SPEEDS: Mapping[str, str] = {
    "train_s": "training, s", "file_s": "32,000 lines, s", "uncached_lines_per_s": "lines/s, all new",
    "cached_lines_per_s": "lines/s, all seen",
}  # fmt: skip

Figures = Mapping[tuple[str, str], Mapping[str, Mapping[str, float]]]
"""(scenario, label set) → classifier → metric → value."""


def gathered(results: Sequence[Mapping[str, Any]]) -> Figures:
    """The figures of all results, and of their peers."""
    found: dict[tuple[str, str], dict[str, dict[str, float]]] = {}
    for result in results:
        into = found.setdefault((result["scenario"], result["settings"]["labels"]), {})
        for name, value in result["metrics"].items():
            classifier, dot, metric = name.partition(".")
            if dot:
                into.setdefault(classifier, {})[metric] = value
        for peer, figures in result["peers"].items():
            into.setdefault(peer, {}).update(figures)
    return found


def render(results: Sequence[Mapping[str, Any]]) -> list[str]:
    """The tables of quality and of speed, and the commands that measure them again."""
    found = gathered(results)
    kept = [(s, labels) for labels in LABELS for s in PROTOCOLS if (s, labels) in found]
    names = sorted({n for key in kept for n in found[key]}, key=lambda n: (n in SIMPLE, n))
    speeds = next((found[key] for key in found if key[0] == "classify-lines"), {})
    commands = [f"python -m bench run {s} --set labels={labels}" for s, labels in kept]
    commands += ["python -m bench run classify-lines"] if speeds else []
    return [
        "Macro F1 with its spread over the trials; in brackets the accuracy. Bold is the best of those that learn from",
        "lines; `rules` learn nothing and were written by the same hands as the corrected labels: that flatters them.",
        "",
        *table(
            ["classifier", "published, random lines, weak", *(f"{PROTOCOLS[s]}, {labels}" for s, labels in kept)],
            ([f"`{n}`", _published(n), *(_cell(found[key], n) for key in kept)] for n in names),
        ),
        *(_speeds(speeds) if speeds else []),
        *_reversal(found),
        "", "```bash", *commands, "```",
    ]  # fmt: skip


def _speeds(speeds: Mapping[str, Mapping[str, float]]) -> list[str]:
    rows = ([f"`{name}`", *(_amount(speeds[name], m) for m in SPEEDS)] for name in sorted(speeds))
    return ["", *table(["classifier", *SPEEDS.values()], rows)]


def _reversal(found: Figures) -> list[str]:
    """Whether gradient reversal pays on systems that were left out, in words."""
    said = []
    for labels in LABELS:
        figures = found.get(("classify-seven-source", labels), {})
        if {"dann_bert", "dann_bert_no_reversal"} <= figures.keys():
            with_it, without = figures["dann_bert"]["macro_f1"], figures["dann_bert_no_reversal"]["macro_f1"]
            verdict = "beats" if with_it > without else "does not beat"
            said.append(f"{verdict} it on the {labels} labels ({with_it:.3f} against {without:.3f})")
    if not said:
        return []
    return [
        "",
        f"`dann_bert` compared with the same network without gradient reversal, on new systems: {' and '.join(said)}.",
    ]


def _published(name: str) -> str:
    if name not in PUBLISHED:
        return "-"
    macro, accuracy = PUBLISHED[name]
    return f"{macro:.3f} ({accuracy:.3f})"


def _cell(figures: Mapping[str, Mapping[str, float]], name: str) -> str:
    if name not in figures:
        return "-"
    mine, others = figures[name], [f["macro_f1"] for n, f in figures.items() if n != "rules"]
    best = name != "rules" and mine["macro_f1"] == max(others)
    return f"{figure(mine['macro_f1'], mine['macro_f1_std'], best=best)} ({mine['accuracy']:.3f})"


def _amount(figures: Mapping[str, float], metric: str) -> str:
    value = figures[metric]
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


SECTION = GeneratedSection(
    ROOT / "docs" / "classification.md", "Line classifiers, measured", "## What the figures say", "classify-*.json",
    render, "bench.tables.classifiers",
)  # fmt: skip

if __name__ == "__main__":
    sys.exit(SECTION.write())
