"""The gate: which regions take a candidate, by what it and the current model do on every region's own recent sessions.

Window detectors are compared by F1, or by accuracy if no session is anomalous. Line classifiers are compared by
macro F1 over the held-out templates. `federation.round.paired_test` tells an advantage from luck, so a single session
never decides.

1. Each region is judged by itself. It **gains** if its own sessions prove it, and it **loses** if F1 falls by more than
   `margin_region` and that is unlikely to be luck. In between it is **open**.
2. All regions are judged together, none with more than `max_share` of the sessions.
3. A region that gains takes the candidate. A region that loses keeps its version. An open one takes the candidate if
   it is surely better over all regions, by more than `margin_overall`; with a negative margin it need not be better.
   The candidate is published if any region takes it.

A region cannot veto a candidate for the others, and cannot publish one that loses elsewhere there.
"""

from collections.abc import Sequence
from dataclasses import dataclass

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

CAUTION = 0.25
"""Chance up to which a loss keeps a region's version: two sessions worse and none better. It is larger than the level
of a gain because keeping a version costs less than a worse one."""


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
    """Counts of one region, or of several together; `pairs` weigh labels of rules half."""

    current: Cells
    candidate: Cells
    pairs: Pairs

    @property
    def before(self) -> float:
        """Quality of the current model."""
        return quality(self.current)

    @property
    def after(self) -> float:
        """Quality of the candidate."""
        return quality(self.candidate)

    @property
    def gain(self) -> float:
        """How much better the candidate is."""
        return self.after - self.before

    @property
    def f1(self) -> float:
        """The mean F1 by which sessions are weighed; 1 where only one kind of error is possible."""
        if _of_lines(self.current) or not self.current[0] + self.current[2]:
            return 1.0
        return (self.before + self.after) / 2

    @property
    def luck(self) -> float:
        """Chance of this advantage of the candidate if both models were equally good."""
        return chance(self.pairs, self.f1)

    @property
    def misfortune(self) -> float:
        """Chance of this advantage of the current model."""
        return chance(swapped(self.pairs), self.f1)


def judge(figures: Sequence[HoldoutFigures], settings: RoundSettings) -> Verdict:
    """Judge a candidate; see the module.

    Args:
        figures: Holdout figures, one for each region.
        settings: Margins, level, `max_share`, and the minimum number of regions with figures.
    """
    if len(figures) < settings.min_regions:
        return Verdict(False, f"{len(figures)} regions gave holdout figures, {settings.min_regions} are needed")
    own = {f.region: evidence_of(f) for f in sorted(figures, key=lambda f: f.region)}
    level = settings.level / len(own)  # with many regions one would gain by chance
    standings = {region: _standing(found, level, settings.margin_region) for region, found in own.items()}  # 1
    pool = _pool(list(own.values()), settings.max_share)  # 2
    sure = pool.luck <= settings.level or settings.margin_overall < 0
    together = pool.gain > settings.margin_overall and sure
    verdicts = tuple(
        RegionVerdict(
            region, standing, standing is Standing.GAINS or (standing is Standing.OPEN and together),
            own[region].before, own[region].after, int(sum(own[region].current)),
        )
        for region, standing in standings.items()
    )  # fmt: skip
    accepted = any(v.adopts for v in verdicts)  # 3
    sentence = [_headline(pool, verdicts, settings, together), *_losses(own, standings)]
    sentence += [_dissent(region) for region in dissenters(own, settings)]
    return Verdict(accepted, "; ".join(sentence), verdicts, together and accepted)


def evidence_of(figures: HoldoutFigures) -> Evidence:
    """The counts of one region; labels of rules weigh half."""
    return Evidence(figures.current, figures.candidate, figures.answered + figures.ruled.scaled(0.5))


def dissenters(own: dict[str, Evidence], settings: RoundSettings) -> list[str]:
    """Regions whose own sessions surely say the opposite of what all others together say; of two, neither is named."""
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


def _standing(own: Evidence, level: float, margin_region: float) -> Standing:
    if own.gain > 0 and own.luck <= level:
        return Standing.GAINS
    if -own.gain > margin_region and own.misfortune <= CAUTION:
        return Standing.LOSES
    return Standing.OPEN


def _pool(parts: Sequence[Evidence], max_share: float) -> Evidence:
    """All regions together, those with many sessions scaled down to `max_share` of the sum."""
    sizes = [int(sum(part.current)) for part in parts]
    some = [(part, size) for part, size in zip(parts, sizes, strict=True) if size]
    if not some:
        return Evidence((0.0,) * len(parts[0].current), (0.0,) * len(parts[0].current), Pairs())
    weights = [
        bound / size for (_, size), bound in zip(some, shares([size for _, size in some], max_share), strict=True)
    ]
    differing = [
        [weight * n for n in (part.pairs.found, part.pairs.lost, part.pairs.cleared, part.pairs.raised)]
        for (part, _), weight in zip(some, weights, strict=True)
    ]
    current, candidate = (
        _sum([[weight * n for n in cells] for cells, weight in zip(columns, weights, strict=True)])
        for columns in ([part.current for part, _ in some], [part.candidate for part, _ in some])
    )
    return Evidence(current, candidate, Pairs(*map(round, _sum(differing))))


def _headline(pool: Evidence, verdicts: Sequence[RegionVerdict], settings: RoundSettings, together: bool) -> str:
    """What all regions together say, how sure that is, and what evidence is missing."""
    change = f"over {len(verdicts)} regions {pool.before:.4f} became {pool.after:.4f}{_certainty(pool)}"
    if together:
        return f"the candidate is better: {change}"
    gaining = [v.region for v in verdicts if v.adopts]
    start = f"the candidate is better in {' and '.join(gaining)} only" if gaining else "the candidate is not better"
    if pool.misfortune <= settings.level:
        return f"{start}: {change}, which is worse"
    if pool.gain <= settings.margin_overall:
        return f"{start}: {change}, a gain of more than {settings.margin_overall:g} is required"
    missing = sessions_needed(pool.pairs, pool.f1, settings.level)
    more = f"at least {missing}" if missing is not None else "many"
    return f"{start} for sure: {change}; {more} more {_unit(pool)} that only the candidate judges right are needed"


def _certainty(found: Evidence) -> str:
    pairs = f"{found.pairs.better} {_unit(found)} judged better and {found.pairs.worse} worse"
    if _of_lines(found.current):
        return f" ({pairs})"
    low, high = f1_interval(found.current, found.candidate, found.pairs)
    return f" ({pairs}, 90 % interval of the gain {low:+.4f} to {high:+.4f})"


def _losses(own: dict[str, Evidence], standings: dict[str, Standing]) -> list[str]:
    return [
        f"it is worse in {region}, which keeps its version: {own[region].before:.4f} became {own[region].after:.4f} "
        f"by {own[region].pairs.worse - own[region].pairs.better} {_unit(own[region])}"
        for region, standing in standings.items()
        if standing is Standing.LOSES
    ]


def _dissent(region: str) -> str:
    return f"{region} disagrees with all others: check its labels, or leave it out (leave_out in [round])"


def _unit(found: Evidence) -> str:
    return "templates" if _of_lines(found.current) else "sessions"


def _of_lines(cells: Cells) -> bool:
    return len(cells) == len(CLASSES) ** 2


def _sum(cells: Sequence[Cells]) -> tuple[float, ...]:
    return tuple(sum(column) for column in zip(*cells, strict=True))
