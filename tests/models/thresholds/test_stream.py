import json

import numpy as np
import pytest

from models.thresholds.base import Threshold
from models.thresholds.registry import fit_threshold
from models.thresholds.stream import DAY_NS, WINDOW, AlertBudget, StreamCalibrator

MINUTE_NS = 60_000_000_000


def fitted() -> Threshold:
    return fit_threshold("percentile", np.random.default_rng(0).gamma(2, 0.1, 3000).astype(np.float32))


def scores(count: int, seed: int = 1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.where(rng.random(count) < 0.02, 3.0 + rng.random(count), rng.gamma(2, 0.1, count)).astype(np.float32)


def test_a_restored_calibrator_continues_as_if_nothing_had_happened() -> None:
    known, given = fitted(), scores(6000)
    straight, stopped = StreamCalibrator(known), StreamCalibrator(known)
    for part in np.array_split(given[:3000], 11):
        assert straight.update(part) == stopped.update(part)
    restored = StreamCalibrator(known, json.loads(json.dumps(stopped.state())))
    for part in np.array_split(given[3000:], 11):
        assert straight.update(part) == restored.update(part)
    assert straight.threshold > known.value


def test_memory_is_bounded_and_old_scores_are_forgotten() -> None:
    calibrator = StreamCalibrator(fitted())
    for _ in range(4):
        calibrator.update(scores(WINDOW))
    assert len(calibrator.state()["scores"]) == WINDOW


def test_a_flood_is_noticed_within_a_few_hundred_windows_and_forgotten_when_it_recedes() -> None:
    known = fitted()
    calibrator = StreamCalibrator(known)
    flood = np.random.default_rng(5).normal(2, 0.05, 3000).astype(np.float32)
    flood[::40] = 9.0
    calibrator.update(scores(2000))
    called = [bool(flood[i] >= calibrator.update(flood[i : i + 1])) for i in range(3000) if flood[i] < 9]
    assert sum(called) < 200
    assert calibrator.flooded
    assert 2.3 < calibrator.threshold <= 9
    for part in np.array_split(scores(2000), 20):
        calibrator.update(part)
    assert not calibrator.flooded


def test_a_card_without_held_out_scores_keeps_its_threshold() -> None:
    calibrator = StreamCalibrator(Threshold(rule="percentile", value=0.5))
    assert calibrator.update(scores(5000)) == 0.5


@pytest.mark.parametrize("per_day", [5.0, 50.0])
def test_a_budget_is_kept_whatever_the_scores_do(per_day: float) -> None:
    rng = np.random.default_rng(3)
    budget, alerts, days = AlertBudget(per_day), 0, 60
    for day in range(days):
        for hour in range(24):
            times = (day * 24 + hour) * 60 * MINUTE_NS + np.arange(60) * MINUTE_NS
            level = 5.0 if day > 30 else 0.0  # normal scores move for good
            given = rng.gamma(2, 1, 60) + level
            alerts += int((given > budget.threshold).sum()) if day >= 2 else 0
            budget.update(given, times)
    assert 0.5 * per_day < alerts / (days - 2) < 2.5 * per_day


def test_a_restored_budget_continues_as_if_nothing_had_happened() -> None:
    given, times = scores(4000), np.arange(4000) * MINUTE_NS
    straight = AlertBudget(5)
    straight.update(given[:2000], times[:2000])
    restored = AlertBudget(5, state=json.loads(json.dumps(straight.state())))
    assert restored.update(given[2000:], times[2000:]) == straight.update(given[2000:], times[2000:])


def test_alerts_that_were_grouped_count_once() -> None:
    given, times = scores(4000), np.arange(4000) * (DAY_NS // 1000)
    counted, grouped = AlertBudget(5), AlertBudget(5)
    for part in np.array_split(np.arange(4000), 40):
        counted.update(given[part], times[part])
        grouped.update(given[part], times[part], alerts=0)
    assert grouped.threshold <= counted.threshold


def test_a_budget_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="must be above 0"):
        AlertBudget(0)
