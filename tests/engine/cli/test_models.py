import shutil

import pytest

from models.storage.store import ModelStore


@pytest.fixture
def store(place, tmp_path):
    """A copy of the store that a test may add to."""
    shutil.copytree(place.store, tmp_path / "store")
    return tmp_path / "store"


def test_list_and_show(driftline, store):
    rows = driftline("models", "list", "--store", store, "--json").json()
    assert [(r["name"], r["version"], r["current"]) for r in rows] == [("bert_cnn", 1, True), ("event_counts", 1, True)]
    table = driftline("models", "list", "--store", store)
    assert table.code == 0
    assert "bert_cnn" in table.out
    assert "all" in table.out.splitlines()[-2], "no region keeps another version"
    card = driftline("models", "show", "bert_cnn", "--store", store).json()
    assert card["weights_sha256"] == ModelStore(store).card("bert_cnn").weights_sha256


def test_recalibrating_changes_the_threshold_and_nothing_else(driftline, place, store):
    ran = driftline(
        "models", "recalibrate", "bert_cnn", "--data", place.log, "--store", store, "--threshold", "percentile",
        "--threshold-set", "percent=90", "--json",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    opened = ModelStore(store)
    old, new = opened.card("bert_cnn", 1), opened.card("bert_cnn")
    assert ran.json()["version"] == new.version == 2
    assert new.parent == 1
    assert (new.threshold.rule, new.threshold.settings) == ("percentile", {"percent": 90.0})
    assert new.threshold.fitted_on > 0
    assert new.weights_sha256 == old.weights_sha256
    same = {"detector", "settings", "extra", "metrics", "seed", "round", "participants", "epsilon", "delta"}
    assert new.model_dump(include=same) == old.model_dump(include=same)
    assert new.data == {**old.data, "recalibrated_on": "app.log", "recalibrated_from": 1}
    # The share of windows that reach the threshold is what was asked for.
    scored = driftline("score", place.log, "--store", store, "--keep-cut", "--json").out.splitlines()
    assert 0.05 < sum('"anomalous":true' in line for line in scored) / len(scored) < 0.15


def test_recalibrating_with_labels_reports_figures_and_keeps_the_rule(driftline, place, store):
    before = ModelStore(store).card("bert_cnn").threshold
    ran = driftline("models", "recalibrate", "bert_cnn", *place.data, "--store", store)
    assert ran.code == 0, ran.err
    assert "bert_cnn version 2 is version 1 with the threshold" in ran.out
    assert "precision" in ran.out
    card = ModelStore(store).card("bert_cnn")
    assert card.threshold.rule == before.rule == "best_f1"
    assert set(card.metrics) == {"validation", "recalibration"}
    assert driftline("models", "rollback", "bert_cnn", "--store", store).out == "bert_cnn is at version 1 now\n"
    assert ModelStore(store).card("bert_cnn").threshold == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["bert_cnn", "--threshold", "magic"], "unknown threshold rule 'magic'; known are percentile"),
        (
            ["bert_cnn", "--threshold", "iqr", "--threshold-set", "percent=1"],
            "setting of the threshold rule iqr: 'percent'",
        ),
        (["nobody"], "holds no published model 'nobody'; it holds bert_cnn, event_counts"),
        (["bert_cnn", "--version", "9"], "version 9 of bert_cnn is missing or half-written"),
    ],
)
def test_what_cannot_be_recalibrated_is_told(driftline, place, store, arguments, words):
    ran = driftline("models", "recalibrate", *arguments, "--data", place.log, "--store", store)
    assert ran.code == 2
    assert words in ran.err
    assert ran.err.strip().count("\n") == 0
    assert ModelStore(store).versions("bert_cnn") == [1]


def test_what_is_not_in_the_store_is_told(driftline, store, tmp_path):
    for command in ("show", "rollback"):
        ran = driftline("models", command, "nobody", "--store", store)
        assert ran.code == 2
        assert "nobody" in ran.err
    assert driftline("models", "rollback", "bert_cnn", "--store", store).err == (
        "driftline: bert_cnn has no version before 1 to go back to\n"
    )
    assert driftline("models", "list", "--store", tmp_path / "empty", "--json").json() == []
