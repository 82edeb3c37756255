import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from federation.protocol.calibration import sketch_problem
from federation.protocol.records import ScoreSketch, Update, Weights
from federation.round.guard import change_norm, inspect, shares
from federation.round.settings import RoundSettings

SETTINGS = RoundSettings.model_validate({})
SENT: Weights = {"a": np.zeros((2, 3), np.float32), "b": np.ones(4, np.float32), "ids": np.array([3, 5])}


def update(region: str, step: float = 1.0, examples: int = 10) -> Update:
    return Update(region, {"a": SENT["a"] + np.float32(step), "b": SENT["b"], "ids": SENT["ids"]}, examples)


def spoiled(name: str, value: NDArray[Any]) -> Callable[[Update], Update]:
    return lambda u: replace(u, weights={**u.weights, name: value})


def without(name: str) -> Callable[[Update], Update]:
    return lambda u: replace(u, weights={k: v for k, v in u.weights.items() if k != name})


FAULTS: dict[str, tuple[Callable[[Update], Update], str]] = {
    "nan": (spoiled("a", np.full((2, 3), np.nan, np.float32)), "not finite"),
    "infinite": (spoiled("a", np.array([[0, 0, np.inf], [0, 0, 0]], np.float32)), "not finite"),
    "shape": (spoiled("a", np.zeros((3, 2), np.float32)), "float32[3, 2] and should be float32[2, 3]"),
    "broadcastable shape": (spoiled("a", np.zeros((1, 3), np.float32)), "float32[1, 3]"),
    "dtype": (spoiled("b", np.ones(4, np.float64)), "float64[4] and should be float32[4]"),
    "missing": (without("b"), "'b' is missing"),
    "extra": (spoiled("c", np.zeros(2, np.float32)), "'c' was not asked for"),
    "whole numbers changed": (spoiled("ids", np.array([3, 6])), "cannot be averaged"),
    "no examples": (lambda u: replace(u, examples=0), "trained on 0 windows"),
    "negative examples": (lambda u: replace(u, examples=-5), "trained on -5 windows"),
    "absurd examples": (lambda u: replace(u, examples=10**12), "trained on 1000000000000 windows"),
    "figure": (lambda u: replace(u, metrics={"loss": float("nan")}), "metric 'loss' is nan"),
    "50 times larger": (spoiled("a", np.full((2, 3), 50, np.float32)), "more than 10 times the others'"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_spoiled_update_is_refused_by_name(name: str) -> None:
    spoil, reason = FAULTS[name]
    updates = [update("ap"), update("eu"), spoil(update("us")), update("me"), update("sa")]
    good, refused = inspect(updates, SENT, SETTINGS, 2)
    assert [u.region for u in good] == ["ap", "eu", "me", "sa"]
    assert [(r.region, r.number) for r in refused] == [("us", 2)]
    assert reason in refused[0].reason


@given(st.lists(st.floats(0.5, 4.5), min_size=1, max_size=8))
def test_updates_of_like_size_all_pass(steps: list[float]) -> None:
    good, refused = inspect([update(f"r{i}", s) for i, s in enumerate(steps)], SENT, SETTINGS, 0)
    assert len(good) == len(steps)
    assert refused == []


@given(st.integers(2, 9), st.floats(50, 1e6), st.data())
def test_one_update_far_beyond_the_others_is_the_one_refused(count: int, factor: float, data: st.DataObject) -> None:
    guilty = data.draw(st.integers(0, count - 1))
    updates = [update(f"r{i}", factor if i == guilty else 1.0) for i in range(count)]
    good, refused = inspect(updates, SENT, SETTINGS, 0)
    assert [r.region for r in refused] == [f"r{guilty}"]
    assert len(good) == count - 1


def test_a_lone_update_and_regions_that_did_not_move_are_not_compared() -> None:
    assert len(inspect([update("eu", 1000.0)], SENT, SETTINGS, 0)[0]) == 1
    assert len(inspect([update("eu", 1.0), update("us", 0.0), update("ap", 0.0)], SENT, SETTINGS, 0)[0]) == 3


def test_the_norm_does_not_overflow_float32() -> None:
    huge = {**SENT, "a": np.full((2, 3), 3e38, np.float32)}
    assert change_norm(huge, SENT) == pytest.approx(3e38 * 6**0.5, rel=1e-3)


SCORES = np.array([0.1, 0.2], np.float32)
SKETCHES = {
    "sound": (ScoreSketch("eu", SCORES, SCORES[:0], 2, 0), None),
    "not finite": (ScoreSketch("eu", np.array([0.1, np.nan], np.float32), SCORES, 2, 2), "not finite"),
    "not ascending": (ScoreSketch("eu", SCORES, SCORES[::-1], 2, 2), "do not ascend"),
    "dtype": (ScoreSketch("eu", SCORES.astype(np.float64), SCORES, 2, 2), "float64[2]"),
    "too many": (ScoreSketch("eu", np.zeros(1026, np.float32), SCORES, 1026, 2), "at most 1025"),
    "count too small": (ScoreSketch("eu", SCORES, SCORES, 1, 2), "represent 1 windows"),
    "count absurd": (ScoreSketch("eu", SCORES, SCORES, 2, 10**12), "represent 1000000000000 windows"),
    "count of nothing": (ScoreSketch("eu", SCORES, SCORES[:0], 2, 9), "0 anomalous scores represent 9 windows"),
}


@pytest.mark.parametrize("name", SKETCHES)
def test_scores_of_a_region_are_looked_at_before_they_are_used(name: str) -> None:
    sketch, reason = SKETCHES[name]
    found = sketch_problem(sketch, SETTINGS.max_examples)
    assert found is None if reason is None else reason in str(found)


COUNTS = st.lists(st.integers(1, 10**7), min_size=1, max_size=12)


@given(COUNTS, st.floats(0.01, 1.0))
def test_no_region_has_more_than_its_share_of_a_mean(counts: list[int], max_share: float) -> None:
    found = shares(counts, max_share)
    assert all(1 <= cut <= count for cut, count in zip(found, counts, strict=True))
    assert max(found) <= max(max_share, 1 / len(counts)) * sum(found) * (1 + 1e-9)


@given(COUNTS, st.floats(0.01, 1.0), st.randoms(use_true_random=False))
def test_shares_keep_the_order_of_the_counts_and_cut_only_the_largest(
    counts: list[int], max_share: float, random: Any
) -> None:
    found = shares(counts, max_share)
    for (a, cut_a), (b, cut_b) in itertools.combinations(zip(counts, found, strict=True), 2):
        assert (cut_a <= cut_b) if a <= b else (cut_a >= cut_b)
    bound = max(found)
    assert all(cut in (count, bound) for cut, count in zip(found, counts, strict=True))
    order = list(range(len(counts)))
    random.shuffle(order)
    assert shares([counts[i] for i in order], max_share) == [found[i] for i in order]


@given(COUNTS)
def test_counts_within_their_share_stay_as_they_are(counts: list[int]) -> None:
    assert shares(counts, 1.0) == counts
    assert shares(counts, max(counts) / sum(counts) * (1 + 1e-9)) == counts


@pytest.mark.parametrize(
    ("counts", "max_share", "expected"),
    [
        ([10**7, 100, 80], 0.5, [180, 100, 80]),
        ([10**7, 100], 0.5, [100, 100]),
        ([10**7], 0.5, [10**7]),
        ([300, 200, 100], 0.5, [300, 200, 100]),
        ([10**7, 10**7, 30, 30], 0.4, [120, 120, 30, 30]),
        ([7, 900, 5], 0.1, [5, 5, 5]),
    ],
)
def test_shares_by_hand(counts: list[int], max_share: float, expected: list[int]) -> None:
    assert shares(counts, max_share) == expected
