import json

import pytest

from connectors.memory import MemorySink, MemorySource
from federation.coordinator.drift_events import event_feed
from federation.flower.keys import make_node_key, node_keys
from foundation.document_signatures import SigningKeyError, Verifier, signer
from tests.support.coordinator_process import MODEL, CoordinatorProcess, ManualWallClock, drift, publish_first
from tests.support.documents import drift_document

DRIFT = drift_document()


@pytest.fixture
def process(tmp_path):
    publish_first(tmp_path)
    made = CoordinatorProcess(tmp_path, ManualWallClock())
    yield made
    made.close()


def feed(process, delivered, *documents, regions=()):
    lines = [d if isinstance(d, bytes) else json.dumps(d).encode() for d in documents]
    return event_feed(
        MemorySource({"t/0": lines}, batch_lines=1), MemorySink(delivered), process.ledger, process.store, MODEL,
        settings=process.settings.schedule, regions=regions, now_ns=process.clock,
    )  # fmt: skip


def test_an_event_in_the_name_of_a_strange_region_is_a_dead_letter(process):
    lines, delivered = [json.dumps({**DRIFT, "region": "mars"}).encode(), json.dumps(DRIFT).encode()], []
    events = event_feed(
        MemorySource({"t/0": lines}, batch_lines=1), MemorySink(delivered), process.ledger, process.store, MODEL,
        settings=process.settings.schedule, regions=("eu", "us"), now_ns=process.clock,
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


def regression(name, region="eu", version=2, **changes):
    return drift_document(
        name, type="regression", region=region, model={"name": MODEL, "version": version}, windows=200, **changes
    )


def polled(process, *documents):
    events = feed(process, [], *documents, regions=("ap", "eu", "us"))
    for _ in documents:
        events.poll()
        process.ticks(3)


def served(process):
    return {region: process.store.current(MODEL, region) for region in ("ap", "eu", "us")}


def test_a_regression_takes_its_region_back_once_and_no_other(process):
    second_version(process)
    polled(process, *(regression(f"r{i}") for i in range(3)))
    assert served(process) == {"ap": 2, "eu": 1, "us": 2}
    assert process.store.current(MODEL) == 2
    (_, entry) = process.audit.verify()
    assert (entry.event, entry.body["region"], entry.body["automatic"]) == ("rolled_back", "eu", True)
    assert entry.body["reason"].endswith("only eu goes back; ap and us still serve it")
    assert process.store.held(MODEL) == {"eu": 1}


def test_two_regions_take_a_version_back_for_all(process):
    second_version(process)
    polled(process, regression("r1"), regression("r2", "us"))
    assert served(process) == {"ap": 1, "eu": 1, "us": 1}
    assert process.store.held(MODEL) == {}
    assert (
        process.audit.verify()[-1]
        .body["reason"]
        .endswith("reported by eu and us, so all regions go back; ap did not report it")
    )


def test_where_one_region_alone_serves_a_version_its_report_is_enough(process):
    second_version(process)
    process.store.promote(MODEL, 2, {"ap": 1, "us": 1})
    polled(process, regression("r1"))
    assert process.store.current(MODEL) == 1


def test_forged_reports_take_nobody_further_than_one_version(process):
    for i in range(7):
        process.clock.advance(400)
        process.ledger.record([drift(f"d{i}", process.clock.ns, version=i + 1)])
        process.clock.advance(6)
        process.ticks(12)
    assert process.store.current(MODEL) == 8
    forged = [
        regression(f"f{version}{region}", region, version)
        for version in range(8, 0, -1)
        for region in ("eu", "us", "ap")
    ]
    polled(process, *forged)
    assert served(process) == {"ap": 7, "eu": 7, "us": 7}
    process.clock.advance(3601)
    polled(process, *forged, regression("late", "eu", 7))
    assert served(process) == {"ap": 7, "eu": 6, "us": 7}


@pytest.mark.parametrize(
    "changes", [{"windows": 19}, {"statistic": 0.1, "threshold": 0.2}, {"version": 1}], ids=["few", "unsure", "old"]
)
def test_a_report_without_evidence_moves_nothing(process, changes):
    second_version(process)
    version = changes.pop("version", 2)
    polled(process, {**regression("r1", version=version), **changes})
    assert served(process) == {"ap": 2, "eu": 2, "us": 2}
    assert process.ledger.rollbacks() == ()


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


# --- signatures ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    """Key pairs of two regions, as `driftline federate keys` makes them."""
    folder = tmp_path_factory.mktemp("keys")
    for region in ("eu", "us"):
        make_node_key(folder, region)
    return folder


def signed(keys, region, document):
    return {**document, "signature": signer(keys / "nodes" / f"{region}.key")(document)}


def accepted(process, keys, document, *, required):
    delivered = []
    events = event_feed(
        MemorySource({"t/0": [json.dumps(document).encode()]}), MemorySink(delivered), process.ledger, process.store,
        MODEL, settings=process.settings.schedule, now_ns=process.clock,
        verifier=Verifier(node_keys(keys), required=required),
    )  # fmt: skip
    return events.poll(), [letter.document["reason"] for letter in delivered]


def test_without_that_setting_it_is_accepted(process, keys):
    assert accepted(process, keys, DRIFT, required=False) == (1, [])


@pytest.mark.parametrize("required", [True, False])
def test_a_signed_event_is_accepted(process, keys, required):
    assert accepted(process, keys, signed(keys, "eu", DRIFT), required=required) == (1, [])


def test_an_event_without_a_signature_is_rejected_where_one_is_required(process, keys):
    count, (reason,) = accepted(process, keys, DRIFT, required=True)
    assert count == 0
    assert reason.endswith('it has no "signature", and only signed documents are accepted')


@pytest.mark.parametrize("required", [True, False])
@pytest.mark.parametrize(
    "forged",
    [
        lambda keys: signed(keys, "us", DRIFT),  # another region's key
        lambda keys: {**signed(keys, "eu", DRIFT), "statistic": 0.9},
        lambda keys: {**signed(keys, "eu", DRIFT), "region": "us"},
        lambda keys: {**DRIFT, "signature": "AAAA"},
        lambda keys: {**DRIFT, "signature": "no base64!"},
        lambda keys: {**DRIFT, "signature": "é"},
    ],
)
def test_a_forged_event_is_rejected_in_any_case(process, keys, forged, required):
    count, (reason,) = accepted(process, keys, forged(keys), required=required)
    assert count == 0
    assert 'its "signature" is not one of region' in reason


def test_an_event_of_a_region_without_a_key_is_rejected_if_it_is_signed(process, keys):
    count, (reason,) = accepted(process, keys, {**DRIFT, "region": "asia", "signature": "AAAA"}, required=False)
    assert count == 0
    assert "there is no key of region 'asia'" in reason


def test_a_signature_covers_what_a_topic_delivers(keys):
    """The document is signed before it is JSON, and checked afterwards."""
    document = {**drift_document(), "statistic": 0.1 + 0.2, "evidence": {"b": 1.0, "a": "ü"}}
    delivered = json.loads(json.dumps(signed(keys, "eu", document)))
    Verifier(node_keys(keys), required=True).check(delivered, "eu")


def test_keys_of_another_kind_are_one_sentence(tmp_path):
    for make in (signer, lambda path: Verifier({"eu": path}, required=True)):
        with pytest.raises(SigningKeyError, match="key in the OpenSSH format"):
            make(tmp_path / "nothing")
