from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation.flower.local_grid import LocalGrid
from federation.flower.network import FlowerNetwork
from federation.protocol.calibration import sketch_scores
from federation.protocol.messages import EVALUATE
from federation.protocol.records import HoldoutFigures, ScoreSketch, TrainTask, Weights
from federation.round.personal_thresholds import MOST_REGIONS, proposals, proven
from federation.round.result import RoundResult
from federation.round.round import run_round
from tests.support.prepared import SPEC, WEIGHTS, CountedClock, FaultyGrid, PreparedRegion, figures, settings

POOR = (10, 12, 2, 76)
"""Results of a candidate whose shared threshold makes many mistakes."""


def sketch(region: str, normal: Sequence[float], anomalous: Sequence[float]) -> ScoreSketch:
    scores = np.array([*normal, *anomalous], np.float32)
    return sketch_scores(region, scores, np.arange(len(scores)) >= len(normal))


def restless(region: str = "eu", anomalies: int = 6) -> ScoreSketch:
    """A region whose normal scores reach those of the others' anomalies."""
    return sketch(region, np.linspace(0.1, 0.6, 40).tolist(), [0.9] * anomalies)


@dataclass
class Restless(PreparedRegion):
    """Makes many mistakes with a threshold below .6, and few with one above it."""

    def calibrate(self, weights: Weights, task: TrainTask) -> ScoreSketch:
        return restless(self.region)

    def evaluate(
        self, candidate: Weights, current: Weights, task: TrainTask, thresholds: tuple[float, float]
    ) -> HoldoutFigures:
        if candidate["a"].tobytes() == current["a"].tobytes():
            assert thresholds[0] > thresholds[1]
            return figures(self.region, POOR, self.candidate)
        return figures(self.region, (5, 20, 7, 68), POOR)


@dataclass
class Quiet(PreparedRegion):
    """Has anomalies with scores that are normal in the other region, and many more windows."""

    def calibrate(self, weights: Weights, task: TrainTask) -> ScoreSketch:
        return sketch(self.region, np.linspace(0.05, 0.2, 200).tolist(), [0.4] * 40)


def run(grid: LocalGrid) -> RoundResult:
    network = FlowerNetwork(grid, CountedClock())
    return run_round(network, settings(passes=1), SPEC, WEIGHTS, 0.4, round_id="r1")


def test_a_region_gets_the_threshold_that_its_own_labels_prove() -> None:
    result = run(LocalGrid({"eu": Restless("eu", candidate=(11, 1, 1, 87)), "us": Quiet("us")}))
    assert result.accepted
    assert result.threshold <= 0.4
    assert 0.6 < result.thresholds["eu"] <= 0.9
    assert set(result.thresholds) == {"eu"}, "the other region has too few mistakes to prove anything"
    assert "eu takes it with its own threshold, " in result.reason
    assert "(12 sessions judged better and 0 worse)" in result.reason


def test_a_threshold_that_is_not_better_on_the_holdout_is_not_taken() -> None:
    result = run(LocalGrid({"eu": Restless("eu", candidate=POOR), "us": Quiet("us")}))
    assert (result.accepted, result.thresholds) == (True, {})
    assert "own threshold" not in result.reason


def test_a_good_candidate_costs_no_further_exchange() -> None:
    grid = FaultyGrid({"eu": Quiet("eu"), "us": Quiet("us")}, {})
    assert run(grid).accepted
    assert [kind for _, kind in grid.asked].count(EVALUATE) == 2


@pytest.mark.parametrize(
    ("own", "counts"),
    [
        (restless(anomalies=4), POOR),  # labels do not support it
        (restless(), (10, 2, 1, 87)),  # too few mistakes
        (sketch("eu", [0.1] * 40, []), POOR),
    ],
)
def test_without_evidence_no_region_is_asked(own: ScoreSketch, counts: tuple[int, int, int, int]) -> None:
    assert proposals([own], 0.4, {"eu": figures("eu", counts, counts)}, settings()) == {}


def test_only_the_regions_with_the_most_mistakes_are_asked() -> None:
    names = [f"r{i:02}" for i in range(MOST_REGIONS + 5)]
    counts = {name: figures(name, POOR, (10, 20 + i, 2, 60)) for i, name in enumerate(names)}
    found = proposals([restless(name) for name in names], 0.4, counts, settings())
    assert sorted(found) == names[5:]


@given(better=st.integers(0, 30), worse=st.integers(0, 30), regions=st.integers(1, 50))
def test_what_is_proven_is_better_and_more_regions_need_more(better: int, worse: int, regions: int) -> None:
    found = figures("eu", (10, 30, 2, 60), (10, 30 - better + worse, 2, 60 + better - worse))
    if proven(found, settings(), regions):
        assert better > worse
        assert proven(found, settings(), 1)
