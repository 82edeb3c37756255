from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from flwr.app import Message, RecordDict
from flwr.proto.node_pb2 import NodeInfo

from federation.errors import RoundFailedError, TrainerError
from federation.flower.local_grid import LocalGrid
from federation.flower.network import FlowerNetwork
from federation.protocol.messages import CALIBRATE, EVALUATE, HELLO, TRAIN, RegionClient
from federation.protocol.records import HoldoutFigures, ScoreSketch, TrainTask, Update, Weights
from federation.round.result import RoundResult
from federation.round.round import run_round
from tests.federation.round.test_guard import FAULTS
from tests.support.prepared import SPEC, WEIGHTS, CountedClock, FaultyGrid, PreparedRegion, settings

FIVE = ("ap", "eu", "me", "sa", "us")


def regions(*names: str, **changes: Any) -> dict[str, PreparedRegion]:
    return {name: PreparedRegion(name, **changes) for name in names}


def run(grid: LocalGrid, clock: CountedClock | None = None, **changes: Any) -> RoundResult:
    network = FlowerNetwork(grid, clock or CountedClock())
    return run_round(network, settings(**changes), SPEC, WEIGHTS, 0.4, round_id="r1")


def test_a_round_of_three_regions() -> None:
    fleet = regions("eu", "us", "ap")
    steps: list[str] = []
    result = run_round(
        FlowerNetwork(LocalGrid(fleet), CountedClock()), settings(passes=3), SPEC, WEIGHTS, 0.4, round_id="r1",
        report=lambda step, figures: steps.append(step), traceparent="00-ab-cd-01",
    )  # fmt: skip
    assert result.accepted
    assert result.participants == ("ap", "eu", "us")
    assert (result.refusals, result.missing, result.examples, result.epsilon) == ((), (), 300, None)
    np.testing.assert_allclose(result.weights["a"], WEIGHTS["a"] + 3)
    np.testing.assert_array_equal(result.weights["ids"], WEIGHTS["ids"])
    assert 0.2 < result.threshold <= 0.9
    assert [t.number for t in fleet["eu"].tasks] == [0, 1, 2]
    assert {(t.round_id, t.traceparent) for t in fleet["eu"].tasks} == {("r1", "00-ab-cd-01")}
    assert fleet["us"].thresholds == (pytest.approx(result.threshold), 0.4)
    assert steps == ["hello", "pass", "pass", "pass", "threshold", "gate"]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_spoiled_update_of_one_in_five_never_moves_the_result(fault: str) -> None:
    fleet = regions(*FIVE)
    clean = run(LocalGrid({n: r for n, r in fleet.items() if n != "me"}))
    fleet["me"].spoil = FAULTS[fault][0]
    spoiled = run(LocalGrid(fleet))
    for name in WEIGHTS:
        np.testing.assert_array_equal(spoiled.weights[name], clean.weights[name])
    assert spoiled.participants == ("ap", "eu", "sa", "us")
    assert [r.region for r in spoiled.refusals] == ["me"]
    assert [f.region for f in spoiled.figures] == ["ap", "eu", "sa", "us"]


@dataclass
class RaisingRegion(PreparedRegion):
    def train(self, weights: Weights, task: TrainTask) -> Update:
        raise MemoryError("out of memory")


def test_a_region_whose_app_raises_is_named_and_left_out() -> None:
    result = run(LocalGrid({**regions("eu", "us"), "ap": RaisingRegion("ap")}))
    assert result.participants == ("eu", "us")
    assert [(r.region, r.reason) for r in result.refusals] == [("ap", "its app failed: MemoryError: out of memory")]


@pytest.mark.parametrize("kind", [HELLO, TRAIN, CALIBRATE, EVALUATE])
def test_a_silent_region_costs_its_time_once_and_is_named(kind: str) -> None:
    grid = FaultyGrid(regions("eu", "us", "ap"), {"ap": (kind,)})
    clock = CountedClock()
    result = run(grid, clock, hello_s=7, reply_s=30)
    assert result.accepted
    assert result.missing == (("node 1",) if kind == HELLO else ("ap",))
    assert clock.time == pytest.approx(7 if kind == HELLO else 30, abs=0.11)
    later = [k for region, k in grid.asked if region == "ap"]
    assert later.count(kind) == 1
    assert later[-1] == kind
    assert "ap" not in result.participants or kind in (CALIBRATE, EVALUATE)


