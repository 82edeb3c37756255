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

**A few labels are not enough.** Where most held-out sessions have no label, such as after ten answers, the labelled
ones can seldom prove anything. If they leave it open and do not speak against the candidate, made-up incidents decide
at half the level, and a region in which the candidate finds fewer of the labelled anomalies keeps its version.

**Labels outrank their absence.** Each version records the labelled anomalies that it was trained and judged with. A
candidate replaces it only where the labels that judge now are of the same kind or better, in any region: by people or
ground truth, by rules, or none. If all of them lie outside the holdouts, made-up incidents decide, and the candidate
must still find them. Otherwise the region keeps its version. A negative `margin_overall` lifts this.

A region cannot veto a candidate for the others, and cannot publish one that loses elsewhere there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from federation.protocol.records import UNLABELLED, HoldoutFigures, LabelledAnomalies
from federation.round.evidence import Evidence, evidence_of, mostly_unlabelled, of_lines, pooled, without_labels
from federation.round.paired_test import f1_interval, sessions_needed
from federation.round.result import RegionVerdict, Standing
from federation.round.settings import RoundSettings

CAUTION = 0.25
"""Chance up to which a loss keeps a region's version: two sessions worse and none better. It is larger than the level
of a gain because keeping a version costs less than a worse one."""


STRICTER = 0.5
"""Part of the level at which a second look at a candidate is made, because the first could have accepted it too."""

NO_LABEL = "no held-out anomaly has a label"
LABELS_ASIDE = "without the labels"


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


def judge(
    figures: Sequence[HoldoutFigures], settings: RoundSettings, made_with: LabelledAnomalies = UNLABELLED,
    kept: Mapping[str, LabelledAnomalies] = MappingProxyType({}),
) -> Verdict:  # fmt: skip
    """Judge a candidate; see the module.

    Args:
        figures: Holdout figures, one for each region.
        settings: Margins, level, `max_share`, and the minimum number of regions with figures.
        made_with: What the current version was made with.
        kept: The same of the versions that regions serve in its place.
    """
    if len(figures) < settings.min_regions:
        return Verdict(False, f"{len(figures)} regions gave holdout figures, {settings.min_regions} are needed")
    served = _Served(made_with, kept)
    figures = sorted(figures, key=lambda f: f.region)
    own = {f.region: evidence_of(f) for f in figures}
    by_labels = any(found.has_anomalies for found in own.values())
    if by_labels:
        own = {region: found.labelled() for region, found in own.items()}
    first = _judged(figures, own, settings, served, NO_LABEL)
    against = pooled(list(own.values()), settings.max_share).gain < 0
    if not by_labels or first.accepted or against or not mostly_unlabelled(figures):
        return first
    rest = {f.region: without_labels(f) for f in figures}
    second = _judged(figures, rest, stricter(settings), served, LABELS_ASIDE)
    return second_look(first, second, f"the few labels leave it open ({first.reason}); {second.reason}")


@dataclass(frozen=True, slots=True)
class _Served:
    """What the current version was made with, and the versions that regions serve in its place."""

    made_with: LabelledAnomalies
    kept: Mapping[str, LabelledAnomalies]


def _judged(
    figures: Sequence[HoldoutFigures], own: dict[str, Evidence], settings: RoundSettings, served: _Served, basis: str
) -> Verdict:
    """Steps 1 to 3 by the evidence of each region; `basis` says what incidents decide in place of."""
    changes = {f.region: alert_changes(f) for f in figures}
    level = settings.level / len(own)  # with many regions one would gain by chance
    standings = {region: _standing(found, level, settings) for region, found in own.items()}  # 1
    proof = sum((f.known for f in figures if not own[f.region].forgets), UNLABELLED)
    standings |= {
        region: Standing.HELD
        for region, standing in standings.items()
        if standing is not Standing.LOSES and _outranks(served.kept.get(region, served.made_with), proof, settings)
    }
    pool = pooled(list(own.values()), settings.max_share)  # 2
    together = _better(pool, settings)
    verdicts = tuple(
        RegionVerdict(
            region, standing, standing is Standing.GAINS or (standing is Standing.OPEN and together),
            own[region].before, own[region].after, int(sum(own[region].current)), *changes[region],
        )
        for region, standing in standings.items()
    )  # fmt: skip
    accepted = any(v.adopts for v in verdicts)  # 3
    sentence = [_headline(pool, verdicts, settings, together, basis), *_losses(own, standings)]
    sentence += [*_held(standings, proof), *(_dissent(region) for region in dissenters(own, settings))]
    others = together and accepted
    others &= not any(_outranks(m, proof, settings) for m in (served.made_with, *served.kept.values()))
    return Verdict(accepted, "; ".join(sentence), verdicts, others)


def stricter(settings: RoundSettings) -> RoundSettings:
    """The settings of a second look."""
    return settings.model_copy(update={"level": STRICTER * settings.level})


def second_look(first: Verdict, second: Verdict, reason: str) -> Verdict:
    """The verdict of both looks: a region takes the candidate by the second unless it loses by the first.

    The figures stay those of the first.
    """
    found = {verdict.region: verdict for verdict in second.regions}
    regions = tuple(_looked_again(verdict, found.get(verdict.region)) for verdict in first.regions)
    accepted = any(verdict.adopts for verdict in regions)
    return Verdict(accepted, reason, regions, second.others_adopt and accepted)


