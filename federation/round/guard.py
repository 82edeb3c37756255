"""The guard: which updates may be aggregated; the same for every strategy.

Flower's own averaging accepts everything: one NaN makes the whole global model NaN, a broadcastable shape is used
silently, a negative count has a negative weight. Here an update is refused, by the region's name and with a reason,
unless it holds the arrays that were sent, with finite values and a plausible count, and changed no more than
`norm_factor` times the median change of the others.
"""

from collections.abc import Sequence

import numpy as np

from federation.protocol.records import HoldoutFigures, Update, Weights, floating
from federation.round.result import Refusal
from federation.round.settings import RoundSettings


def inspect(
    updates: Sequence[Update], sent: Weights, settings: RoundSettings, number: int
) -> tuple[list[Update], list[Refusal]]:
    """The updates that may be aggregated, sorted by region, and the refusals of the others.

    Args:
        updates: Updates, one for each region.
        sent: Weights that they start from.
        settings: Settings of the round.
        number: Pass, from 0.
    """
    problems = {u.region: problem(u, sent, settings.max_examples) for u in updates}
    valid = [u for u in sorted(updates, key=lambda u: u.region) if problems[u.region] is None]
    norms = {u.region: change_norm(u.weights, sent) for u in valid}
    for region, norm in norms.items():
        others = [n for name, n in norms.items() if name != region]
        usual = float(np.median(others)) if others else 0.0
        # With others that did not change at all there is nothing to compare with.
        if usual > 0 and norm > settings.norm_factor * usual:
            problems[region] = (
                f"its change has norm {norm:.3g}, more than {settings.norm_factor:g} times the others' {usual:.3g}"
            )
    good = [u for u in valid if problems[u.region] is None]
    return good, [Refusal(region, number, reason) for region, reason in sorted(problems.items()) if reason]


def shares(counts: Sequence[int], max_share: float) -> list[int]:
    """Bound the counts by which regions are weighted, so that no region dominates a mean.

    The bound is the highest one at which no region makes up more than `max_share` of the sum. With too few regions
    for any bound, it is the smallest count.

    Args:
        counts: Windows that each region trained on, from 1.
        max_share: See `RoundSettings`.
    """
    rest = sum(counts)
    for cut, largest in enumerate(sorted(counts, reverse=True)):
        # With this bound on the `cut` largest counts, and the others unchanged, each of them has exactly `max_share`.
        left = 1 - max_share * cut
        bound = max_share * rest / left if left > 0 else 0.0
        if largest <= bound or cut == len(counts) - 1:
            break
        rest -= largest
    bound = max(int(bound), min(counts))
    return [min(count, bound) for count in counts]


def problem(update: Update, sent: Weights, max_examples: int) -> str | None:
    """Why an update cannot be used, regardless of the others; None if it can."""
    return claim_problem(update, max_examples) or difference(sent, update.weights)


def claim_problem(update: Update, max_examples: int) -> str | None:
    """What is wrong with an update's count or metrics; None if nothing is."""
    if not 1 <= update.examples <= max_examples:
        return f"it claims to be trained on {update.examples} windows; 1 to {max_examples} are accepted"
    if bad := [name for name, value in update.metrics.items() if not np.isfinite(value)]:
        return f"its metric '{bad[0]}' is {update.metrics[bad[0]]}"
    return None


def difference(sent: Weights, received: Weights) -> str | None:
    """The first problem of the arrays received for those that were sent; None if absent."""
    for name in sorted(sent.keys() | received.keys()):
        if name not in received:
            return f"the array '{name}' is missing"
        if name not in sent:
            return f"the array '{name}' was not asked for"
        old, new = sent[name], received[name]
        if old.shape != new.shape or old.dtype != new.dtype:
            return f"the array '{name}' is {new.dtype}{list(new.shape)} and should be {old.dtype}{list(old.shape)}"
        if not np.issubdtype(old.dtype, np.floating):
            if not np.array_equal(old, new):
                return f"the array '{name}' of {old.dtype} was changed; whole numbers cannot be averaged"
        elif not np.isfinite(new).all():
            return f"the array '{name}' holds values that are not finite"
    return None


def change_norm(weights: Weights, sent: Weights) -> float:
    """Euclidean norm of the change over all arrays, in float64."""
    changes = (weights[name].astype(np.float64) - sent[name].astype(np.float64) for name in floating(sent))
    return float(np.sqrt(sum(float(np.square(change).sum()) for change in changes)))


def figures_problem(figures: HoldoutFigures, max_examples: int, classes: int = 2) -> str | None:
    """Why a region's holdout figures cannot be used; None if they can.

    Args:
        figures: Figures of one region.
        max_examples: Largest plausible number of windows or templates.
        classes: Number of classes of the model; 2 for a window detector.
    """
    if wrong := [len(c) for c in (figures.current, figures.candidate) if len(c) != classes**2]:
        return f"it gave {wrong[0]} counts, not {classes**2}"
    if _truth(figures.current, classes) != _truth(figures.candidate, classes):
        return f"its counts {figures.current} and {figures.candidate} are not of the same windows"
    if _changed(figures, classes) != _claimed(figures, classes):
        return f"its counts of differences {figures.answered} and {figures.ruled} do not fit its totals"
    seen = figures.strange[2]
    if max(figures.made_up.better, figures.made_up.worse, *figures.strange[:2]) > seen or figures.made_up.raised:
        return f"its made-up incidents {figures.made_up} do not fit the {seen} windows that it looked at"
    if (size := sum(figures.current) + sum(figures.unlabelled) + seen) > max_examples:
        return f"it claims a holdout of {size} windows; at most {max_examples} are accepted"
    return None


def _changed(figures: HoldoutFigures, classes: int) -> tuple[int, int]:
    """Additional hits and additional false alarms of the candidate, by the totals."""
    old, new = figures.current, figures.candidate
    if classes == 2:
        return new[0] - old[0], new[1] - old[1]
    right = range(0, classes**2, classes + 1)
    return sum(new[i] for i in right) - sum(old[i] for i in right), 0


def _claimed(figures: HoldoutFigures, classes: int) -> tuple[int, int] | None:
    """The same by the sessions in which the models differ; None if these are more than the totals allow."""
    pairs, old = figures.answered + figures.ruled, figures.current
    right = old[0] if classes == 2 else sum(old[:: classes + 1])
    alarms, quiet = (old[1], old[3]) if classes == 2 else (0, 0)
    wrong = old[2] if classes == 2 else sum(old) - right
    if pairs.lost > right or pairs.found > wrong or pairs.cleared > alarms or pairs.raised > quiet:
        return None
    return pairs.found - pairs.lost, pairs.raised - pairs.cleared


def _truth(cells: tuple[int, ...], classes: int) -> list[int]:
    """Number of windows or templates of each true class."""
    if classes == 2:
        return [cells[0] + cells[2], cells[1] + cells[3]]
    return [sum(cells[start : start + classes]) for start in range(0, len(cells), classes)]