def test_every_step_tells_who_has_answered_so_far() -> None:
    grid, reported = FaultyGrid(regions("eu", "us", "ap"), {"ap": (TRAIN,)}), list[tuple[str, object]]()
    run_round(
        FlowerNetwork(grid, CountedClock()), settings(passes=1), SPEC, WEIGHTS, 0.4, round_id="r1",
        report=lambda step, figures: reported.append((step, figures["present"])),
    )  # fmt: skip
    assert reported == [("hello", "ap eu us"), ("pass", "eu us"), ("threshold", "eu us"), ("gate", "eu us")]


def test_every_step_counts_the_bytes_to_and_from_each_region() -> None:
    grid, reported = FaultyGrid(regions("eu", "us", "ap"), {"ap": (TRAIN,)}), dict[str, Mapping[str, float | str]]()
    run_round(
        FlowerNetwork(grid, CountedClock()), settings(passes=1), SPEC, WEIGHTS, 0.4, round_id="r1",
        report=lambda step, figures: reported.update({step: figures}),
    )  # fmt: skip
    weights = sum(array.nbytes for array in WEIGHTS.values())
    last = reported["gate"]
    assert last["bytes_to.eu"] == last["bytes_to.us"] > 2 * weights, "its weights, and two models to compare"
    assert last["bytes_from.eu"] > weights > last["bytes_from.ap"] > 0, "a silent region has sent only its name"
    for name in ("bytes_to.eu", "bytes_from.eu"):
        grown = [float(figures[name]) for figures in reported.values()]
        assert grown == sorted(grown)
        assert grown[0] > 0


def test_below_the_minimum_the_old_model_stays() -> None:
    grid = FaultyGrid(regions("eu", "us", "ap"), {"ap": (TRAIN,), "us": (TRAIN,)})
    with pytest.raises(
        RoundFailedError, match=r"step 4, pass 0: 1 regions of 2 needed .eu.; ap: no answer in time; us: no"
    ) as failed:
        run(grid)
    assert failed.value.present == ("eu",)


@pytest.mark.parametrize("online", [0, 1])
def test_too_few_nodes_fail_at_once(online: int) -> None:
    with pytest.raises(RoundFailedError, match=f"step 1, hello: {online} regions of 2 needed"):
        run(LocalGrid(regions(*FIVE[:online])))


def test_no_calibration_scores_no_candidate() -> None:
    grid = FaultyGrid(regions("eu", "us"), {"us": (CALIBRATE,)})
    with pytest.raises(RoundFailedError, match="step 6, threshold: 1 regions"):
        run(grid)


def test_the_deadline_ends_a_round_of_slow_passes() -> None:
    grid = FaultyGrid(regions(*FIVE), {"ap": (TRAIN,)})
    with pytest.raises(RoundFailedError, match="the round's 20 s for the regions were over before"):
        run(grid, reply_s=30, deadline_s=20)


class KeyedGrid(LocalGrid):
    """A grid that knows under which names keys were registered, as a SuperLink's does."""

    def __init__(self, regions: Mapping[str, RegionClient], names: Mapping[int, str]) -> None:
        super().__init__(regions)
        self.names = names

    def get_nodes(self) -> list[NodeInfo]:
        return [NodeInfo(node_id=node, name=name) for node, name in self.names.items()]


def test_a_node_that_gives_another_name_than_its_keys_is_refused() -> None:
    fleet: dict[str, RegionClient] = {"1": PreparedRegion("eu"), "2": PreparedRegion("us"), "3": PreparedRegion("eu")}
    result = run(KeyedGrid(fleet, {1: "eu", 2: "us", 3: "ap"}))
    assert result.participants == ("eu", "us")
    (refusal,) = result.refusals
    assert (refusal.region, refusal.reason) == ("ap", "its key is that of ap, but it claims to be eu")


