"""Log lines: JSON, text, trace ids, and secrets that stay secret."""

import io
import json
import logging
import warnings

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from pydantic import SecretStr

from engine.telemetry.logs import LogSettings, setup_logging
from engine.telemetry.tracing import Tracer
from foundation.secret_masker import SecretMasker

log = logging.getLogger("driftline.test")


@pytest.fixture(autouse=True)
def _root_as_before():
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    logging.captureWarnings(False)
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def lines():
    stream = io.StringIO()
    setup_logging(LogSettings(format="json"), secrets=["correct horse"], stream=stream)
    return lambda: [json.loads(line) for line in stream.getvalue().splitlines()]


@pytest.fixture
def text():
    stream = io.StringIO()
    setup_logging(LogSettings(format="text"), stream=stream)
    return stream.getvalue


def test_a_line_is_an_object_with_fields(lines):
    log.info("read %d lines", 5, extra={"partition": "logs/3", "lag": 17, "places": ["a", "b"], "ok": True})
    (line,) = lines()
    assert line.pop("time").endswith("Z")
    assert line == {
        "level": "INFO",
        "logger": "driftline.test",
        "message": "read 5 lines",
        "fields": {"partition": "logs/3", "lag": 17, "places": ["a", "b"], "ok": True},
    }


def test_trace_ids_stand_inside_a_span_only(lines):
    tracer = Tracer(InMemorySpanExporter())
    with tracer.span("parse") as span:
        log.info("inside")
    log.info("outside")
    tracer.close()
    inside, outside = lines()
    assert [inside["trace_id"], inside["span_id"]] == span.traceparent.split("-")[1:3]
    assert "trace_id" not in outside


def test_a_traceback_is_one_field_of_one_line(lines):
    try:
        raise ValueError("password=hunter22 refused")
    except ValueError:
        log.exception("sink failed")
    (line,) = lines()
    assert "ValueError: password=*** refused" in line["exception"]
    assert "Traceback" in line["exception"]


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("postgresql://ops:hunter22@db:5432/alerts", "postgresql://ops:***@db:5432/alerts"),
        ("postgresql://ops:p@ss@db/alerts", "postgresql://ops:***@db/alerts"),
        ("redis://:hunter22@db", "redis://:***@db"),
        ("sasl.password=hunter22, acks=all", "sasl.password=***, acks=all"),
        ('{"ssl.key.password": "hunter 22"}', '{"ssl.key.password": ***}'),
        ("Authorization: Bearer abc.def", "Authorization: Bearer ***"),
        ("api_key=abc", "api_key=***"),
        ("the correct horse is here", "the *** is here"),
        ("http://127.0.0.1:9464/metrics answers", "http://127.0.0.1:9464/metrics answers"),
        ("batch of 512 tokens: 3 windows", "batch of 512 tokens: 3 windows"),
    ],
)
def test_secrets_are_masked_in_messages_and_fields(lines, raw, shown):
    log.info(raw)
    log.info("settings", extra={"source": {"inner": [raw]}})
    message, fields = lines()
    assert message["message"] == shown
    assert fields["fields"]["source"]["inner"] == [shown]


def test_fields_with_a_telling_name_are_masked_whatever_they_hold(lines):
    log.info("x", extra={"sasl_password": SecretStr("hunter22"), "kafka": {"ssl.key.password": 5}})
    assert lines()[0]["fields"] == {"sasl_password": "***", "kafka": {"ssl.key.password": "***"}}


def test_a_long_quoted_line_is_masked_in_linear_time():
    masker = SecretMasker(["correct horse"])
    for unit in ("token", "a", "://", "password ", "x:"):
        assert masker.text(unit * 200_000)


def test_foreign_bytes_make_no_second_line_and_no_terminal_codes(text):
    log.warning("bad line %s", "\x1b[2J\nfaked: all is well\x07", extra={"raw": "a\nb\x9b"})
    line = text()
    assert line.count("\n") == 1
    assert not set("\x1b\x07\x9b") & set(line)


def test_text_that_utf8_cannot_carry_is_logged_all_the_same(lines):
    log.info("line %s", b"\xff".decode("utf-8", "surrogateescape"), extra={"raw": "\udcff"})
    assert lines()[0]["message"] == "line ?"


def test_text_for_people(text):
    log.error("broker gone", extra={"broker": "127.0.0.1:9092"})
    assert text().endswith("ERROR   driftline.test: broker gone broker='127.0.0.1:9092'\n")


def test_auto_is_json_where_no_terminal_is(capsys):
    setup_logging(LogSettings())
    log.info("hello")
    assert json.loads(capsys.readouterr().err)["message"] == "hello"


def test_the_level_holds_and_a_second_setup_replaces_the_first():
    first, second = io.StringIO(), io.StringIO()
    setup_logging(LogSettings(format="json"), stream=first)
    setup_logging(LogSettings(format="json", level="WARNING"), stream=second)
    log.info("no")
    log.warning("yes")
    assert first.getvalue() == ""
    assert json.loads(second.getvalue())["message"] == "yes"


def test_warnings_are_logged(lines):
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(True)
        warnings.warn("old call", UserWarning, stacklevel=1)
        logging.captureWarnings(False)
    assert "old call" in lines()[0]["message"]
