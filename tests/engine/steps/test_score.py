import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.clock import ManualClock
from engine.records import WindowBatch
from engine.steps.score import Gatherer, ScoreSettings, pack_windows, unpack_windows
from foundation import plain_pickle

COLUMNS = ("session", "first", "last", "first_ns", "last_ns", "ready_ns", "produced_ns")


class FirstId:
    """A model that scores a window by its first template id and its length."""

    name = "first_id"
    threshold = 0.5

    def __init__(self, version=1):
        self.version = version
        self.asked = []

    def score(self, windows):
        self.asked.append(len(windows))
        return np.array(
            [(r[0] if len(r) else 0) + len(r) / 8 for r in map(windows.row, range(len(windows)))], np.float32
        )


class Current:
    def __init__(self):
        self.model = FirstId()

    def get(self):
        return self.model


@pytest.fixture
def current():
    return Current()


@pytest.fixture
def clock():
    return ManualClock(monotonic_s=100.0)


def same(a, b):
    assert (a.partition, a.key, a.traceparent) == (b.partition, b.key, b.traceparent)
    for name in COLUMNS:
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), strict=True)
    for name in ("ids", "offsets", "closed"):
        np.testing.assert_array_equal(getattr(a.windows, name), getattr(b.windows, name), strict=True)


# --- gathering -----------------------------------------------------------------------------------


def test_windows_wait_until_there_are_enough(current, clock, window_batch, window):
    gatherer = Gatherer(ScoreSettings(max_windows=3), current, clock)
    assert gatherer.add([window_batch(window(rows=(1,)), window(rows=(2,)))]) == []
    (scored,) = gatherer.add([window_batch(window(rows=(3,)), window(rows=(4, 4)))])
    assert scored.score.tolist() == [1.125, 2.125, 3.125, 4.25]
    assert current.model.asked == [4]
    assert (scored.model, scored.version, scored.threshold) == ("first_id", 1, 0.5)
    assert gatherer.due_s() is None


def test_windows_wait_no_longer_than_their_age(current, clock, window_batch, window):
    gatherer = Gatherer(ScoreSettings(max_age_ms=10), current, clock)
    gatherer.add([window_batch(window())])
    clock.advance(0.006)
    # A newer window does not make the older one wait longer.
    assert gatherer.add([window_batch(window())]) == []
    assert gatherer.due_s() == pytest.approx(0.004)
    clock.advance(0.004)
    assert gatherer.due_s() == pytest.approx(0, abs=1e-9)
    (scored,) = gatherer.flush()
    assert len(scored.batch) == 2


def test_age_is_counted_anew_after_every_scoring(current, clock, window_batch, window):
    gatherer = Gatherer(ScoreSettings(max_age_ms=10), current, clock)
    gatherer.add([window_batch(window())])
    clock.advance(1)
    assert len(gatherer.add([window_batch(window())])) == 1
    gatherer.add([window_batch(window())])
    assert gatherer.due_s() == pytest.approx(0.01)


def test_a_wall_clock_that_jumps_back_makes_nothing_wait(current, clock, window_batch, window):
    gatherer = Gatherer(ScoreSettings(max_age_ms=10), current, clock)
    gatherer.add([window_batch(window())])
    clock.jump_wall(-3600)
    clock.advance(0.02)
    assert gatherer.due_s() == 0


def test_age_zero_scores_at_once(current, clock, window_batch, window):
    gatherer = Gatherer(ScoreSettings(max_age_ms=0), current, clock)
    assert len(gatherer.add([window_batch(window())])) == 1


def test_nothing_waits_and_nothing_is_scored_without_windows(current, clock, window_batch):
    gatherer = Gatherer(ScoreSettings(max_age_ms=0), current, clock)
    assert gatherer.add([window_batch()]) == []
    assert (gatherer.due_s(), gatherer.flush(), gatherer.snapshot()) == (None, [], [])
    assert current.model.asked == []


