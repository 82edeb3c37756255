"""Drift that labels show: the bounds, and the events of the monitor."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.drift.labelled import LabelCounts
from engine.drift.mistakes import lower_bound, mistakes_of
from foundation import plain_pickle
from tests.support.sweep import sweep


@pytest.fixture
def watched(stream, monitor):
    made = monitor()
    stream().add(2_000).feed(made)
    return made


# --- bounds --------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.02, 0.1, 0.4])
def test_the_bound_holds_at_every_look_together(share):
    rng = np.random.default_rng(0)
    exceeded, streams = 0, sweep(60, 200)
    for _ in range(streams):
        counts = np.cumsum(rng.random(400) < share).tolist()
        exceeded += any(lower_bound(k, n + 1, 0.1) > share for n, k in enumerate(counts))
    assert exceeded <= 0.1 * streams


@given(st.integers(0, 300), st.integers(1, 300))
def test_the_bound_is_below_what_was_seen_and_grows_with_the_evidence(count, of):
    count = min(count, of)
    found = lower_bound(count, of, 0.01)
    assert 0 <= found <= count / of
    assert found <= lower_bound(10 * count, 10 * of, 0.01) + 1e-6


def test_a_share_of_mistakes_is_that_of_its_f1():
    found, false, missed = 30, 4, 6
    assert mistakes_of(2 * found / (2 * found + false + missed)) == pytest.approx(10 / 40)
    assert (mistakes_of(1.0), mistakes_of(0.0)) == (0.0, 1.0)


# --- events --------------------------------------------------------------------------------------


def test_alerts_that_operators_call_wrong_are_drift(watched):
    assert watched.judge(LabelCounts(right=5, wrong=4), 1) == []
    assert watched.judge(LabelCounts(right=5, wrong=9), 2) == []
    (event,) = watched.judge(LabelCounts(right=5, wrong=29), 3)
    assert (event.detector, event.since_ns, event.windows, event.kind) == ("precision", 3, 34, "labels")
    assert event.statistic > 0.5


def test_alerts_that_operators_call_right_are_not(watched):
    assert [watched.judge(LabelCounts(right=9 * i, wrong=i), i) for i in range(50)] == [[]] * 50


def test_labels_that_show_more_mistakes_than_the_card_are_drift(stream, monitor):
    watched = monitor(detectors=("mistakes",))
    stream().add(2_000).feed(watched)
    assert watched.judge(LabelCounts(found=30, false=1, missed=1, expected=0.02), 1) == []
    (event,) = watched.judge(LabelCounts(found=30, false=4, missed=11, expected=0.02), 2)
    assert (event.detector, event.kind, event.windows) == ("mistakes", "labels", 45)
    assert event.threshold == 0.05
    assert event.evidence["labels"] == {
        "right": 0, "wrong": 0, "found": 30, "false": 4, "missed": 11, "expected": 0.02
    }  # fmt: skip


def test_mistakes_that_the_card_leads_to_expect_are_none(stream, monitor):
    watched = monitor(detectors=("mistakes",))
    stream().add(2_000).feed(watched)
    assert watched.judge(LabelCounts(found=30, false=4, missed=11, expected=0.4), 2) == []


def test_labels_that_contradict_the_model_ask_for_a_round_again_as_they_accumulate(stream, monitor):
    watched = monitor(detectors=("corrections",))
    stream().add(2_000).feed(watched)
    due = [len(watched.judge(LabelCounts(found=100, missed=i), i)) for i in range(60)]
    assert [i for i, events in enumerate(due) if events] == [5, 10, 15, 23, 35, 53]


def test_half_a_label_of_a_rule_is_not_a_whole_one(stream, monitor):
    watched = monitor(detectors=("corrections",))
    stream().add(2_000).feed(watched)
    assert watched.judge(LabelCounts(missed=4.5), 1) == []
    assert watched.judge(LabelCounts(missed=5.0), 2) != []


def test_another_version_starts_without_labels(stream, monitor):
    watched = monitor(detectors=("corrections",))
    made = stream().add(2_000)
    made.feed(watched)
    assert watched.judge(LabelCounts(missed=7), 1)
    made.feed(watched, version=2)
    assert not watched.readings()["corrections"].raised
    assert watched.judge(LabelCounts(missed=4), 2) == []
    assert watched.judge(LabelCounts(missed=5), 3) != []


def test_a_restart_repeats_no_event_of_labels(stream, monitor):
    first = monitor(detectors=("corrections",))
    stream().add(2_000).feed(first)
    assert first.judge(LabelCounts(missed=7), 1)
    second = monitor(plain_pickle.load(plain_pickle.dump(first.snapshot())), detectors=("corrections",))
    assert second.judge(LabelCounts(missed=7), 2) == []
    assert second.judge(LabelCounts(missed=11), 3) == []
    assert second.judge(LabelCounts(missed=12), 4) != []
