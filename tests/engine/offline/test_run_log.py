from datetime import UTC, datetime

import pytest

from engine.offline.evaluation_report import EvaluationError
from engine.offline.run_log import RunFolder, compare, new_id


def test_a_run_is_read_back_as_it_was_written(run, tmp_path):
    folder = RunFolder(tmp_path / "runs")
    folder.check()
    first, second = run("20240501T000000Z-a-0001"), run("20240502T000000Z-b-0002")
    folder.record(second, {})
    assert folder.record(first, {"curves.png": b"png"}) == str(tmp_path / "runs" / first.id)
    assert folder.all() == [first, second]
    assert (tmp_path / "runs" / first.id / "curves.png").read_bytes() == b"png"
    assert sorted(p.name for p in (tmp_path / "runs").iterdir()) == [first.id, second.id]


def test_a_run_is_found_by_its_id_or_a_part_of_it(run, tmp_path):
    folder = RunFolder(tmp_path)
    runs = [run("20240501T000000Z-a-0001"), run("20240502T000000Z-b-0002")]
    for each in runs:
        folder.record(each, {})
    assert folder.get(runs[0].id) == folder.get("0001") == folder.get("20240501") == runs[0]
    with pytest.raises(EvaluationError, match=r"more than one run in .* is called '2024'; there are "):
        folder.get("2024")
    with pytest.raises(EvaluationError, match=r"no run in .* is called 'x'; there are 20240501T000000Z-a-0001, "):
        folder.get("x")


def test_a_run_that_is_there_already_is_not_overwritten(run, tmp_path):
    folder = RunFolder(tmp_path)
    folder.record(run(), {"a": b"1"})
    with pytest.raises(EvaluationError, match="cannot be written"):
        folder.record(run(), {"a": b"2"})
    assert (tmp_path / run().id / "a").read_bytes() == b"1"
    assert [p.name for p in tmp_path.iterdir()] == [run().id]


def test_ids_sort_by_time_and_differ():
    early, late = (new_id("d", datetime(2024, 5, day, tzinfo=UTC)) for day in (1, 2))
    assert early.startswith("20240501T000000Z-d-")
    assert early < late
    assert len({new_id("d", datetime(2024, 5, 1, tzinfo=UTC)) for _ in range(20)}) > 1


def test_comparison_keeps_what_differs(run):
    other = run("20240502T000000Z-b-0002", seed=2, settings={"filters": 8, "training": {"epochs": 9}}, metrics={})
    rows = compare([run(), other])
    assert rows["settings"] == {"seed": ["1", "2"], "training.epochs": ["3", "9"]}
    assert rows["figures"] == {"validation.f1": [0.5, None], "threshold": [0.5, 0.5], "train_s": [1.5, 1.5]}
