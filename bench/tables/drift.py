"""Writes the drift matrix into the page on drift."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bench.tables.page import ROOT, GeneratedSection, table

PLACES = ("early", "late", "after a swap")
ABSENT = "-"


def render(results: Sequence[Mapping[str, Any]]) -> list[str]:
    """The lines of the section: a row for each log and change, a column for each place in the stream."""
    rows = [row for result in results for row in result["detail"]["matrix"]]
    false = {log: value for result in results for log, value in result["detail"]["false_per_100k_lines"].items()}
    cells = {(row["log"], row["change"], row["place"]): row for row in rows}
    pairs = dict.fromkeys((row["log"], row["change"]) for row in rows)
    seeds = ", ".join(sorted({str(result["settings"]["seeds"]) for result in results}))
    found, cases = _sum(rows, "found"), _sum(rows, "cases")
    return [
        "Each cell has the changes found within 6,000 windows, of all cases; the median number of windows from the",
        "change to its event; the share of the named templates that belong to the change; and the share of events with",
        f"the right kind. All settings of `[drift]` are the defaults; seeds: {seeds}. Found: {found} of {cases}.",
        "",
        *table(
            ["log", "change", *PLACES],
            (
                [log, change.replace("_", " "), *(_cell(cells.get((log, change, place))) for place in PLACES)]
                for log, change in pairs
            ),
        ),
        "",
        "Events in streams without a change, in 100,000 lines:",
        "",
        *table(list(false), [[f"{value:.2f}" for value in false.values()]]),
    ]


def _sum(rows: Iterable[Mapping[str, Any]], name: str) -> int:
    return sum(row[name] for row in rows)


def _cell(row: Mapping[str, Any] | None) -> str:
    if row is None:
        return ABSENT
    found = f"{row['found']} of {row['cases']}"
    if not row["found"]:
        return found
    return f"{found}; {row['delay_windows']:,.0f}; {row['named']:.0%}; {row['right_kind']:.0%}".replace("%", " %")


SECTION = GeneratedSection(
    ROOT / "docs" / "drift.md", "Drift matrix", "## Shadow comparison of a new version", "drift-everyday*.json",
    render, "bench.tables.drift",
)  # fmt: skip

if __name__ == "__main__":
    sys.exit(SECTION.write())
