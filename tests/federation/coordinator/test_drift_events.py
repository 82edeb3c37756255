import json

import pytest

from connectors.memory import MemorySink, MemorySource
from federation.coordinator.drift_events import event_feed
from tests.support.coordinator_process import MODEL, CoordinatorProcess, ManualWallClock, drift, publish_first

MODEL_1 = {"name": MODEL, "version": 1}
DRIFT = {"id": "d1", "type": "drift", "region": "eu", "detector": "novelty", "statistic": 0.25, "model": MODEL_1}


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
    assert "which is none of eu, us" in delivered[0].document["reason"]


def second_version(process):
    process.ledger.record([drift("first", process.clock.ns)])
    process.clock.advance(6)
    process.ticks(12)
    assert process.store.current(MODEL) == 2


def test_drift_is_a_reason_for_a_round(process):
    events = feed(process, [], DRIFT, DRIFT, {**DRIFT, "id": "d2", "region": "us"})
    assert [events.poll() for _ in range(4)] == [1, 0, 1, 0]
    assert [t.text for t in process.ledger.pending()] == [
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
        ({**DRIFT, "type": "panic"}, '"type" is neither'),
        ({**DRIFT, "model": "floor"}, '"model" names no name and version'),
        ({**DRIFT, "model": {"name": MODEL, "version": True}}, '"model" names no name and version'),
        ({**DRIFT, "model": {"name": MODEL, "version": 0}}, '"model" names no name and version'),
        ({**DRIFT, "model": {"name": MODEL, "version": 2**63}}, '"model" names no name and version'),
        ({**DRIFT, "id": ""}, '"id" is no text'),
        ({**DRIFT, "detector": 257 * "x"}, '"detector" is no text of at most 256'),
        ({**DRIFT, "region": None}, '"region" is no text'),
    ],
)
def test_what_is_no_event_is_a_dead_letter(process, document, says):
    delivered = []
    assert feed(process, delivered, document).poll() == 0
    assert says in delivered[0].document["reason"]


def test_reading_goes_on_where_it_ended(process):
    documents = [DRIFT, {**DRIFT, "id": "d2"}]
    first = feed(process, [], *documents)
    assert first.poll() == 1
    first.close()
    assert feed(process, [], *documents).poll() == 1
    assert len(process.ledger.pending()) == 2


def test_a_regression_takes_the_current_version_back_once(process):
    second_version(process)
    regression = {**DRIFT, "type": "regression", "model": {"name": MODEL, "version": 2}}
    events = feed(process, [], {**regression, "id": "r1"}, {**regression, "id": "r2"})
    assert events.poll() == 1
    assert events.poll() == 0
    process.ticks(2)
    assert process.store.current(MODEL) == 1
    assert feed(process, [], {**regression, "id": "r3"}).poll() == 0
    process.ticks(2)
    assert [e.event for e in process.audit.verify()] == ["published", "rolled_back"]
    assert process.delivered[-1].document["reason"] == "regression in eu: novelty (0.25) on floor version 2"


def test_a_regression_of_a_version_that_is_not_current_is_old_news(process):
    second_version(process)
    assert feed(process, [], {**DRIFT, "type": "regression"}).poll() == 0
    assert process.ledger.open_rollbacks() == ()


def test_a_regression_without_an_earlier_version_keeps_no_other_event_back(process):
    regression = {**DRIFT, "type": "regression", "id": "r1"}
    events = feed(process, [], regression, DRIFT)
    assert [events.poll(), events.poll()] == [0, 1]
    assert process.ledger.open_rollbacks() == ()
    assert process.store.current(MODEL) == 1
