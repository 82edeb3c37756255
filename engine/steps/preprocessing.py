"""What a model's windows or lines are made with: on its card, and compared with the settings of an engine."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from engine.parsing.parse_settings import ParseSettings
from engine.steps.window import WindowSettings

_DETECTED = ParseSettings().format
"""The format of a parser that detects the format of each line."""

_PARSE = ("format", "session_key", "json_fields")
_TEMPLATES = ("masks", "similarity", "depth", "max_children")
_NO_SHAPE = ("gap_s", "allowed_lateness_s")
"""Settings of windows that are not compared: `gap_s` has a rule of its own, see `engine.steps.window.other_gap`."""

DECISIVE = ("window.kind",)
"""A model that was trained under another of these values cannot score: its windows mean something else."""


def described(parse: ParseSettings, window: WindowSettings) -> dict[str, str]:
    """The settings that decide what a window holds, each by its name and as JSON."""
    shape = {f"window.{name}": value for name, value in window.shape().items() if name not in _NO_SHAPE}
    return described_lines(parse, _PARSE) | _as_json(shape)


def described_lines(parse: ParseSettings, names: Sequence[str] = ("json_fields",)) -> dict[str, str]:
    """The settings that decide what a line classifier sees of a line, and those of these names."""
    read = parse.model_dump(mode="json")
    found = {f"parse.{name}": read[name] for name in names}
    return _as_json(found | {f"parse.templates.{name}": read["templates"][name] for name in _TEMPLATES})


def _as_json(values: Mapping[str, Any]) -> dict[str, str]:
    return {name: json.dumps(value, sort_keys=True) for name, value in values.items()}


def differences(trained: Mapping[str, str], served: Mapping[str, str]) -> dict[str, str]:
    """A sentence for each setting with another value than on the card, by its name; a detected format is any format.

    Args:
        trained: Settings on the card.
        served: Those of the engine, see `described` and `described_lines`.
    """
    return {
        name: f"{name} is {_short(value)}, and the model was trained with {_short(trained[name])}"
        for name, value in served.items()
        if name in trained
        and trained[name] != value
        and not (name == "parse.format" and json.dumps(_DETECTED) in (value, trained[name]))
    }


def _short(value: str) -> str:
    return value if len(value) <= 60 else "another value"
