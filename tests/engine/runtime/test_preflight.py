import socket

import pytest

from connectors.memory import PAUSE, MemorySource
from engine.runtime import preflight as check
from engine.runtime.preflight import preflight
from engine.settings import from_mapping
from engine.steps.silences import add_silence
from models.base import Windows
from models.classify.registry import build
from models.detectors.event_counts import EventCounts, EventCountsSettings
from models.storage.store import ModelNotes, ModelStore, Notes
from models.thresholds.base import Threshold

LINE = (
    "081109 203615 148 INFO dfs.DataNode$PacketResponder: PacketResponder 1 for block blk_38865049064139660 terminating"
)


@pytest.fixture
def store(tmp_path):
    detector = EventCounts(EventCountsSettings())
    detector.fit(Windows.of([[1, 2, 3], [1, 2, 2, 3]]), None, {1: "a", 2: "b", 3: "c"})
    ModelStore(tmp_path / "models").publish("m", detector, Notes(threshold=Threshold(rule="percentile", value=0.5)))
    return tmp_path / "models"


@pytest.fixture
def findings(tmp_path, store):
    """What preflight finds, by name, for good settings with sections replaced."""

    def look(**sections):
        base = {
            "region": "eu",
            "source": {"type": "memory", "lines": [LINE, LINE]},
            "parse": {"format": "hdfs"},
            "window": {"kind": "session"},
            "model": {"store": str(store), "name": "m"},
            "sinks": [{"type": "memory"}],
            "dead_letters": {"type": "jsonl", "path": str(tmp_path / "dead.jsonl")},
            "recovery": {"path": str(tmp_path / "new" / "recovery")},
            "telemetry": {"port": 0},
        }
        return {f.name: f for f in preflight(from_mapping({**base, **sections}, "here"))}

    return look


def failing(findings):
    return [f.name for f in findings.values() if not f.ok]


def test_everything_that_the_engine_needs_is_tried_once(findings):
    found = findings()
    assert failing(found) == []
    assert list(found) == [
        "source", "format", "sink 0 (memory)", "dead letters (jsonl)", "model", "recovery", "endpoints",
    ]  # fmt: skip
    assert found["source"].detail == "memory: 1 to read (memory/0)"
    assert found["format"].detail == "hdfs: 2 of 2 sampled lines parse"
    assert "m version 1" in found["model"].detail


def test_patterns_of_the_settings_are_tried_on_lines_made_to_be_slow(findings):
    mask = {"pattern": "sess=[a-z]{1,64}", "name": "S"}
    found = findings(parse={"format": "hdfs", "templates": {"masks": [mask]}}, alert={"redact": [r"token=\S+"]})
    assert found["patterns"].detail == "2 regular expressions take linear time"
    rules = [{"name": "r", "template": "[a-z]+@[a-z]+"}]
    found = findings(alert={"redact": [r"token=\S+"]}, decide={"suppress": rules})
    assert failing(found) == ["patterns"]
    assert found["patterns"].detail.startswith("decide.suppress: '[a-z]+@[a-z]+' takes ")
    assert "that repeat 'a'" in found["patterns"].detail
    assert found["patterns"].detail.endswith("begin it with \\b, or bound a repetition, such as {1,64}")


def test_patterns_in_files_that_the_settings_name_are_tried_too(findings, tmp_path):
    silences, rules = tmp_path / "silences.json", tmp_path / "rules.toml"
    add_silence(silences, {"session": "[a-z]+@[a-z]+"}, "")
    rules.write_text("[[rule]]\nname='r'\nclass='hardware_issue'\npattern='[0-9]+-[0-9]+x'\nconfidence=0.9\n")
    ModelStore(tmp_path / "models").publish("kinds", build("rules", {"file": str(rules)}), ModelNotes())
    found = findings(decide={"silences": str(silences)}, classify={"name": "kinds"})
    assert failing(found) == ["patterns"]
    for start in ("decide.silences: '[a-z]+@[a-z]+' takes ", "classify: '[0-9]+-[0-9]+x' takes "):
        assert start in found["patterns"].detail
    silences.write_text("not JSON")
    assert "silences.json: the file: " in findings(decide={"silences": str(silences)})["patterns"].detail
    training = {"path": str(tmp_path / "training.db"), "rules": [r"disk \w+ failed"]}
    assert findings(training=training)["patterns"].detail == "1 regular expressions take linear time"


