"""Messages composed of the fields of documents that have none, and the HTTP status that ends a message."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.formats.document_message import composed_message, http_status_of, with_status
from engine.steps.parse import ParseSettings

AUDIT = {
    "kind": "Event",
    "auditID": "6a0325cf-0000",
    "stageTimestamp": "2024-03-10T06:25:01.700000Z",
    "requestURI": "/api/v1/namespaces/shop/pods/web-0",
    "verb": "delete",
    "user": {"username": "deployer"},
    "objectRef": {"resource": "pods", "namespace": "shop"},
    "responseStatus": {"code": 403},
}


def test_what_happened_comes_first_and_what_always_differs_is_left_out():
    message = composed_message(AUDIT, frozenset({"stageTimestamp"}))
    assert message.startswith("verb=delete objectRef.resource=pods objectRef.namespace=shop requestURI=/api/v1")
    assert "auditID" not in message
    assert "403" not in message
    assert with_status(message, AUDIT) == f"{message} status=403"


@pytest.mark.parametrize(
    ("document", "status"),
    [
        ({"status": "502"}, 502),
        ({"status": 200, "DownstreamStatus": 500}, 200),
        ({"httpRequest": {"status": 404}}, 404),
        ({"res": {"statusCode": 503}}, 503),
        ({"status": "ok"}, None),
        ({"status": True}, None),
        ({"status": 7}, None),
        ({"status": "0502"}, None),
        ({"status": 999}, None),
        ({"status": 200.5}, None),
        ({}, None),
    ],
)
def test_status_of_a_document(document, status):
    assert http_status_of(document) == status


@pytest.mark.parametrize(
    "name",
    ["format", "stat", "heartbeat", "events", "requests", "results", "attempts", "update", "candidate", "runtime",
     "uptime", "CHAT"],
)  # fmt: skip
def test_a_field_that_only_ends_like_a_time_stays_in_the_message(name):
    assert composed_message({name: "failed"}, frozenset()) == f"{name}=failed"


@pytest.mark.parametrize(
    "name",
    ["at", "ts", "created_at", "createdAt", "event.ts", "eventTs", "startTS", "SENT_AT", "starttime",
     "EdgeStartTimestamp", "creationDate", "date", "lastUpdate"],
)  # fmt: skip
def test_a_time_under_any_usual_name_is_left_out_of_the_message(name):
    assert composed_message({name: "2024-03-10T06:25:01Z"}, frozenset()) == ""


def test_a_message_gets_its_status_once():
    document = {"status": 502}
    assert with_status("", document) == "status=502"
    assert with_status(with_status("handled request", document), document) == "handled request status=502"
    assert with_status("handled request", {}) == "handled request"


def test_a_name_of_two_lines_is_one_line():
    assert composed_message({"a\nb": 1, "\n": False}, frozenset()) == "a b=1 =false"


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(st.text(), _VALUES, max_size=8), st.frozensets(st.text(), max_size=3))
def test_any_document_gets_one_line_of_bounded_length(document, used):
    message = with_status(composed_message(document, used), document)
    assert "\n" not in message
    assert len(message) < 6_000
    assert message == with_status(composed_message(document, used), document)


@pytest.mark.parametrize(
    ("line", "level", "message", "host"),
    [
        (b'{"ts":"2024-03-10T06:25:01Z","log":{"level":"ERROR","logger":"shop"},"event":{"message":"m"},'
         b'"host":{"name":"h1"}}', "error", "m", "h1"),
        (b'{"ts":1710051901,"fields":{"severity":"warn"},"body":{"text":"m"}}', "warn", "m", ""),
        (b'{"time":"2024-03-10T06:25:01Z","attributes":{"log.level":"error"},"message":"m"}', "error", "m", ""),
        (b'{"data":{"time":"2024-03-10T06:25:01Z","level":"fatal","message":"m","hostname":"h1"}}', "fatal", "m", "h1"),
        (b'{"time":"2024-03-10T06:25:01Z","data":{"level":3,"time":12},"message":"m"}', "", "m", ""),
        (b'{"time":"2024-03-10T06:25:01Z","level":"info","data":{"level":"fatal"},"message":"m"}', "info", "m", ""),
    ],
)  # fmt: skip
def test_what_a_document_lacks_is_taken_from_the_objects_inside(line, level, message, host, parser_of):
    for settings in (ParseSettings(), ParseSettings(format="json")):
        fields = parser_of(settings).take_apart(line, 1_780_000_000 * 10**9)
        assert (fields.time_ns, fields.level, fields.message, fields.host) == (
            1_710_051_901 * 10**9, level, message, host
        )  # fmt: skip
