import lzma

import numpy as np
import pytest

from bench.harness import SCENARIOS, BenchError, Run, SettingError
from bench.scenarios import classification
from bench.scenarios.classification import (
    LOOKUP,
    VARIANTS,
    classify_lines,
    classify_seven_source,
    classify_seven_template,
)
from bench.scenarios.classification import classify_seven_random as at_random
from engine.corpus.catalogue import SEVEN_CLASS
from models.classify.base import CLASSES
from models.classify.checks import make_workload
from models.classify.registry import CLASSIFIERS


@pytest.fixture(autouse=True)
def small_set(tmp_path, monkeypatch):
    made = make_workload(count=280)
    rows = ["source,line,template,content,label"]
    for i, (template, message, label) in enumerate(
        zip(made.lines.templates, made.lines.messages, made.labels, strict=True)
    ):
        rows.append(f'{"AB"[i % 2]},{i},"{template} {i % 5}","{message} {i % 5}",{CLASSES[label]}')
    file = tmp_path / SEVEN_CLASS.files[0]
    file.parent.mkdir()
    file.write_bytes(lzma.compress("\n".join(rows).encode()))
    monkeypatch.setenv("DRIFTLINE_DATA_DIR", str(tmp_path))
    monkeypatch.setitem(VARIANTS, "forest", ("random_forest", {"encoder": "hashing:16", "trees": 4, "candidates": 0}))
    classification.seven_class.cache_clear()
    yield
    classification.seven_class.cache_clear()


def test_every_classifier_is_measured():
    assert {name for name, _ in VARIANTS.values()} == set(CLASSIFIERS)
    assert {s for s in SCENARIOS if s.startswith("classify-")} == {
        "classify-seven-random", "classify-seven-template", "classify-seven-source", "classify-lines",
    }  # fmt: skip


@pytest.mark.parametrize("scenario", [at_random, classify_seven_template, classify_seven_source])
def test_figures_of_a_split(scenario):
    run = Run(overrides={"classifiers": "rules,forest"})
    outcome = scenario(run)
    for name in ("rules", "forest"):
        assert 0 <= outcome.metrics[f"{name}.macro_f1"] <= 1
        assert 0 <= outcome.metrics[f"{name}.accuracy"] <= 1
        cells = sum(v for k, v in outcome.metrics.items() if k.startswith(f"{name}.confusion."))
        assert cells == sum(v for k, v in outcome.peers[LOOKUP].items() if k.startswith("confusion."))
    assert run.settings["labels"] == "weak"


def test_memory_knows_no_new_template():
    lookup = classify_seven_template(Run(overrides={"classifiers": "rules"})).peers[LOOKUP]
    given = {k.rpartition(".")[2] for k in lookup if k.startswith("confusion.")}
    assert given == {"normal"}
    assert at_random(Run(overrides={"classifiers": "rules", "seeds": "1"})).peers[LOOKUP]["accuracy"] > 0.7


def test_no_template_of_a_left_out_source_is_trained_on(monkeypatch):
    seen = []
    monkeypatch.setattr(
        classification, "_measure", lambda tally, name, data, trial, candidates: seen.append((data, trial))
    )
    monkeypatch.setattr(classification.ClassifierTally, "figures", lambda self, each: {})
    classify_seven_source(Run(overrides={"classifiers": "rules"}))
    assert [trial.name for _, trial in seen] == ["A", "B"]
    for data, trial in seen:
        learnt = {data.lines.templates[i] for i in np.flatnonzero(trial.learn)}
        assert not learnt & {data.lines.templates[i] for i in np.flatnonzero(trial.test)}


def test_speeds(monkeypatch):
    monkeypatch.setattr(classification, "REPEATS", 2)
    metrics = classify_lines(Run(overrides={"classifiers": "rules,forest", "labels": "weak"})).metrics
    assert metrics["train_s"] == metrics["rules.train_s"] + metrics["forest.train_s"]
    for name in ("rules", "forest"):
        assert metrics[f"{name}.cached_lines_per_s"] > metrics[f"{name}.uncached_lines_per_s"] > 0


def test_what_is_unknown_is_told(monkeypatch):
    with pytest.raises(SettingError, match="oracle is not among"):
        at_random(Run(overrides={"classifiers": "oracle"}))
    with pytest.raises(SettingError, match="labels=golden"):
        at_random(Run(overrides={"labels": "golden"}))
    classification.seven_class.cache_clear()
    monkeypatch.delenv("DRIFTLINE_DATA_DIR")
    with pytest.raises(BenchError, match="seven_class"):
        at_random(Run())
