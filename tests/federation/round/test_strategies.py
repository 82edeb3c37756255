"""The promises of every aggregation strategy in the registry; a new strategy is checked automatically."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import hypothesis
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from federation.errors import RoundFailedError, SetupError
from federation.protocol.records import Update, Weights
from federation.round import strategies as registry
from federation.round.guard import inspect
from federation.round.settings import RoundSettings
from federation.round.strategies import STRATEGIES, Aggregation, build_strategy
from federation.round.strategy import Changes, Strategy
from tests.federation.round.test_guard import FAULTS, SENT, update

FLOATS = arrays(np.float32, (2, 3), elements=st.floats(-10, 10, width=32))
RESCALING = {"fedadam"}
"""Strategies whose step has a length of its own: only the direction of the common change is promised."""

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
    if strategy in RESCALING:
        assert (np.sign(found["a"] - start) == np.sign(end - start))[np.abs(end - start) > 1e-2].all()
        return
    for name, array in weights(end).items():
        np.testing.assert_allclose(found[name], array, rtol=1e-3 if name == "half" else 1e-6, atol=1e-6)
        assert found[name].dtype == array.dtype


@pytest.mark.parametrize("strategy", [name for name, kind in STRATEGIES.items() if kind.is_mean])
@hypothesis.settings(max_examples=30)
@given(st.lists(st.tuples(FLOATS, st.integers(1, 10**6)), min_size=2, max_size=6), FLOATS)
def test_a_strategy_that_is_a_mean_weighs_by_examples(strategy: str, drawn: Any, start: NDArray[np.float32]) -> None:
    updates = [Update(f"r{i}", weights(a), n) for i, (a, n) in enumerate(drawn)]
    total = sum(n for _, n in drawn)
    expected = sum(a.astype(np.float64) * n for a, n in drawn) / total
    settings = RoundSettings.model_validate({"strategy": strategy, "max_share": 1.0})
    found = Aggregation(settings).aggregate(weights(start), updates, 0)["a"]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@EVERY
def test_a_region_that_claims_ten_million_windows_does_not_decide(strategy: str) -> None:
    sent = weights(np.zeros((2, 3), np.float32))
    honest = [Update(r, weights(np.full((2, 3), 2, np.float32)), n) for r, n in (("ap", 100), ("eu", 300), ("sa", 200))]
    boastful = Update("us", weights(np.full((2, 3), -1, np.float32)), 10**7)
    assert (aggregated(strategy, sent, [boastful, *honest])["a"] > 0).all()


@pytest.mark.parametrize("strategy", ["fedavg", "fedprox"])
def test_in_a_mean_it_counts_for_half(strategy: str) -> None:
    sent = weights(np.zeros((2, 3), np.float32))
    honest = [Update(r, weights(np.ones((2, 3), np.float32)), n) for r, n in (("ap", 100), ("eu", 300))]
    boastful = Update("us", weights(np.full((2, 3), -3, np.float32)), 10**7)
    found = aggregated(strategy, sent, [boastful, *honest])["a"]
    np.testing.assert_allclose(found, np.full((2, 3), (1 - 3) / 2), rtol=1e-6)


@EVERY
@pytest.mark.parametrize("fault", FAULTS)
def test_a_hostile_update_that_the_guard_refuses_changes_nothing(strategy: str, fault: str) -> None:
    spoil, _ = FAULTS[fault]
    honest = [update(region, 1 + i / 10) for i, region in enumerate(("ap", "eu", "me", "sa"))]
    settings = RoundSettings.model_validate({"strategy": strategy})
    good, refusals = inspect([*honest, spoil(update("us"))], SENT, settings, 0)
    assert [refusal.region for refusal in refusals] == ["us"]
    found, clean = (Aggregation(settings).aggregate(SENT, updates, 0) for updates in (good, honest))
    for name in SENT:
        np.testing.assert_array_equal(found[name], clean[name])


@EVERY
@hypothesis.settings(max_examples=10)
@given(st.lists(st.tuples(FLOATS, st.integers(1, 10**6)), min_size=1, max_size=6))
def test_weights_and_updates_stay_as_they_were_and_the_form_is_kept(strategy: str, drawn: Any) -> None:
    sent = weights(np.ones((2, 3), np.float32))
    updates = [Update(f"r{i}", weights(a), n) for i, (a, n) in enumerate(drawn)]
    before = [{name: array.copy() for name, array in whole.items()} for whole in (sent, *(u.weights for u in updates))]
    found = aggregated(strategy, sent, updates)
    for whole, copy in zip((sent, *(u.weights for u in updates)), before, strict=True):
        for name in sent:
            np.testing.assert_array_equal(whole[name], copy[name])
    assert {n: (a.shape, a.dtype) for n, a in found.items()} == {n: (a.shape, a.dtype) for n, a in sent.items()}
    np.testing.assert_array_equal(found["ids"], sent["ids"])


@EVERY
def test_one_object_serves_several_passes(strategy: str) -> None:
    aggregation = Aggregation(RoundSettings.model_validate({"strategy": strategy}))
    current = weights(np.zeros((2, 3), np.float32))
    for number in range(3):
        moved = [Update(r, weights(current["a"] + np.float32(1)), 5) for r in ("ap", "eu", "us")]
        following = aggregation.aggregate(current, moved, number)
        assert (following["a"] > current["a"]).all()
        current = following


@EVERY
def test_defaults_are_in_range_and_whole_settings_are_whole(strategy: str) -> None:
    defaults = STRATEGIES[strategy].defaults
    assert build_strategy(strategy, {}).proximal_mu >= 0
    build_strategy(strategy, {name: float(value) for name, value in defaults.items()})


class BrokenStrategy(Strategy):
    """Returns the given weights."""

    returned: ClassVar[Mapping[str, NDArray[np.float64]] | None] = None

    def __init__(self, settings: Mapping[str, float]) -> None:
        pass

    def combine(self, changes: Sequence[Changes], counts: Sequence[int], number: int) -> Changes | None:
        return self.returned


@pytest.mark.parametrize(
    ("returned", "reason"),
    [
        (None, "the strategy made no weights of 2 updates"),
        ({"a": np.full((2, 3), np.nan), "half": np.zeros((2, 3))}, "the aggregate of 'a' is not finite"),
        ({"a": np.zeros((2, 3)), "half": np.full((2, 3), 1e6)}, "the aggregate of 'half' is not finite"),
    ],
)
def test_what_a_strategy_returns_is_checked(monkeypatch: pytest.MonkeyPatch, returned: Any, reason: str) -> None:
    monkeypatch.setattr(BrokenStrategy, "returned", returned)
    monkeypatch.setattr(registry, "STRATEGIES", {"broken": BrokenStrategy})
    sent = weights(np.zeros((2, 3), np.float32))
    with pytest.raises(RoundFailedError, match=reason), np.errstate(over="ignore"):
        aggregated("broken", sent, [Update(r, sent, 5) for r in ("eu", "us")])


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


@pytest.mark.parametrize(
    ("name", "settings", "reason"),
    [
        ("fedsgd", {}, "unknown strategy 'fedsgd'; known are fedavg"),
        ("fedavg", {"eta": 1.0}, "fedavg has no setting 'eta'; it has none"),
        ("fedtrimmedavg", {"beta": 0.7}, "fedtrimmedavg: `beta` must be in"),
    ],
)
def test_names_and_settings_are_checked(name: str, settings: dict[str, float], reason: str) -> None:
    with pytest.raises(SetupError, match=reason):
        build_strategy(name, settings)


def test_only_fedprox_has_a_proximal_term() -> None:
    assert build_strategy("fedprox", {}).proximal_mu == 0.01
    assert build_strategy("fedprox", {"proximal_mu": 0.5}).proximal_mu == 0.5
    assert {n for n in STRATEGIES if build_strategy(n, {}).proximal_mu} == {"fedprox"}