def test_nothing_is_left_behind_where_the_engine_will_write(findings, tmp_path):
    findings()
    assert not (tmp_path / "new").exists()


def test_an_endpoint_that_is_switched_off_is_not_tried(findings):
    assert "endpoints" not in findings(telemetry={"serve": False})


def test_a_fault_in_one_part_does_not_keep_the_others_from_being_tried(findings, tmp_path):
    found = findings(
        source={"type": "file", "paths": [str(tmp_path / "none" / "*.log")]},
        model={"store": str(tmp_path / "empty"), "name": "m"},
    )
    assert failing(found) == ["source", "format", "model"]
    assert found["recovery"].ok


def test_a_wrong_format_is_told_with_the_first_reason(findings):
    found = findings(source={"type": "memory", "lines": ["this is", "no such log"]})
    assert failing(found) == ["format"]
    assert found["format"].detail.startswith("parse.format: none of 2 sampled lines parses; first that does not: ")


def test_a_few_bad_lines_are_told_and_no_fault(findings):
    found = findings(source={"type": "memory", "lines": [LINE, "bad"]})
    assert found["format"].ok
    assert found["format"].detail.startswith("hdfs: 1 of 2 sampled lines parse; first that does not: ")


def test_lines_that_need_a_moment_and_come_through_another_partition_are_tried(findings, monkeypatch):
    source = MemorySource({"t/0": [], "t/1": [PAUSE] * 25 + [LINE.encode()]})
    monkeypatch.setattr(check, "build_source", lambda settings: source)
    assert findings()["format"].detail == "hdfs: 1 of 1 sampled lines parse"


def test_a_source_without_lines_is_no_fault_of_the_format(findings):
    found = findings(source={"type": "memory", "lines": []})
    assert found["format"].ok
    assert "could not be tried" in found["format"].detail


def test_a_sink_that_cannot_be_written_is_a_clear_sentence(findings, tmp_path):
    (tmp_path / "file").write_text("")
    found = findings(sinks=[{"type": "memory"}, {"type": "jsonl", "path": str(tmp_path / "file" / "alerts.jsonl")}])
    assert failing(found) == ["sink 1 (jsonl)"]
    assert "alerts.jsonl" in found["sink 1 (jsonl)"].detail


@pytest.mark.parametrize(("keep", "words"), [(4, "has 4 bytes"), (None, "sha256")])
def test_a_damaged_model_is_found(findings, store, keep, words):
    weights = store / "m" / "1" / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[::-1][:keep])
    found = findings()
    assert failing(found) == ["model"]
    assert words in found["model"].detail


def test_a_recovery_path_that_is_no_folder_is_a_clear_sentence(findings, tmp_path):
    (tmp_path / "file").write_text("")
    found = findings(recovery={"path": str(tmp_path / "file" / "recovery")})
    assert failing(found) == ["recovery"]
    assert found["recovery"].detail == f"recovery.path: {tmp_path / 'file'} is not a folder"


def test_a_port_in_use_is_a_clear_sentence(findings):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        found = findings(telemetry={"port": port})
    assert failing(found) == ["endpoints"]
    assert str(port) in found["endpoints"].detail


def test_a_gap_other_than_that_of_the_training_is_named(findings, store):
    detector = EventCounts(EventCountsSettings())
    detector.fit(Windows.of([[1, 2, 3], [1, 2, 2, 3]]), None, {1: "a", 2: "b", 3: "c"})
    notes = Notes(threshold=Threshold(rule="percentile", value=0.5), data={"gap_s": 7200.0})
    ModelStore(store).publish("m", detector, notes)
    assert "gap" not in findings()["model"].detail
    assert "gap" not in findings(window={"kind": "session", "gap_s": 7200})["model"].detail
    other = findings(window={"kind": "session", "gap_s": 60})["model"]
    assert other.ok
    assert "gap_s = 60 is set, but the model was trained on sessions with a gap of 7200 s" in other.detail
