import json
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest

from connectors.memory import MemorySource
from engine.clock import ManualClock
from engine.flow.budget_step import BudgetStep
from engine.flow.bytewax_steps import ParseStep
from engine.flow.find_step import FindStep
from engine.flow.worker_context import Context, Drain
from engine.settings import from_mapping
from engine.steps.sinks import PULSE
from engine.telemetry.telemetry import Telemetry, TelemetrySettings
from engine.windows.recent import RecentLines
from tests.engine.findings.lines import NOW_NS, batches, syslog

SCHEMA = json.loads((Path(__file__).parents[3] / "docs" / "alert.schema.json").read_text())


@pytest.fixture
def clock():
    return ManualClock(wall_ns=NOW_NS)


@pytest.fixture
def make(clock):
    opened = []

    def build(*channels, **decide):
        settings = from_mapping(
            {
                "region": "eu", "source": {"type": "memory"}, "parse": {"format": "syslog"}, "decide": decide,
                "sinks": [{"type": "memory"}, *channels], "dead_letters": {"type": "memory"}, "recovery": {"path": "r"},
            },
            "here",
        )  # fmt: skip
        telemetry = Telemetry(TelemetrySettings(serve=False), clock, {}, "eu")
        opened.append(telemetry)
        drain, recent = Drain(clock, 8.0), RecentLines(1 << 20)
        return Context(settings, 0, 1, MemorySource({}), clock, drain, {}, recent, None, telemetry)

    yield build
    for telemetry in opened:
        telemetry.close()


@pytest.fixture
def found(make):
    """Eight alerts of the finder: one as it is, and weaker ones with other templates that are less severe."""
    context = make()
    lines, _ = syslog(3500, incident=("kernel: Out of memory: Killed process 4711 (mysqld)",), at=2800)
    parse, find, records = ParseStep(context, None), FindStep(context, None), []
    for batch in batches(lines, 500):
        records += find.on_batch(parse.on_batch([batch])[0])[0]
    first = records[0]

    def weaker(number):
        reasons = [{**first.document["reasons"][0], "template": f"template {number}"}]
        changes = {"id": f"{number:032x}", "score": 1 - number / 100, "severity": "medium", "reasons": reasons}
        return replace(first, id=changes["id"], document={**first.document, **changes})

    return [first, *map(weaker, range(1, 8))]


def value(context, name):
    return context.telemetry.metrics.registry.get_sample_value(name, {})


def test_alerts_beyond_the_budget_become_one_that_the_schema_describes(make, found):
    context = make()
    step = BudgetStep(context, None)
    assert step.on_batch(found)[0] == found[:5]
    (digest,) = step.on_eof()[0]
    jsonschema.validate(digest.document, SCHEMA)
    assert digest.document["digest"]["alerts"] == 3
    assert [r["template"] for r in digest.document["reasons"]] == ["template 5", "template 6", "template 7"]
    assert value(context, "driftline_alerts_total") == 6
    assert value(context, "driftline_alerts_withheld_total") == 3


def test_a_drain_and_a_restart_keep_what_waits(make, found):
    context = make()
    step = BudgetStep(context, None)
    step.on_batch(found)
    context.drain.request()
    assert step.on_eof()[0] == []
    again = BudgetStep(make(), step.snapshot())
    (digest,) = again.on_eof()[0]
    assert digest.document["digest"]["alerts"] == 3


def test_what_waits_is_sent_although_no_further_alert_comes(make, found, clock):
    step = BudgetStep(make(), None)
    assert step.notify_at() is None
    step.on_batch(found)
    assert step.notify_at() is not None
    clock.advance(3600)
    assert step.on_notify()[0] == []
    clock.advance(4 * 3600)
    assert len(step.on_notify()[0]) == 1
    assert step.notify_at() is None


def test_no_budget_sends_every_alert_at_once(make, found):
    assert BudgetStep(make(alert_budget=float("inf")), None).on_batch([*found, *found])[0] == [*found, *found]


CHANNEL = {"type": "webhook", "url": "http://127.0.0.1:9/hook"}


def pulses(step, clock, seconds):
    """What the step sends within this time, asked every second while it wants to be."""
    sent = []
    for _ in range(seconds):
        clock.advance(1.0)
        if step.notify_at() is not None:
            sent += step.on_notify()[0]
    return sent


def test_channels_are_pulsed_from_the_first_alert_on(make, found, clock):
    step = BudgetStep(make(CHANNEL), None)
    assert pulses(step, clock, 60) == []
    step.on_batch(found[:1])
    assert pulses(step, clock, 60) == [PULSE] * 12
    restarted = BudgetStep(make(CHANNEL), step.snapshot())
    assert pulses(restarted, clock, 10) == [PULSE] * 2


def test_without_channels_nothing_is_pulsed(make, found, clock):
    step = BudgetStep(make(), None)
    step.on_batch(found[:1])
    assert pulses(step, clock, 60) == []


def test_alerts_that_wait_are_sent_next_to_pulses(make, found, clock):
    step, sent = BudgetStep(make(CHANNEL), None), []
    step.on_batch(found)
    for _ in range(6):
        clock.advance(3600.0)
        sent += step.on_notify()[0]
    assert PULSE in sent
    assert len([record for record in sent if record.document.get("digest")]) == 1
