"""Every detector by name. Builders import what they need when they are called, so listing is cheap."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from models.base import Model, ModelSettingsError, WindowDetector

M = TypeVar("M", bound=Model)
Builder = Callable[[Mapping[str, Any], str, Path | None], M]


def _bert_cnn(settings: Mapping[str, Any], device: str, cache: Path | None) -> WindowDetector:
    from models.detectors.bert_cnn import BertCnn, BertCnnSettings

    return BertCnn(BertCnnSettings.model_validate(settings), device=device, cache=cache)


def _deeplog(settings: Mapping[str, Any], device: str, cache: Path | None) -> WindowDetector:
    from models.detectors.deeplog import DeepLog, DeepLogSettings

    return DeepLog(DeepLogSettings.model_validate(settings), device=device, cache=cache)


def _event_counts(settings: Mapping[str, Any], device: str, cache: Path | None) -> WindowDetector:
    from models.detectors.event_counts import EventCounts, EventCountsSettings

    return EventCounts(EventCountsSettings.model_validate(settings))


def _logbert(settings: Mapping[str, Any], device: str, cache: Path | None) -> WindowDetector:
    from models.detectors.logbert import LogBert, LogBertSettings

    return LogBert(LogBertSettings.model_validate(settings), device=device, cache=cache)


def _lstm_autoencoder(settings: Mapping[str, Any], device: str, cache: Path | None) -> WindowDetector:
    from models.detectors.lstm_autoencoder import LstmAutoencoder, LstmAutoencoderSettings

    return LstmAutoencoder(LstmAutoencoderSettings.model_validate(settings), device=device, cache=cache)


DETECTORS: Mapping[str, Builder[WindowDetector]] = {
    "bert_cnn": _bert_cnn,
    "deeplog": _deeplog,
    "event_counts": _event_counts,
    "logbert": _logbert,
    "lstm_autoencoder": _lstm_autoencoder,
}


def build(
    name: str, settings: Mapping[str, Any] | None = None, *, device: str = "auto", cache: Path | None = None
) -> WindowDetector:
    """A detector without weights, to be fitted or loaded.

    Args:
        name: A name in `DETECTORS`.
        settings: The detector's own settings, defaults where absent; what its `settings` gave.
        device: `auto`, `cpu`, `cuda` or `cuda:N`; detectors without a network ignore it.
        cache: Folder for encoded template texts; None keeps them in memory only.

    Raises:
        ModelSettingsError: no such detector, no such setting or value, or the device is not there.
        EncoderError: its text encoder cannot be found.
    """
    return made(DETECTORS, "detector", name, settings, device, cache)


def made(
    builders: Mapping[str, Builder[M]],
    kind: str,
    name: str,
    settings: Mapping[str, Any] | None,
    device: str,
    cache: Path | None,
) -> M:
    """A model out of a registry; `kind` is what its error messages call it. See `build`."""
    if name not in builders:
        raise ModelSettingsError(f"there is no {kind} '{name}'; known are {', '.join(sorted(builders))}")
    try:
        return builders[name](settings or {}, device, cache)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise ModelSettingsError(f"settings of {name}: {problems}") from error
