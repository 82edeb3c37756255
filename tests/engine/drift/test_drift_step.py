"""Drift events from scored windows to the sink: the step, the document, the flow."""

import numpy as np
import orjson
import pytest
from bytewax.testing import run_main

from connectors.memory import MemorySource
from engine import dataflow
from engine.clock import ManualClock, SystemClock
from engine.drift.event import DriftEvent, TemplateShare, event_record
from engine.flow.drift_step import DriftStep
from engine.flow.worker_context import Context, Drain
from engine.records import ScoredWindows
from engine.runtime.preflight import preflight
from engine.runtime.worker import context
from engine.settings import from_mapping
from engine.telemetry.telemetry import Telemetry, TelemetrySettings
from engine.windows.recent import RecentLines
from federation.flower.keys import make_node_key, node_keys
from foundation.document_signatures import Verifier
from models.base import Windows
from models.detectors.event_counts import EventCounts, EventCountsSettings
from models.storage.model_cards import Notes
from models.storage.store import ModelStore
from models.thresholds.base import Threshold
from tests.support.documents import check_document

SMALL = {"block_windows": 20, "warmup_blocks": 20, "current_blocks": 5, "cooldown_windows": 10_000}


@pytest.fixture
def telemetry():
    with Telemetry(TelemetrySettings(serve=False), ManualClock(), {}, "eu") as opened:
        yield opened


@pytest.fixture
def region(tmp_path):
    def make(**sections):
        return from_mapping(
            {
                "region": "eu",
                "source": {"type": "memory"},
                "parse": {"format": "auto"},
                "window": {"kind": "sliding", "size": 2, "stride": 2, "per": "source"},
                "model": {"store": str(tmp_path / "store"), "name": "event_counts"},
                "sinks": [{"type": "memory"}],
                "dead_letters": {"type": "memory"},
                "recovery": {"path": str(tmp_path / "r")},
                "drift": SMALL,
                "drift_events": {"type": "memory"},
                **sections,
            },
            "here",
        )

    return make


class Serving:
    """A model in service without an encoder, and nothing to take back."""

    detector = EventCounts(EventCountsSettings())
    version, f1 = 1, None
    taken_back: list[DriftEvent]

    def __init__(self):
        self.taken_back = []

    @property
    def scorer(self):
        return self

    def regressions(self):
        found, self.taken_back = self.taken_back, []
        return found

    def get(self):
        return self


@pytest.fixture
def make(region, telemetry):
    def build(templates=None, **sections):
        clock = ManualClock()
        return Context(
            region(**sections), 0, 1, MemorySource({}), clock, Drain(clock, 8.0), templates or {}, RecentLines(0),
            Serving(), telemetry,
        )  # fmt: skip

    return build


TEXTS = {1: "user u<NUM> logged in", 2: "user u<NUM> logged out", 3: "password of alice changed"}


@pytest.fixture
def batches(scored, window):
    """Calm windows, then ones with a new template, in batches of 40."""

    def make(calm=600, changed=400, version=1) -> list[ScoredWindows]:
        rows = [(1, 2)] * calm + [(1, 3, 2) if i % 2 else (1, 2) for i in range(changed)]
        made = [window(rows=row, closed=True, time_ns=i * 10**9) for i, row in enumerate(rows)]
        return [scored(*made[start : start + 40], version=version) for start in range(0, len(made), 40)]

    return make


def template_ids(document):
    return [template["id"] for template in document["templates"]]


def test_an_event_leaves_as_a_document_that_the_coordinator_can_read(make, batches, telemetry):
    step = DriftStep(make(TEXTS, alert={"redact": ["alice"]}), None)
    (record,) = step.on_batch(batches())[0]
    check_document("drift-event", record.document)
    assert record.document["region"] == record.key == "eu"
    assert record.document["model"] == {"name": "model", "version": 1}
    assert record.document["templates"][0]["text"] == "password of [redacted] changed"
    assert "1970-01-01T00:09:59" < record.document["since"] <= record.document["time"]
    assert record.headers["ce_type"] == "io.driftline.drift.v1"
    assert record.headers["ce_id"] == record.id == record.document["id"]
    assert (record.document["type"], record.document["region"]) == ("drift", "eu")
    value = telemetry.metrics.registry.get_sample_value
    detector = record.document["detector"]
    assert value("driftline_drift_events_total", {"type": "drift", "detector": detector}) == 1
    at, limit = (value(f"driftline_drift_{what}", {"detector": detector}) for what in ("statistic", "threshold"))
    assert at >= limit > 0


def test_an_event_is_signed_with_the_key_of_the_region(make, batches, tmp_path):
    make_node_key(tmp_path, "eu")
    step = DriftStep(make(TEXTS, event_key=str(tmp_path / "nodes" / "eu.key")), None)
    (record,) = step.on_batch(batches())[0]
    check_document("drift-event", record.document)
    assert record.document["signature"]
    Verifier(node_keys(tmp_path), required=True).check(record.document, "eu")


def test_texts_stay_in_the_region_where_that_is_wanted(make, batches):
    (record,) = DriftStep(make(TEXTS, drift={**SMALL, "texts": False}), None).on_batch(batches())[0]
    check_document("drift-event", record.document)
    assert {template["text"] for template in record.document["templates"]} == {""}
    assert template_ids(record.document) == template_ids(
        DriftStep(make(TEXTS), None).on_batch(batches())[0][0].document
    )


