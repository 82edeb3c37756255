"""Links from a notice to the page about the alert."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote


def link_of(pattern: str, alert: Mapping[str, Any]) -> str:
    """The address of an alert's page, from a pattern with `{id}` and `{group}`; empty if there is no pattern."""
    values = {"{id}": str(alert.get("id", "")), "{group}": str(alert.get("group", ""))}
    for placeholder, value in values.items():
        pattern = pattern.replace(placeholder, quote(value, safe=""))
    return pattern
