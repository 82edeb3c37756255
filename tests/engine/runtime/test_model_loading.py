import logging
from types import MappingProxyType

import pytest

from engine.clock import ManualClock
from engine.runtime.model_loading import classifier_follower, describe_classifier, describe_current, follower
from engine.settings import from_mapping
from engine.steps.classify import ClassifySettings
from engine.steps.preprocessing import described, described_lines
from engine.telemetry.telemetry import Telemetry, TelemetrySettings
from models.base import ModelStoreError, Windows
from models.classify.registry import build
from models.detectors.event_counts import EventCounts, EventCountsSettings
from models.storage.store import ModelNotes, ModelStore, Notes
from models.thresholds.base import Threshold


@pytest.fixture
def telemetry():
    with Telemetry(TelemetrySettings(serve=False), ManualClock(), {}, "eu") as made:
        for name in ("source", "sinks", "recovery"):
            made.health.ok(name)
        yield made


@pytest.fixture
def publish(tmp_path):
    detector = EventCounts(EventCountsSettings())
    detector.fit(Windows.of([[1, 2, 3], [1, 2, 2, 3]]), None, {1: "a", 2: "b", 3: "c"})

    def put(thresholds=MappingProxyType({}), **preprocessing):
        threshold = Threshold(rule="percentile", value=0.5)
        notes = Notes(threshold=threshold, thresholds=dict(thresholds), preprocessing=preprocessing)
        return ModelStore(tmp_path / "models").publish("m", detector, notes)

    return put


def following_settings(tmp_path):
    jsonl = {"type": "jsonl", "path": str(tmp_path / "out.jsonl")}
    return from_mapping(
        {
            "region": "eu", "source": {"type": "memory"}, "parse": {}, "window": {"kind": "session"},
            "model": {"store": str(tmp_path / "models"), "name": "m", "device": "cpu"},
            "sinks": [jsonl], "dead_letters": jsonl, "recovery": {"path": str(tmp_path / "recovery")},
        },
        "here",
    )  # fmt: skip


@pytest.fixture
def following(tmp_path, telemetry):
    return follower(following_settings(tmp_path), {}, telemetry)


def test_without_a_model_the_engine_is_not_ready(following, telemetry):
    following.look()
    assert telemetry.health.ready()[1]["wrong"] == [
        "model: the store holds no such model yet; publish one with `driftline train`"
    ]


def test_a_refused_version_leaves_the_engine_ready_and_is_told(following, telemetry, publish, tmp_path, caplog):
    publish()
    following.look()
    (tmp_path / "models" / "m" / str(publish()) / "weights.safetensors").write_bytes(b"half")
    with caplog.at_level(logging.ERROR):
        following.look()
    ready, page = telemetry.health.ready()
    assert ready
    assert page["conditions"]["model"]["detail"].startswith(
        "m version 1 stays in use; not adopted: version 2 of m is half"
    )
    assert "model not adopted: version 2 of m is half-written" in caplog.text
    assert telemetry.metrics.registry.get_sample_value("driftline_model_swaps_total", {"outcome": "refused"}) == 1
    publish()
    following.look()
    assert telemetry.health.conditions()["model"].detail == "m version 3 is in service"


def test_the_version_in_service_is_told_though_no_window_is_scored(following, telemetry, publish):
    for version in (1, 2):
        assert publish() == version
        following.look()
        assert telemetry.metrics.registry.get_sample_value("driftline_model_version", {"model": "m"}) == version


def test_a_version_that_was_taken_back_before_this_start_does_not_serve(following, telemetry, publish, tmp_path):
    publish(), publish()
    (tmp_path / "recovery").mkdir()
    (tmp_path / "recovery" / "passed-over.json").write_text('{"model": "m", "version": 2, "instead": 1}')
    restarted = follower(following_settings(tmp_path), {}, telemetry)
    assert restarted.look()
    assert restarted.get().version == 1
    assert telemetry.health.conditions()["model"].detail == "m version 1 is in service"


def test_a_version_of_another_kind_of_windows_is_not_adopted(following, telemetry, publish, caplog):
    publish()
    following.look()
    publish(**{"window.kind": '"sliding"'})
    with caplog.at_level(logging.ERROR):
        following.look()
    assert telemetry.health.conditions()["model"].detail == (
        "m version 1 stays in use; not adopted: m version 2 does not fit the settings: "
        'window.kind is "session", and the model was trained with "sliding"'
    )


def test_a_region_serves_a_version_with_its_own_threshold(following, publish, tmp_path):
    publish(thresholds={"eu": 0.25, "us": 0.75})
    following.look()
    serving = following.get()
    assert (serving.threshold, serving.fitted.value) == (0.25, 0.25)
    settings = following_settings(tmp_path)
    assert "threshold 0.25," in describe_current(settings.scoring, settings)
    assert "threshold 0.5," in describe_current(settings.scoring)


def test_weights_beyond_the_setting_are_refused_by_their_size(telemetry, publish, tmp_path):
    publish()
    settings = following_settings(tmp_path)
    model = settings.scoring.model_copy(update={"max_weights_bytes": 10})
    following = follower(settings.model_copy(update={"model": model}), {}, telemetry)
    following.look()
    (wrong,) = telemetry.health.ready()[1]["wrong"]
    assert wrong.startswith("model: version 1 of m is too large: ")
    assert wrong.endswith("allowed are 10")
    with pytest.raises(ModelStoreError, match="is too large"):
        describe_current(model, settings)


def test_other_settings_of_the_training_are_a_warning(following, publish, caplog, tmp_path):
    settings = following_settings(tmp_path)
    trained = described(settings.parse, settings.window)
    publish(**trained)
    following.look()
    assert not caplog.records
    assert describe_current(settings.scoring, settings).endswith("verified")
    publish(**{**trained, "parse.templates.similarity": "0.7", "parse.format": '"hdfs"'})
    following.look()
    warning = "parse.templates.similarity is 0.4, and the model was trained with 0.7, so its scores may not fit"
    assert [record.getMessage() for record in caplog.records] == [f"m version 2: {warning}"]
    assert describe_current(settings.scoring, settings).endswith(f"verified; {warning}")


def test_other_settings_of_a_line_classifiers_training_are_a_warning(telemetry, caplog, tmp_path):
    settings = following_settings(tmp_path).model_copy(update={"classify": ClassifySettings(name="kinds")})
    following = classifier_follower(settings.classify, settings, telemetry)
    trained = described_lines(settings.parse)
    rules, store = build("rules"), ModelStore(tmp_path / "models")
    for preprocessing in ({}, trained):
        store.publish("kinds", rules, ModelNotes(preprocessing=preprocessing))
        following.look()
        assert not caplog.records
        assert describe_classifier(settings).endswith(": rules, verified")
    masks = '[{"name": "ID", "pattern": "id=[0-9]+"}]'
    store.publish("kinds", rules, ModelNotes(preprocessing={**trained, "parse.templates.masks": masks}))
    following.look()
    warning = (
        f"parse.templates.masks is another value, and the model was trained with {masks}, so its classes may not fit"
    )
    assert [record.getMessage() for record in caplog.records] == [f"kinds version 3: {warning}"]
    assert describe_classifier(settings).endswith(f"verified; {warning}")
