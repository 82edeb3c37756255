"""Writes the table of the incident benchmark into its page."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from bench.incidents.detectors import DETECTORS, OURS, SCRIPT
from bench.incidents.kinds import KINDS
from bench.incidents.matrix import ALL
from bench.tables.page import ROOT, GeneratedSection, table

FIGURES = {
    "found": "found",
    "rank1": "rank 1",
    "others_per_10k_stationary": "others, stationary",
    "others_per_10k_daily": "others, daily",
    "others_per_10k_real": "others, real",
    "delay_lines": "delay, lines",
    "cost_s_per_10k": "s per 10,000 lines",
}
SHARES = {"found", "rank1"}
ABSENT = "-"


def render(results: Sequence[Mapping[str, Any]]) -> list[str]:
    """The lines of the section: all detectors, then by log, then by kind for the first two."""
    result = results[-1]
    figures = {OURS: result["metrics"], **result["peers"]}
    tables: Mapping[str, Any] = result["detail"]["tables"]
    names = [name for name in DETECTORS if name in tables]
    two = [name for name in (OURS, SCRIPT) if name in tables]
    logs = [log for log in tables[names[0]] if log != ALL]
    return [
        "Others are alerts on no incident per 10,000 lines.",
        "",
        *table(
            ["detector", *FIGURES.values()],
            ([f"`{name}`", *(_value(figures[name], metric) for metric in FIGURES)] for name in names),
        ),
        "",
        "By log: share found / others per 10,000 lines.",
        "",
        *table(
            ["log", *(f"`{name}`" for name in names)],
            (
                [f"`{log}`", *(_pair(tables[name][log][ALL]) for name in names)]
                for log in tables[names[0]]
                if log != ALL
            ),
        ),
        "",
        f"By kind and log: share found by {_list(two)}; a {ABSENT} where the log cannot show the kind.",
        "",
        *_by_kind(tables, logs, two),
    ]


def _by_kind(tables: Mapping[str, Any], logs: Sequence[str], names: Sequence[str]) -> list[str]:
    rows = []
    for kind in KINDS:
        cells = (" / ".join(_found(tables[name][log].get(kind)) for name in names) for log in logs)
        rows.append([f"`{kind}`", *(ABSENT if ABSENT in cell else cell for cell in cells)])
    return table(["kind", *(f"`{log}`" for log in logs)], rows)


def _found(row: Mapping[str, float] | None) -> str:
    return ABSENT if row is None else f"{row['found']:.2f}"


def _pair(row: Mapping[str, float]) -> str:
    return f"{row['found']:.3f} / {row['others_per_10k']:.1f}"


def _value(figures: Mapping[str, float], metric: str) -> str:
    if metric not in figures:
        return ABSENT
    return f"{figures[metric]:.3f}" if metric in SHARES else f"{figures[metric]:.2f}"


def _list(names: Sequence[str]) -> str:
    return " and ".join(f"`{name}`" for name in names)


SECTION = GeneratedSection(
    ROOT / "docs" / "incident-benchmark.md", "Incidents, measured", "## What the figures mean", "incidents.json",
    render, "bench.tables.incidents",
)  # fmt: skip

if __name__ == "__main__":
    sys.exit(SECTION.write())
