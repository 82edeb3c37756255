from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.classify.base import LineClassifier
from models.classify.checks import CHECKS, LineWorkload
from models.classify.registry import CLASSIFIERS, build
from models.storage.store import ModelStore, ModelStoreError
from models.train_classifier import ClassifierTrainSettings, LabelledLines, train_classifier
from models.training.splits import by_group

TREES = {"encoder": "hashing:32", "words": 40, "axes": 8}

QUICK = {"epochs": 8, "batch_size": 16, "learning_rate": 0.01}

# Every classifier of the registry appears here with settings that train in well under a second.
VARIANTS: list[tuple[str, dict[str, Any]]] = [
    ("dann_bert", {"encoder": "hashing:32", "features": 16, "training": QUICK}),
    ("dann_bert", {"encoder": "hashing:32", "features": 16, "training": QUICK, "reversal": False}),
    ("dann_bert", {"encoder": "small_bert", "training": QUICK, "trained_layers": 1, "reversal_weight": 0.1}),
    ("hybrid_bert", {"encoder": "hashing:32", "mixed": 16, "training": QUICK}),
    ("hybrid_bert", {"encoder": "hashing:32", "mixed": 16, "training": QUICK, "words": 0}),
    ("lora_bert", {"encoder": "small_bert", "training": QUICK, "head": QUICK}),
    ("lora_bert", {"encoder": "small_bert", "training": QUICK, "head": QUICK, "layers": 1, "most_texts": 20}),
    ("rules", {}),
    ("rules", {"min_confidence": 0.0}),
    ("random_forest", TREES | {"trees": 10, "candidates": 0}),
    ("random_forest", TREES | {"trees": 8, "candidates": 2, "smote_share": 0.0, "axes": 0}),
    ("xgboost", TREES | {"rounds": 6, "candidates": 0, "smote_share": 1.0}),
    ("xgboost", TREES | {"rounds": 5, "candidates": 2, "words": 0, "weight_power": 1.0}),
]


def test_every_classifier_is_checked() -> None:
    assert {name for name, _ in VARIANTS} == set(CLASSIFIERS)


@pytest.fixture(params=VARIANTS, ids=lambda v: v[0] + "-" + "-".join(map(str, v[1].values()))[:60])
def variant(request: pytest.FixtureRequest, small_bert: Path) -> tuple[str, dict[str, Any]]:
    name, settings = request.param
    if settings.get("encoder") == "small_bert":
        settings = settings | {"encoder": str(small_bert)}
    return name, settings


def maker(variant: tuple[str, dict[str, Any]]) -> Callable[[], LineClassifier]:
    return lambda: build(*variant, device="cpu")


@pytest.mark.parametrize("check", CHECKS, ids=lambda c: c.__name__)
def test_check(check: Callable[..., None], variant: tuple[str, dict[str, Any]], workload: LineWorkload) -> None:
    check(maker(variant), workload)


def test_publish_and_load(variant: tuple[str, dict[str, Any]], workload: LineWorkload, tmp_path) -> None:
    data = LabelledLines.of(workload.lines, workload.labels, workload.lines.formats)
    store = ModelStore(tmp_path)
    settings = ClassifierTrainSettings(classifier=variant[0], settings=variant[1], seed=2)
    trained = train_classifier(data, settings, store=store, name="kinds", source="made up", device="cpu")
    assert trained.version == 1
    loaded = store.load_classifier("kinds", device="cpu")
    assert np.array_equal(
        loaded.classifier.probabilities(workload.lines), trained.classifier.probabilities(workload.lines)
    )
    assert loaded.card.data["source"] == "made up"
    assert 0 <= loaded.card.metrics["validation"]["macro_f1"] <= 1
    assert store.verify("kinds").kind == "line_classifier"
    with pytest.raises(ModelStoreError, match="kinds version 1 is a line classifier, not a window detector"):
        store.load("kinds")


def test_held_out_templates_are_never_trained_on(workload: LineWorkload) -> None:
    data = LabelledLines.of(workload.lines, workload.labels)
    kept, held = by_group(data.labels, data.lines.templates, 0.3, seed=1)
    templates = data.lines.templates
    assert len(held)
    assert not {templates[i] for i in kept} & {templates[i] for i in held}
    assert sorted([*kept, *held]) == list(range(len(templates)))
