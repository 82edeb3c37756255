"""Documents for tests: whole ones to send, and the check that one which was written is as declared."""

import json
from collections.abc import Mapping
from typing import Any

import jsonschema

from foundation.content_ids import document_id
from foundation.documents.base import SCHEMA_VERSION, read
from foundation.documents.drift_event import DriftEventDocument
from foundation.documents.schemas import DOCUMENTS, schema


def check_document(name: str, document: Mapping[str, Any]) -> None:
    """Asserts that a document, once encoded, is what `DOCUMENTS` declares by that name, with no further field."""
    decoded = json.loads(json.dumps(document))
    jsonschema.Draft202012Validator(schema(name), format_checker=jsonschema.FormatChecker()).validate(decoded)
    assert read(DOCUMENTS[name][1], decoded) == decoded


def drift_document(name: str = "d1", **changes: Any) -> DriftEventDocument:
    """A drift event whose id is made of `name`."""
    document: DriftEventDocument = {
        "schema_version": SCHEMA_VERSION,
        "id": document_id(name),
        "type": "drift",
        "region": "eu",
        "detector": "novelty",
        "statistic": 0.25,
        "threshold": 0.1,
        "since": "2026-01-31T12:00:00.000000000Z",
        "time": "2026-01-31T12:10:00.000000000Z",
        "windows": 300,
        "model": {"name": "floor", "version": 1},
        "templates": [],
        "evidence": {"origin": "0/1"},
    }
    return {**document, **changes}  # type: ignore[typeddict-item]
