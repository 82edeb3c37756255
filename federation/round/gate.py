"""The gate: which regions take a candidate, by its and the current model's results on each region's recent sessions.

Window detectors are compared by F1, or by accuracy if no session is anomalous. Line classifiers are compared by
macro F1 over the held-out templates. `federation.round.paired_test` distinguishes an advantage from luck, so a single
session never decides.

1. Each region is judged separately. It **gains** if its own sessions prove it, and it **loses** if F1 falls by more
   than `margin_region` and that is unlikely to be luck. In between it is **open**.
2. All regions are judged together, none with more than `max_share` of the sessions.
3. A region that gains takes the candidate. A region that loses keeps its version. An open one takes the candidate if
   it is significantly better over all regions, by more than `margin_overall`; with a negative margin it need not be
   better.
   The candidate is published if any region takes it.

Without a labelled anomaly a region compares how many made-up incidents each model distinguishes from recent windows
(`federation.region.made_up_incidents`). The number of alerts decides nothing: fewer alerts are not better. A candidate
that finds significantly more of the unchanged windows strange loses there: its scores do not fit them. The verdict
states that it rests on no label, and how far the alerts of both models agree.

A region cannot veto a candidate for the others, and cannot publish one that loses elsewhere there.
"""

from collections.abc import Sequence
from dataclasses import astuple, dataclass, replace

import numpy as np

from federation.protocol.records import HoldoutFigures, Pairs
from federation.round.guard import shares
from federation.round.paired_test import chance, f1_interval, sessions_needed, swapped
from federation.round.result import RegionVerdict, Standing
from federation.round.settings import RoundSettings
from models.classify.base import CLASSES
from models.classify.metrics import ClassFigures
from models.training.metrics import Confusion

Cells = Sequence[float]
"""Counts as in `HoldoutFigures`; those of several regions may be scaled."""

NONE = Pairs()

CAUTION = 0.25
"""Chance up to which a loss keeps a region's version: two sessions worse and none better. It is larger than the level
of a gain because keeping a version costs less than a worse one."""

