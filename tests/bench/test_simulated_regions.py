import numpy as np
import pytest

from bench.data.simulated_regions import ATTACKS, FixedStore, HostileRegion
from federation.flower.local_grid import LocalGrid
from federation.flower.network import FlowerNetwork
from federation.protocol.messages import RegionClient
from federation.round.round import run_round
from federation.round.settings import RoundSettings
from federation.storage.learning import Purpose, Spending
from tests.support.prepared import SPEC, WEIGHTS, PreparedRegion, made_set

REFUSED = {"not_a_number": "not finite", "larger": "times the others'", "boastful": "trained on 1000000000000 windows"}


def test_a_fixed_store_deals_every_window_out_once() -> None:
    whole = made_set(100, 1)
    store = FixedStore(whole.windows, whole.labels, whole.templates, seed=0)
    sets = {p: store.learning_set(p) for p in Purpose}
    assert [len(sets[p]) for p in (Purpose.TRAIN, Purpose.CALIBRATE, Purpose.HOLDOUT)] == [70, 10, 20]
    dealt = sorted(tuple(s.windows.row(i).tolist()) for s in sets.values() for i in range(len(s)))
    assert dealt == sorted(tuple(whole.windows.row(i).tolist()) for i in range(100))
    assert all(set(s.templates) == set(s.windows.ids.tolist()) for s in sets.values())
    halves = [store.learning_set(Purpose.HOLDOUT, half) for half in (0, 1)]
    assert sorted(tuple(s.windows.row(i).tolist()) for s in halves for i in range(50)) == dealt
    learnt = [[store.learning_set(p, h) for p in (Purpose.TRAIN, Purpose.CALIBRATE)] for h in (0, 1)]
    assert [len(train) + len(calibrate) for train, calibrate in learnt] == [50, 50]
    store.spend(Spending("r1", 1.0, 0.1, 5))
    assert store.spent() == (Spending("r1", 1.0, 0.1, 5),)


def after(attack: str, strategy: str, hostile: int = 1) -> tuple[float, list[str]]:
    """Mean change of a round of twelve regions that all move by 1, and why updates were refused."""
    regions: dict[str, RegionClient] = {f"r{i:02}": PreparedRegion(f"r{i:02}") for i in range(12)}
    for name in sorted(regions)[:hostile]:
        regions[name] = HostileRegion(regions[name], ATTACKS[attack])
    settings = RoundSettings.model_validate({"strategy": strategy, "passes": 1})
    result = run_round(FlowerNetwork(LocalGrid(regions)), settings, SPEC, WEIGHTS, 0.5, round_id="r1")
    return float(np.mean(result.weights["a"] - WEIGHTS["a"])), [r.reason for r in result.refusals]


@pytest.mark.parametrize("attack", REFUSED)
def test_the_guard_refuses_what_is_beyond_belief(attack: str) -> None:
    change, reasons = after(attack, "fedavg", hostile=2)
    assert change == pytest.approx(1.0)
    assert len(reasons) == 2
    assert all(REFUSED[attack] in reason for reason in reasons)


@pytest.mark.parametrize("strategy", ["fedmedian", "fedtrimmedavg", "multikrum"])
def test_a_believable_lie_is_borne_by_robust_strategies_only(strategy: str) -> None:
    assert after("reversed", strategy) == (pytest.approx(1.0), [])
    change, reasons = after("reversed", "fedavg")
    assert change == pytest.approx((11 - 3) / 12)
    assert reasons == []
