"""Shapes in which a file or topic may carry alerts: our own document, or one that other systems read."""

from collections.abc import Callable, Mapping
from typing import Any, Literal

from pydantic import Field

from connectors.ocsf import detection_finding
from connectors.sink_settings import BaseSinkSettings

Shape = Literal["driftline", "ocsf"]

SHAPES: dict[str, Callable[[Mapping[str, Any]], Mapping[str, Any]]] = {
    "ocsf": detection_finding,
}


class ShapedSinkSettings(BaseSinkSettings):
    """Settings of a sink that carries whole documents."""

    shape: Shape = Field(
        "driftline",
        description="`ocsf`: alerts as OCSF Detection Findings (class 2004), for SIEMs; only in `[[sinks]]`.",
    )


def shaped(document: Mapping[str, Any], record_id: str, shape: Shape) -> Mapping[str, Any]:
    """The document in the shape asked for."""
    return document if shape == "driftline" else SHAPES[shape]({**document, "id": record_id})


def id_of(document: Mapping[str, Any]) -> str | None:
    """The record's id in a document of any shape; None where the document is not one of ours."""
    found = document.get("id") or (document.get("finding_info") or {}).get("uid")
    return None if found is None else str(found)
