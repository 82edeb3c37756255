import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from engine.drift.kswin import Kswin
from engine.drift.monitor import DriftMonitor
from engine.drift.registry import STATISTICS
from engine.drift.settings import DriftSettings
from foundation import plain_pickle
from models.base import Windows, template_id

OPEN, READ, WRITE, CLOSE = (template_id(t) for t in ("open <*>", "read <NUM> bytes", "write <NUM> bytes", "close <*>"))
MOVED, FAILED = template_id("moved to <IP>"), template_id("failed: <*>")
MIXED = ((OPEN, READ, READ, CLOSE), (OPEN, WRITE, CLOSE), (OPEN, READ, WRITE, CLOSE), (OPEN, MOVED, CLOSE))


def names(events):
    return [event.detector for event in events]


# --- what is and what is not drift ---------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_a_calm_stream_raises_nothing(stream, monitor, seed):
    watched = monitor()
    assert stream(seed).add(10_000).feed(watched) == []
    assert watched.ready
    readings = watched.readings()
    assert set(readings) == set(STATISTICS)
    assert not any(reading.raised for reading in readings.values())


def test_a_new_family_of_templates_is_found_and_named(stream, monitor):
    calm = stream().add(2_000)
    events = calm.add(1_000, (0.4, 0.2, 0.2, 0.2), MIXED).feed(monitor())
    event = events[0]
    assert event.type == "drift"
    assert event.statistic >= event.threshold
    assert 2_000e9 - 50e9 <= event.since_ns <= event.time_ns <= 2_500e9
    assert (event.model, event.version, event.windows) == ("m", 1, 250)
    carrier = event.templates[0]
    assert (carrier.id, carrier.text, carrier.reference_share) == (MOVED, "moved to <IP>", 0.0)
    assert carrier.current_share > 0


def test_a_change_of_rates_without_new_templates_is_found(stream, monitor):
    events = stream().add(2_000).add(1_000, (0.2, 0.5, 0.2, 0.1)).feed(monitor())
    assert events
    assert set(names(events)) <= {"jensen_shannon", "psi", "mmd"}
    assert events[0].time_ns <= 2_600e9
    write = next(t for t in events[0].templates if t.id == WRITE)
    assert write.current_share > write.reference_share > 0


def test_lines_in_other_company_are_found_by_the_embeddings(stream, monitor):
    together = ((READ, WRITE, READ, WRITE), (READ, READ, WRITE, READ, WRITE))
    apart = ((READ, READ, READ, READ, WRITE), (WRITE, WRITE, WRITE, WRITE, READ))
    made = stream().add(2_000, (0.5, 0.5), together).add(1_000, (0.5, 0.5), apart)
    assert names(made.feed(monitor()))[:1] == ["mmd"]


def test_without_vectors_the_embeddings_say_nothing(stream):
    together = ((READ, WRITE, READ, WRITE), (READ, READ, WRITE, READ, WRITE))
    apart = ((READ, READ, READ, READ, WRITE), (WRITE, WRITE, WRITE, WRITE, READ))
    watched = DriftMonitor(DriftSettings(block_windows=50, warmup_blocks=20, current_blocks=5), {})
    assert stream().add(2_000, (0.5, 0.5), together).add(1_000, (0.5, 0.5), apart).feed(watched) == []


def test_scores_that_rise_are_found_by_adwin(stream, monitor):
    made = stream().add(2_000).add(2_000, score=lambda rng: rng.beta(1, 20) + 0.2)
    events = made.feed(monitor(detectors=("adwin",)))
    assert names(events)[:1] == ["adwin"]
    assert 2_000e9 - 50e9 <= events[0].since_ns


def test_scores_of_another_shape_are_found_by_kswin(stream, monitor):
    made = stream().add(8_000, score=lambda rng: rng.uniform(0.2, 0.3))
    made.add(4_000, score=lambda rng: 0.2 if rng.random() < 0.5 else 0.3)
    events = made.feed(monitor(detectors=("kswin",), block_windows=200))
    assert names(events)[:1] == ["kswin"]
    assert events[0].statistic == pytest.approx(0.5, abs=0.1)