def _looked_again(first: RegionVerdict, second: RegionVerdict | None) -> RegionVerdict:
    if second is None or first.standing in (Standing.LOSES, Standing.HELD):
        return first
    return replace(first, standing=second.standing, adopts=second.adopts)


def _better(pool: Evidence, settings: RoundSettings) -> bool:
    """Whether the candidate is better over all regions, and not by luck."""
    sure = pool.luck <= settings.level or settings.margin_overall < 0
    return pool.gain > settings.margin_overall and sure and not pool.misfits(settings.level)


def alert_changes(figures: HoldoutFigures) -> tuple[int, int]:
    """Sessions that only the candidate alerts on, and that only the current model does; none of line classifiers."""
    if of_lines(figures.current):
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
        rest, level = pooled(others, settings.max_share), settings.level
        against = evidence.misfortune <= level and rest.luck <= level
        alone_for = evidence.luck <= level and rest.misfortune <= level
        if against or alone_for:
            found.append(region)
    return found


def _standing(own: Evidence, level: float, settings: RoundSettings) -> Standing:
    if own.misfits(settings.level) or own.forgets:
        return Standing.LOSES
    if own.gain > 0 and own.luck <= level:
        return Standing.GAINS
    if -own.gain > settings.margin_region and own.misfortune <= CAUTION:
        return Standing.LOSES
    return Standing.OPEN


def _outranks(made_with: LabelledAnomalies, proof: LabelledAnomalies, settings: RoundSettings) -> bool:
    """Whether labels of a better kind made a version than those that judge the candidate."""
    return settings.margin_overall >= 0 and made_with.strength > proof.strength


def _headline(
    pool: Evidence, verdicts: Sequence[RegionVerdict], settings: RoundSettings, together: bool, basis: str
) -> str:
    """The result over all regions, its confidence, and the evidence that is missing."""
    change = f"over {len(verdicts)} regions {_change(pool, basis)}"
    gaining = [v.region for v in verdicts if v.adopts]
    if together:
        return f"the candidate {'is' if gaining else 'seems'} better: {change}"
    start = f"the candidate is better in {' and '.join(gaining)} only" if gaining else "the candidate is not better"
    if pool.misfortune <= settings.level:
        return f"{start}: {change}, which is worse"
    if pool.gain <= settings.margin_overall:
        return f"{start}: {change}, a gain of more than {settings.margin_overall:g} is required"
    missing = sessions_needed(pool.differing, pool.f1, settings.level)
    more = f"at least {missing}" if missing is not None else "many"
    return f"{start} for sure: {change}; {more} more {_unit(pool)} that only the candidate judges right are needed"


def _change(found: Evidence, basis: str) -> str:
    """Quality before and after, and the evidence for it."""
    if found.strange[2]:
        before, after, seen = found.strange
        both, old, new, _ = found.alerts
        return (
            f"{basis}; of incidents made up in {seen:.0f} recent windows, "
            f"{found.made_up.better} are found only by the candidate and {found.made_up.worse} only by the current "
            f"model; {before:.0f} of the unchanged windows were stranger than nearly all calibration windows, and "
            f"{after:.0f} are now; of sessions without a label, {both:.0f} have alerts of both models, {old:.0f} only "
            f"of the current one and {new:.0f} only of the candidate"
        )
    change = f"{found.before:.4f} became {found.after:.4f}"
    pairs = f"{found.pairs.better} {_unit(found)} judged better and {found.pairs.worse} worse"
    if of_lines(found.current) or not found.current[0] + found.current[2]:  # without anomalies there is no F1
        return f"{change} ({pairs})"
    low, high = f1_interval(found.current, found.candidate, found.pairs)
    return f"{change} ({pairs}, 90 % interval of the gain {low:+.4f} to {high:+.4f})"


def _losses(own: dict[str, Evidence], standings: dict[str, Standing]) -> list[str]:
    return [
        f"it is worse in {region}, which keeps its version: {_loss(own[region])}"
        for region, standing in standings.items()
        if standing is Standing.LOSES
    ]


def _held(standings: Mapping[str, Standing], proof: LabelledAnomalies) -> list[str]:
    """Why regions are held."""
    held = [region for region, standing in standings.items() if standing is Standing.HELD]
    if not held:
        return []
    now = "only rules label anomalies now" if proof.strength else "no anomaly has a label now"
    return [
        f"labels made the version of {' and '.join(held)}, which stays: {now}, so nothing shows that the candidate "
        "still finds what they taught"
    ]


def _loss(own: Evidence) -> str:
    lost = own.differing.worse - own.differing.better
    if own.forgets:
        return f"it finds {own.anchors.lost - own.anchors.found} fewer of the labelled anomalies"
    if own.misfits(1.0):
        before, after, seen = own.strange
        return f"{after:.0f} of {seen:.0f} recent windows are strange to it, {before:.0f} to the current model"
    if own.strange[2]:
        return f"it finds {lost} fewer made-up incidents"
    return f"{own.before:.4f} became {own.after:.4f} by {lost} {_unit(own)}"


def _dissent(region: str) -> str:
    return f"{region} disagrees with all others: check its labels, or leave it out (leave_out in [round])"


def _unit(found: Evidence) -> str:
    return "templates" if of_lines(found.current) else "sessions"
