from typing import Any

import hypothesis
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from federation.errors import SetupError
from federation.protocol.records import Update, Weights
from federation.round.settings import RoundSettings
from federation.round.strategies import STRATEGIES, Aggregation, proximal_mu

FLOATS = arrays(np.float32, (2, 3), elements=st.floats(-10, 10, width=32))
EVERY = pytest.mark.parametrize("strategy", STRATEGIES)


def aggregated(strategy: str, sent: Weights, updates: list[Update]) -> dict[str, NDArray[Any]]:
    return Aggregation(RoundSettings.model_validate({"strategy": strategy})).aggregate(sent, updates, 0)


def weights(a: NDArray[np.float32]) -> Weights:
    return {"a": a, "half": a.astype(np.float16), "ids": np.array([7, 9])}


@EVERY
@hypothesis.settings(max_examples=15)
@given(st.lists(st.tuples(FLOATS, st.integers(1, 10**6)), min_size=2, max_size=6), st.randoms(use_true_random=False))
def test_the_order_of_updates_does_not_matter(strategy: str, drawn: Any, random: Any) -> None:
    sent = weights(np.zeros((2, 3), np.float32))
    updates = [Update(f"r{i}", weights(a), n) for i, (a, n) in enumerate(drawn)]
    shuffled = list(updates)
    random.shuffle(shuffled)
    first, second = aggregated(strategy, sent, updates), aggregated(strategy, sent, shuffled)
    for name in sent:
        np.testing.assert_array_equal(first[name], second[name])


@EVERY
@hypothesis.settings(max_examples=15)
@given(FLOATS, FLOATS, st.lists(st.integers(1, 10**6), min_size=2, max_size=6))
def test_equal_updates_give_themselves(
    strategy: str, start: NDArray[np.float32], end: NDArray[np.float32], counts: list[int]
) -> None:
    updates = [Update(f"r{i}", weights(end), n) for i, n in enumerate(counts)]
    found = aggregated(strategy, weights(start), updates)
    if strategy == "fedadam":  # its step follows the direction of the change, by a length of its own
        assert (np.sign(found["a"] - start) == np.sign(end - start))[np.abs(end - start) > 1e-2].all()
        return
    for name, array in weights(end).items():
        np.testing.assert_allclose(found[name], array, rtol=1e-3 if name == "half" else 1e-6, atol=1e-6)
        assert found[name].dtype == array.dtype


@hypothesis.settings(max_examples=30)
@given(st.lists(st.tuples(FLOATS, st.integers(1, 10**6)), min_size=2, max_size=6), FLOATS)
def test_fedavg_is_the_mean_weighted_by_examples(drawn: Any, start: NDArray[np.float32]) -> None:
    updates = [Update(f"r{i}", weights(a), n) for i, (a, n) in enumerate(drawn)]
    total = sum(n for _, n in drawn)
    expected = sum(a.astype(np.float64) * n for a, n in drawn) / total
    settings = RoundSettings.model_validate({"max_share": 1.0})
    found = Aggregation(settings).aggregate(weights(start), updates, 0)["a"]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("strategy", ["fedavg", "fedprox"])
def test_a_region_that_says_it_trained_on_ten_million_windows_counts_for_half(strategy: str) -> None:
    sent = weights(np.zeros((2, 3), np.float32))
    honest = [Update(r, weights(np.ones((2, 3), np.float32)), n) for r, n in (("ap", 100), ("eu", 300))]
    boastful = Update("us", weights(np.full((2, 3), -3, np.float32)), 10**7)
    found = aggregated(strategy, sent, [boastful, *honest])["a"]
    np.testing.assert_allclose(found, np.full((2, 3), (1 - 3) / 2), rtol=1e-6)


@EVERY
def test_every_region_unchanged_leaves_the_model_unchanged(strategy: str) -> None:
    sent = weights(np.arange(6, dtype=np.float32).reshape(2, 3))
    found = aggregated(strategy, sent, [Update(r, sent, 5) for r in ("ap", "eu", "us")])
    for name in sent:
        np.testing.assert_array_equal(found[name], sent[name])


@pytest.mark.parametrize("strategy", ["fedmedian", "fedtrimmedavg", "multikrum"])
def test_robust_strategies_bear_one_liar_among_five(strategy: str) -> None:
    sent = weights(np.zeros((2, 3), np.float32))
    honest = [Update(f"r{i}", weights(np.full((2, 3), 1 + i / 10, np.float32)), 5) for i in range(4)]
    liar = Update("zz", weights(np.full((2, 3), -9, np.float32)), 5)
    assert (aggregated(strategy, sent, [*honest, liar])["a"] >= 1).all()


def test_fedadam_remembers_its_moments_from_pass_to_pass() -> None:
    aggregation = Aggregation(RoundSettings.model_validate({"strategy": "fedadam"}))
    sent = weights(np.zeros((2, 3), np.float32))
    moved = [Update(r, weights(np.ones((2, 3), np.float32)), 5) for r in ("eu", "us")]
    first = aggregation.aggregate(sent, moved, 0)
    idle = aggregation.aggregate(first, [Update(r, first, 5) for r in ("eu", "us")], 1)
    assert (idle["a"] > first["a"]).all()


def test_names_and_settings_are_checked() -> None:
    for document, sentence in (
        ({"strategy": "fedsgd"}, "no strategy 'fedsgd'; known are fedavg"),
        ({"strategy": "fedavg", "strategy_settings": {"eta": 1}}, "fedavg has no setting 'eta'; it has none"),
        ({"strategy": "fedtrimmedavg", "strategy_settings": {"beta": 0.7}}, "fedtrimmedavg: `beta` must be in"),
    ):
        with pytest.raises(SetupError, match=sentence):
            Aggregation(RoundSettings.model_validate(document))


def test_only_fedprox_pulls_to_the_start() -> None:
    assert proximal_mu(RoundSettings.model_validate({"strategy": "fedprox"})) == 0.01
    settings = {"strategy": "fedprox", "strategy_settings": {"proximal_mu": 0.5}}
    assert proximal_mu(RoundSettings.model_validate(settings)) == 0.5
    assert proximal_mu(RoundSettings.model_validate({})) == 0.0
