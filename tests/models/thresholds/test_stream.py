import json

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from models.thresholds.base import Threshold
from models.thresholds.registry import fit_threshold
from models.thresholds.stream import WINDOW, StreamCalibrator


def fitted() -> Threshold:
    return fit_threshold("percentile", np.random.default_rng(0).gamma(2, 0.1, 3000).astype(np.float32))


KNOWN = fitted()


def scores(count: int, seed: int = 1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.where(rng.random(count) < 0.02, 3.0 + rng.random(count), rng.gamma(2, 0.1, count)).astype(np.float32)


def flood(count: int, seed: int = 5) -> np.ndarray:
    found = np.random.default_rng(seed).normal(2, 0.05, count).astype(np.float32)
    found[::40] = 9.0
    return found


@settings(max_examples=30)
@given(st.lists(st.integers(0, 2400), max_size=12), st.integers(0, 3))
def test_batches_and_restarts_change_no_threshold(cuts: list[int], seed: int) -> None:
    """Any split of the stream, with a restart between the parts, gives every window the same threshold."""
    given = np.concatenate([scores(900, seed), flood(700, seed), scores(800, seed + 9)])
    whole = StreamCalibrator(KNOWN).update(given)
    assert len(np.unique(whole)) > 2
    parts, state = [], None
    for part in np.split(given, sorted(cuts)):
        calibrator = StreamCalibrator(KNOWN, state)
        parts.append(calibrator.update(part))
        state = json.loads(json.dumps(calibrator.state()))
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_memory_is_bounded_and_old_scores_are_forgotten() -> None:
    calibrator = StreamCalibrator(KNOWN)
    for _ in range(4):
        calibrator.update(scores(WINDOW))
    assert len(calibrator.state()["scores"]) == WINDOW


def test_a_flood_is_noticed_within_a_hundred_windows_and_forgotten_when_it_recedes() -> None:
    calibrator = StreamCalibrator(KNOWN)
    given = flood(3000)
    calibrator.update(scores(2000))
    called = given >= calibrator.update(given)
    assert called[given < 9].sum() < 100
    assert called[given == 9].all()
    assert calibrator.flooded
    calibrator.update(scores(WINDOW))
    assert not calibrator.flooded


def test_a_flood_that_recurs_is_still_known() -> None:
    calibrator = StreamCalibrator(KNOWN)
    calibrator.update(np.concatenate([scores(1000), flood(1500), scores(700)]))
    again = flood(1500, seed=6)
    called = again >= calibrator.update(again)
    assert not called[again < 9].any()
    assert called[again == 9].all()


def test_new_behaviour_that_is_spread_over_the_stream_is_noticed_too() -> None:
    """A fifth of all windows never brings the sum to its limit, but is more than could be anomalous."""
    calibrator = StreamCalibrator(KNOWN)
    calibrator.update(scores(1000))
    mixed = np.random.default_rng(3).permutation(np.concatenate([scores(4000), flood(1000)]))
    called = mixed >= calibrator.update(mixed)
    middle = (mixed > 1) & (mixed < 2.5)
    assert called[middle][-500:].mean() < 0.05
    assert called[mixed == 9][-10:].all()


def test_a_card_without_held_out_scores_keeps_its_threshold() -> None:
    calibrator = StreamCalibrator(Threshold(rule="percentile", value=0.5))
    assert (calibrator.update(scores(5000)) == 0.5).all()
