"""Reads `sayings.toml`: what each system says when something happens."""

import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from bench.incidents.recipes import Insert, Saying


def inserts(system: str) -> dict[str, Insert]:
    """The incidents that consist of new lines, by kind."""
    kinds: Mapping[str, list[dict[str, Any]]] = _document()[system]
    return {
        kind: Insert(tuple(tuple(_saying(line) for line in event["lines"]) for event in events))
        for kind, events in kinds.items()
    }


def _saying(line: Mapping[str, Any]) -> Saying:
    return Saying(line["text"], line["level"], line["source"], line.get("fields"))


@cache
def _document() -> dict[str, Any]:
    return tomllib.loads(Path(__file__).with_name("sayings.toml").read_text("utf-8"))
