import numpy as np
import pytest

from bench.data.detection_data import Labelled
from bench.harness import Run, find_scenario
from bench.scenarios import label_queries
from bench.scenarios.label_queries import CHOICES, SETS, ask_chosen, ask_everything, ask_labels, ask_random
from models.base import Windows, template_id

TEXTS = {template_id(text): text for text in ("start", "stop", "read <NUM>", "write <NUM>", "error <NUM>")}
START, STOP, READ, WRITE, ERROR = TEXTS


@pytest.fixture
def data() -> Labelled:
    rng = np.random.default_rng(0)
    rows = [[START, *[READ] * int(k), *[WRITE] * int(m), STOP] for k, m in rng.integers(0, 3, (300, 2))]
    rows += [[START, *[READ] * int(k), ERROR] for k in rng.integers(0, 3, 12)]
    order = rng.permutation(len(rows))
    labels = (np.arange(len(rows)) >= 300)[order]
    return Labelled(Windows.of([rows[i] for i in order]), labels, TEXTS, np.zeros(len(rows), np.int64))


@pytest.mark.parametrize("choice", CHOICES)
def test_a_budget_labels_whole_kinds_with_their_true_labels(data, choice):
    oracle = CHOICES[choice](data, 6, 0)
    assert oracle.asked <= 6 or choice == "all_labels"
    assert (oracle.labels[oracle.known] == data.labels[oracle.known]).all()
    kinds = {tuple(sorted(data.windows.row(i).tolist())) for i in np.flatnonzero(oracle.known)}
    others = {tuple(sorted(data.windows.row(i).tolist())) for i in np.flatnonzero(~oracle.known)}
    assert kinds
    assert not kinds & others


def test_chosen_labels_are_of_more_kinds_than_random_ones(data):
    chosen, chance = ask_chosen(data, 8, 0), ask_random(data, 8, 0)
    assert chosen.known.sum() > chance.known.sum()
    assert chosen.labels.any()
    assert ask_everything(data, 8, 0).known.all()


def test_the_scenario_compares_the_choices_on_every_set(monkeypatch, data):
    half = np.arange(len(data.labels)) % 2 == 0
    split = data.take(np.flatnonzero(half)), data.take(np.flatnonzero(~half))
    monkeypatch.setattr(label_queries, "SETS", dict.fromkeys(SETS, lambda seed: split))
    outcome = ask_labels(Run(overrides={"share": "0.1", "seeds": "1"}))
    assert set(outcome.peers) == {"random", "all_labels"}
    assert outcome.metrics["mean_f1"] >= outcome.peers["random"]["mean_f1"]
    assert outcome.peers["all_labels"]["mean_f1"] == 1
    assert {f"{name}.answers" for name in SETS} < set(outcome.metrics)
    assert set(find_scenario("ask-labels").targets) <= set(outcome.metrics)
