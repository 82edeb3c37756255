import json

import pytest

from connectors.memory import MemorySink, MemorySource
from federation.coordinator.drift_events import event_feed
from foundation.content_ids import document_id
from tests.support.coordinator_process import MODEL, CoordinatorProcess, ManualWallClock, drift, publish_first
from tests.support.documents import drift_document

DRIFT = drift_document()


@pytest.fixture
def process(tmp_path):
    publish_first(tmp_path)
    made = CoordinatorProcess(tmp_path, ManualWallClock())
    yield made
    made.close()


def feed(process, delivered, *documents):
    lines = [d if isinstance(d, bytes) else json.dumps(d).encode() for d in documents]
    return event_feed(
        MemorySource({"t/0": lines}, batch_lines=1), MemorySink(delivered), process.ledger, process.store, MODEL,
        now_ns=process.clock,
    )  # fmt: skip


def test_an_event_in_the_name_of_a_strange_region_is_a_dead_letter(process):
    lines, delivered = [json.dumps({**DRIFT, "region": "mars"}).encode(), json.dumps(DRIFT).encode()], []
    events = event_feed(
        MemorySource({"t/0": lines}, batch_lines=1), MemorySink(delivered), process.ledger, process.store, MODEL,
        regions=("eu", "us"), now_ns=process.clock,
    )  # fmt: skip
    assert sum(events.poll() for _ in range(4)) == 1
    assert [t.text for t in process.ledger.pending()] == ["drift in eu: novelty (0.25) on floor version 1"]
    assert "which is not one of eu, us" in delivered[0].document["reason"]


def second_version(process):
    process.ledger.record([drift("first", process.clock.ns)])
    process.clock.advance(6)
    process.ticks(12)
    assert process.store.current(MODEL) == 2


def test_drift_is_a_reason_for_a_round(process):
    events = feed(process, [], DRIFT, DRIFT, drift_document("d2", region="us"))
    assert [events.poll() for _ in range(4)] == [1, 0, 1, 0]
    assert sorted(t.text for t in process.ledger.pending()) == [
        "drift in eu: novelty (0.25) on floor version 1",
        "drift in us: novelty (0.25) on floor version 1",
    ]


def test_events_about_other_models_are_passed_over(process):
    assert feed(process, [], {**DRIFT, "model": {"name": "other", "version": 1}}).poll() == 0
    assert process.ledger.pending() == ()


@pytest.mark.parametrize(
    ("document", "says"),
    [
        (b"{", "not JSON"),
        (b"7", "not a JSON object"),
        ({**DRIFT, "type": "panic"}, "\"type\" should be 'drift' or 'regression'"),
        ({**DRIFT, "model": "floor"}, '"model" should be a valid dictionary'),
        ({**DRIFT, "model": {"name": MODEL, "version": True}}, '"model.version" should be a valid integer'),
        ({**DRIFT, "model": {"name": MODEL, "version": 0}}, '"model.version" should be greater than or equal to 1'),
        ({**DRIFT, "model": {"name": MODEL, "version": 2**63}}, '"model.version" should be less than 2147483648'),
        ({**DRIFT, "id": ""}, '"id" should match pattern'),
        ({**DRIFT, "detector": 257 * "x"}, '"detector" should have at most 256 characters'),
        ({**DRIFT, "region": None}, '"region" should be a valid string'),
        ({key: value for key, value in DRIFT.items() if key != "since"}, '"since" is missing'),
    ],
)
def test_what_is_no_event_is_a_dead_letter(process, document, says):
    delivered = []
    assert feed(process, delivered, document).poll() == 0
    assert says in delivered[0].document["reason"]


def test_reading_goes_on_where_it_ended(process):
    documents = [DRIFT, drift_document("d2")]
    first = feed(process, [], *documents)
    assert first.poll() == 1
    first.close()
    assert feed(process, [], *documents).poll() == 1
    assert len(process.ledger.pending()) == 2


def test_a_regression_takes_the_current_version_back_once(process):
    second_version(process)
    regression = {**DRIFT, "type": "regression", "model": {"name": MODEL, "version": 2}}
    events = feed(process, [], {**regression, "id": document_id("r1")}, {**regression, "id": document_id("r2")})
    assert events.poll() == 1
    assert events.poll() == 0
    process.ticks(2)
    assert process.store.current(MODEL) == 1
    assert feed(process, [], {**regression, "id": document_id("r3")}).poll() == 0
    process.ticks(2)
    assert [e.event for e in process.audit.verify()] == ["published", "rolled_back"]
    assert process.delivered[-1].document["reason"] == "regression in eu: novelty (0.25) on floor version 2"


def test_a_regression_of_a_version_that_is_not_current_is_old_news(process):
    second_version(process)
    assert feed(process, [], {**DRIFT, "type": "regression"}).poll() == 0
    assert process.ledger.open_rollbacks() == ()


def test_a_regression_without_an_earlier_version_keeps_no_other_event_back(process):
    regression = drift_document("r1", type="regression")
    events = feed(process, [], regression, DRIFT)
    assert [events.poll(), events.poll()] == [0, 1]
    assert process.ledger.open_rollbacks() == ()
    assert process.store.current(MODEL) == 1


def test_an_event_about_a_version_that_is_not_in_the_store_is_refused(process):
    delivered = []
    assert feed(process, delivered, {**DRIFT, "model": {"name": MODEL, "version": 7}}).poll() == 0
    assert process.ledger.pending() == ()
    assert f"version 7 of {MODEL}, which is not in the model store" in delivered[0].document["reason"]


def test_the_end_of_a_drift_is_no_reason_for_a_round(process):
    delivered = []
    assert feed(process, delivered, {**DRIFT, "over": True}).poll() == 0
    assert (process.ledger.pending(), delivered) == ((), [])
