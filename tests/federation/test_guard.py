from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from federation.base import RoundSettings, ScoreSketch, Update, Weights
from federation.guard import change_norm, inspect, sketch_problem

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
    "figure": (lambda u: replace(u, metrics={"loss": float("nan")}), "figure 'loss' is nan"),
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
    "count too small": (ScoreSketch("eu", SCORES, SCORES, 1, 2), "stand for 1 windows"),
    "count absurd": (ScoreSketch("eu", SCORES, SCORES, 2, 10**12), "stand for 1000000000000 windows"),
    "count of nothing": (ScoreSketch("eu", SCORES, SCORES[:0], 2, 9), "0 anomalous scores stand for 9 windows"),
}


@pytest.mark.parametrize("name", SKETCHES)
def test_scores_of_a_region_are_looked_at_before_they_are_used(name: str) -> None:
    sketch, reason = SKETCHES[name]
    found = sketch_problem(sketch, SETTINGS.max_examples)
    assert found is None if reason is None else reason in str(found)
