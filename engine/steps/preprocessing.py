"""What a model's windows are made with: on its card, and compared with the settings of the engine that serves it."""

import json
from collections.abc import Mapping

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
    read, shape = parse.model_dump(mode="json"), window.shape()
    found = {f"parse.{name}": read[name] for name in _PARSE}
    found |= {f"parse.templates.{name}": read["templates"][name] for name in _TEMPLATES}
    found |= {f"window.{name}": value for name, value in shape.items() if name not in _NO_SHAPE}
    return {name: json.dumps(value, sort_keys=True) for name, value in found.items()}


def differences(trained: Mapping[str, str], parse: ParseSettings, window: WindowSettings) -> dict[str, str]:
    """A sentence for each setting with another value than on the card, by its name; a detected format is any format."""
    return {
        name: f"{name} is {_short(value)}, and the model was trained with {_short(trained[name])}"
        for name, value in described(parse, window).items()
        if name in trained
        and trained[name] != value
        and not (name == "parse.format" and json.dumps(_DETECTED) in (value, trained[name]))
    }


def _short(value: str) -> str:
    return value if len(value) <= 60 else "another value"