def test_a_template_that_only_widens_is_not_new(stream, monitor):
    wide = template_id("open <*> <*>")
    texts = {OPEN: "open file <*>", wide: "open <*> <*>", READ: "read", CLOSE: "close"}
    made = stream().add(2_000, (1.0,), ((OPEN, READ, CLOSE),)).add(2_000, (1.0,), ((wide, READ, CLOSE),))
    assert made.feed(monitor(texts=texts)) == []


def test_growth_steps_are_skipped(monitor):
    watched = monitor()
    rows = [(OPEN, READ, CLOSE)] * 5_000
    windows = Windows.of(rows, [False] * len(rows))
    times = np.arange(len(rows), dtype=np.int64)
    assert watched.observe(windows, np.zeros(len(rows), np.float32), times, model="m", version=1, threshold=0.5) == []
    assert not watched.ready


# --- hysteresis, cool-down, another model --------------------------------------------------------


def test_a_short_burst_is_no_drift(stream, monitor):
    made = stream().add(2_000).add(50, (0, 0, 0, 1.0), MIXED).add(2_000)
    assert made.feed(monitor(detectors=("novelty",), current_blocks=1, confirm_blocks=3)) == []


def test_drift_that_lasts_is_reported_again_after_the_cool_down(stream, monitor):
    events = stream().add(2_000).add(2_000, (0.4, 0.2, 0.2, 0.2), MIXED).feed(monitor(detectors=("novelty",)))
    apart = np.diff([event.time_ns for event in events]) / 1e9
    assert apart.tolist() == [500] * (len(events) - 1)
    assert len(events) >= 3
    assert len({event.since_ns for event in events}) == 1


def test_drift_that_ends_is_reported_once_more_and_then_belongs_to_the_stream(stream, monitor):
    changed = ((0.4, 0.2, 0.2, 0.2), MIXED)
    made = stream().add(2_000).add(400, *changed).add(3_000).add(400, *changed)
    first, end, *later = made.feed(monitor(detectors=("novelty",), cooldown_windows=1_000))
    assert (first.kind, first.over, end.over) == ("new_templates", False, True)
    assert (end.since_ns, end.templates) == (first.since_ns, first.templates)
    assert 2_400e9 <= end.time_ns <= 3_500e9
    assert first.id("eu", "0/0") != end.id("eu", "0/0")
    assert not any(event.over for event in later)


def test_another_change_is_reported_within_the_cool_down(stream, monitor):
    watched = monitor(detectors=("jensen_shannon",), cooldown_windows=100_000)
    made = stream().add(2_000).add(1_000, (0.4, 0.2, 0.2, 0.2), MIXED)
    made.add(1_500, (0.4, 0.1, 0.0, 0.1, 0.4), (*MIXED, (OPEN, FAILED, FAILED, CLOSE)))
    first, second = made.feed(watched)
    assert first.templates[0].id == MOVED
    assert second.templates[0].id == FAILED


def test_what_other_detectors_say_is_evidence(stream, monitor):
    events = stream().add(2_000).add(3_000, (0.1, 0.1, 0.1, 0.7), MIXED).feed(monitor())
    assert "psi" in set(events[-1].evidence["others"]) | {events[-1].detector}
    assert events[-1].detector not in events[-1].evidence["others"]


def test_templates_are_watched_on_after_a_swap(stream, monitor):
    watched = monitor(detectors=("novelty", "jensen_shannon", "adwin"))
    stream().add(2_000).feed(watched)
    after = stream(1).add(300)
    after.first = 2_000
    assert after.feed(watched, version=2) == []
    assert watched.ready
    assert not watched.status().ready  # scores of another version are compared with its own
    changed = stream().add(600, (0.4, 0.2, 0.2, 0.2), MIXED)
    changed.first = 2_300
    event, *_ = changed.feed(watched, version=2)
    assert (event.version, event.templates[0].id) == (2, MOVED)


def test_what_was_drift_is_usual_for_the_version_that_learnt_it(stream, monitor):
    watched = monitor()
    changed = ((0.4, 0.2, 0.2, 0.2), MIXED)
    assert stream().add(2_000).add(900, *changed).feed(watched)
    after = stream(1).add(3_000, *changed)
    after.first = 2_900
    assert after.feed(watched, version=2) == []
    assert watched.status().ready


