"""The gate: whether a candidate is published, by its counts on every region's own recent windows.

Window detectors are compared by F1, or by accuracy if no window is anomalous. Line classifiers are compared by
macro F1 over the held-out templates.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from federation.protocol.records import HoldoutFigures
from federation.round.settings import RoundSettings
from models.classify.base import CLASSES
from models.classify.metrics import ClassFigures
from models.training.metrics import Confusion

Cells = tuple[int, ...]
"""Counts as in `HoldoutFigures`."""

MIN_LOST = 2
"""Additional errors from which a region's loss counts: a single window or template is chance."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the candidate is accepted, and why, or why not, in one sentence."""

    accepted: bool
    reason: str


def judge(figures: Sequence[HoldoutFigures], settings: RoundSettings) -> Verdict:
    """Judge a candidate.

    1. Over all regions together it is better by more than `margin_overall`.
    2. No region loses more than `margin_region` with at least `MIN_LOST` additional errors.

    Args:
        figures: Holdout figures, one for each region.
        settings: The margins, and the minimum number of regions with figures.
    """
    if len(figures) < settings.min_regions:
        return Verdict(False, f"{len(figures)} regions gave holdout figures, {settings.min_regions} are needed")
    current, candidate = quality(_sum([f.current for f in figures])), quality(_sum([f.candidate for f in figures]))
    change = f"over {len(figures)} regions {current:.4f} became {candidate:.4f}"
    if not candidate - current > settings.margin_overall:  # 1
        required = f"a gain of more than {settings.margin_overall:g} is required"
        return Verdict(False, f"the candidate is not better: {change}, {required}")
    for f in sorted(figures, key=lambda f: f.region):  # 2
        before, after = quality(f.current), quality(f.candidate)
        lost, unit = errors(f.candidate) - errors(f.current), "templates" if _of_lines(f.current) else "windows"
        if before - after > settings.margin_region and lost >= MIN_LOST:
            return Verdict(
                False,
                f"the candidate is worse in {f.region}: {before:.4f} became {after:.4f} by {lost} {unit}, "
                f"a loss of {settings.margin_region:g} is allowed",
            )
    return Verdict(True, f"the candidate is better: {change}")


def quality(cells: Cells) -> float:
    """F1, or accuracy without anomalies; for a line classifier macro F1.

    1 without any window: such a region neither gains nor loses.
    """
    if not sum(cells):
        return 1.0
    if _of_lines(cells):
        return class_figures(cells).macro_f1
    found = Confusion(*map(float, cells))
    return found.f1 if cells[0] + cells[2] else found.accuracy


def errors(cells: Cells) -> int:
    """Number of misjudged windows or templates."""
    if _of_lines(cells):
        return sum(cells) - int(np.trace(class_figures(cells).matrix))
    return sum(cells[1:3])


def table(cells: Sequence[Cells]) -> dict[str, float]:
    """The holdout figures of all regions as a model card records them."""
    total = _sum(cells)
    if _of_lines(total):
        return class_figures(total).table()
    names = ("true_positives", "false_positives", "false_negatives", "true_negatives")
    return {name: float(count) for name, count in zip(names, total, strict=True)}


def class_figures(cells: Cells) -> ClassFigures:
    """The figures of a line classifier by class."""
    return ClassFigures(np.array(cells, np.float64).reshape(len(CLASSES), len(CLASSES)))


def _of_lines(cells: Cells) -> bool:
    return len(cells) == len(CLASSES) ** 2


def _sum(cells: Sequence[Cells]) -> Cells:
    return tuple(sum(column) for column in zip(*cells, strict=True))