STRANGE = 0.2
"""Share of strange windows beyond which the scores of a model do not fit the region."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the candidate is accepted, for whom, and why, or why not, in one sentence.

    Attributes:
        accepted: Whether any region takes it.
        reason: One sentence.
        regions: Verdict of each judge, sorted by name.
        others_adopt: Whether regions that did not judge take it.
    """

    accepted: bool
    reason: str
    regions: tuple[RegionVerdict, ...] = ()
    others_adopt: bool = False


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
    """

    current: Cells
    candidate: Cells
    pairs: Pairs
    made_up: Pairs = NONE
    strange: tuple[float, float, float] = (0.0, 0.0, 0.0)
    alerts: Cells = (0.0, 0.0, 0.0, 0.0)

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
        return _of_lines(self.current) or bool(self.current[0] + self.current[2])

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
        if _of_lines(self.current) or not self.has_anomalies:
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


def judge(figures: Sequence[HoldoutFigures], settings: RoundSettings) -> Verdict:
    """Judge a candidate; see the module.

    Args:
        figures: Holdout figures, one for each region.
        settings: Margins, level, `max_share`, and the minimum number of regions with figures.
    """
    if len(figures) < settings.min_regions:
        return Verdict(False, f"{len(figures)} regions gave holdout figures, {settings.min_regions} are needed")
    own = {f.region: evidence_of(f) for f in sorted(figures, key=lambda f: f.region)}
    if any(found.has_anomalies for found in own.values()):
        own = {region: found.labelled() for region, found in own.items()}
    changes = {f.region: alert_changes(f) for f in figures}
    level = settings.level / len(own)  # with many regions one would gain by chance
    standings = {region: _standing(found, level, settings) for region, found in own.items()}  # 1
    pool = _pool(list(own.values()), settings.max_share)  # 2
    together = _better(pool, settings)
    verdicts = tuple(
        RegionVerdict(
            region, standing, standing is Standing.GAINS or (standing is Standing.OPEN and together),
            own[region].before, own[region].after, int(sum(own[region].current)), *changes[region],
        )
        for region, standing in standings.items()
    )  # fmt: skip
    accepted = any(v.adopts for v in verdicts)  # 3
    sentence = [_headline(pool, verdicts, settings, together), *_losses(own, standings)]
    sentence += [_dissent(region) for region in dissenters(own, settings)]
    return Verdict(accepted, "; ".join(sentence), verdicts, together and accepted)


def evidence_of(figures: HoldoutFigures) -> Evidence:
    """The counts of one region; made-up incidents count only without a labelled anomaly."""
    pairs = figures.answered + figures.ruled.scaled(0.5)
    own = Evidence(figures.current, figures.candidate, pairs)
    if own.has_anomalies:
        return own
    return replace(own, made_up=figures.made_up, strange=figures.strange, alerts=figures.unlabelled)


def _better(pool: Evidence, settings: RoundSettings) -> bool:
    """Whether the candidate is better over all regions, and not by luck."""
    sure = pool.luck <= settings.level or settings.margin_overall < 0
    return pool.gain > settings.margin_overall and sure and not pool.misfits(settings.level)


def alert_changes(figures: HoldoutFigures) -> tuple[int, int]:
    """Sessions that only the candidate alerts on, and that only the current model does; none of line classifiers."""
    if _of_lines(figures.current):
        return 0, 0
    pairs, (_, current_alone, candidate_alone, _) = figures.answered + figures.ruled, figures.unlabelled
    return pairs.found + pairs.raised + candidate_alone, pairs.lost + pairs.cleared + current_alone


def dissenters(own: dict[str, Evidence], settings: RoundSettings) -> list[str]:
    """Regions whose own sessions significantly contradict those of all others; with only two regions, none is named."""
    found = []
    for region, evidence in own.items():
        others = [e for name, e in own.items() if name != region]
        if len(others) < 2:
            continue
        rest, level = _pool(others, settings.max_share), settings.level
        against = evidence.misfortune <= level and rest.luck <= level
        alone_for = evidence.luck <= level and rest.misfortune <= level
        if against or alone_for:
            found.append(region)
    return found


def quality(cells: Cells) -> float:
    """F1, or accuracy without anomalies; for a line classifier macro F1.

    1 without any session: such a region neither gains nor loses.
    """
    if not sum(cells):
        return 1.0
    if _of_lines(cells):
        return class_figures(cells).macro_f1
    found = Confusion(*map(float, cells))
    return found.f1 if cells[0] + cells[2] else found.accuracy


def table(cells: Sequence[Cells]) -> dict[str, float]:
    """The holdout figures of all regions as a model card records them."""
    total = _sum(cells)
    if _of_lines(total):
        return class_figures(total).table()
    names = ("true_positives", "false_positives", "false_negatives", "true_negatives")
    return {**{name: float(count) for name, count in zip(names, total, strict=True)}, "f1": quality(total)}


def class_figures(cells: Cells) -> ClassFigures:
    """The figures of a line classifier by class."""
    return ClassFigures(np.array(cells, np.float64).reshape(len(CLASSES), len(CLASSES)))


def _standing(own: Evidence, level: float, settings: RoundSettings) -> Standing:
    if own.misfits(settings.level):
        return Standing.LOSES
    if own.gain > 0 and own.luck <= level:
        return Standing.GAINS
    if -own.gain > settings.margin_region and own.misfortune <= CAUTION:
        return Standing.LOSES
    return Standing.OPEN


def _pool(parts: Sequence[Evidence], max_share: float) -> Evidence:
    """All regions together, those with many sessions scaled down to `max_share` of the sum."""
    some = [part for part in parts if part.size]
    if not some:
        nothing = (0.0,) * len(parts[0].current)
        return Evidence(nothing, nothing, Pairs())
    bounds = shares([int(part.size) for part in some], max_share)
    weights = [bound / part.size for part, bound in zip(some, bounds, strict=True)]

    def together(counts: Sequence[Cells]) -> tuple[float, ...]:
        return _sum([[weight * n for n in of] for of, weight in zip(counts, weights, strict=True)])

    before, after, seen = together([part.strange for part in some])
    return Evidence(
        together([part.current for part in some]),
        together([part.candidate for part in some]),
        Pairs(*map(round, together([astuple(part.pairs) for part in some]))),
        Pairs(*map(round, together([astuple(part.made_up) for part in some]))),
        (before, after, seen),
        together([part.alerts for part in some]),
    )


def _headline(pool: Evidence, verdicts: Sequence[RegionVerdict], settings: RoundSettings, together: bool) -> str:
    """The result over all regions, its confidence, and the evidence that is missing."""
    change = f"over {len(verdicts)} regions {_change(pool)}"
    if together:
        return f"the candidate is better: {change}"
    gaining = [v.region for v in verdicts if v.adopts]
    start = f"the candidate is better in {' and '.join(gaining)} only" if gaining else "the candidate is not better"
    if pool.misfortune <= settings.level:
        return f"{start}: {change}, which is worse"
    if pool.gain <= settings.margin_overall:
        return f"{start}: {change}, a gain of more than {settings.margin_overall:g} is required"
    missing = sessions_needed(pool.differing, pool.f1, settings.level)
    more = f"at least {missing}" if missing is not None else "many"
    return f"{start} for sure: {change}; {more} more {_unit(pool)} that only the candidate judges right are needed"


def _change(found: Evidence) -> str:
    """Quality before and after, and the evidence for it."""
    if found.strange[2]:
        before, after, seen = found.strange
        both, old, new, _ = found.alerts
        return (
            f"no anomaly has a label; of incidents made up in {seen:.0f} recent windows, {found.made_up.better} are "
            f"found only by the candidate and {found.made_up.worse} only by the current model; {before:.0f} of the "
            f"unchanged windows were stranger than nearly all calibration windows, and {after:.0f} are now; of "
            f"sessions without a label, {both:.0f} have alerts of both models, {old:.0f} only of the current one and "
            f"{new:.0f} only of the candidate"
        )
    change = f"{found.before:.4f} became {found.after:.4f}"
    pairs = f"{found.pairs.better} {_unit(found)} judged better and {found.pairs.worse} worse"
    if _of_lines(found.current):
        return f"{change} ({pairs})"
    low, high = f1_interval(found.current, found.candidate, found.pairs)
    return f"{change} ({pairs}, 90 % interval of the gain {low:+.4f} to {high:+.4f})"


def _losses(own: dict[str, Evidence], standings: dict[str, Standing]) -> list[str]:
    return [
        f"it is worse in {region}, which keeps its version: {_loss(own[region])}"
        for region, standing in standings.items()
        if standing is Standing.LOSES
    ]


def _loss(own: Evidence) -> str:
    lost = own.differing.worse - own.differing.better
    if own.misfits(1.0):
        before, after, seen = own.strange
        return f"{after:.0f} of {seen:.0f} recent windows are strange to it, {before:.0f} to the current model"
    if own.strange[2]:
        return f"it finds {lost} fewer made-up incidents"
    return f"{own.before:.4f} became {own.after:.4f} by {lost} {_unit(own)}"


def _dissent(region: str) -> str:
    return f"{region} disagrees with all others: check its labels, or leave it out (leave_out in [round])"


def _unit(found: Evidence) -> str:
    return "templates" if _of_lines(found.current) else "sessions"


def _of_lines(cells: Cells) -> bool:
    return len(cells) == len(CLASSES) ** 2


def _sum(cells: Sequence[Cells]) -> tuple[float, ...]:
    return tuple(sum(column) for column in zip(*cells, strict=True))
