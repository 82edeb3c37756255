"""Secure aggregation: the plain mean within rounding, also when regions drop out; a failed round gives the reason."""

import sys
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from flwr.app import ConfigRecord, Context, Message, RecordDict
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from federation.errors import RoundFailedError, SetupError, TrainerError
from federation.flower.local_grid import LocalGrid
from federation.flower.network import FlowerNetwork
from federation.flower.secagg_client import MAX_EXAMPLES, RECORD, answer, changes
from federation.flower.secagg_masks import MODULES, masks
from federation.protocol.records import Update, Weights
from federation.round.result import RoundResult
from federation.round.round import run_round
from tests.support.prepared import SPEC, CountedClock, settings
from tests.support.secure_grid import DrawingRegion, SecureGrid, quiet_flower

FOUR = ("ap", "eu", "sa", "us")
START: Weights = {
    "a": np.linspace(-1, 1, 600, dtype=np.float32).reshape(20, 30),
    "b": np.array(0.25, np.float32),
    "ids": np.array([3, 5], np.int64),
}


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with quiet_flower():
        yield


def regions(*names: str) -> dict[str, DrawingRegion]:
    return {name: DrawingRegion(name, examples=100 * (n + 3)) for n, name in enumerate(names)}


def run(grid: LocalGrid, mode: str, **changes: Any) -> RoundResult:
    given = settings(privacy={"mode": mode}, min_regions=2, **changes)
    return run_round(FlowerNetwork(grid, CountedClock()), given, SPEC, START, 0.4, round_id="r1")


def distance(one: Weights, other: Weights) -> float:
    return max(float(np.abs(one[name].astype(float) - other[name]).max()) for name in START)


def test_four_regions_give_the_plain_mean() -> None:
    secure, plain = run(SecureGrid(regions(*FOUR)), "secagg"), run(LocalGrid(regions(*FOUR)), "none")
    assert distance(secure.weights, plain.weights) < 1e-5
    assert distance(secure.weights, START) > 0.05
    np.testing.assert_array_equal(secure.weights["ids"], START["ids"])
    assert {name: array.dtype for name, array in secure.weights.items()} == {n: a.dtype for n, a in START.items()}
    assert (secure.participants, secure.examples) == (FOUR, plain.examples)
    assert secure.accepted


@pytest.mark.parametrize("stage", ["setup", "share_keys", "collect_masked_vectors"])
def test_three_of_four_give_the_plain_mean_of_three(stage: str) -> None:
    secure = run(SecureGrid(regions(*FOUR), {"us": stage}), "secagg", passes=1)
    plain = run(LocalGrid({n: r for n, r in regions(*FOUR).items() if n != "us"}), "none", passes=1)
    assert distance(secure.weights, plain.weights) < 1e-5
    assert secure.participants == ("ap", "eu", "sa")
    assert secure.missing == ("us",)


def test_a_region_that_is_lost_after_its_change_was_added_is_in_the_mean() -> None:
    secure = run(SecureGrid(regions(*FOUR), {"us": "unmask"}), "secagg", passes=1)
    assert distance(secure.weights, run(LocalGrid(regions(*FOUR)), "none", passes=1).weights) < 1e-5
    assert secure.participants == FOUR


@pytest.mark.parametrize("stage", ["setup", "share_keys", "collect_masked_vectors", "unmask"])
def test_below_the_threshold_the_round_fails_and_names_who_was_missing(stage: str) -> None:
    with pytest.raises(
        RoundFailedError, match=r"halted in pass 0: sa: no answer in time; us: no answer in time"
    ) as failed:
        run(SecureGrid(regions(*FOUR), {"us": stage, "sa": stage}), "secagg")
    assert failed.value.present == ("ap", "eu")


def test_two_regions_are_too_few() -> None:
    with pytest.raises(RoundFailedError, match="needs 3 regions"):
        run(SecureGrid(regions("ap", "eu")), "secagg")


@pytest.mark.parametrize("stage", ["setup", "share_keys", "collect_masked_vectors"])
def test_where_one_of_three_is_lost_no_sum_of_two_is_made(stage: str) -> None:
    with pytest.raises(RoundFailedError, match="halted in pass 0: us: no answer in time"):
        run(SecureGrid(regions("ap", "eu", "us"), {"us": stage}), "secagg", passes=1)


def test_a_strategy_that_compares_updates_is_refused() -> None:
    with pytest.raises(SetupError, match="multikrum compares single updates"):
        run(SecureGrid(regions(*FOUR)), "secagg", strategy="multikrum")


def _with_nan(update: Update) -> Update:
    return replace(update, weights={**update.weights, "b": np.array(np.nan, np.float32)})


def _far(update: Update) -> Update:
    return replace(update, weights={**update.weights, "a": update.weights["a"] * np.float32(50)})


