"""The gate: whether a candidate is published, by what it does on every region's own recent windows.

Window detectors are compared by F1; where there is no anomaly to find, by the share of windows judged right.
Line classifiers are compared by macro F1 over the held-out templates.
"""

from collections.abc import Sequence

import numpy as np

from federation.protocol.records import HoldoutFigures
from federation.round.settings import RoundSettings
from models.classify.base import CLASSES
from models.classify.metrics import ClassFigures
from models.training.metrics import Confusion

Cells = tuple[int, ...]
"""Counts as in `HoldoutFigures`."""


def judge(figures: Sequence[HoldoutFigures], settings: RoundSettings) -> tuple[bool, str]:
    """Whether the candidate is accepted, and one sentence that says why or why not.

    1. Over all regions together it is better by more than `margin_overall`.
    2. No region loses more than `margin_region` by more than `margin_windows` windows, or templates.

    Args:
        figures: One of each region.
        settings: The margins, and how many regions must have given figures.
    """
    if len(figures) < settings.min_regions:
        return False, f"{len(figures)} regions gave holdout figures, {settings.min_regions} are needed"
    current, candidate = quality(_sum([f.current for f in figures])), quality(_sum([f.candidate for f in figures]))
    change = f"over {len(figures)} regions {current:.4f} became {candidate:.4f}"
    if not candidate - current > settings.margin_overall:  # 1
        return False, f"the candidate is not better: {change}, more than {settings.margin_overall:g} gain is asked for"
    for f in sorted(figures, key=lambda f: f.region):  # 2
        before, after = quality(f.current), quality(f.candidate)
        more, unit = wrong(f.candidate) - wrong(f.current), "templates" if _of_lines(f.current) else "windows"
        if before - after > settings.margin_region and more > settings.margin_windows:
            return False, (
                f"the candidate is worse in {f.region}: {before:.4f} became {after:.4f} by {more} {unit}, "
                f"a loss of {settings.margin_region:g} is allowed"
            )
    return True, f"the candidate is better: {change}"


def quality(cells: Cells) -> float:
    """F1, or accuracy without anomalies; of a line classifier macro F1.

    1 where there is nothing to judge by: such a region neither gains nor loses.
    """
    if not sum(cells):
        return 1.0
    if _of_lines(cells):
        return by_class(cells).macro_f1
    found = Confusion(*map(float, cells))
    return found.f1 if cells[0] + cells[2] else found.accuracy


def wrong(cells: Cells) -> int:
    """How many windows or templates were misjudged."""
    if _of_lines(cells):
        return sum(cells) - int(np.trace(by_class(cells).matrix))
    return sum(cells[1:3])


def table(cells: Sequence[Cells]) -> dict[str, float]:
    """What a card says of the holdouts of all regions."""
    together = _sum(cells)
    if _of_lines(together):
        return by_class(together).table()
    names = ("true_positives", "false_positives", "false_negatives", "true_negatives")
    return {name: float(count) for name, count in zip(names, together, strict=True)}


def by_class(cells: Cells) -> ClassFigures:
    """The figures of a line classifier."""
    return ClassFigures(np.array(cells, np.float64).reshape(len(CLASSES), len(CLASSES)))


def _of_lines(cells: Cells) -> bool:
    return len(cells) == len(CLASSES) ** 2


def _sum(cells: Sequence[Cells]) -> Cells:
    return tuple(sum(column) for column in zip(*cells, strict=True))
