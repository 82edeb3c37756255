"""Every window detector by name."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from models.base import WindowDetector
from models.training.model_registry import build_model

DETECTORS: Mapping[str, str] = {
    "bert_cnn": "models.detectors.bert_cnn:BertCnn:BertCnnSettings",
    "deeplog": "models.detectors.deeplog:DeepLog:DeepLogSettings",
    "event_counts": "models.detectors.event_counts:EventCounts:EventCountsSettings",
    "logbert": "models.detectors.logbert:LogBert:LogBertSettings",
    "lstm_autoencoder": "models.detectors.lstm_autoencoder:LstmAutoencoder:LstmAutoencoderSettings",
}
"""Name → `module:Class:Settings`."""
UNTRAINED: Mapping[str, str] = {"rules": "models.detectors.rules:RuleScores:RuleScoresSettings"}
"""Those that need no training and no store, likewise."""


def build(
    name: str, settings: Mapping[str, Any] | None = None, *, device: str = "auto", cache: Path | None = None
) -> WindowDetector:
    """Build a detector without weights, to be fitted or loaded.

    Args:
        name: A name in `DETECTORS` or `UNTRAINED`.
        settings: The detector's own settings, defaults where absent; the result of its `settings` method.
        device: `auto`, `cpu`, `cuda` or `cuda:N`; detectors without a network ignore it.
        cache: Folder for encoded template texts; None keeps them in memory only.

    Raises:
        ModelSettingsError: the detector, a setting, a value or the device is unknown.
        EncoderError: the text encoder cannot be found.
    """
    known = UNTRAINED if name in UNTRAINED else DETECTORS
    detector: WindowDetector = build_model(known, "detector", name, settings, device, cache)
    return detector
