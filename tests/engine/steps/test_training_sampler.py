import sqlite3

import numpy as np
import pytest

from engine.clock import ManualClock
from engine.flow.drift_step import DriftStep
from engine.flow.worker_context import Context, Drain
from engine.settings import from_mapping
from engine.steps.training_sampler import LOG_S, WAITING, Collector, Picker, ServiceStart
from engine.telemetry.telemetry import Telemetry, TelemetrySettings
from engine.windows.recent import RecentLines
from federation.storage.learning import Purpose
from federation.storage.training_store import Label, TrainingSettings, TrainingStore
from foundation import plain_pickle
from models.base import Windows
from models.detectors.event_counts import EventCounts, EventCountsSettings
from tests.support.documents import check_document

TEXTS = {1: "logged in", 2: "logged out", 3: "failed"}
NOW_NS = 1_700_000_000 * 10**9


@pytest.fixture
def clock():
    return ManualClock(wall_ns=NOW_NS)


@pytest.fixture
def telemetry(clock):
    with Telemetry(TelemetrySettings(serve=False), clock, {}, "eu") as opened:
        yield opened


@pytest.fixture
def training(tmp_path):
    return TrainingSettings(path=tmp_path / "training.db")


@pytest.fixture
def make(training, clock, telemetry):
    def build(rate=1_000.0, templates=TEXTS, settings=training):
        return Collector(Picker("eu", rate, clock), settings, templates, clock, telemetry)

    return build


def read(training, now_ns=lambda: NOW_NS):
    return TrainingStore(training.path, training, now_ns=now_ns)


def many(window, n, **more):
    return [window(rows=(1, 2), key=f"s{i}", first=i, last=i + 1, closed=True, **more) for i in range(n)]


def written(telemetry, outcome):
    return telemetry.metrics.registry.get_sample_value("driftline_training_windows_total", {"outcome": outcome})


# --- which windows -------------------------------------------------------------------------------


def test_all_complete_windows_are_picked_while_they_are_few(clock, scored, window):
    picked = Picker("eu", 10, clock).pick(scored(*many(window, 4), window(key="open"), window(key="z", closed=True)))
    assert picked.keys == ("s0", "s1", "s2", "s3", "z")
    assert len(set(picked.ids)) == 5


def test_anomalous_windows_come_first_and_the_rest_does_not_depend_on_batches(clock, scored, window):
    calm, alarms = many(window, 50), [window(key=f"a{i}", closed=True, score=0.9) for i in range(3)]
    whole = Picker("eu", 10, clock).pick(scored(*calm[:20], *alarms, *calm[20:]))
    again = Picker("eu", 10, clock).pick(scored(*calm[::-1], *alarms))
    assert len(whole.keys) == 10
    assert {"a0", "a1", "a2"} < set(whole.keys) == set(again.keys)
    assert whole.scores[[key[0] == "a" for key in whole.keys]].tolist() == pytest.approx([0.9] * 3)


def test_a_threshold_of_the_settings_says_what_is_anomalous(clock, scored, window):
    batch = scored(*many(window, 50), window(key="a", closed=True, score=0.4))
    assert "a" in Picker("eu", 1, clock, fixed_threshold=0.3).pick(batch).keys


def test_so_many_a_second_and_no_more(clock, scored, window):
    picker = Picker("eu", 10, clock)
    sizes = []
    for _ in range(5):
        picked = picker.pick(scored(*many(window, 50)))
        sizes.append(0 if picked is None else len(picked.ids))
        clock.advance(0.5)
    assert sizes == [10, 5, 5, 5, 5]


# --- into the store ------------------------------------------------------------------------------


