"""Lines as classifiers see them, and the class that continues an alert."""

import logging
from collections import Counter
from dataclasses import replace

import orjson
import pytest
from bytewax.testing import run_main

from connectors.memory import MemorySource
from engine import dataflow
from engine.clock import ManualClock, SystemClock
from engine.flow.worker_context import Drain
from engine.runtime.model_loading import classifier_follower, classifying, describe_classifier
from engine.runtime.preflight import preflight
from engine.runtime.worker import context
from engine.serving.hot_swap import Follower
from engine.settings import from_mapping
from engine.steps.classify import AlertClassifier, ClassifySettings, ServingClassifier, lines_of
from engine.steps.parse import Parser, ParseSettings
from engine.telemetry.telemetry import Telemetry, TelemetrySettings
from models.base import ModelError, ModelStoreError, Windows
from models.classify.base import CLASSES
from models.classify.registry import build
from models.classify.scoring import LineScorer
from models.detectors.event_counts import EventCounts, EventCountsSettings
from models.storage.model_cards import ModelNotes, Notes
from models.storage.store import ModelStore
from models.thresholds.base import Threshold
from tests.support.documents import check_document

NOW_NS = 1_780_000_000 * 10**9
SSH = b"Jun 14 15:16:01 combo sshd[%d]: Failed password for invalid user u%d from 10.0.0.7 port %d ssh2"
CRON = b"Jun 14 15:16:02 combo crond[%d]: session opened for user root"
JSON = b'{"time":"2026-05-01T00:00:00Z","level":"error","logger":"disk-7","msg":"memory parity error in DIMM"}'


def parser_of(format="auto", **more):
    return Parser(ParseSettings(format=format, **more), lambda partition, position: f"{position}")


@pytest.fixture
def batch_of(line_batch):
    return lambda lines: replace(line_batch(lines), read_ns=NOW_NS)


def test_lines_are_told_apart_by_what_classifiers_see(batch_of):
    parser, templates = parser_of(), {}
    raw = [SSH % (i, i, i) for i in range(40)] + [CRON % i for i in range(3)] + [b"\x00", JSON, SSH % (7, 7, 7)]
    for _ in range(3):
        parsed = parser.parse(batch_of(raw))
        templates |= parsed.good.templates
        lines, of = lines_of(parsed, templates)
    assert of.tolist() == [0] * 40 + [1] * 3 + [2, 3, 0]
    assert set(lines.formats) == {"syslog", "unknown", "json"}
    assert lines.messages[0].startswith("Failed password for invalid user u<NUM> from <IP>")
    assert lines.templates[1] == "session opened for user root"
    assert (lines.components[0], lines.components[1], lines.components[3]) == ("sshd", "crond", "disk-<NUM>")
    assert lines.levels == ("", "", "", "error")


def test_levels_written_in_digits_are_levels(batch_of):
    parser, templates = parser_of("syslog"), {}
    for _ in range(3):
        parsed = parser.parse(batch_of([b"<%d>" % n + CRON % n for n in (3, 11, 6)]))
        templates |= parsed.good.templates
        lines, of = lines_of(parsed, templates)
    assert lines.levels == ("error", "info")
    assert of.tolist() == [0, 0, 1]


def test_no_lines_are_no_lines(batch_of):
    parser = parser_of("hdfs")
    lines, of = lines_of(parser.parse(batch_of([b"nonsense"])), {})
    assert (len(lines), of.tolist()) == (0, [])


class Scripted(LineScorer):
    """A scorer that fails, or gives what the rules give."""

    fault: Exception | None = None

    def probabilities(self, lines):
        if self.fault is not None:
            raise self.fault
        return super().probabilities(lines)


@pytest.fixture
def scorer():
    return Scripted(build("rules"), 3)


@pytest.fixture
def ask(scorer):
    """A function that classifies windows of (template text, raw line or None) rows."""
    counted = Counter()

    def run(*windows, ready=True, **settings):
        following = Follower(lambda: 3, lambda version: ServingClassifier("kinds", version, scorer), lambda *_: None)
        if ready:
            assert following.look()
        chosen = ClassifySettings(name="kinds", **settings)
        classify = AlertClassifier(
            chosen, following, parser_of(), ManualClock(wall_ns=NOW_NS), lambda kind: counted.update([kind])
        )
        found = classify([([t for t, _ in rows], [raw for _, raw in rows if raw is not None]) for rows in windows])
        return found, counted

    return run


