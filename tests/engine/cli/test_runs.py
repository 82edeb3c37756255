import shutil

from engine.offline.run_log import RunFolder


def test_list_tells_every_run(driftline, place):
    rows = driftline("runs", "list", "--runs", place.runs, "--json").json()
    assert [row["detector"] for row in rows] == ["bert_cnn", "event_counts"]
    table = driftline("runs", "list", "--runs", place.runs)
    assert table.code == 0
    assert all(run.id in table.out for run in RunFolder(place.runs).all())


def test_compare_puts_runs_side_by_side(driftline, place):
    ran = driftline("runs", "compare", "bert_cnn", "event_counts", "--runs", place.runs, "--json")
    said = ran.json()
    assert said["runs"] == [run.id for run in RunFolder(place.runs).all()]
    assert said["settings"]["detector"] == ["bert_cnn", "event_counts"]
    assert said["settings"]["filters"] == ["8", None]
    assert "seed" not in said["settings"]  # equal in both
    assert len(said["figures"]["validation.f1"]) == 2
    table = driftline("runs", "compare", "bert_cnn", "event_counts", "--runs", place.runs)
    assert table.code == 0
    assert "validation.f1" in table.out


def test_what_cannot_be_compared_is_told(driftline, place, tmp_path):
    one = driftline("runs", "compare", "bert_cnn", "--runs", place.runs)
    assert one.code == 2
    assert "at least two runs" in one.err
    unknown = driftline("runs", "compare", "bert_cnn", "nobody", "--runs", place.runs)
    assert unknown.code == 2
    assert "no run in" in unknown.err
    nowhere = driftline("runs", "list", "--runs", tmp_path / "none")
    assert nowhere.code == 2
    assert f"{tmp_path / 'none'} is not a folder of runs" in nowhere.err
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "run.json").write_text("{}")
    broken = driftline("runs", "list", "--runs", tmp_path)
    assert broken.code == 2
    assert f"{tmp_path / 'x' / 'run.json'} is not the log of a run: id: Field required" in broken.err


def test_old_runs_are_deleted(driftline, place, tmp_path):
    copied = shutil.copytree(place.runs, tmp_path / "runs")
    first, second = (run.id for run in RunFolder(copied).all())
    assert driftline("runs", "prune", "--runs", copied, "--keep", "1").out == f"{copied}: deleted {first}\n"
    assert [run.id for run in RunFolder(copied).all()] == [second]
    assert driftline("runs", "prune", "--runs", copied).out == f"{copied}: deleted nothing\n"
