"""Documents: the published schemas are current, readers are tolerant, and every writer keeps to its declaration."""

from typing import Any

import jsonschema
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.base import DeadLetter
from connectors.dead_letters import to_records
from foundation.documents.alert import AlertDocument
from foundation.documents.base import message_headers, read, template_id_text
from foundation.documents.drift_event import DriftEventDocument
from foundation.documents.round_result import RoundFailureDocument
from foundation.documents.schemas import DOCUMENTS, schema, schema_text
from tests.support.documents import check_document, drift_document
from tests.support.paths import DOCS

ALERT: dict[str, Any] = {
    "id": "0" * 32, "region": "eu", "source": "syslog/0", "session": "", "score": 2, "threshold": 0.5, "model": "m",
    "version": 1, "first_position": 3, "last_position": 9, "first_place": "syslog/0/3", "last_place": "syslog/0/9",
    "first_time": "2026-01-31T12:00:00.000000000Z", "last_time": "2026-01-31T12:00:01.000000000Z", "line_count": 7,
    "closed": True, "templates": [{"id": "0" * 16, "text": "out of memory", "count": 7}], "lines": ["out of memory"],
    "lines_omitted": 6, "explanation": None, "classification": None, "repeats": 0, "group": "0" * 16,
    "group_count": 1, "created": "2026-01-31T12:00:02.000000000Z", "traceparent": "",
}  # fmt: skip
"""As version 0.1 wrote it."""

NEWS: dict[str, Any] = {
    "schema_version": 1,
    "group_first_time": "2026-01-31T11:00:00.000000000Z",
    "summary": "out of memory: never seen before, 7 times so far",
    "severity": "critical",
    "reasons": [
        {
            "kind": "new", "sentence": "never seen before, 7 times so far", "template": "out of memory",
            "template_id": "0" * 16, "observed": 7, "usual": 0, "unit": "lines",
            "examples": [{"place": "syslog/0/3", "line_number": 4, "line": "out of memory"}],
        }
    ],
    "links": {"console": "https://driftline.example/alerts/0"},
}  # fmt: skip


@pytest.mark.parametrize("name", DOCUMENTS)
def test_published_schema_is_current(name: str) -> None:
    published = (DOCS / f"{name}.schema.json").read_text("utf-8")
    assert published == schema_text(name), "run python -m foundation.documents.schemas"


@pytest.mark.parametrize("name", DOCUMENTS)
def test_schema_is_valid_and_every_field_of_a_document_is_described(name: str) -> None:
    whole = schema(name)
    jsonschema.Draft202012Validator.check_schema(whole)
    branches = [whole["$defs"][each["$ref"].rpartition("/")[2]] for each in whole.get("anyOf", ())] or [whole]
    for branch in branches:
        assert branch["description"]
        assert [field for field, of in branch["properties"].items() if "description" not in of] == []


def test_alerts_of_older_and_newer_engines_are_read() -> None:
    check_document("alert", ALERT)
    check_document("alert", ALERT | NEWS)
    assert read(AlertDocument, ALERT | {"field of a newer version": 1}) == ALERT


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"severity": "grave"}, "\"severity\" should be 'info', 'low', 'medium', 'high' or 'critical'"),
        ({"reasons": [{"kind": "new"}]}, '"reasons.0.template" is missing'),
        ({"score": "secret"}, '"score" should be a valid number'),
        ({"version": 0}, '"version" should be greater than or equal to 1'),
        ({"first_time": "2026-01-31T12:00:00Z"}, '"first_time" should match pattern'),
    ],
)
def test_first_wrong_field_is_named_without_its_content(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match="^" + reason.replace("(", r"\(")) as caught:
        read(AlertDocument, ALERT | changes)
    assert "secret" not in str(caught.value)


def test_what_is_not_an_object_is_an_error() -> None:
    with pytest.raises(ValueError, match='"document" should be a valid dictionary'):
        read(AlertDocument, [])


@given(st.binary(max_size=20), st.text(max_size=20), st.integers(0, 2**62 - 1))
def test_dead_letters_are_as_declared(raw: bytes, place: str, time_ns: int) -> None:
    (record,) = to_records([DeadLetter(place, "no time", raw, 99)], partition="p", region="eu", time_ns=time_ns)
    check_document("dead-letter", record.document)


def test_drift_events_and_failed_rounds_are_as_declared() -> None:
    check_document("drift-event", drift_document())
    failure: RoundFailureDocument = {"schema_version": 1, "failed": "step 1: too few regions", "present": None}
    check_document("round-result", failure)
    with pytest.raises(ValueError, match='"type" should be'):
        read(DriftEventDocument, drift_document(type="panic"))


@given(st.integers(-(2**63), 2**63 - 1))
def test_template_ids_are_written_as_unsigned_hex(template: int) -> None:
    text = template_id_text(template)
    assert len(text) == 16
    assert int(text, 16) % 2**64 == template % 2**64


def test_headers_without_subject_and_trace_leave_them_out() -> None:
    headers = message_headers(type="t", source="/s", id="i", time="2026-01-31T12:00:00Z")
    assert sorted(headers) == ["ce_id", "ce_source", "ce_specversion", "ce_time", "ce_type", "content-type"]
    assert orjson.dumps(headers)