def test_a_silent_node_is_named_by_its_key() -> None:
    class Silent(KeyedGrid):
        def reply(self, region: RegionClient, message: Message) -> Message | None:
            return None if region.region == "ap" else super().reply(region, message)

    result = run(Silent(regions("ap", "eu", "us"), {1: "ap", 2: "eu", 3: "us"}))
    assert result.missing == ("ap",)


def test_a_name_that_two_nodes_claim_is_believed_of_neither() -> None:
    fleet: dict[str, RegionClient] = {"1": PreparedRegion("eu"), "2": PreparedRegion("eu"), **regions("us", "ap")}
    result = run(LocalGrid(fleet))
    assert result.participants == ("ap", "us")
    assert "node 1 and node 2 both claim to be eu" in result.refusals[0].reason


class RenamingGrid(LocalGrid):
    """The first node claims later to be another region."""

    def reply(self, region: RegionClient, message: Message) -> Message | None:
        lie = message.metadata.message_type == TRAIN and region.region == "ap"
        return super().reply(PreparedRegion("us") if lie else region, message)


def test_a_node_keeps_the_name_it_gave_first() -> None:
    result = run(RenamingGrid(regions("eu", "us", "ap")))
    assert result.participants == ("eu", "us")
    assert result.refusals[0].reason == "the reply of ap claims to come from us"


def test_a_candidate_worse_in_one_region_is_adopted_by_the_others() -> None:
    fleet = regions("eu", "us", "ap")
    fleet["us"].current, fleet["us"].candidate = fleet["us"].candidate, fleet["us"].current
    fleet["eu"].candidate = (10, 0, 0, 90)
    fleet["ap"].current = (1, 9, 9, 81)
    result = run(LocalGrid(fleet))
    assert result.accepted
    assert [v.region for v in result.verdicts if v.adopts] == ["ap", "eu"]
    assert "worse in us, which keeps its version" in result.reason


@dataclass
class UntaughtRegion(PreparedRegion):
    """Has seen no incident."""

    def train(self, weights: Weights, task: TrainTask) -> Update:
        raise TrainerError("all windows are normal")


def test_one_region_trains_on_an_incident_and_the_others_judge() -> None:
    calm = {name: UntaughtRegion(name, current=(0, 0, 0, 90), candidate=(0, 0, 0, 90)) for name in ("ap", "us")}
    fleet: dict[str, RegionClient] = {"eu": PreparedRegion("eu"), **calm}
    result = run(LocalGrid(fleet))
    assert result.participants == ("eu",)
    assert [f.region for f in result.figures] == ["ap", "eu", "us"]
    assert result.accepted
    with pytest.raises(RoundFailedError, match=r"step 4, pass 0: 1 regions of 2 needed .eu."):
        run(LocalGrid(fleet), min_trainers=2)


def test_a_region_that_is_left_out_neither_trains_nor_judges() -> None:
    result = run(LocalGrid(regions("ap", "eu", "us")), leave_out=("ap",))
    assert result.participants == ("eu", "us")
    assert [f.region for f in result.figures] == ["eu", "us"]
    assert [(r.region, r.reason) for r in result.refusals] == [("ap", "it is left out by leave_out in [round]")]


def test_a_region_with_many_windows_does_not_set_the_threshold_alone() -> None:
    @dataclass
    class Large(PreparedRegion):
        def calibrate(self, weights: Weights, task: TrainTask) -> ScoreSketch:
            scores = np.array([0.9, 0.95], np.float32)
            return ScoreSketch(self.region, scores, scores[:0], 9_000_000, 0)

    thresholds = [run(LocalGrid({**regions("ap", "eu", "us"), "me": me})).threshold for me in (Large("me"),)]
    alone = run(LocalGrid({"me": Large("me")}), min_regions=1).threshold
    assert thresholds[0] < alone


