"""The gate: whether a candidate is published, by what it does on every region's own recent windows.

Figures are compared by F1; where there is no anomaly to find, by the share of windows judged right.
"""

from collections.abc import Sequence

from federation.base import HoldoutFigures, RoundSettings
from models.metrics import Confusion

Cells = tuple[int, int, int, int]


def judge(figures: Sequence[HoldoutFigures], settings: RoundSettings) -> tuple[bool, str]:
    """Whether the candidate is accepted, and one sentence that says why or why not.

    1. Over all regions together it is better by more than `margin_overall`.
    2. No region loses more than `margin_region` by more than `margin_windows` windows.

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
        more = sum(f.candidate[1:3]) - sum(f.current[1:3])
        if before - after > settings.margin_region and more > settings.margin_windows:
            return False, (
                f"the candidate is worse in {f.region}: {before:.4f} became {after:.4f} by {more} windows, "
                f"a loss of {settings.margin_region:g} is allowed"
            )
    return True, f"the candidate is better: {change}"


def quality(cells: Cells) -> float:
    """F1 of (true positives, false positives, false negatives, true negatives), or accuracy without anomalies.

    1 where there is no window at all: such a region neither gains nor loses.
    """
    if not sum(cells):
        return 1.0
    found = Confusion(*map(float, cells))
    return found.f1 if cells[0] + cells[2] else found.accuracy


def _sum(cells: Sequence[Cells]) -> Cells:
    a, b, c, d = (sum(column) for column in zip(*cells, strict=True))
    return a, b, c, d
