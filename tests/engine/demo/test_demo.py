"""The demonstration: its parts on made data, and the whole on a small simulated log."""

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest

from engine.corpus.simulator import simulate
from engine.demo import run as demo_run
from engine.demo.federated import ROUND_S, WAITED_ROUNDS, Scene, _hold
from engine.demo.fleet import REGIONS, messages, region_of, write_files
from engine.demo.log import DemoLog, closing_line, cut, session_gap_s
from engine.demo.process import Feeder
from engine.demo.report import AlertEvaluation, judge
from engine.demo.view import MetricsReading, View
from engine.settings import CoordinatorSettings, RegionSettings, load_either
from federation.coordinator.records import Round, RoundStep

LINES = [f"081109 20353{i} 1 INFO a.B: x blk_{b}".encode() for i, b in enumerate([1, 2, 1, 3, 2, 4])]


def test_sessions_across_the_cut_are_judged_nowhere():
    parts = cut(DemoLog("made", LINES, {"blk_1": True, "blk_2": False, "blk_3": True, "blk_4": False}), 0.5)
    assert parts.train == LINES[:3]
    assert parts.stream == LINES[3:]
    assert parts.train_labels == {"blk_1": True}
    assert parts.stream_labels == {"blk_3": True, "blk_4": False}


def test_the_closing_line_lies_past_the_gap():
    assert closing_line(LINES[0], 43_200).startswith(b"081110 083531 ")


def test_the_gap_is_longer_than_every_pause_of_a_session():
    assert session_gap_s(LINES, 43_200) == 80  # a minute at least, and a third more
    late = b"081109 213530 1 INFO a.B: x blk_2"
    assert session_gap_s([*LINES, late], 43_200) == (3600 - 4) * 4 // 3
    assert session_gap_s([*LINES, late], 1_000) == 1_000


def test_judging_counts_sessions_not_alerts():
    verdict = judge({"a", "b", "x"}, {"a": True, "b": False, "c": True, "d": False})
    assert verdict == AlertEvaluation(1, 1, 1, 4, 1)
    assert (verdict.precision, verdict.recall, verdict.f1) == (0.5, 0.5, 0.5)
    assert judge(set(), {"a": True}).f1 == 0.0


def test_the_view_interpolates_p99_and_shows_rates():
    reading = MetricsReading({"driftline_lines_total": 10.0}, {0.1: 98.0, 0.2: 100.0, float("inf"): 100.0})
    assert reading.p99_ms() == pytest.approx(150.0)
    assert MetricsReading().p99_ms() is None
    view = View(100)
    view.update(1.0, MetricsReading({"driftline_lines_total": 10.0}))
    view.update(3.0, MetricsReading({"driftline_lines_total": 50.0}))
    assert "20/s" in [cell for column in view.table("t").columns for cell in column.cells]
    assert not view.done(MetricsReading({"driftline_lines_total": 100.0, "driftline_open_sessions": 5.0}))
    assert view.done(MetricsReading({"driftline_lines_total": 100.0, "driftline_open_sessions": 1.0}))


@pytest.mark.process
def test_the_whole_demonstration_on_a_simulated_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    made = simulate(12_000, seed=3, release_at=1.0, anomaly_share=0.1)
    log = DemoLog("simulated", made.data.splitlines(), made.labels)
    monkeypatch.setattr(demo_run, "find_log", lambda console, seed: log)
    assert demo_run.run(tmp_path / "out", first=0.6, seconds=1.0, seed=0) == 0
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["lines_streamed"] == 4_800
    assert report["dead_letters"] == 0
    assert report["alerts"] > 0
    assert report["f1"] > 0.5
    assert all(Path(path).exists() for path in report["files"].values())


