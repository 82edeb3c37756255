import numpy as np
import pytest

from engine.offline.datasets import LabelledWindows
from engine.offline.detect import ScoredLog
from engine.offline.inputs import sha256
from models.base import Windows


def test_figures_at_the_threshold_of_the_card(judged):
    found = judged([0.9, 0.5, 0.4, 0.1], [True, False, True, False])
    figures = found.figures()
    assert (figures["precision"], figures["recall"], figures["f1"], figures["accuracy"]) == (0.5, 0.5, 0.5, 0.5)
    assert found.called.tolist() == [True, True, False, False]
    assert found.title == "m v1"


def test_the_interval_holds_f1_and_shrinks_with_the_number_of_units(judged):
    scores, labels = [0.9, 0.8, 0.6, 0.4, 0.1, 0.1], [True, True, False, True, False, False]
    few, many = judged(scores * 10, labels * 10), judged(scores * 1000, labels * 1000)
    for found in (few, many):
        low, high = found.f1_interval()
        assert low < found.confusion().f1 < high
        assert found.f1_interval() == (low, high)
    assert np.diff(many.f1_interval()) < np.diff(few.f1_interval()) / 5


@pytest.mark.parametrize(("scores", "expected"), [([0.9, 0.1], (1.0, 1.0)), ([0.1, 0.9], (0.0, 0.0))])
def test_the_interval_at_the_ends(judged, scores, expected):
    assert judged(scores * 50, [True, False] * 50).f1_interval() == expected


def test_the_floor_is_told_in_both_cases(judged, evaluation):
    good, bad = ([0.9, 0.1], [True, False]), ([0.1, 0.9], [True, False])
    floor = {"name": "counts", "detector": "event_counts"}
    assert "m v1 beats the floor counts v1" in evaluation(judged(*good), judged(*bad, **floor)).floor()
    assert "m v1 does not beat the floor counts v1" in evaluation(judged(*good), judged(*good, **floor)).floor()
    assert evaluation(judged(*good), judged(*bad)).floor() == ""
    assert evaluation(judged(*good, **floor), judged(*bad, **floor)).floor() == ""


def test_the_protocol_says_what_is_judged(judged, evaluation):
    by_session = evaluation(judged([0.1], [False], ["a"]), after=0.25)
    assert by_session.unit == "session"
    assert "those after the first 25% by time; its score is the highest of its windows" in by_session.protocol()
    by_window = evaluation(judged([0.1], [False], [""]))
    assert by_window.unit == "window"
    assert "judged by window, all of them; the threshold" in by_window.protocol()


def test_sha256_is_of_the_bytes(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert sha256([tmp_path / "a"]) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@pytest.fixture
def scored_log(judged):
    def make(keys, scores, labels, times):
        n = len(keys)
        windows = Windows.of([[1] * (i + 1) for i in range(n)])
        time_ns, whole = np.array(times, np.int64), np.zeros(n, bool)
        data = LabelledWindows(windows, np.array(labels, bool), {}, tuple(keys), time_ns, time_ns, whole, n, 0, 0, 0, 0)
        return ScoredLog(data, np.array(scores, np.float32), "m", judged([0.0], [False]).card)

    return make


def test_a_session_has_the_highest_score_of_its_windows_at_the_time_it_first_had_it(scored_log):
    log = scored_log("abaab", [0.2, 0.1, 0.7, 0.7, 0.3], [0, 0, 1, 0, 0], [10, 20, 30, 40, 50])
    units = log.units()
    assert units.keys == ("a", "b")
    assert units.scores.tolist() == pytest.approx([0.7, 0.3])
    assert units.labels.tolist() == [True, False]
    assert units.time_ns.tolist() == [30, 50]
    assert units.lines.tolist() == [4, 5]
    assert [a.tolist() for a in log.by_session()] == [units.scores.tolist(), units.labels.tolist()]


def test_windows_without_a_key_stand_for_themselves(scored_log):
    units = scored_log(["", ""], [0.2, 0.1], [1, 0], [10, 20]).units()
    assert units.scores.tolist() == pytest.approx([0.2, 0.1])
    assert units.lines.tolist() == [1, 2]
