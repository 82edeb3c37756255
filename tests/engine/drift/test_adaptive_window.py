import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from river.drift import ADWIN
from scipy.stats import ks_2samp

from engine.drift.adaptive_window import AdaptiveWindow
from engine.drift.kswin import chance_of_distance

DELTA = 0.002
VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=120)


def cuts(values):
    window, found = AdaptiveWindow(DELTA), []
    for i, value in enumerate(values):
        if window.dropped:
            window = AdaptiveWindow(DELTA)
        window.add(value)
        found += [i] if window.dropped else []
    return found


def cuts_of_river(values):
    adwin, found = ADWIN(delta=DELTA, clock=1), []
    for i, value in enumerate(values):
        adwin.update(value)
        found += [i] if adwin.drift_detected else []
    return found


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("shift", [0.0, 0.1, 0.2, 0.4, -0.3])
def test_it_cuts_where_river_does(shift, seed):
    draw = np.random.default_rng(seed)
    values = np.clip(draw.normal(0.5 + shift * (np.arange(300) >= 150), 0.08), 0, 1).tolist()
    assert cuts(values) == cuts_of_river(values)


@given(VALUES)
def test_the_window_holds_the_latest_values(values):
    window = AdaptiveWindow(DELTA)
    for value in values:
        window.add(value)
    assert 0 < window.width <= len(values)
    assert window.mean == pytest.approx(np.mean(values[-window.width :]), abs=1e-9)


def test_its_state_grows_with_the_logarithm_of_its_values():
    window = AdaptiveWindow(DELTA)
    for value in np.random.default_rng(0).random(1_000):
        window.add(value)
    assert window.width == 1_000
    assert len(window._size) <= 6 * np.log2(1_000)


def test_an_empty_window_has_a_mean_of_zero():
    assert (AdaptiveWindow(DELTA).mean, AdaptiveWindow(DELTA).width) == (0.0, 0)


@given(st.integers(1, 200), st.floats(0, 1), st.integers(0, 1_000))
def test_the_chance_of_a_distance_is_exact(size, shift, seed):
    draw = np.random.default_rng(seed)
    first, second = draw.normal(size=size), draw.normal(shift, size=size)
    expected = ks_2samp(first, second, method="exact").pvalue
    assert chance_of_distance(first.tolist(), second.tolist()) == pytest.approx(expected, rel=1e-6)


def test_the_same_scores_have_no_distance():
    assert chance_of_distance([0.5] * 10, [0.5] * 10) == 1.0
