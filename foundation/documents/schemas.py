"""The JSON Schemas of all documents: `python -m foundation.documents.schemas` writes them to `docs/`."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from foundation.documents.alert import AlertDocument
from foundation.documents.base import adapter
from foundation.documents.dead_letter import DeadLetterDocument
from foundation.documents.drift_event import DriftEventDocument
from foundation.documents.label import LabelDocument
from foundation.documents.round_result import RoundFailureDocument, RoundResultDocument

DOCUMENTS: Mapping[str, tuple[str, Any]] = {
    "alert": ("alert.v1", AlertDocument),
    "dead-letter": ("dead-letter.v1", DeadLetterDocument),
    "drift-event": ("drift.v1", DriftEventDocument),
    "label": ("label.v1", LabelDocument),
    "round-result": ("round-result.v1", RoundResultDocument | RoundFailureDocument),
}
"""File `docs/NAME.schema.json` -> the schema's id and what it describes."""


class _Untitled(GenerateJsonSchema):
    """Leaves out titles of fields, which would only repeat their names."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def schema(name: str) -> dict[str, Any]:
    """Return the JSON Schema of a document in `DOCUMENTS`."""
    identity, kind = DOCUMENTS[name]
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"https://driftline.dev/schemas/{identity}.json",
    }
    return {**head, **adapter(kind).json_schema(schema_generator=_Untitled)}


def schema_text(name: str) -> str:
    """Return the content of the file `docs/NAME.schema.json`."""
    return json.dumps(schema(name), indent=2) + "\n"


if __name__ == "__main__":
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "docs")
    for each in DOCUMENTS:
        (folder / f"{each}.schema.json").write_text(schema_text(each), "utf-8")
