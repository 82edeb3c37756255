import datetime as dt
import json
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest

from connectors.memory import MemorySource
from engine.clock import ManualClock
from engine.flow.bytewax_steps import ParseStep
from engine.flow.find_step import FindStep
from engine.flow.worker_context import Context, Drain
from engine.runtime.model_loading import classifying
from engine.settings import SettingsFileError, from_mapping
from engine.telemetry.telemetry import Telemetry, TelemetrySettings
from engine.windows.recent import RecentLines
from tests.engine.findings.lines import NOW_NS, batches, syslog

OOM = ("kernel: Out of memory: Killed process 4711 (mysqld) total-vm:8123456kB", "systemd[1]: mysql.service: Failed.")
SCHEMA = json.loads((Path(__file__).parents[3] / "docs" / "alert.schema.json").read_text())
END_NS = int(dt.datetime(2026, 11, 27, 5, 36, tzinfo=dt.UTC).timestamp()) * 10**9
"""About the time of the last of 4,000 lines."""
REGION = {
    "region": "eu",
    "source": {"type": "memory"},
    "parse": {"format": "syslog"},
    "sinks": [{"type": "memory"}],
    "dead_letters": {"type": "memory"},
    "recovery": {"path": "r"},
}


@pytest.fixture
def clock():
    return ManualClock(wall_ns=NOW_NS)


@pytest.fixture
def context(clock):
    settings = from_mapping(REGION, "here")
    telemetry = Telemetry(TelemetrySettings(serve=False), clock, {}, "eu")
    yield Context(settings, 0, 1, MemorySource({}), clock, Drain(clock, 8.0), {}, RecentLines(1 << 20), None, telemetry)
    telemetry.close()


def alerts(context, lines, *, restart_after=None):
    parse, find, records = ParseStep(context, None), FindStep(context, None), []
    for number, batch in enumerate(batches(lines, 500)):
        (parsed,) = parse.on_batch([batch])[0]
        records += find.on_batch([parsed])[0]
        if number == restart_after:
            parse = ParseStep(context, parse.snapshot())
            find = FindStep(context, find.snapshot())
    return records + find.on_eof()[0]


def test_an_incident_is_an_alert_that_the_schema_describes(context):
    lines, rows = syslog(3500, incident=OOM, at=2800)
    (record,) = alerts(context, lines)
    jsonschema.validate(record.document, SCHEMA)
    assert record.document["severity"] == "critical"
    assert "never seen before" in record.document["summary"]
    quoted = {example["line"].encode() for reason in record.document["reasons"] for example in reason["examples"]}
    assert {lines[row] for row in rows} <= quoted


@pytest.mark.parametrize("batch", [3, 10])
def test_a_restart_gives_the_same_alerts(context, batch):
    lines, _ = syslog(3500, incident=OOM, at=3000)
    whole = [record.document | {"traceparent": ""} for record in alerts(context, lines)]
    assert [r.document | {"traceparent": ""} for r in alerts(context, lines, restart_after=batch)] == whole


def test_lines_of_a_quiet_source_are_judged_after_a_while(context, clock):
    lines, _ = syslog(4001)
    parse, find = ParseStep(context, None), FindStep(context, None)
    for batch in batches([*lines, *(lines[-1].split(b" web-")[0] + b" web-1 " + text.encode() for text in OOM)], 5000):
        (parsed,) = parse.on_batch([batch])[0]
        assert find.on_batch([parsed])[0] == []
    assert find.notify_at() is not None
    assert find.on_notify()[0] == []
    clock.advance(31.0)
    (record,) = find.on_notify()[0]
    assert record.document["severity"] == "critical"
    assert find.notify_at() is None


def test_a_live_source_that_stops_is_one_alert_while_it_is_silent(context):
    lines, _ = syslog(4000)
    context = replace(context, clock=ManualClock(wall_ns=END_NS))
    parse, find = ParseStep(context, None), FindStep(context, None)
    for batch in batches(lines):
        (parsed,) = parse.on_batch([batch])[0]
        assert find.on_batch([parsed])[0] == []
    records = []
    for _ in range(60):
        context.clock.advance(60.0)
        assert find.notify_at() is not None
        records += find.on_notify()[0]
    (record,) = records
    jsonschema.validate(record.document, SCHEMA)
    assert record.document["summary"].startswith("all lines: none for ")
    assert record.document["reasons"][0]["kind"] == "drop"


def test_what_is_redacted_is_in_no_alert(context):
    context = replace(context, settings=from_mapping(REGION | {"alert": {"redact": ["mysql[a-z.]*"]}}, "here"))
    lines, _ = syslog(3500, incident=OOM, at=2800)
    (record,) = alerts(context, lines)
    assert "mysql" not in json.dumps(dict(record.document))


def test_silences_hold_for_findings_and_hide_nothing_else(context):
    lines, _ = syslog(3500, incident=OOM, at=2800)
    for patterns, kept in ((["Out of memory", "mysql"], 0), (["Out of memory"], 1)):
        rules = [{"name": f"r{i}", "template": pattern} for i, pattern in enumerate(patterns)]
        silenced = replace(context, settings=from_mapping(REGION | {"decide": {"suppress": rules}}, "here"))
        assert len(alerts(silenced, lines)) == kept


def test_without_a_model_the_engine_learns_from_the_stream():
    settings = from_mapping(REGION, "here")
    assert settings.model is None
    assert settings.learn is not None


@pytest.mark.parametrize("section", [{"training": {"path": "t"}}, {"route": "session", "window": {"kind": "session"}}])
def test_what_needs_a_model_is_refused_without_one(section):
    with pytest.raises(SettingsFileError, match=r"needs \[model\]"):
        from_mapping(REGION | section, "here")


def test_rules_state_the_class_of_a_finding_without_any_store(context, clock):
    settings = from_mapping({**REGION, "classify": {"name": "rules"}}, "here")
    lines, _ = syslog(3500, incident=OOM, at=2800)
    with classifying(settings, context.source, clock, context.telemetry) as classify:
        (record,) = alerts(replace(context, settings=settings, classify=classify), lines)
    jsonschema.validate(record.document, SCHEMA)
    found = record.document["classification"]
    assert (found["model"], found["class"]) == ("rules", "performance_issue")
    assert "Out of memory" in found["text"]


def test_other_classifiers_need_a_store():
    with pytest.raises(SettingsFileError, match=r'"hybrid_bert" needs classify.store.*"rules" needs none'):
        from_mapping({**REGION, "classify": {"name": "hybrid_bert"}}, "here")