def test_a_fast_stream_is_looked_at_now_and_then_and_at_its_end(make, batches):
    (expected,) = DriftStep(make(TEXTS), None).on_batch(batches())[0]
    step = DriftStep(make(TEXTS), None)
    found = [record for batch in batches() for record in step.on_batch([batch])[0]]
    assert found == []  # the clock stands still after the first look
    assert [record.document for record in step.on_eof()[0]] == [expected.document]
    later = DriftStep(make(TEXTS), None)
    for batch in batches():
        later._context.clock.advance(1.0)
        found += later.on_batch([batch])[0]
    assert [record.document for record in found] == [expected.document]


@pytest.mark.parametrize("stop", [3, 11, 16, 20])
def test_a_crash_repeats_or_loses_no_event(make, batches, stop):
    whole = [record.document for record in DriftStep(make(TEXTS), None).on_batch(batches())[0]]
    before = DriftStep(make(TEXTS), None)
    found = list(before.on_batch(batches()[:stop])[0])
    # After a restart texts are announced with the first lines only; waiting windows know theirs.
    after = DriftStep(make({}), before.snapshot())
    after._context.templates.update(TEXTS)
    found += after.on_batch(batches()[stop:])[0]
    assert [record.document for record in found] == whole


def test_a_threshold_of_the_settings_counts_for_drift_as_well(make, scored, window):
    step = DriftStep(make(TEXTS, decide={"threshold": 0.9}, drift={**SMALL, "detectors": ["adwin"]}), None)
    made = [window(rows=(1, 2), closed=True, score=0.1 + (i % 7) / 100) for i in range(2_000)]
    later = [window(rows=(1, 2), closed=True, score=0.5) for _ in range(2_000)]
    (record,) = step.on_batch([scored(*made, threshold=5.0), scored(*later, threshold=5.0)])[0]
    # Halfway to 0.9 is far from usual, while a tenth of 5 is not.
    assert record.document["statistic"] > 0.05


def test_a_regression_keeps_to_the_schema():
    share = TemplateShare(-1, "t", 0.0, 1.0)
    event = DriftEvent("regression", "alert_rate", 0.4, 0.1, 5, 9, 100, "m", 3, (share,), {"previous_version": 2})
    record = event_record(event, region="eu", origin="0/1", redact=lambda text: text)
    check_document("drift-event", record.document)
    assert record.document["templates"][0]["id"] == "f" * 16
    assert record.document["type"] == "regression"


def test_without_a_place_for_events_nothing_watches(region, telemetry, tmp_path):
    settings = region(drift_events=None)
    assert not [f for f in preflight(settings) if "drift" in f.name]
    assert [f.ok for f in preflight(region()) if f.name == "drift events (memory)"] == [True]


def test_a_model_taken_back_is_told_with_the_next_batch(make, batches, telemetry):
    context = make(TEXTS)
    step = DriftStep(context, None)
    event = DriftEvent("regression", "alert_rate", 0.4, 0.1, 5, 9, 100, "m", 3)
    context.models.taken_back.append(event)
    calm = batches(calm=80, changed=0)
    (record,) = step.on_batch(calm[:1])[0]
    check_document("drift-event", record.document)
    assert (record.document["type"], record.document["model"]["version"]) == ("regression", 3)
    assert step.on_batch(calm[1:])[0] == []
    labels = {"type": "regression", "detector": "alert_rate"}
    assert telemetry.metrics.registry.get_sample_value("driftline_drift_events_total", labels) == 1


# --- through the flow ----------------------------------------------------------------------------


def test_a_change_in_the_lines_becomes_an_event_on_its_sink(region, telemetry, tmp_path):
    detector = EventCounts(EventCountsSettings())
    detector.fit(Windows.of([[1, 2], [1]]), None, {1: "a", 2: "b"})
    notes = Notes(threshold=Threshold(rule="percentile", value=10.0))
    ModelStore(tmp_path / "store").publish("event_counts", detector, notes)
    rng = np.random.default_rng(0)
    kinds = ["crond[%d]: session opened for user root", "crond[%d]: session closed for user root"]
    after = [*kinds, "volumed[%d]: replica kept by another volume"]
    lines = [f"Jun 14 15:16:02 combo {kinds[rng.integers(2)] % i}" for i in range(2_000)]
    lines += [f"Jun 14 15:16:03 combo {after[rng.integers(3)] % i}" for i in range(1_000)]
    events = tmp_path / "events.jsonl"
    settings = region(source={"type": "memory", "lines": lines}, drift_events={"type": "jsonl", "path": str(events)})
    clock = SystemClock()
    with context(settings, 0, 1, clock, Drain(clock, 8.0), telemetry) as running:
        run_main(dataflow.build(running))
    (document,) = [orjson.loads(line) for line in events.read_bytes().splitlines()]
    check_document("drift-event", document)
    assert document["model"] == {"name": "event_counts", "version": 1}
    assert "replica kept by another volume" in document["templates"][0]["text"]
    assert document["templates"][0]["reference_share"] == 0
