"""Sums, references and rhythms on made-up shares."""

import numpy as np
import pytest

from engine.drift.cusum import Cusum
from engine.drift.rhythm import Rhythm
from engine.drift.settings import Growth
from foundation import plain_pickle

HOUR_NS = 3_600 * 10**9
GROWTH = Growth(first_blocks=8, blocks=100, hours=0.0, delay_blocks=10)


def delta(usual):
    return np.full((2, len(usual)), 0.1)


@pytest.fixture
def cusum():
    def make(growth=GROWTH):
        return Cusum(delta, 100, growth)

    return make


def feed(cusum, rows, minutes=1.0, start=0):
    """bool (n, 2, k): what has changed after each block."""
    found = []
    for i, row in enumerate(rows):
        changed = cusum.add(np.asarray(row, np.float64), int((start + i) * minutes * 60e9) + 1)
        cusum.grow(raised=bool(changed.any()))
        found.append(changed)
    return np.array(found)


def shares(n, share, seed=0):
    return np.random.default_rng(seed).binomial(100, share, (n, 1)) / 100


def test_nothing_is_said_before_the_first_blocks_and_the_reference_grows(cusum):
    watched = cusum()
    assert not feed(watched, shares(8, 0.3)).any()
    assert watched.progress.ready
    feed(watched, shares(200, 0.3, 1), start=8)
    assert watched.reference.blocks == GROWTH.blocks
    assert watched.usual[0] == pytest.approx(0.3, abs=0.02)


def test_a_longer_reference_finds_a_change_faster(cusum):
    delays = []
    for known in (10, 100):
        watched = cusum()
        feed(watched, shares(known, 0.3))
        delays.append(int(feed(watched, shares(60, 0.0), start=known)[:, 1, 0].argmax()))
    assert 0 < delays[1] < delays[0] < 40


def test_the_beginning_of_a_change_and_the_share_since_are_known(cusum):
    watched = cusum()
    feed(watched, shares(60, 0.3))
    later = shares(12, 0.8)
    changed = feed(watched, later, start=60)
    assert changed[-1].tolist() == [[True], [False]]
    assert abs(watched.since[0, 0] - 12) <= 1
    assert watched.current(later[-1])[0, 0] == pytest.approx(0.8, abs=0.05)


def test_bursts_of_the_reference_are_no_change(cusum):
    rng = np.random.default_rng(0)
    bursts = np.repeat(rng.random(60) < 0.25, 4)[:, None] * 0.9
    assert not feed(cusum(Growth(60, 240, 0.0, 10)), bursts).any()
    steady = cusum()
    feed(steady, shares(60, 0.2))
    assert feed(steady, np.full((8, 1), 0.9), start=60).any()


def test_an_episode_that_ends_joins_the_reference(cusum):
    watched = cusum()
    feed(watched, shares(40, 0.2))
    feed(watched, shares(15, 0.7), start=40)
    held = watched.reference.blocks
    feed(watched, shares(60, 0.2, 2), start=55)
    assert watched.reference.blocks > held + 15
    assert watched.usual[0] > 0.25


def test_adopting_makes_the_present_the_reference(cusum):
    watched = cusum()
    feed(watched, shares(60, 0.2))
    assert feed(watched, shares(20, 0.7), start=60)[-1].any()
    watched.adopt()
    assert watched.usual[0] == pytest.approx(0.7, abs=0.1)
    assert not feed(watched, shares(60, 0.7, 3), start=80).any()


def test_a_series_that_appears_counts_as_one_that_never_came(cusum):
    watched = cusum()
    feed(watched, shares(60, 0.3))
    changed = feed(watched, [[0.3, 0.4]] * 8, start=60)
    assert changed[-1].tolist() == [[False, True], [False, False]]
    assert watched.usual.tolist()[1] == 0.0


def test_a_series_that_uses_all_the_room_there_is_cannot_be_judged(cusum):
    watched = cusum()
    feed(watched, shares(9, 0.05))
    assert not watched.blind(1.0)
    assert watched.blind(0.1)