@pytest.mark.parametrize(
    ("spoil", "says"), [(_with_nan, "values of b that are not finite"), (_far, "beyond privacy.clip = 3")]
)
def test_what_the_sum_would_hide_is_refused_by_the_region_itself(spoil: Any, says: str) -> None:
    fleet = regions(*FOUR)
    fleet["us"].spoil = spoil
    secure = run(SecureGrid(fleet), "secagg", passes=1)
    assert secure.participants == ("ap", "eu", "sa")
    (refusal,) = secure.refusals
    assert refusal.region == "us"
    assert says in refusal.reason


def test_no_message_carries_a_regions_own_change() -> None:
    grid = SecureGrid(regions(*FOUR))
    run(grid, "secagg", passes=1)
    assert len(grid.seen) == 16
    for content in grid.seen:
        assert not any(record.keys() for record in content.array_records.values())


def test_masked_values_are_spread_over_the_whole_range() -> None:
    grid = SecureGrid(regions(*FOUR))
    run(grid, "secagg", passes=1)
    masked = [c[RECORD]["masked_params"] for c in grid.seen if "masked_params" in c[RECORD]]
    assert len(masked) == 4
    for parts in masked:
        values = np.load(BytesIO(parts[1]))
        assert values.min() >= 0
        assert 0.45 < values.mean() / (1 << 40) < 0.55


def _asked(**config: Any) -> Message:
    content = RecordDict({RECORD: ConfigRecord(config)})
    return Message(content, dst_node_id=1, message_type="train")


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"stage": "setup", "sample_num": 2, "share_num": 2, "threshold": 2}, "at least 3 regions"),
        ({"stage": "setup", "sample_num": 4, "share_num": 4, "threshold": 2}, "threshold of more than half"),
        ({"stage": "setup", "sample_num": 9, "share_num": 3, "threshold": 2}, "a share for each"),
        ({"stage": "collect_masked_vectors", "srcs": [2, 2], "ctxts": [b"", b""]}, "1 nodes are left .* masked with"),
        ({"stage": "unmask", "active_nids": [1, 2, 3], "dead_nids": [4, 2]}, "both secrets of node 2"),
        ({"stage": "unmask", "active_nids": [1, 2, 2], "dead_nids": [3]}, "2 nodes are left .* summed over"),
    ],
)
def test_a_coordinator_that_asks_for_what_would_unmask_a_region_is_refused(config: Any, says: str) -> None:
    LocalGrid({})  # messages need a run to belong to
    context = Context(run_id=1, node_id=0, node_config={}, state=RecordDict(), run_config={})
    with pytest.raises(TrainerError, match=says):
        answer(_asked(**config), context, lambda content: content)


def test_both_sides_of_flower_still_draw_their_masks_where_they_are_replaced() -> None:
    run(SecureGrid(regions(*FOUR)), "secagg", passes=1)
    assert all(vars(sys.modules[name])["pseudo_rand_gen"] is masks for name in MODULES)


@given(
    seed=st.binary(min_size=1, max_size=64), bits=st.integers(1, 62), shape=st.sampled_from([(), (3,), (2, 0), (4, 5)])
)
def test_masks_are_the_same_for_the_same_seed_and_stay_in_range(seed: bytes, bits: int, shape: tuple[int, ...]) -> None:
    one, two = (masks(seed, 1 << bits, [shape, (2,)]) for _ in range(2))
    for a, b in zip(one, two, strict=True):
        np.testing.assert_array_equal(a, b)
        assert a.dtype == np.int64
        assert ((a >= 0) & (a < 1 << bits)).all()
    assert one[0].shape == shape


def test_masks_of_seeds_that_flower_cannot_tell_apart_differ() -> None:
    # The stock generator folds seeds by exclusive or of their words, so these two would give the same masks.
    first, second = b"abcdefgh", b"efghabcd"
    a, b = (masks(seed, 1 << 32, [(1000,)])[0] for seed in (first, second))
    assert (a == b).sum() < 3


def test_masks_are_uniform() -> None:
    drawn: NDArray[np.int64] = masks(b"seed", 16, [(160_000,)])[0]
    counts = np.bincount(drawn, minlength=16)
    assert np.abs(counts - 10_000).max() < 400


@pytest.mark.parametrize("wrong", [0, 1, 3, 1 << 63])
def test_a_range_that_is_no_power_of_two_is_refused(wrong: int) -> None:
    with pytest.raises(ValueError, match="power of two"):
        masks(b"seed", wrong, [(1,)])


@pytest.mark.parametrize("examples", [0, -1])
def test_a_count_that_cannot_weigh_is_refused(examples: int) -> None:
    with pytest.raises(TrainerError, match=f"over {examples} windows has no weight"):
        changes(Update("eu", START, examples), START, 3.0)


def test_a_region_that_claims_absurdly_many_windows_counts_as_the_largest_weight() -> None:
    fleet = regions(*FOUR)
    fleet["us"].examples = 10**12
    assert run(SecureGrid(fleet), "secagg", passes=1).examples == 300 + 400 + 500 + MAX_EXAMPLES


def test_another_shape_is_refused() -> None:
    with pytest.raises(TrainerError, match="the array a in the shape that was sent"):
        changes(Update("eu", {**START, "a": np.zeros(1, np.float32)}, 5), START, 3.0)