OPENED = ("session opened for user root", CRON % 3)
FAILED = ("Failed password for invalid user <*> from <IP> port <NUM> ssh2", SSH % (1, 2, 3))


def test_the_line_that_is_least_normal_gives_the_class(ask):
    (found, quiet), counted = ask([OPENED, FAILED, OPENED], [OPENED])
    assert (found["class"], found["line"], found["model"], found["version"]) == ("security_anomaly", 1, "kinds", 3)
    assert list(found["probabilities"]) == list(CLASSES)
    assert sum(found["probabilities"].values()) == pytest.approx(1)
    assert found["probability"] == max(found["probabilities"].values())
    assert found["reasons"] is None
    assert quiet["class"] == "normal"
    assert counted == {"security_anomaly": 1, "normal": 1}


def test_lines_no_longer_held_are_classified_by_their_template(ask):
    (found,), _ = ask([(FAILED[0], None), OPENED])
    assert (found["class"], found["line"]) == ("security_anomaly", 0)


def test_a_line_that_does_not_parse_is_classified_by_its_template(ask):
    (found,), _ = ask([(FAILED[0], b"")])
    assert found["class"] == "security_anomaly"


def test_only_the_last_lines_are_looked_at(ask):
    (found,), _ = ask([FAILED, OPENED, FAILED, OPENED], max_lines=2)
    assert found["line"] == 2
    (found,), _ = ask([FAILED, OPENED, OPENED], max_lines=2)
    assert found["class"] == "normal"


def test_reasons_are_given_where_they_are_asked_for(ask):
    (found,), _ = ask([OPENED, FAILED], explain=True)
    assert found["reasons"]
    assert all(set(reason) == {"what", "value"} for reason in found["reasons"])


def test_no_window_and_an_empty_one(ask):
    assert ask()[0] == []
    assert ask([])[0] == [None]


def test_without_a_classifier_alerts_go_out_without_a_class(ask):
    assert ask([FAILED], ready=False)[0] == [None]


@pytest.mark.parametrize("fault", [ModelError, RuntimeError])
def test_a_fault_is_told_once_and_costs_the_class_only(scorer, caplog, fault):
    following = Follower(lambda: 3, lambda version: ServingClassifier("kinds", version, scorer), lambda *_: None)
    scorer.fault = ModelError("out of order")
    assert not following.look()
    scorer.fault = None
    assert following.look()
    scorer.fault = fault("out of order")
    classify = AlertClassifier(ClassifySettings(name="kinds"), following, parser_of(), ManualClock())
    with caplog.at_level(logging.WARNING):
        assert [classify([([FAILED[0]], [])]) for _ in range(2)] == [[None], [None]]
    assert [r.message for r in caplog.records] == ["alerts go out without a class: kinds version 3: out of order"]


# --- out of the store ----------------------------------------------------------------------------


@pytest.fixture
def region(tmp_path):
    """A region whose store holds a line classifier, or what the test puts there."""

    def build_settings(more=None, **classify):
        content = {
            "region": "eu",
            "source": {"type": "memory"},
            "parse": {"format": "auto"},
            "window": {"kind": "sliding"},
            "model": {"store": str(tmp_path)},
            "sinks": [{"type": "memory"}],
            "dead_letters": {"type": "memory"},
            "recovery": {"path": "r"},
        }
        return from_mapping({**content, **({"classify": classify} if classify else {}), **(more or {})}, "here")

    return build_settings


@pytest.fixture
def store(tmp_path):
    return ModelStore(tmp_path)


@pytest.fixture
def telemetry():
    telemetry = Telemetry(TelemetrySettings(serve=False), ManualClock(), {}, "eu")
    yield telemetry
    telemetry.close()


