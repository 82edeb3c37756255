"""Every line classifier by name."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from models.classify.base import LineClassifier
from models.training.model_registry import build_model

CLASSIFIERS: Mapping[str, str] = {
    "dann_bert": "models.classify.dann_bert:DannBert:DannBertSettings",
    "hybrid_bert": "models.classify.hybrid_bert:HybridBert:HybridBertSettings",
    "lora_bert": "models.classify.lora_bert:LoraBert:LoraBertSettings",
    "random_forest": "models.classify.random_forest:RandomForest:RandomForestSettings",
    "rules": "models.classify.rules:Rules:RulesSettings",
    "xgboost": "models.classify.xgboost:XGBoost:XGBoostSettings",
}
"""Name → `module:Class:Settings`."""


def build(
    name: str, settings: Mapping[str, Any] | None = None, *, device: str = "auto", cache: Path | None = None
) -> LineClassifier:
    """Build a classifier without weights, to be fitted or loaded.

    Args:
        name: A name in `CLASSIFIERS`.
        settings: The classifier's own settings, defaults where absent; the result of its `settings` method.
        device: `auto`, `cpu`, `cuda` or `cuda:N`; classifiers without a network use it for the encoder only.
        cache: Folder for encoded texts; None keeps them in memory only.

    Raises:
        ModelSettingsError: the classifier, a setting, a value or the device is unknown.
        EncoderError: the text encoder cannot be found.
    """
    classifier: LineClassifier = build_model(CLASSIFIERS, "line classifier", name, settings, device, cache)
    return classifier
