"""The sink `http`: headers, templates, refusals, outages; and alerts in OCSF's shape."""

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from py_ocsf_models.events.findings.detection_finding import DetectionFinding
from pydantic import SecretStr, ValidationError

from connectors.base import Record, SettingsError, SinkUnavailableError
from connectors.http_sink import HttpSettings, HttpSink
from connectors.jsonl import JsonlSettings, JsonlSink
from connectors.ocsf import detection_finding
from tests.connectors.channels.test_channels import document, record
from tests.support.http_receiver import Receiver


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


def sink_to(receiver: Receiver, **changes: Any) -> HttpSink:
    sink = HttpSink(HttpSettings(url=f"{receiver.url}/in", **changes))
    sink.open(None)
    return sink


def test_documents_arrive_in_order_with_headers_and_an_id(receiver: Receiver) -> None:
    sink = sink_to(receiver, method="PUT", headers={"Authorization": SecretStr("Bearer t")})
    sink.write([Record("a", "", {"x": 1}, {"traceparent": "00-1"}), Record("b", "", {"x": 2})])
    sink.flush(5.0)
    assert [r.json for r in receiver.received] == [{"id": "a", "x": 1}, {"id": "b", "x": 2}]
    first = receiver.received[0]
    assert (first.method, first.path) == ("PUT", "/in")
    assert first.headers["Idempotency-Key"] == "a"
    assert first.headers["Authorization"] == "Bearer t"
    assert first.headers["traceparent"] == "00-1"


def test_a_template_makes_the_body(receiver: Receiver) -> None:
    template = '{"text": {{ alert.summary | tojson }}, "n": {{ alert.line_count }}}'
    sink = sink_to(receiver, template=template)
    sink.write([record(summary='say "no"')])
    sink.flush(5.0)
    assert receiver.received[0].json == {"text": 'say "no"', "n": 4}


def test_a_template_that_does_not_fit_costs_one_document(receiver: Receiver, caplog: pytest.LogCaptureFixture) -> None:
    sink = sink_to(receiver, template="{{ alert.nope }}|{{ alert.summary }}")
    sink.write([record(1), Record("id2", "", {**document(), "nope": "here"})])
    with caplog.at_level(logging.ERROR):
        sink.flush(5.0)
    assert [r.body.split(b"|")[0] for r in receiver.received] == [b"here"]
    assert "nope" in caplog.text
    assert "id1" in caplog.text


def test_settings_that_cannot_work_are_refused() -> None:
    with pytest.raises(SettingsError, match="not a template"):
        HttpSink(HttpSettings(url="http://h", template="{{ alert."))
    with pytest.raises(ValidationError, match="http://"):
        HttpSettings(url="ftp://h")


@pytest.mark.parametrize("status", [301, 401, 404, 429, 500, 503])
def test_a_service_in_trouble_keeps_everything(receiver: Receiver, status: int) -> None:
    sink = sink_to(receiver)
    receiver.status = status
    sink.write([record(1), record(2)])
    with pytest.raises(SinkUnavailableError, match=str(status)):
        sink.flush(5.0)
    assert sink.pending() == 2
    receiver.status = 202
    sink.flush(5.0)
    assert [r.headers["Idempotency-Key"] for r in receiver.received] == ["id1", "id2"]


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_document_that_is_refused_for_good_holds_up_no_other(
    receiver: Receiver, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    sink = sink_to(receiver)
    receiver.status = status
    sink.write([record(1)])
    with caplog.at_level(logging.ERROR):
        sink.flush(5.0)
    receiver.status = 200
    sink.write([record(2)])
    sink.flush(5.0)
    assert [r.headers["Idempotency-Key"] for r in receiver.received] == ["id2"]
    assert "id1" in caplog.text


@pytest.mark.parametrize(
    "changes", [{}, {"severity": None, "summary": None, "reasons": None, "group": "", "lines": []}]
)
def test_ocsf_is_what_the_schema_says(changes: dict[str, Any]) -> None:
    alert = {"id": "a1", **document(**changes)}
    found = detection_finding(alert)
    DetectionFinding.model_validate(found)
    assert found["class_uid"] == 2004
    assert found["type_uid"] == 200401
    assert found["finding_info"]["uid"] == "a1"
    assert found["severity_id"] == (4 if not changes else 3)
    assert found["time"] == 1_795_860_005_000
    assert found["unmapped"] == alert


def test_a_file_of_findings_drops_repeats_after_a_crash(tmp_path: Any) -> None:
    path = tmp_path / "findings.jsonl"
    sink = JsonlSink(JsonlSettings(path=str(path), shape="ocsf"))
    sink.open(None)
    state = sink.snapshot()
    sink.write([record(1)])
    sink.flush(1.0)
    sink.close()
    again = JsonlSink(JsonlSettings(path=str(path), shape="ocsf"))
    again.open(state)
    again.write([record(1), record(2)])
    again.flush(1.0)
    again.close()
    found = [json.loads(line)["finding_info"]["uid"] for line in path.read_text().splitlines()]
    assert found == ["id1", "id2"]
