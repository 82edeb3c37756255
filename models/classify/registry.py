"""Every line classifier by name. Builders import what they need when they are called, so listing is cheap."""

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from models.base import ModelSettingsError
from models.classify.base import LineClassifier
from models.detectors.registry import Builder, made


def _dann_bert(settings: Mapping[str, Any], device: str, cache: Path | None) -> LineClassifier:
    from models.classify.dann_bert import DannBert, DannBertSettings

    return DannBert(DannBertSettings.model_validate(settings), device=device, cache=cache)


def _hybrid_bert(settings: Mapping[str, Any], device: str, cache: Path | None) -> LineClassifier:
    from models.classify.hybrid_bert import HybridBert, HybridBertSettings

    return HybridBert(HybridBertSettings.model_validate(settings), device=device, cache=cache)


def _lora_bert(settings: Mapping[str, Any], device: str, cache: Path | None) -> LineClassifier:
    _needs("lora_bert", "peft")
    from models.classify.lora_bert import LoraBert, LoraBertSettings

    return LoraBert(LoraBertSettings.model_validate(settings), device=device, cache=cache)


def _random_forest(settings: Mapping[str, Any], device: str, cache: Path | None) -> LineClassifier:
    _needs("random_forest", "imblearn", "shap")
    from models.classify.random_forest import RandomForest, RandomForestSettings

    return RandomForest(RandomForestSettings.model_validate(settings), device=device, cache=cache)


def _rules(settings: Mapping[str, Any], device: str, cache: Path | None) -> LineClassifier:
    from models.classify.rules import Rules, RulesSettings

    return Rules(RulesSettings.model_validate(settings))


def _xgboost(settings: Mapping[str, Any], device: str, cache: Path | None) -> LineClassifier:
    _needs("xgboost", "imblearn", "shap", "xgboost")
    from models.classify.xgboost import XGBoost, XGBoostSettings

    return XGBoost(XGBoostSettings.model_validate(settings), device=device, cache=cache)


CLASSIFIERS: Mapping[str, Builder[LineClassifier]] = {
    "dann_bert": _dann_bert,
    "hybrid_bert": _hybrid_bert,
    "lora_bert": _lora_bert,
    "random_forest": _random_forest,
    "rules": _rules,
    "xgboost": _xgboost,
}


def build(
    name: str, settings: Mapping[str, Any] | None = None, *, device: str = "auto", cache: Path | None = None
) -> LineClassifier:
    """A classifier without weights, to be fitted or loaded.

    Args:
        name: A name in `CLASSIFIERS`.
        settings: The classifier's own settings, defaults where absent; what its `settings` gave.
        device: `auto`, `cpu`, `cuda` or `cuda:N`; classifiers without a network use it for the encoder only.
        cache: Folder for encoded texts; None keeps them in memory only.

    Raises:
        ModelSettingsError: no such classifier, no such setting or value, or the device is not there.
        EncoderError: its text encoder cannot be found.
    """
    return made(CLASSIFIERS, "line classifier", name, settings, device, cache)


def _needs(name: str, *packages: str) -> None:
    missing = [p for p in packages if find_spec(p) is None]
    if missing:
        raise ModelSettingsError(
            f"{name} needs {', '.join(missing)}, which is not installed; install driftline[classify]"
        )
