"""The public Python interface, on data frames of every library it names."""

import doctest
import importlib
import subprocess
import sys

import numpy as np
import pandas
import polars
import pyarrow
import pytest

import driftline
from engine.corpus.simulator import simulate
from engine.offline.datasets import load_windows
from engine.offline.inputs import LogSpec
from engine.steps.parse import ParseSettings
from engine.windows.sessions import SessionWindows
from tests.support.paths import ROOT

LINES = [f"2024-03-10 06:25:0{i},123 - shop - WARNING - order {i} took 3.2 s" for i in range(4)]
TRACE = 'Traceback (most recent call last):\n  File "a.py", line 3, in f\nValueError: no'
SMALL = {"encoder": "hashing:32", "projection": 16, "filters": 8, "training": {"epochs": 4}}


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    """A simulated log of 6,000 lines with anomalous sessions, as a file with labels."""
    made = simulate(6000, seed=5, anomaly_share=0.1)
    folder = tmp_path_factory.mktemp("log")
    (folder / "app.log").write_bytes(made.data)
    rows = "".join(f"{key},{int(bad)}\n" for key, bad in made.labels.items())
    (folder / "labels.csv").write_text("session,label\n" + rows)
    return folder / "app.log", folder / "labels.csv", made.labels


@pytest.fixture(scope="module")
def labelled(log):
    path, labels, _ = log
    return driftline.windows(path, labels=labels, gap_s=86_400)


@pytest.fixture(scope="module")
def model(labelled):
    first, _ = labelled.split(0.6)
    return driftline.train(first, "bert_cnn", settings=SMALL)


@pytest.mark.parametrize("name", [n for n in driftline.__all__ if n not in ("__version__", "DriftlineError")])
def test_every_public_name_is_documented(name):
    assert getattr(driftline, name).__doc__.splitlines()[0].endswith((".", "."))
    assert name in dir(driftline)


@pytest.mark.parametrize("name", ["", "._detection", "._engine", "._lines", "._store", "._windows"])
def test_the_examples_do_what_they_say(name):
    ran = doctest.testmod(importlib.import_module("driftline" + name))
    assert (ran.attempted > 0, ran.failed) == (True, 0)


def test_importing_the_package_loads_nothing_of_the_engine():
    code = "import sys, driftline; print(driftline.__version__, sorted({m.split('.')[0] for m in sys.modules}))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert ran.stdout.startswith(f"{driftline.__version__} ")
    assert not {"engine", "models", "connectors", "federation", "numpy", "pyarrow", "pydantic"} & set(
        ran.stdout.replace("'", " ").replace(",", " ").split()
    )


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'driftline' has no attribute 'pars'"):
        driftline.pars  # noqa: B018


@pytest.mark.parametrize(
    "column",
    [
        LINES,
        tuple(line.encode() for line in LINES),
        (line for line in LINES),
        pandas.Series(LINES),
        pandas.DataFrame({"line": LINES})["line"],
        polars.Series("line", LINES),
        pyarrow.array(LINES),
        pyarrow.chunked_array([LINES[:1], LINES[1:]]),
        pyarrow.table({"line": LINES})["line"],
    ],
    ids=lambda column: type(column).__module__ + "." + type(column).__name__,
)
def test_lines_may_come_in_any_column(column):
    table = driftline.parse(column)
    assert table["message"].to_pylist() == [f"order {i} took 3.2 s" for i in range(4)]
    assert table["level"].to_pylist() == ["warn"] * 4
    assert table["position"].to_pylist() == [0, 1, 2, 3]
    assert str(table["timestamp"][0].as_py().value) == "1710051900123000000"


def test_a_trace_is_part_of_its_record_and_missing_values_are_skipped():
    lines = [LINES[0], None, TRACE, float("nan"), pandas.NA, LINES[1]]
    table = driftline.parse(lines)
    assert table["position"].to_pylist() == [0, 5]
    assert table["message"].to_pylist() == ["order 0 took 3.2 s\n" + TRACE, "order 1 took 3.2 s"]