def test_only_what_a_demonstration_left_is_removed(tmp_path: Path):
    (tmp_path / "models").mkdir()
    code = tmp_path / "models" / "__init__.py"
    code.touch()
    with pytest.raises(demo_run.DemoError, match="models does not belong to an earlier demonstration"):
        demo_run.clear(tmp_path, demo_run.LEFT)
    assert code.is_file()
    (tmp_path / demo_run.TRAINED_WITH).write_text(demo_run.HEADER)
    (tmp_path / "mine.txt").touch()
    demo_run.clear(tmp_path, demo_run.LEFT)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_every_line_goes_to_its_region_and_every_label_comes_late():
    lines = [b"x blk_1", b"no block", b"x blk_-2", b"y blk_1", *(b"x blk_3" for _ in range(400))]
    sent = messages(lines, {"blk_1": True, "blk_-2": False, "blk_9": True})
    topics = [topic for topic, _ in sent]
    assert sorted(t for t in set(topics)) == sorted({f"logs.{region_of(b)}" for b in (b"1", b"2", b"3")} | {"labels"})
    assert [v for t, v in sent if t == f"logs.{region_of(b'1')}"] == [b"x blk_1", b"y blk_1"]
    assert b"no block" not in [value for _, value in sent]
    labels = [(i, json.loads(v)) for i, (t, v) in enumerate(sent) if t == "labels"]
    assert [label for _, label in labels] == [
        {"session": "blk_-2", "anomalous": False}, {"session": "blk_1", "anomalous": True}
    ]  # fmt: skip
    assert all(i > sent.index((f"logs.{region_of(b'1')}", b"y blk_1")) + 3 for i, _ in labels)


def test_the_files_of_the_fleet_are_accepted(tmp_path: Path):
    write_files(tmp_path, "127.0.0.1:1", 43_200, [9001, 9002, 9003, 9004])
    found = [load_either(tmp_path / f"{name}.toml") for name in (*REGIONS, "coordinator")]
    assert [type(settings) for settings in found] == [RegionSettings] * 3 + [CoordinatorSettings]
    assert {settings.node.superlink for settings in found[:3]} == {"127.0.0.1:9004"}
    assert found[3].superlink.port == 9004


def test_the_stream_waits_from_the_round_to_the_swap():
    feeder = Feeder("127.0.0.1:1", [("t", b"x")] * 10, 1.0)
    feeder.sent = 7
    running = Round("r", "m", 1, "drift", RoundStep.STARTED, 0, number=1)
    scene = Scene(rounds=(running,))
    since = _hold(scene, feeder, 0.0)
    assert feeder.held.is_set()
    assert since > 0
    scene.rounds = (replace(running, step=RoundStep.DONE, published=2, outcome="published"),)
    scene.figures = {region: {"driftline_model_version": 1.0} for region in REGIONS}
    _hold(scene, feeder, since)
    assert feeder.held.is_set()
    assert scene.swapped_at is None
    scene.figures = {region: {"driftline_model_version": 2.0} for region in REGIONS}
    assert _hold(scene, feeder, since) == 0.0
    assert not feeder.held.is_set()
    assert scene.swapped_at == 7
    assert scene.story == ["all engines have version 2 in service"]
    later = replace(running, round_id="later")
    scene.rounds = (later, *scene.rounds)
    feeder.sent = 9
    _hold(scene, feeder, 0.0)
    assert feeder.held.is_set()
    scene.rounds = (replace(later, step=RoundStep.DONE, published=3, outcome="published"), *scene.rounds[1:])
    scene.figures = {region: {"driftline_model_version": 3.0} for region in REGIONS}
    _hold(scene, feeder, 0.0)
    assert (scene.swapped_at, scene.story[-1]) == (7, "all engines have version 3 in service")
    scene.rounds = (later,) * (WAITED_ROUNDS + 1)
    _hold(scene, feeder, 0.0)
    assert not feeder.held.is_set()  # later rounds run next to the stream
    since = time.monotonic() - ROUND_S - 1
    assert _hold(Scene(rounds=(running,)), feeder, since) == since
    assert not feeder.held.is_set()  # it waited long enough


def test_a_broker_that_is_slower_than_the_stream_is_waited_for():
    class Slow:
        def __init__(self):
            self.full, self.taken = 3, []

        def produce(self, topic, value):
            if self.full:
                raise BufferError("Local: Queue full")
            self.taken.append((topic, value))

        def poll(self, seconds):
            self.full -= bool(seconds and self.full)

        def flush(self, seconds):
            return 0

    messages = [("t", b"x"), ("t", b"y")]
    feeder = Feeder("127.0.0.1:1", messages, 0.02)
    feeder._producer = slow = Slow()
    feeder.run()
    assert slow.taken == messages
    assert feeder.finished.is_set()