def test_what_was_offered_is_in_the_store_after_the_end(make, training, telemetry, scored, window):
    collector = make()
    collector.offer(scored(*many(window, 30)))
    collector.offer(scored(window(rows=(3,), key="x", closed=True, score=0.9, time_ns=7)))
    collector.start()
    collector.close()
    with read(training) as store:
        assert store.counts().windows == 31
        assert store.label([Label("x", True, "labels", 9)]) == 1
        sets = [store.learning_set(purpose) for purpose in Purpose]
    assert sum(int(found.labels.sum()) for found in sets) == 1
    assert {text for found in sets for text in found.templates.values()} == set(TEXTS.values())
    assert written(telemetry, "written") == 31


def test_a_replay_stores_nothing_twice(make, training, scored, window):
    for _ in range(2):
        collector = make()
        collector.offer(scored(*many(window, 30)))
        collector.start()
        collector.close()
    with read(training) as store:
        assert store.counts().windows == 30


def test_a_window_of_unknown_templates_is_dropped_and_counted(make, training, telemetry, scored, window):
    collector = make(templates={1: "logged in"})
    collector.offer(scored(window(rows=(1,), key="a", closed=True), window(rows=(1, 2), key="b", closed=True)))
    collector.start()
    collector.close()
    with read(training) as store:
        assert store.counts().windows == 1
    assert written(telemetry, "dropped") == 1


def test_a_store_that_cannot_be_written_costs_its_windows_and_nothing_else(
    make, tmp_path, telemetry, scored, window, caplog
):
    (tmp_path / "file").write_text("")
    collector = make(settings=TrainingSettings(path=tmp_path / "file" / "training.db"))
    collector.start()
    collector.offer(scored(*many(window, 3)))
    collector.close()
    assert written(telemetry, "dropped") == 3
    assert caplog.text.count("training windows are not kept") == 1


@pytest.mark.parametrize(
    "fault",
    [
        sqlite3.OperationalError("database or disk is full"),
        OSError(28, "No space left on device"),
        OverflowError("Python int too large to convert to SQLite INTEGER"),
    ],
)
def test_whatever_the_store_raises_is_counted_told_once_in_a_while_and_survived(
    make, training, clock, telemetry, scored, window, caplog, monkeypatch, fault
):
    faults, add = [fault] * 3, TrainingStore.add

    def refuse(store, *given, **named):
        if faults:
            if len(faults) == 1:
                clock.advance(LOG_S)
            raise faults.pop()
        return add(store, *given, **named)

    monkeypatch.setattr(TrainingStore, "add", refuse)
    collector = make()
    for i in range(4):
        collector.offer(scored(*many(window, 5, time_ns=i)))
    collector.start()
    collector.close()
    assert (written(telemetry, "dropped"), written(telemetry, "written")) == (15, 5)
    reported = [record.message for record in caplog.records if "training windows are not kept" in record.message]
    assert [sentence[: sentence.index(":")] for sentence in reported] == [
        "training windows are not kept (5 lost since the last message)",
        "training windows are not kept (10 lost since the last message)",
    ]
    assert str(fault) in reported[0]
    with read(training) as store:
        assert store.counts().windows == 5


def test_feedback_that_cannot_be_read_costs_no_window_that_was_written(
    make, telemetry, scored, window, monkeypatch, caplog
):
    monkeypatch.setattr(TrainingStore, "verdicts", lambda *_: 1 / 0)
    collector = make()
    collector.verdicts(ServiceStart(("m", 1), 0, 0, 0.5))
    collector.offer(scored(*many(window, 5)))
    collector.start()
    collector.close()
    assert (written(telemetry, "dropped"), written(telemetry, "written")) == (0, 5)
    assert "ZeroDivisionError" in caplog.text


def test_a_disk_that_is_too_slow_never_holds_up_the_flow(make, telemetry, scored, window):
    collector = make(rate=1e6)
    for _ in range(WAITING + 2):
        collector.offer(scored(*many(window, 5)))
    assert written(telemetry, "dropped") == 10


# --- labels --------------------------------------------------------------------------------------


class Serving:
    """A model in service that keeps what feedback it was given."""

    detector = EventCounts(EventCountsSettings())
    version, f1 = 1, 0.9
    reported = ()

    def get(self):
        return self

    def regressions(self):
        return []

    def judge(self, *said):
        self.reported = said