def test_a_published_classifier_serves_and_a_new_version_replaces_it(region, store, telemetry):
    store.publish("kinds", build("rules"), ModelNotes())
    source, clock = MemorySource({}), ManualClock(wall_ns=NOW_NS)
    window = [([FAILED[0]], [FAILED[1]])]
    settings = region(name="kinds")
    with classifying(settings, source, clock, telemetry) as classify:
        assert classify is not None
        assert (classify(window)[0] or {})["version"] == 1
    following = classifier_follower(settings.classify, settings, telemetry)
    assert following.look()
    classify = AlertClassifier(settings.classify, following, parser_of(), clock)
    store.publish("kinds", build("rules", {"min_confidence": 0.6}), ModelNotes())
    assert (classify(window)[0] or {})["version"] == 1
    assert following.look()
    assert (classify(window)[0] or {})["version"] == 2
    value = telemetry.metrics.registry.get_sample_value
    assert value("driftline_model_version", {"model": "kinds"}) == 2
    assert value("driftline_alert_classes_total", {"class": "security_anomaly"}) == 1


def test_without_the_section_nothing_is_classified(region, telemetry):
    with classifying(region(), MemorySource({}), ManualClock(), telemetry) as classify:
        assert classify is None


def test_a_missing_classifier_is_logged_and_alerts_go_on(region, telemetry, caplog):
    with classifying(region(name="kinds"), MemorySource({}), ManualClock(), telemetry) as classify:
        assert classify is not None
        assert classify([(["x"], [])]) == [None]
    assert "line classifier not adopted" in caplog.text


def test_check_says_in_a_sentence_what_serves_or_why_nothing_does(region, store):
    with pytest.raises(ModelStoreError, match="holds no published model 'kinds'"):
        describe_classifier(region(name="kinds"))
    store.publish("kinds", build("rules"), ModelNotes())
    assert describe_classifier(region(name="kinds")) == "kinds version 1: rules, verified"
    counts = EventCounts(EventCountsSettings())
    counts.fit(Windows.of([[1, 2], [1]]), None, {1: "a", 2: "b"})
    store.publish("counts", counts, Notes(threshold=Threshold(rule="percentile", value=1.0)))
    with pytest.raises(ModelStoreError, match=r"classify\.name: counts version 1 is a window detector"):
        describe_classifier(region(name="counts"))
    assert [f.ok for f in preflight(region(name="nothing")) if f.name == "classifier"] == [False]
    assert not [f for f in preflight(region()) if f.name == "classifier"]


# --- through the flow ----------------------------------------------------------------------------


def test_alerts_that_leave_the_flow_carry_the_class_of_their_window(region, store, telemetry, tmp_path):
    detector = EventCounts(EventCountsSettings())
    detector.fit(Windows.of([[1, 2], [1]]), None, {1: "a", 2: "b"})
    store.publish("event_counts", detector, Notes(threshold=Threshold(rule="percentile", value=0.0)))
    store.publish("kinds", build("rules"), ModelNotes())
    quiet = [(CRON % i).decode() for i in range(4)]
    loud = [(SSH % (i, i, i)).decode() for i in range(2)]
    alerts = tmp_path / "alerts.jsonl"
    settings = region(
        name="kinds",
        more={
            "source": {"type": "memory", "lines": [*quiet[:2], *loud, *quiet]},
            "window": {"kind": "sliding", "size": 4, "stride": 4, "per": "source"},
            "model": {"store": str(tmp_path), "name": "event_counts"},
            "sinks": [{"type": "jsonl", "path": str(alerts)}],
        },
    )
    clock = SystemClock()
    with context(settings, 0, 1, clock, Drain(clock, 8.0), telemetry) as running:
        run_main(dataflow.build(running))
    documents = [orjson.loads(line) for line in alerts.read_bytes().splitlines()]
    for document in documents:
        check_document("alert", document)
    found = documents[0]["classification"]
    assert (found["class"], found["line"], found["model"], found["version"]) == (
        "security_anomaly",
        2,
        "kinds",
        1,
    )
    assert found["text"].startswith("Failed password for invalid user u<NUM>")
    assert sum(found["probabilities"].values()) == pytest.approx(1)
