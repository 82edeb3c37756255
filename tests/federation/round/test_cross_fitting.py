from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest

from federation.errors import TrainerError
from federation.flower.local_grid import LocalGrid
from federation.flower.network import FlowerNetwork
from federation.protocol.records import HoldoutFigures, LabelledAnomalies, Pairs, TrainTask, Update, Weights
from federation.round import cross_fitting
from federation.round.gate import STRICTER, Verdict, judge
from federation.round.paired_test import chance
from federation.round.result import RoundResult, Standing
from federation.round.round import run_round
from federation.round.settings import RoundSettings
from tests.support.prepared import SPEC, WEIGHTS, CountedClock, PreparedRegion, settings

SETTINGS = RoundSettings.model_validate({})


def found(region: str, better: int, worse: int, **changes: Any) -> HoldoutFigures:
    """Figures of 100 sessions with 20 anomalies, of which the current model finds 10."""
    pairs = Pairs(found=better, lost=worse)
    gain = better - worse
    return HoldoutFigures(region, (10, 2, 10, 78), (10 + gain, 2, 10 - gain, 78), pairs, **changes)


@pytest.mark.parametrize("kinds", [1, 5, 40])
def test_a_model_that_learns_coins_by_heart_is_rarely_proven(kinds: int) -> None:
    """The null in which the two halves depend on each other most: sessions of few kinds, whose labels are coins.

    The current model calls all of them normal. The candidate of a half repeats the majority of each kind.
    """
    rng, drawn, size = np.random.default_rng(0), 3_000, 24
    proven = 0
    for _ in range(drawn):
        anomalous = rng.binomial(size, 0.5, (2, kinds))
        called = anomalous[::-1] * 2 > size  # by the candidate that learnt from the other half
        pairs = Pairs(found=int(anomalous[called].sum()), raised=int((size - anomalous)[called].sum()))
        proven += chance(pairs, 1.0) <= STRICTER * SETTINGS.level
    assert proven / drawn <= SETTINGS.level


@pytest.mark.parametrize(("better", "worse", "expected"), [(4, 1, True), (2, 1, True), (5, 4, False), (1, 2, False)])
def test_it_is_worthwhile_if_the_same_rate_on_all_sessions_is_no_luck(better: int, worse: int, expected: bool) -> None:
    assert cross_fitting.worthwhile([found("eu", better, worse), found("us", 0, 0)], SETTINGS) is expected


def test_a_few_answers_are_no_sample_of_the_sessions() -> None:
    assert cross_fitting.worthwhile([found("eu", 4, 0, unlabelled=(0, 0, 0, 99))], SETTINGS)
    assert not cross_fitting.worthwhile([found("eu", 4, 0, unlabelled=(0, 0, 0, 101))], SETTINGS)


@pytest.mark.parametrize(("anomalies", "expected"), [(5, False), (6, True)])
def test_a_few_labelled_anomalies_outside_the_holdouts_are_worth_it(anomalies: int, expected: bool) -> None:
    empty = HoldoutFigures("us", (0, 0, 0, 9), (0, 0, 0, 9), known=LabelledAnomalies(feedback=anomalies))
    assert (
        cross_fitting.worthwhile([empty, replace(empty, region="eu", known=LabelledAnomalies())], SETTINGS) is expected
    )


def test_the_halves_are_added_up_by_region() -> None:
    own = {"eu": found("eu", 1, 0, known=LabelledAnomalies(labels=9)), "us": found("us", 0, 0)}
    halves = [{"eu": found("eu", 3, 1), "us": found("us", 1, 0)}, {"eu": found("eu", 4, 0)}]
    (eu,) = cross_fitting.joined(halves, own)
    assert eu.current == (20, 4, 20, 156)
    assert eu.candidate == (26, 4, 14, 156)
    assert (eu.answered, eu.known) == (Pairs(found=7, lost=1), LabelledAnomalies(labels=9))


def test_a_region_that_loses_on_its_holdout_keeps_its_version() -> None:
    holdout = judge([found("eu", 4, 1), found("us", 0, 3)], SETTINGS)
    crossed = judge([found("eu", 9, 0), found("us", 9, 0)], SETTINGS)
    both = cross_fitting.combined(holdout, crossed)
    assert both.accepted
    assert [(v.region, v.adopts, v.standing) for v in both.regions] == [
        ("eu", True, Standing.GAINS), ("us", False, Standing.LOSES)
    ]  # fmt: skip
    assert [v.after for v in both.regions] == [v.after for v in holdout.regions], "F1 is that of the candidate itself"
    assert not cross_fitting.combined(holdout, Verdict(False, "no")).accepted


@dataclass
class HalvedRegion(PreparedRegion):
    """Four of five mistakes in its holdout speak for the candidate, and `halved` more in each half of its sessions."""

    halved: int = 8
    broken: bool = False
    judged: list[int | None] = field(default_factory=list)

    def train(self, weights: Weights, task: TrainTask) -> Update:
        if self.broken and task.left_out is not None:
            raise TrainerError("it has no window in this half")
        return super().train(weights, task)

    def evaluate(
        self, candidate: Weights, current: Weights, task: TrainTask, thresholds: tuple[float, float]
    ) -> HoldoutFigures:
        self.judged.append(task.left_out)
        better = self.halved if task.left_out is not None else 4
        return found(self.region, better, 1, known=LabelledAnomalies(labels=100))


def run(*fleet: HalvedRegion, **changes: Any) -> RoundResult:
    network = FlowerNetwork(LocalGrid({region.region: region for region in fleet}), CountedClock())
    return run_round(network, settings(passes=2, min_regions=1, **changes), SPEC, WEIGHTS, 0.4, round_id="r1")


def test_a_round_trains_twice_more_where_the_holdout_leaves_it_open() -> None:
    region = HalvedRegion("eu")
    result = run(region)
    assert result.accepted
    assert [(task.left_out, task.number) for task in region.tasks] == [
        (None, 0), (None, 1), (0, 0), (0, 1), (1, 0), (1, 1)
    ]  # fmt: skip
    assert region.judged == [None, 0, 1]
    np.testing.assert_allclose(result.weights["a"], WEIGHTS["a"] + 2)
    assert "the holdouts leave it open" in result.reason
    assert "cross-fitting on all labelled sessions: the candidate is better: over 1 regions" in result.reason
    assert [v.labelled for v in result.verdicts] == [100]


def test_it_may_be_turned_off_and_is_not_used_where_nothing_is_open() -> None:
    assert not run(HalvedRegion("eu"), cross_fit=False).accepted
    region = HalvedRegion("eu")
    run(region, level=0.49)
    assert region.judged == [None]


def test_sessions_of_both_halves_that_prove_nothing_refuse_the_candidate() -> None:
    result = run(HalvedRegion("eu", halved=2))
    assert not result.accepted
    assert "cross-fitting on all labelled sessions: the candidate is not better for sure" in result.reason


def test_a_half_that_cannot_be_trained_leaves_the_first_verdict() -> None:
    result = run(HalvedRegion("eu", broken=True))
    assert not result.accepted
    assert "cross-fitting failed: step 4, pass 0" in result.reason