def test_progress_is_in_windows_and_time(stream, monitor):
    watched = monitor(detectors=("novelty", "adwin"))
    assert watched.status().sentence() == "novelty: reference 0 of 400 windows; adwin: reference 0 of 1,000 windows"
    made = stream().add(520)
    before, after = made.split(120)
    before.feed(watched)
    assert "novelty: reference 120 of 400 windows, ready in about 5 minutes" in watched.status().sentence()
    after.feed(watched)
    assert watched.status().sentence().startswith("watching novelty; adwin: reference 520 of 1,000 windows")


def test_a_detector_that_could_never_tell_is_named_and_silent(stream, monitor, monkeypatch):
    monkeypatch.setattr(Kswin, "reach", 0.001)
    watched = monitor(detectors=("kswin",))
    assert stream().add(2_000).add(2_000, score=lambda rng: rng.beta(1, 20) + 0.2).feed(watched) == []
    status = watched.status()
    assert (status.blind, status.seeing) == (("kswin",), False)
    assert "disabled, because this stream varies as much without drift: kswin" in status.sentence()


def test_another_version_comes_after_a_look_at_what_waits(stream, monitor):
    made = drifting(stream)
    windows = Windows.of(made.rows)
    scores, times = np.array(made.scores, np.float32), np.arange(len(made.rows), dtype=np.int64) * 10**9
    watched = monitor()
    assert watched.observe(windows, scores, times, model="m", version=1, threshold=0.5, wait=True) == []
    last = windows.take(np.array([0])), scores[:1], times[-1:]
    assert watched.observe(*last, model="m", version=2, threshold=0.5) == made.feed(monitor())


# --- batches and restarts ------------------------------------------------------------------------


def drifting(stream):
    return stream().add(1_500).add(1_500, (0.35, 0.3, 0.2, 0.15), MIXED, score=lambda rng: rng.beta(1, 8))


@pytest.fixture(scope="session")
def whole(stream):
    return drifting(stream)


@pytest.fixture(scope="session")
def expected(whole, monitor):
    """The events of one batch without a restart."""
    return whole.feed(monitor())


@settings(max_examples=20)
@given(cuts=st.lists(st.integers(0, 3_000), max_size=12), waits=st.sets(st.integers(0, 12)))
def test_batches_and_looks_put_off_change_nothing(whole, expected, monitor, cuts, waits):
    assert whole.feed(monitor(), cuts, waits=waits) == expected


@settings(max_examples=20)
@given(stop=st.integers(0, 3_000), cut=st.integers(0, 3_000))
def test_a_restart_changes_nothing(whole, expected, monitor, stop, cut):
    before, after = whole.split(stop)
    first = monitor()
    events = before.feed(first, [cut])
    second = monitor(plain_pickle.load(plain_pickle.dump(first.snapshot())))
    events += after.feed(second, [cut])
    assert events == expected
    assert len(events) >= 2


def test_a_snapshot_does_not_change_later(stream, monitor):
    watched = monitor()
    made = drifting(stream)
    made.feed(watched, [700])
    saved = watched.snapshot()
    frozen = plain_pickle.dump(saved)
    made.feed(watched)
    assert plain_pickle.dump(saved) == frozen


def test_state_made_under_other_settings_is_ignored(stream, monitor):
    watched = monitor()
    stream().add(2_000).feed(watched)
    assert monitor(watched.snapshot()).ready
    assert not monitor(watched.snapshot(), floors={"novelty": 0.5}).ready


# --- settings and ids ----------------------------------------------------------------------------


def test_a_reference_too_short_to_know_chance_is_refused():
    with pytest.raises(ValidationError, match="at most half of warmup_blocks"):
        DriftSettings(warmup_blocks=10, current_blocks=6)


def test_an_event_has_an_id_of_its_own(stream, monitor):
    first, second, *_ = stream().add(2_000).add(3_000, (0.1, 0.1, 0.1, 0.7), MIXED).feed(monitor())
    ids = {first.id("eu", "0/0"), second.id("eu", "0/0"), first.id("us", "0/0"), first.id("eu", "1/0")}
    assert len(ids) == 4
    assert first.id("eu", "0/0") == first.id("eu", "0/0")
