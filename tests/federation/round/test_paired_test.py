from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation.protocol.records import Pairs
from federation.round.paired_test import MAX_PAIRS, NEEDED_LIMIT, chance, f1_interval, sessions_needed, swapped

LEVEL = 0.05
counts = st.integers(0, 40)
pairs = st.builds(Pairs, counts, counts, counts, counts)
f1s = st.one_of(st.just(0.0), st.floats(0.001, 1))


def quality(cells: tuple[int, int, int, int]) -> float:
    return 2 * cells[0] / (2 * cells[0] + cells[1] + cells[2])


@given(pairs, f1s)
def test_exchanging_the_models_exchanges_the_verdict(p: Pairs, f1: float) -> None:
    assert swapped(swapped(p)) == p
    assert not (chance(p, f1) <= LEVEL and chance(swapped(p), f1) <= LEVEL), "both are better"
    # Of the outcomes at least as good and at least as bad, only ties are counted twice.
    assert chance(p, f1) + chance(swapped(p), f1) >= 1 - 1e-9


@given(pairs, f1s, st.sampled_from(["found", "cleared", "lost", "raised"]))
def test_more_evidence_for_a_model_makes_it_surer(p: Pairs, f1: float, kind: str) -> None:
    more = chance(p + Pairs(**{kind: 1}), f1)
    if kind in ("found", "cleared"):
        assert more <= chance(p, f1) + 1e-9
    else:
        assert more >= chance(p, f1) - 1e-9


@given(f1s, st.integers(0, 4), st.integers(0, 4))
def test_a_single_session_never_decides_and_neither_do_four(f1: float, found: int, cleared: int) -> None:
    if found + cleared <= 4:
        assert chance(Pairs(found=found, cleared=cleared), f1) > LEVEL


@given(pairs, f1s)
def test_without_an_advantage_nothing_is_sure(p: Pairs, f1: float) -> None:
    level = Pairs(p.found, p.found, p.cleared, p.cleared)
    assert chance(level, f1) >= 0.5


@given(st.integers(0, 7), st.integers(0, 7), st.integers(0, 4), st.integers(0, 4), st.floats(0.01, 1))
def test_the_chance_is_that_of_all_ways_to_swap_the_models(a: int, b: int, c: int, d: int, f1: float) -> None:
    a, b, c, d = min(a, 4), min(b, 3), c, d
    weights = [1 - f1 / 2] * (a + b) + [f1 / 2] * (c + d)
    observed = (1 - f1 / 2) * (a - b) + f1 / 2 * (c - d)
    sums = [sum(w * s for w, s in zip(weights, signs, strict=True)) for signs in product((1, -1), repeat=len(weights))]
    expected = sum(s >= observed - 1e-9 * (1 + abs(observed)) for s in sums) / len(sums)
    assert chance(Pairs(a, b, c, d), f1) == pytest.approx(expected, abs=1e-9)


@given(
    st.tuples(*[st.integers(1, 60)] * 4), st.integers(0, 60), st.integers(0, 60), st.integers(0, 60), st.integers(0, 60)
)
def test_the_advantage_has_the_sign_of_the_gain(old: tuple[int, int, int, int], a: int, b: int, c: int, d: int) -> None:
    p = Pairs(min(a, old[2]), min(b, old[0]), min(c, old[1]), min(d, old[3]))
    new = (
        old[0] + p.found - p.lost, old[1] + p.raised - p.cleared, old[2] - p.found + p.lost,
        old[3] - p.raised + p.cleared,
    )  # fmt: skip
    gain = quality(new) - quality(old)
    mean = (quality(old) + quality(new)) / 2
    if gain > 1e-6:
        assert chance(p, mean) <= chance(swapped(p), mean) + 1e-9
    low, high = f1_interval(old, new, p)
    assert low <= gain + 1e-9
    assert high >= gain - 1e-9
    back = f1_interval(new, old, swapped(p))
    assert back == pytest.approx((-high, -low), abs=1e-9)


@given(pairs, f1s)
def test_as_many_sessions_as_needed_are_enough_and_one_fewer_is_not(p: Pairs, f1: float) -> None:
    needed = sessions_needed(p, f1, LEVEL)
    assert needed is not None
    if needed:
        assert chance(p + Pairs(found=needed), f1) <= LEVEL
        assert chance(p + Pairs(found=needed - 1), f1) > LEVEL
    else:
        assert chance(p, f1) <= LEVEL


def test_five_sessions_without_a_contradiction_are_the_least_evidence() -> None:
    assert sessions_needed(Pairs(), 0.9, LEVEL) == 5
    assert sessions_needed(Pairs(found=1), 0.9, LEVEL) == 4
    assert sessions_needed(Pairs(lost=5 * NEEDED_LIMIT), 0.9, LEVEL) is None


def test_many_sessions_cost_no_more_than_the_largest_table() -> None:
    assert chance(Pairs(found=500_000_000, lost=400_000_000), 0.9) < 1e-50
    assert chance(Pairs(found=MAX_PAIRS, lost=MAX_PAIRS), 0.9) > 0.5


def test_what_neither_model_finds_weighs_nothing_against_false_alarms() -> None:
    assert chance(Pairs(cleared=100), 0.0) == 1.0
    assert chance(Pairs(cleared=100), 1.0) < 1e-9