@pytest.fixture
def step(make, clock, telemetry):
    """A drift step with one detector, and its collector."""

    def build(detector, state=None):
        settings = from_mapping(
            {
                "region": "eu", "source": {"type": "memory"}, "parse": {"format": "hdfs"},
                "window": {"kind": "session"}, "model": {"store": "m"}, "sinks": [{"type": "memory"}],
                "dead_letters": {"type": "memory"}, "recovery": {"path": "r"}, "drift_events": {"type": "memory"},
                "drift": {"detectors": [detector]},
            },
            "here",
        )  # fmt: skip
        collector = make()
        context = Context(
            settings, 0, 1, None, clock, Drain(clock, 8.0), {}, RecentLines(0), Serving(), telemetry,
            collector=collector,
        )  # fmt: skip
        return collector, DriftStep(context, state)

    return build


@pytest.fixture
def look(clock, scored, window):
    """One turn of the collector's thread between two batches; the records of the second."""

    def turn(store, collector, step):
        step.on_batch([scored(window(closed=True, time_ns=5))])
        collector._look(store)
        clock.advance(1)
        return step.on_batch([scored(window(closed=True, time_ns=9))])[0]

    return turn


def test_feedback_is_read_back_for_the_drift_monitor(step, look, training, clock, telemetry):
    with read(training, clock.wall_ns) as store:
        store.label([Label(f"old{i}", False, "feedback", 1) for i in range(50)])
        clock.advance(60)
        collector, first = step("precision")
        assert look(store, collector, first) == []
        store.label([Label(f"new{i}", i < 1, "feedback", 2) for i in range(12)])
        (record,) = look(store, collector, first)
        assert (record.document["detector"], record.document["windows"]) == ("precision", 12)
        # What was reported before a crash is not reported again, and what came meanwhile is.
        collector, second = step("precision", plain_pickle.load(plain_pickle.dump(first.snapshot())))
        store.label([Label(f"more{i}", True, "feedback", 3) for i in range(30)])
        look(store, collector, second)
        assert np.isclose(
            telemetry.metrics.registry.get_sample_value("driftline_drift_statistic", {"detector": "precision"}),
            0.12,
            atol=0.05,
        )


def test_labels_that_contradict_the_version_in_service_are_drift(step, look, training, clock):
    """Windows that an earlier version scored do not count, nor do labels that agree."""
    with read(training, clock.wall_ns) as store:

        def add(names, time_ns, score):
            store.add(
                Windows.of([[1, 2]] * len(names)), keys=names, ids=names, time_ns=np.full(len(names), time_ns),
                scores=np.full(len(names), score, np.float32), templates=TEXTS,
            )  # fmt: skip

        add([f"old{i}" for i in range(9)], 1, 0.1)
        add([f"missed{i}" for i in range(9)], 7, 0.1)
        add([f"found{i}" for i in range(9)], 7, 0.9)
        collector, first = step("corrections")
        store.label([Label(f"{name}{i}", True, "labels", 1) for name in ("old", "found") for i in range(9)])
        store.label([Label(f"missed{i}", True, "labels", 1) for i in range(4)])
        assert look(store, collector, first) == []
        store.label([Label("missed4", True, "labels", 1)])
        (record,) = look(store, collector, first)
        check_document("drift-event", record.document)
        assert (record.document["detector"], record.document["kind"]) == ("corrections", "labels")
        counts = record.document["evidence"]["labels"]
        assert (counts["found"], counts["false"], counts["missed"]) == (9, 0, 5)
        version = record.document["model"]["version"]
        judged = sum(len(store.learning_set(Purpose.HOLDOUT, half, version)) for half in (0, 1))
        assert judged == 14, "a candidate of half of the sessions is judged on none that an earlier version scored"
        assert counts["expected"] == pytest.approx(2 * 0.1 / 1.1)