@pytest.mark.parametrize("stop", [3, 8, 30, 70, 90])
def test_a_state_continues_exactly(cusum, stop):
    rows = np.concatenate([shares(70, 0.3), shares(40, 0.6)])
    whole = feed(cusum(), rows)
    first, second = cusum(), cusum()
    feed(first, rows[:stop])
    second.restore(plain_pickle.load(plain_pickle.dump(first.state())))
    assert (feed(second, rows[stop:], start=stop) == whole[stop:]).all()


# --- rhythm --------------------------------------------------------------------------------------


def test_a_daily_rhythm_is_a_change_once(cusum):
    """Blocks of ten minutes; the share is high from 9 to 17 o'clock."""
    hours = np.arange(6 * 24 * 5) / 6 % 24
    rows = np.where((hours >= 9) & (hours < 17), 0.7, 0.2)[:, None] + shares(len(hours), 0.1) - 0.1
    changed = feed(cusum(Growth(8, 40, 0.0, 10)), rows, minutes=10.0).any((1, 2))
    day = 6 * 24
    assert changed[:day].any()
    assert not changed[2 * day :].any()


def test_a_change_within_a_known_rhythm_is_found(cusum):
    hours = np.arange(6 * 24 * 4) / 6 % 24
    rows = np.where((hours >= 9) & (hours < 17), 0.7, 0.2)[:, None] + shares(len(hours), 0.1) - 0.1
    watched = cusum(Growth(8, 40, 0.0, 10))
    feed(watched, rows, minutes=10.0)
    assert feed(watched, np.full((6 * 6, 1), 0.7), minutes=10.0, start=len(rows)).any()  # at night


def add(rhythm, hour, value, calm=True, blocks=6):
    for i in range(blocks):
        rhythm.add(np.array([value]), hour * HOUR_NS + i, calm=calm, mean=np.array([0.2]), noise=np.array([0.0]))


def test_an_hour_is_accepted_when_it_is_old_and_the_stream_calm():
    rhythm = Rhythm()
    add(rhythm, 0, 0.2)
    add(rhythm, 1, 0.9, calm=False)
    for hour in range(2, 26):
        add(rhythm, hour, 0.2, calm=hour > 20)
        if hour in (14, 20):
            assert rhythm.range(1, np.array([0.2]))[1][0] < 0.5
    assert rhythm.range(1, np.array([0.2]))[1][0] == pytest.approx(0.9)  # it is one o'clock again


def test_a_change_that_lasts_is_never_accepted():
    rhythm = Rhythm()
    for hour in range(24 * 4):
        add(rhythm, hour, 0.2 if hour < 30 else 0.9, calm=hour < 30)
    assert rhythm.range(1, np.array([0.2]))[1][0] == pytest.approx(0.2)


@pytest.mark.parametrize("hours", [0.0, 3.0])
@pytest.mark.parametrize("seed", range(4))
def test_skipping_calm_blocks_is_the_same_as_adding_them(cusum, seed, hours):
    rng = np.random.default_rng(seed)
    rows = rng.binomial(100, [0.3, 0.02, 0.6], (500, 3)) / 100
    rows[300:340, 0] = 0.9
    times_ns = np.cumsum(rng.integers(1, 120, 500)) * 10**9
    growth = Growth(8, 100, hours, 10)
    slow, fast = cusum(growth), cusum(growth)
    expected = []
    for row, time_ns in zip(rows, times_ns.tolist(), strict=True):
        changed = slow.add(row, time_ns)
        slow.grow(raised=bool(changed.any()))
        expected.append(changed)
    found, i, skipped = [], 0, 0
    while i < 500:
        step = fast.skip(rows[i : i + 64], times_ns[i : i + 64])
        found += [np.zeros((2, 3), bool)] * step
        i, skipped = i + step, skipped + step
        if i < 500:
            found.append(fast.add(rows[i], int(times_ns[i])))
            fast.grow(raised=bool(found[-1].any()))
            i += 1
    assert skipped > 200
    assert np.array(expected).any()
    assert (np.array(found) == np.array(expected)).all()
    for name in ("sums", "since", "added"):
        np.testing.assert_allclose(getattr(fast, name), getattr(slow, name), atol=1e-9)
    assert fast.reference.blocks == slow.reference.blocks
    assert len(fast.queue) == len(slow.queue)
    np.testing.assert_allclose(fast.rhythm.sum, slow.rhythm.sum)