def test_a_line_of_another_type_is_refused():
    with pytest.raises(driftline.DriftlineError, match="a line is text or bytes, not int: 17"):
        driftline.parse([17])


def test_unknown_options_name_the_nearest():
    with pytest.raises(driftline.DriftlineError, match=r"unknown format 'sylog' \(did you mean syslog\?\)"):
        driftline.parse(LINES, format="sylog")
    with pytest.raises(driftline.DriftlineError, match=r"unknown kind of window 'slide' \(did you mean sliding\?\)"):
        driftline.windows(driftline.parse(LINES), kind="slide")


def test_a_folder_of_files_is_one_table(tmp_path):
    for name, lines in (("b.log", LINES[:1]), ("a.log", LINES[1:])):
        (tmp_path / name).write_text("".join(line + "\n" for line in lines))
    table = driftline.parse(tmp_path)
    assert table["file"].to_pylist() == [str(tmp_path / "a.log")] * 3 + [str(tmp_path / "b.log")]
    assert table["position"].to_pylist() == [0, len(LINES[1]) + 1, 2 * len(LINES[1]) + 2, 0]
    with pytest.raises(driftline.DriftlineError, match=r"none\.log: no such file"):
        driftline.parse(tmp_path / "none.log")


@pytest.mark.parametrize(
    "frame", [lambda t: t, lambda t: t.to_pandas(), polars.from_arrow], ids=["arrow", "pandas", "polars"]
)
def test_windows_of_a_table_are_those_of_its_file(log, labelled, frame):
    path, _, labels = log
    found = driftline.windows(frame(driftline.parse(path)), labels=labels, gap_s=86_400)
    assert found.to_arrow().equals(labelled.to_arrow())
    assert np.array_equal(found.data.windows.ids, labelled.data.windows.ids)


def test_labels_of_records_make_labels_of_windows():
    table = driftline.parse(LINES).append_column("bad", [[False, False, False, True]])
    of_column = driftline.windows(table, kind="sliding", size=2, stride=2, labels="bad")
    of_values = driftline.windows(table, kind="sliding", size=2, stride=2, labels=[0, 0, 0, 1])
    assert of_column.to_arrow()["anomalous"].to_pylist() == [False, True]
    assert of_values.to_arrow().equals(of_column.to_arrow())


def test_files_of_a_table_are_streams_of_their_own(tmp_path):
    for name in ("a.log", "b.log"):
        (tmp_path / name).write_text("".join(line + "\n" for line in LINES))
    found = driftline.windows(driftline.parse(tmp_path), kind="sliding", size=4, stride=4)
    assert found.to_arrow()["lines"].to_pylist() == [4, 4]
    expected = load_windows(
        LogSpec(tmp_path, supervised=False), ParseSettings(format="auto"), SessionWindows(growth=())
    )
    assert driftline.windows(driftline.parse(tmp_path), growth=()).data.keys == expected.keys


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda t: driftline.windows(t.drop(["template"])), "the table has no column template; it has timestamp"),
        (lambda t: driftline.windows(t, labels="bad"), "the table has no column bad; it has timestamp"),
        (lambda t: driftline.windows(t, labels=[True]), "1 labels were given for 4 records"),
        (lambda t: driftline.windows(t, labels=[True, False, None, True]), "a label is true or false, not None"),
        (lambda t: driftline.windows(t, labels={"nobody": True}), "the labels name none of the 1 sessions, such as ''"),
        (lambda t: driftline.windows(t.slice(0, 0)), "0 records gave no window"),
        (lambda t: driftline.windows(17), "a data frame or an Arrow table is expected, not int"),
        (lambda t: driftline.windows(t, gap=3), "gap: unknown key (did you mean gap_s?)"),
        (lambda t: driftline.evaluate(driftline.windows(t), None), "the windows have no labels to compare with"),
        (lambda t: driftline.train(driftline.windows(t)), "bert_cnn learns from labelled windows"),
        (
            lambda t: driftline.train(driftline.windows(t), "bert_cn"),
            "unknown detector 'bert_cn' (did you mean bert_cnn?)",
        ),
    ],
)
def test_input_that_cannot_be_used_is_one_sentence(make, sentence):
    with pytest.raises(driftline.DriftlineError) as raised:
        make(driftline.parse(LINES))
    assert sentence in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_detector_is_trained_scored_and_evaluated(labelled, model):
    first, later = labelled.split(0.6)
    table = driftline.score(later, model)
    assert table.column_names[-2:] == ["score", "alert"]
    assert (table["alert"].to_numpy() == (table["score"].to_numpy() >= np.float32(model.threshold))).all()
    figures = driftline.evaluate(later, model)
    assert figures["units"] == len(set(table["session"].to_pylist()))
    assert figures["roc_auc"] > 0.7
    assert driftline.evaluate(later, driftline.train(first, "event_counts"))["f1"] > 0.9


