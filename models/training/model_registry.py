"""Registries of models: a name maps to the class and the settings of a model, as text.

A registry is a dictionary such as `{"bert_cnn": "models.detectors.bert_cnn:BertCnn:BertCnnSettings"}`.
The module is imported when the model is built, so listing names stays cheap.
"""

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel

from foundation.extras import require
from foundation.settings_errors import InvalidSettingsError, unknown, validated
from models.base import Model, ModelSettingsError


class ModelEntry(NamedTuple):
    """The two classes that a registry line names."""

    model: type[Model]
    settings: type[BaseModel]


def entry(registry: Mapping[str, str], kind: str, name: str) -> ModelEntry:
    """The classes registered under a name.

    Args:
        registry: Name → `module:Class:Settings`.
        kind: What error messages call an entry, such as "detector".
        name: A key of `registry`.

    Raises:
        ModelSettingsError: the name is unknown.
    """
    if name not in registry:
        raise ModelSettingsError(unknown(kind, name, sorted(registry)))
    module_name, model, settings = registry[name].split(":")
    module = importlib.import_module(module_name)
    return ModelEntry(getattr(module, model), getattr(module, settings))


def build_model(
    registry: Mapping[str, str],
    kind: str,
    name: str,
    settings: Mapping[str, Any] | None,
    device: str,
    cache: Path | None,
) -> Any:
    """A model without weights; see `entry` and `models.base.Model`.

    Raises:
        MissingExtraError: the extra that the model needs is not installed.
        ModelSettingsError: the name, a setting or the device is unknown.
        EncoderError: the text encoder cannot be opened.
    """
    found = entry(registry, kind, name)
    if found.model.requires:
        require("classify", name, *found.model.requires)
    removed = found.model.removed_settings.items()
    given = {key: value for key, value in (settings or {}).items() if (key, value) not in removed}
    try:
        chosen = validated(found.settings, given, f"settings of {name}")
    except InvalidSettingsError as error:
        raise ModelSettingsError(str(error)) from error
    return found.model(chosen, device=device, cache=cache)  # type: ignore[call-arg]