@dataclass
class CountingRegion(PreparedRegion):
    """Really scores: a linear model of the array `b` on fixed points."""

    noise: int = 0

    def train(self, weights: Weights, task: TrainTask) -> Update:
        rng = np.random.default_rng(self.noise)
        moved = {**weights, "b": (weights["b"] + rng.normal(0, 2, 4)).astype(np.float32)}
        return Update(self.region, moved, 100)

    def evaluate(
        self, candidate: Weights, current: Weights, task: TrainTask, thresholds: tuple[float, float]
    ) -> HoldoutFigures:
        rng = np.random.default_rng(sum(map(ord, self.region)))
        points = rng.normal(0, 1, (400, 4))
        truth = points @ WEIGHTS["b"] > 1

        def cells(weights: Weights) -> tuple[int, int, int, int]:
            called = points @ weights["b"] > 1
            pairs = ((called & truth), (called & ~truth), (~called & truth), (~called & ~truth))
            a, b, c, d = (int(p.sum()) for p in pairs)
            return a, b, c, d

        return HoldoutFigures(self.region, cells(current), cells(candidate))


def test_of_a_hundred_noisy_candidates_none_is_accepted() -> None:
    for noise in range(100):
        fleet = {n: CountingRegion(n, noise=3 * noise + i) for i, n in enumerate(("eu", "us", "ap"))}
        assert not run(LocalGrid(fleet), passes=1).accepted


@dataclass
class PrivateRegion(PreparedRegion):
    epsilon: float = 1.0

    def train(self, weights: Weights, task: TrainTask) -> Update:
        update = super().train(weights, task)
        return replace(update, metrics={"epsilon": self.epsilon})


def test_the_largest_epsilon_is_the_rounds() -> None:
    fleet: Mapping[str, RegionClient] = {"eu": PrivateRegion("eu"), "us": PrivateRegion("us", epsilon=2.5)}
    assert run(LocalGrid(fleet), privacy={"mode": "dp"}).epsilon == 2.5


def test_where_no_noise_was_asked_for_no_region_can_claim_that_a_budget_was_kept() -> None:
    assert run(LocalGrid({"eu": PrivateRegion("eu"), "us": PreparedRegion("us")})).epsilon is None


def test_regions_get_copies_of_what_the_others_get() -> None:
    fleet = regions("eu", "us")
    before = {name: array.copy() for name, array in WEIGHTS.items()}
    run(LocalGrid(fleet))
    for name, array in WEIGHTS.items():
        np.testing.assert_array_equal(array, before[name])


def test_a_reply_without_content_of_its_kind_is_malformed() -> None:
    class Wordless(LocalGrid):
        def reply(self, region: RegionClient, message: Message) -> Message | None:
            if region.region == "ap" and message.metadata.message_type == TRAIN:
                return Message(RecordDict({}), reply_to=message)
            return super().reply(region, message)

    result = run(Wordless(regions("eu", "us", "ap")))
    assert [(r.region, r.reason) for r in result.refusals] == [("ap", "the reply names no region")]


@pytest.mark.parametrize(
    ("candidate", "says"),
    [((99, 1, 1, 89), "not of the same windows"), ((10**12, 0, 0, 0), "not of the same windows")],
)
def test_holdout_figures_that_cannot_be_have_no_say(candidate: tuple[int, int, int, int], says: str) -> None:
    others = {"current": (9, 1, 1, 89), "candidate": (8, 2, 2, 88)}
    fleet = {name: PreparedRegion(name, **others) for name in ("ap", "eu")}  # type: ignore[arg-type]
    found = run(LocalGrid({**fleet, "us": PreparedRegion("us", candidate=candidate)}))
    assert not found.accepted
    assert [f.region for f in found.figures] == ["ap", "eu"]
    assert [(r.region, says in r.reason) for r in found.refusals] == [("us", True)]


def test_a_holdout_larger_than_is_believed_has_no_say() -> None:
    others = {name: PreparedRegion(name, current=(9, 1, 1, 89), candidate=(8, 2, 2, 88)) for name in ("ap", "eu")}
    much = 10**12
    found = run(LocalGrid({**others, "us": PreparedRegion("us", current=(0, 0, much, 0), candidate=(much, 0, 0, 0))}))
    assert not found.accepted
    assert [r.region for r in found.refusals] == ["us"]
