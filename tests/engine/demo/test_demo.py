"""The demonstration: its parts on made data, and the whole on a small simulated log."""

import json
from pathlib import Path

import pytest

from engine.corpus.simulator import simulate
from engine.demo import run as demo_run
from engine.demo.log import DemoLog, closing_line, cut
from engine.demo.report import Judgement, judge
from engine.demo.view import Reading, View

LINES = [f"081109 20353{i} 1 INFO a.B: x blk_{b}".encode() for i, b in enumerate([1, 2, 1, 3, 2, 4])]


def test_sessions_across_the_cut_are_judged_nowhere():
    parts = cut(DemoLog("made", LINES, {"blk_1": True, "blk_2": False, "blk_3": True, "blk_4": False}), 0.5)
    assert parts.train == LINES[:3]
    assert parts.stream == LINES[3:]
    assert parts.train_labels == {"blk_1": True}
    assert parts.stream_labels == {"blk_3": True, "blk_4": False}


def test_the_closing_line_lies_past_the_gap():
    assert closing_line(LINES[0], 43_200).startswith(b"081110 083531 ")


def test_judging_counts_sessions_not_alerts():
    verdict = judge({"a", "b", "x"}, {"a": True, "b": False, "c": True, "d": False})
    assert verdict == Judgement(1, 1, 1, 4, 1)
    assert (verdict.precision, verdict.recall, verdict.f1) == (0.5, 0.5, 0.5)
    assert judge(set(), {"a": True}).f1 == 0.0


def test_the_view_interpolates_p99_and_shows_rates():
    reading = Reading({"driftline_lines_total": 10.0}, {0.1: 98.0, 0.2: 100.0, float("inf"): 100.0})
    assert reading.p99_ms() == pytest.approx(150.0)
    assert Reading().p99_ms() is None
    view = View(100)
    view.update(1.0, Reading({"driftline_lines_total": 10.0}))
    view.update(3.0, Reading({"driftline_lines_total": 50.0}))
    assert "20/s" in [cell for column in view.table("t").columns for cell in column.cells]
    assert not view.done(Reading({"driftline_lines_total": 100.0, "driftline_open_sessions": 5.0}))
    assert view.done(Reading({"driftline_lines_total": 100.0, "driftline_open_sessions": 1.0}))


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