def test_lines_explain_a_score(labelled, model):
    worst = int(np.argmax(driftline.score(labelled, model)["score"].to_numpy()))
    table = driftline.explain(labelled.take([worst]), model, top=3)
    assert table["window"].to_pylist() == [0, 0, 0]
    assert table["contribution"].to_pylist() == sorted(table["contribution"].to_pylist(), reverse=True)
    assert set(table["template"].to_pylist()) <= set(labelled.templates.values())


def test_a_model_is_published_and_loaded_again(labelled, tmp_path):
    store = driftline.open_store(tmp_path / "store")
    assert store.names() == []
    trained = driftline.train(labelled, "event_counts", store=tmp_path / "store", name="counts")
    driftline.train(labelled, "event_counts", store=tmp_path / "store", name="counts", threshold="iqr")
    assert (store.names(), store.versions("counts"), store.current("counts")) == (["counts"], [1, 2], 2)
    loaded = store.load("counts", 1)
    assert (loaded.version, loaded.threshold, loaded.metrics) == (1, trained.threshold, trained.metrics)
    assert driftline.score(labelled, loaded).equals(driftline.score(labelled, trained))
    assert store.card("counts")["threshold"]["rule"] == "iqr"
    assert store.rollback("counts") == 1
    with pytest.raises(driftline.DriftlineError, match="holds no published model 'nobody'"):
        store.load("nobody")


def test_records_are_classified_and_explained():
    lines = ["Mar 10 06:25:01 web-1 kernel: Out of memory: Killed process 4711 (java)", *LINES]
    table = driftline.classify(pandas.Series(lines), explain=True)
    shares = [name for name in table.column_names if name.startswith("p_")]
    assert len(shares) == 7
    assert np.allclose(sum(table[name].to_numpy() for name in shares), 1, atol=1e-5)
    assert table["class"][0].as_py() == "performance_issue"
    assert "memory" in table["reasons"][0].as_py().lower()
    assert set(driftline.classify(lines)["reasons"].to_pylist()) == {""}


def test_an_engine_is_checked_before_it_runs(tmp_path):
    (tmp_path / "app.log").write_text("".join(line + "\n" for line in LINES))
    file = tmp_path / "region.toml"
    file.write_text(f"""
        region = "here"
        source = {{ type = "file", paths = ["{tmp_path}/app.log"] }}
        parse = {{ format = "auto" }}
        window = {{ kind = "sliding" }}
        model = {{ store = "{tmp_path}/store", name = "nobody" }}
        sinks = [{{ type = "jsonl", path = "{tmp_path}/alerts.jsonl" }}]
        dead_letters = {{ type = "jsonl", path = "{tmp_path}/dead.jsonl" }}
        recovery = {{ path = "{tmp_path}/state" }}
        telemetry = {{ serve = false }}
    """)
    engine = driftline.Engine.from_toml(file)
    assert engine.settings.region == "here"
    findings = {finding.name: finding for finding in engine.check()}
    assert findings["source"].ok
    assert not findings["model"].ok
    file.write_text('regoin = "here"\n')
    with pytest.raises(driftline.DriftlineError, match=r"regoin: unknown key \(did you mean region\?\)"):
        driftline.Engine.from_toml(file)
