import json

import pytest

from engine.offline.run_log import RunFolder
from models.storage.store import ModelStore

CNN = ["--set", "encoder=hashing:32", "--set", "projection=16", "--set", "filters=8", "--set", 'training={"epochs":3}']


def test_training_publishes_and_logs_the_run_with_its_curves(driftline, place):
    runs = RunFolder(place.runs).all()
    assert [run.name for run in runs] == ["bert_cnn", "event_counts"]
    card = ModelStore(place.store).card("bert_cnn")
    (cnn, counts) = runs
    assert (cnn.version, cnn.threshold, cnn.metrics, cnn.data) == (1, card.threshold, card.metrics, card.data)
    assert len(cnn.history) == 4
    assert cnn.settings["filters"] == 8
    assert cnn.settings["dropout"] == card.settings["dropout"]
    assert (place.runs / cnn.id / "curves.png").read_bytes().startswith(b"\x89PNG")
    # Nothing is learnt in epochs there, so there is no curve to draw.
    assert [p.name for p in (place.runs / counts.id).iterdir()] == ["run.json"]


def test_the_table_tells_what_was_trained(driftline, place, tmp_path):
    ran = driftline(
        "train", "bert_cnn", *place.data, "--store", tmp_path / "store", "--runs", tmp_path / "runs", *CNN, "--seed", 3,
        "--name", "mine", "--first", 0.8, "--threshold", "percentile", "--threshold-set", "percent=99",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    assert "mine version 1 published" in ran.out
    assert "run logged: " in ran.out
    assert "was derived from them and is on the card of the model" in " ".join(ran.out.split())
    card = ModelStore(tmp_path / "store").card("mine")
    assert (card.threshold.rule, card.threshold.settings, card.seed) == ("percentile", {"percent": 99.0}, 3)


def test_a_progress_bar_is_shown_but_not_beside_json(driftline, place, tmp_path):
    arguments = ["train", "event_counts", *place.data, "--store", tmp_path / "s", "--runs", tmp_path / "r"]
    assert driftline(*arguments, "--json").err == ""
    assert driftline(*arguments).err != ""


def test_the_server_of_the_runs_may_come_from_the_environment(driftline, place, tmp_path, monkeypatch):
    monkeypatch.setenv("DRIFTLINE_TRACKING_URI", "ftp://x")
    ran = driftline("train", "event_counts", *place.data, "--store", tmp_path / "s", "--runs", tmp_path / "r")
    assert ran.code == 2
    assert "ftp://x is not the address of an MLflow server" in ran.err


def test_json_is_one_object(driftline, place, tmp_path):
    ran = driftline("train", "event_counts", *place.data, "--store", tmp_path / "s", "--runs", tmp_path / "r", "--json")
    said = ran.json()
    assert said["name"] == "event_counts"
    assert said["version"] == 1
    assert json.loads((tmp_path / "r" / said["run"].rpartition("/")[2] / "run.json").read_text())["version"] == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--set", "filters"], "should be key=value"),
        (["--set", "colour=3"], "settings of bert_cnn: colour: unknown key; known keys are"),
        (["--set", "filter=3"], "filter: unknown key (did you mean filters?)"),
        (["--set", "filters=many"], "filters: should be a whole number, got 'many'"),
        (["--threshold-set", "percent=high"], "should be a number"),
        (["--threshold", "magic"], "known are percentile"),
        (["--folds", "1"], "one fold leaves nothing to train on"),
        (
            ["--window", "slidng"],
            "unknown kind of window 'slidng' (did you mean sliding?); known are session, sliding, time",
        ),
        (["--window-set", "gap_s=-1"], "settings of the session window: gap_s: should be greater than 0, got -1"),
        (["--window-set", "gap=3"], "gap: unknown key (did you mean gap_s?)"),
        (["--format", "syslgo"], "unknown format 'syslgo' (did you mean syslog?)"),
        (["--tracking-uri", "ftp://x"], "such as http://127.0.0.1:5000"),
    ],
)
def test_what_cannot_be_used_is_refused_in_words(driftline, place, tmp_path, arguments, words):
    ran = driftline(
        "train", "bert_cnn", *place.data, "--store", tmp_path / "s", "--runs", tmp_path / "r", *CNN, *arguments
    )
    assert ran.code == 2
    assert words in " ".join(ran.err.replace("│", " ").split())
    assert "Traceback" not in ran.err
    assert not list((tmp_path / "s").glob("*/*")) if (tmp_path / "s").exists() else True
    assert not list((tmp_path / "r").glob("*")) if (tmp_path / "r").exists() else True


def test_an_unknown_detector_names_the_known_ones(driftline, place, tmp_path):
    ran = driftline("train", "crystal_ball", *place.data, "--store", tmp_path / "s", "--runs", tmp_path / "r")
    assert ran.code == 2
    assert ran.err.strip().count("\n") == 0
    assert "bert_cnn" in ran.err


def test_runs_that_cannot_be_written_are_refused_before_the_training(driftline, place, tmp_path):
    (tmp_path / "r").write_text("a file")
    ran = driftline("train", "event_counts", *place.data, "--store", tmp_path / "s", "--runs", tmp_path / "r")
    assert ran.code == 2
    assert f"{tmp_path / 'r'} cannot be created" in ran.err
    assert not (tmp_path / "s").exists()
