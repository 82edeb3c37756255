from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.classify import checks
from models.classify.base import LineClassifier
from models.classify.checks import CHECKS, LineWorkload, fitted
from models.classify.registry import CLASSIFIERS, build
from models.storage.store import ModelStore, ModelStoreError
from models.train_classifier import ClassifierTrainSettings, LabelledLines, train_classifier
from models.training.model_registry import entry
from models.training.splits import by_group
from tests.support.trained import TrainedOnce

TRAINED = TrainedOnce(fitted)
VARIANTS = [
    (name, settings)
    for name in CLASSIFIERS
    for settings in entry(CLASSIFIERS, "line classifier", name).model.check_settings
]


@pytest.fixture(params=VARIANTS, ids=lambda v: v[0] + "-" + "-".join(map(str, v[1].values()))[:60])
def variant(request: pytest.FixtureRequest, small_bert: Path) -> tuple[str, Mapping[str, Any]]:
    name, settings = request.param
    fields = entry(CLASSIFIERS, "line classifier", name).settings.model_fields
    return name, ({"encoder": str(small_bert), **settings} if "encoder" in fields else settings)


def maker(variant: tuple[str, Mapping[str, Any]]) -> Callable[[], LineClassifier]:
    return lambda: build(*variant, device="cpu")


@pytest.mark.parametrize("check", CHECKS, ids=lambda c: c.__name__)
def test_check(
    check: Callable[..., None], variant: tuple[str, Mapping[str, Any]], workload: LineWorkload,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(checks, "fitted", TRAINED.of(str(variant), check))
    check(maker(variant), workload)


def test_publish_and_load(variant: tuple[str, Mapping[str, Any]], workload: LineWorkload, tmp_path) -> None:
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
