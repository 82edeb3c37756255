import pytest

from engine.offline.run_log import RunFolder
from engine.parsing.parse_settings import ParseSettings
from engine.steps.preprocessing import described_lines
from models.base import ModelStoreError
from models.classify.base import CLASSES
from models.classify.checks import make_workload
from models.storage.store import ModelStore


@pytest.fixture
def lines(tmp_path):
    made = make_workload()
    rows = [
        f'"{m}","{t}",{CLASSES[k]}'
        for m, t, k in zip(made.lines.messages, made.lines.templates, made.labels, strict=True)
    ]
    file = tmp_path / "lines.csv"
    file.write_text("\n".join(["message,template,class", *rows]))
    return file


FOREST = ["--set", "encoder=hashing:16", "--set", "trees=5", "--set", "candidates=0"]


def test_a_line_classifier_is_trained_published_and_logged(driftline, lines, tmp_path):
    place = ["--store", tmp_path / "store", "--runs", tmp_path / "runs"]
    ran = driftline("train", "random_forest", "--data", lines, *place, *FOREST, "--name", "kinds", "--seed", 4)
    assert ran.code == 0, ran.err
    assert "kinds version 1 published" in ran.out
    assert "macro_f1" in ran.out
    stored = ModelStore(tmp_path / "store").load_classifier("kinds", device="cpu")
    assert (stored.card.seed, stored.card.data["source"]) == (4, "lines.csv")
    assert stored.card.preprocessing == described_lines(ParseSettings())
    (run,) = RunFolder(tmp_path / "runs").all()
    assert (run.detector, run.threshold, run.metrics) == ("random_forest", None, stored.card.metrics)
    assert driftline("runs", "list", "--runs", tmp_path / "runs").code == 0
    assert "kinds" in driftline("models", "list", "--store", tmp_path / "store").out
    with pytest.raises(ModelStoreError, match="is a line classifier"):
        ModelStore(tmp_path / "store").card("kinds")


def test_json_is_one_object(driftline, lines, tmp_path):
    place = ["--store", tmp_path / "store", "--runs", tmp_path / "runs"]
    said = driftline("train", "rules", "--data", lines, "--labels", "corrected", *place, "--json").json()
    assert said["data"]["source"] == "lines.csv, labels corrected"
    assert said["metrics"]["validation"]["accuracy"] > 0.5


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["rules", "--window", "sliding", "--folds", 3], "--window, --folds: rules classifies lines"),
        (["random_forest", "--set", "leaves=3"], "settings of random_forest: leaves"),
        (["rules", "--labels", "absent.csv"], "absent.csv: cannot be read"),
    ],
)
def test_what_is_wrong_is_told(driftline, lines, tmp_path, arguments, words):
    ran = driftline("train", *arguments, "--data", lines, "--store", tmp_path / "s", "--runs", tmp_path / "r")
    assert ran.code == 2
    assert words in " ".join(ran.err.replace("\u2502", " ").split())
    assert not (tmp_path / "s").exists()
