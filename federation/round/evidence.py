"""What a region's figures prove about a candidate, and what those of all regions prove together."""

from collections.abc import Sequence
from dataclasses import astuple, dataclass, replace

import numpy as np

from federation.protocol.records import HoldoutFigures, Pairs
from federation.round.guard import shares
from federation.round.paired_test import chance, swapped
from models.classify.base import CLASSES
from models.classify.metrics import ClassFigures
from models.training.metrics import Confusion

Cells = Sequence[float]
"""Counts as in `HoldoutFigures`; those of several regions may be scaled."""

NONE = Pairs()

STRANGE = 0.2
"""Share of strange windows beyond which the scores of a model do not fit the region."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """Counts of one region, or of several together.

    Attributes:
        current: Counts of the current model on labelled sessions.
        candidate: Counts of the candidate.
        pairs: Where they differ, with labels of rules at half their number.
        made_up: Made-up incidents that only one model finds; none where a labelled session is anomalous.
        strange: See `HoldoutFigures`; nothing where a labelled session is anomalous.
        alerts: `HoldoutFigures.unlabelled`, likewise.
        anchors: `HoldoutFigures.anchors`, likewise.
    """

    current: Cells
    candidate: Cells
    pairs: Pairs
    made_up: Pairs = NONE
    strange: tuple[float, float, float] = (0.0, 0.0, 0.0)
    alerts: Cells = (0.0, 0.0, 0.0, 0.0)
    anchors: Pairs = NONE

    @property
    def before(self) -> float:
        """Quality of the current model on labelled sessions."""
        return quality(self.current)

    @property
    def after(self) -> float:
        """Quality of the candidate on labelled sessions."""
        return quality(self.candidate)

    @property
    def has_anomalies(self) -> bool:
        """Whether a labelled session is anomalous; of line classifiers every template has a class."""
        return of_lines(self.current) or bool(self.current[0] + self.current[2])

    @property
    def size(self) -> float:
        """Number of sessions and windows that the models were compared on."""
        return sum(self.current) + self.strange[2]

    @property
    def differing(self) -> Pairs:
        """All on which exactly one model is right."""
        return self.pairs + self.made_up

    @property
    def gain(self) -> float:
        """How much better the candidate is: by F1, or by the share of all that it alone judges right."""
        if not self.strange[2]:
            return self.after - self.before
        return (self.differing.better - self.differing.worse) / self.size

    @property
    def f1(self) -> float:
        """The mean F1 by which sessions are weighed; 1 where only one kind of error is possible."""
        if of_lines(self.current) or not self.has_anomalies:
            return 1.0
        return (self.before + self.after) / 2

    @property
    def luck(self) -> float:
        """Chance of this advantage of the candidate if both models were equally good."""
        return chance(self.differing, self.f1)

    @property
    def misfortune(self) -> float:
        """Chance of this advantage of the current model."""
        return chance(swapped(self.differing), self.f1)

    @property
    def forgets(self) -> bool:
        """Whether the candidate finds fewer of the labelled anomalies that do not judge it."""
        return self.anchors.lost > self.anchors.found

    def labelled(self) -> "Evidence":
        """The part that rests on labels."""
        return Evidence(self.current, self.candidate, self.pairs)

    def misfits(self, level: float) -> bool:
        """Whether the candidate finds significantly more of the unchanged windows strange, and too many of them.

        The p-values of usual windows are uniform. A few strange ones may be anomalies without a label, a fifth may not.
        """
        before, after, seen = self.strange
        more = chance(Pairs(cleared=round(after), raised=round(before)), 1.0)
        return after > STRANGE * seen and more <= level


def evidence_of(figures: HoldoutFigures) -> Evidence:
    """The counts of one region; made-up incidents count only without a labelled anomaly."""
    pairs = figures.answered + figures.ruled.scaled(0.5)
    own = Evidence(figures.current, figures.candidate, pairs)
    if own.has_anomalies:
        return own
    return replace(
        own, made_up=figures.made_up, strange=figures.strange, alerts=figures.unlabelled, anchors=figures.anchors
    )


def without_labels(figures: HoldoutFigures) -> Evidence:
    """What speaks for a candidate in a region without its labels; the labelled anomalies count as anchors only."""
    pairs, none = figures.answered + figures.ruled, (0.0,) * len(figures.current)
    anchors = figures.anchors + Pairs(pairs.found, pairs.lost)
    return Evidence(none, none, NONE, figures.made_up, figures.strange, figures.unlabelled, anchors)


def mostly_unlabelled(figures: Sequence[HoldoutFigures]) -> bool:
    """Whether fewer than half of the held-out sessions of all regions have a label."""
    return sum(sum(f.current) for f in figures) < sum(sum(f.unlabelled) for f in figures)


def quality(cells: Cells) -> float:
    """F1, or accuracy without anomalies; for a line classifier macro F1.

    1 without any session: such a region neither gains nor loses.
    """
    if not sum(cells):
        return 1.0
    if of_lines(cells):
        return class_figures(cells).macro_f1
    found = Confusion(*map(float, cells))
    return found.f1 if cells[0] + cells[2] else found.accuracy


def table(cells: Sequence[Cells]) -> dict[str, float]:
    """The holdout figures of all regions as a model card records them; without a labelled anomaly there is no F1."""
    total = _summed(cells)
    if of_lines(total):
        return class_figures(total).table()
    names = ("true_positives", "false_positives", "false_negatives", "true_negatives")
    counts = {name: float(count) for name, count in zip(names, total, strict=True)}
    return counts | ({"f1": quality(total)} if total[0] + total[2] else {})


def class_figures(cells: Cells) -> ClassFigures:
    """The figures of a line classifier by class."""
    return ClassFigures(np.array(cells, np.float64).reshape(len(CLASSES), len(CLASSES)))


def pooled(parts: Sequence[Evidence], max_share: float) -> Evidence:
    """All regions together, those with many sessions scaled down to `max_share` of the sum, and without anchors."""
    some = [part for part in parts if part.size]
    if not some:
        nothing = (0.0,) * len(parts[0].current)
        return Evidence(nothing, nothing, Pairs())
    bounds = shares([int(part.size) for part in some], max_share)
    weights = [bound / part.size for part, bound in zip(some, bounds, strict=True)]

    def together(counts: Sequence[Cells]) -> tuple[float, ...]:
        return _summed([[weight * n for n in of] for of, weight in zip(counts, weights, strict=True)])

    before, after, seen = together([part.strange for part in some])
    return Evidence(
        together([part.current for part in some]),
        together([part.candidate for part in some]),
        Pairs(*map(round, together([astuple(part.pairs) for part in some]))),
        Pairs(*map(round, together([astuple(part.made_up) for part in some]))),
        (before, after, seen),
        together([part.alerts for part in some]),
    )


def of_lines(cells: Cells) -> bool:
    """Whether the counts are those of a line classifier."""
    return len(cells) == len(CLASSES) ** 2


def _summed(cells: Sequence[Cells]) -> tuple[float, ...]:
    return tuple(sum(column) for column in zip(*cells, strict=True))
