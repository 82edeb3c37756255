"""Writes the table of single rounds into the page on rounds."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from bench.scenarios.federation_table import ALLOWED_LOSS, WAYS
from bench.tables.page import ROOT, GeneratedSection, table

WHO = {"all": "all regions", "none": "no region", "others": "all but this region", "ten": "ten answers a region"}


def render(results: Sequence[Mapping[str, Any]]) -> list[str]:
    """The lines of the section: a row for each log, choice of labels and detector."""
    rows: dict[tuple[str, ...], dict[str, float]] = {}
    for result in results:
        for name, value in result["metrics"].items():
            if name.endswith(".f1"):
                *row, way, _ = name.split(".")
                rows.setdefault(tuple(row), {})[way] = value
    held = [_held(found) for found in rows.values()]
    seeds = ", ".join(sorted({str(result["settings"]["seeds"]) for result in results}))
    return [
        f"Rounds, gate and detectors at their default settings; seeds: {seeds}. In {sum(held)} of {len(held)} rows the",
        f"round holds the better of static and alone within {ALLOWED_LOSS:g}; the others have a mark.",
        "",
        *table(
            ["log", "labels in", "detector", *WAYS, ""],
            (
                [
                    log, WHO[labels], f"`{detector}`", *(f"{found[way]:.3f}" for way in WAYS),
                    "" if _held(found) else "lost",
                ]
                for (log, labels, detector), found in rows.items()
            ),
        ),
    ]  # fmt: skip


def _held(found: Mapping[str, float]) -> bool:
    return found["federated"] >= max(found["static"], found["local"]) - ALLOWED_LOSS


SECTION = GeneratedSection(
    ROOT / "docs" / "federation-rounds.md", "Single rounds, measured", "## Models", "federate-table*.json", render,
    "bench.tables.federation",
)  # fmt: skip

if __name__ == "__main__":
    sys.exit(SECTION.write())