def test_a_swap_takes_effect_between_two_batches(current, clock, window_batch, window):
    gatherer = Gatherer(ScoreSettings(max_windows=2), current, clock)
    gatherer.add([window_batch(window())])
    current.model = FirstId(version=2)
    (scored,) = gatherer.add([window_batch(window())])
    # Both windows, also the one that came before the swap, are scored by one version.
    assert (scored.version, len(scored.batch)) == (2, 2)


# --- recovery ------------------------------------------------------------------------------------


def test_what_waits_survives_a_crash(current, clock, window_batch, window):
    settings = ScoreSettings(max_windows=3)
    batches = [window_batch(window(rows=(1,), key="a")), window_batch(window(rows=(2, 2), key="b", closed=True))]
    before = Gatherer(settings, current, clock)
    before.add(batches)
    saved = plain_pickle.dump(before.snapshot())
    before.add([window_batch(window(rows=(9,)))])

    after = Gatherer(settings, current, clock, plain_pickle.load(saved))
    assert after.due_s() == pytest.approx(0.01)
    (scored,) = after.add([window_batch(window(rows=(3,)))])
    assert scored.batch.key == ("a", "b", "s")
    assert scored.score.tolist() == [1.125, 2.25, 3.125]
    assert scored.batch.windows.closed.tolist() == [False, True, False]


def test_the_templates_of_what_waits_are_known_by_id(current, clock, window_batch, window):
    gatherer = Gatherer(ScoreSettings(), current, clock)
    gatherer.add([window_batch(window(rows=(5, 1)), window(rows=(1, 1, 3)))])
    assert gatherer.waiting_templates() == [1, 3, 5]
    gatherer.flush()
    assert gatherer.waiting_templates() == []


# --- laws ----------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def batches(window, window_batch):
    one = st.builds(
        window,
        rows=st.lists(st.integers(-(2**63), 2**63 - 1), max_size=4).map(tuple),
        key=st.text(max_size=3),
        partition=st.sampled_from(["x", "y", "/é/\udcff"]),
        closed=st.booleans(),
        time_ns=st.integers(-(2**62), 2**62),
        first=st.integers(0, 2**62),
    )
    batch = st.builds(lambda ws, t: window_batch(*ws, traceparent=t), st.lists(one, max_size=5), st.text(max_size=2))
    return st.lists(batch, min_size=1, max_size=5)


@given(data=st.data())
def test_packing_and_unpacking_gives_the_same_windows(data, batches):
    for batch in data.draw(batches):
        same(unpack_windows(plain_pickle.load(plain_pickle.dump(pack_windows(batch)))), batch)


@given(data=st.data())
def test_joining_keeps_every_window_in_order(data, batches):
    parts = data.draw(batches)
    joined = WindowBatch.join(parts)
    rows = [tuple(p.windows.row(i).tolist()) for p in parts for i in range(len(p))]
    assert [tuple(joined.windows.row(i).tolist()) for i in range(len(joined))] == rows
    assert joined.key == tuple(k for p in parts for k in p.key)
    assert joined.partition == tuple(k for p in parts for k in p.partition)
    assert joined.traceparent == parts[-1].traceparent
    for name in COLUMNS:
        assert getattr(joined, name).tolist() == [v for p in parts for v in getattr(p, name).tolist()]


@given(data=st.data(), max_windows=st.integers(1, 8))
def test_every_window_is_scored_once_in_order_whatever_the_restarts(data, max_windows, batches):
    stream = data.draw(batches)
    restarts = data.draw(st.lists(st.booleans(), min_size=len(stream), max_size=len(stream)))
    clock, current = ManualClock(), Current()
    gatherer = Gatherer(ScoreSettings(max_windows=max_windows), current, clock)
    found = []
    for batch, restart in zip(stream, restarts, strict=True):
        found += gatherer.add([batch])
        if restart:
            gatherer = Gatherer(ScoreSettings(max_windows=max_windows), current, clock, gatherer.snapshot())
    found += gatherer.flush()
    keys = [k for s in found for k in zip(s.batch.key, s.score.tolist(), strict=True)]
    whole = WindowBatch.join(stream)
    assert keys == list(zip(whole.key, FirstId().score(whole.windows).tolist(), strict=True))
