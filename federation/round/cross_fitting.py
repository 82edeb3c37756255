"""Cross-fitting: judging on all labelled sessions what the holdouts leave open.

A holdout is a fifth of the sessions, so it takes about 25 mistakes of the current model until five of them are there.
Two further candidates are trained, each on one half of the sessions, and judged on the other half. Every labelled
session is then judged once, by a candidate that has not learnt from it. Only sessions that the version in service has
scored count: it has learnt from earlier ones, where a candidate could only lose. Whether older knowledge is forgotten
is what the holdouts show. If these sessions prove that training helps, the candidate of the round is taken, which has
learnt from more sessions than either.

The candidate of one half has learnt from the sessions that the other is judged on, so the two halves are not
independent, and a test that takes them as if they were is too sure of itself (Dietterich, 1998, "Approximate
statistical tests for comparing supervised classification learning algorithms"). It is valid in the limit of many
sessions (Bayle et al., 2020, "Cross-validation confidence intervals for test error"); with few it is not exact. In
the worst case found, a model that learns coins by heart, the variance is up to 1.32 times that of independent
sessions, so the test is made at half the level (`STRICTER`), which keeps the chance of a useless candidate below it
(`tests/federation/round/test_cross_fitting.py`). It is the second look at a candidate: both together publish a useless
one in at most twice the level.

It costs two trainings on half of the sessions, with the pauses of a round, and is used only if the holdouts leave the
candidate open but promising, at least half of the held-out sessions have a label, and no privacy budget is spent by
training.
"""

from collections.abc import Mapping, Sequence
from dataclasses import astuple

from federation.protocol.records import HoldoutFigures
from federation.round.evidence import Evidence, evidence_of, mostly_unlabelled, pooled
from federation.round.gate import Verdict, second_look
from federation.round.paired_test import chance
from federation.round.settings import RoundSettings

HALVES = (0, 1)

HOLDOUTS = 5
"""All sessions are so many times those of the holdout."""

HOPE = 0.25
"""Chance of luck, at the rate of the holdout on all sessions, up to which it is worth two trainings. The rate of a few
sessions is uncertain, so this is far above the level that all sessions have to reach."""

MIN_ANOMALIES = 6
"""Labelled anomalies without which no test could reach half of a level of .05."""


def worthwhile(figures: Sequence[HoldoutFigures], settings: RoundSettings) -> bool:
    """Whether the labels of all sessions are likely to decide what those of the holdouts leave open.

    They are if a gain at the same rate on all sessions would hardly be luck, in one region or in all together. Where
    no session of a holdout is a labelled anomaly, no rate is known, and a few labelled anomalies elsewhere are enough.

    They are not where most sessions have no label: answers to chosen questions do not represent the sessions, and an
    answer that labels all windows alike is one piece of evidence in both halves.
    """
    if mostly_unlabelled(figures):
        return False
    own = [evidence_of(f).labelled() for f in figures]
    if not any(part.has_anomalies for part in own):
        return sum(sum(astuple(f.known)) for f in figures) >= MIN_ANOMALIES
    return any(map(_promises, (pooled(own, settings.max_share), *own)))


def _promises(found: Evidence) -> bool:
    return found.gain > 0 and chance(found.pairs.scaled(HOLDOUTS), found.f1) <= HOPE


def joined(
    halves: Sequence[Mapping[str, HoldoutFigures]], own: Mapping[str, HoldoutFigures]
) -> tuple[HoldoutFigures, ...]:
    """The figures of both halves together, of each region that gave both.

    Args:
        halves: Figures by region, of the candidate of each half on the other one.
        own: Figures of the round's candidate.
    """
    first, second = halves
    return tuple(
        HoldoutFigures(
            region,
            tuple(a + b for a, b in zip(first[region].current, second[region].current, strict=True)),
            tuple(a + b for a, b in zip(first[region].candidate, second[region].candidate, strict=True)),
            first[region].answered + second[region].answered,
            first[region].ruled + second[region].ruled,
            known=own[region].known,
        )
        for region in sorted(first.keys() & second.keys() & own.keys())
    )


def combined(holdout: Verdict, crossed: Verdict) -> Verdict:
    """The verdict of both looks; F1 stays that of the round's candidate on the holdout."""
    reason = f"the holdouts leave it open ({holdout.reason}); cross-fitting on all labelled sessions: {crossed.reason}"
    return second_look(holdout, crossed, reason)
