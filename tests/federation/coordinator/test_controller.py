import contextlib
from collections import Counter
from dataclasses import replace
from itertools import count

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from federation.coordinator.ledger import Ledger
from federation.coordinator.records import RoundStep, RoundTrigger
from federation.errors import RoundFailedError, StorageError
from federation.protocol.records import LINE_CLASSIFIER, UNLABELLED, HoldoutFigures, LabelledAnomalies
from federation.round import round_files
from models.classify.registry import build
from models.storage.model_cards import ModelNotes
from models.storage.store import ModelStore
from tests.support.coordinator_process import (
    HELD_OUT,
    MODEL,
    CoordinatorProcess,
    Killed,
    KillPoint,
    ManualWallClock,
    drift,
    publish_first,
    result_of,
    same,
    settle,
)


def test_drift_becomes_a_new_version(process, clock):
    before = process.store.weights(MODEL, 1)
    settle(process, clock, drift("d1", clock.ns), drift("d2", clock.ns, "us"))
    assert process.store.current(MODEL) == 2
    card = process.store.card(MODEL)
    assert (card.parent, card.round, card.participants) == (1, 1, ("eu", "us"))
    assert card.data["round_id"] == "round-0"
    assert card.threshold.value == 0.75
    assert card.threshold.held_out == HELD_OUT, "an engine corrects the threshold on its stream"
    assert card.metrics["holdout"]["true_positives"] == 2
    assert card.labels == {"feedback": 1, "rules": 4}
    assert same(process.store.weights(MODEL, 2), {k: v + (v.dtype.kind == "f") for k, v in before.items()})
    (entry,) = process.audit.verify(tuple(process.ledger.fact("audit_head")))
    assert (entry.event, entry.body["to"]) == ("published", 2)
    assert process.ledger.pending() == ()
    assert process.runner.started == Counter({"round-0": 1})


def test_a_region_that_loses_keeps_its_version_and_is_judged_by_it_in_the_next_round(process, clock, tmp_path):
    process.runner.keeps = ("us", "ap")
    settle(process, clock, drift("d1", clock.ns))
    assert process.store.current(MODEL) == 2
    assert [process.store.current(MODEL, region) for region in ("eu", "us", "ap", "new")] == [2, 1, 1, 2]
    (entry,) = process.audit.verify()
    assert entry.body["kept"] == {"ap": 1, "us": 1}
    assert entry.body["holdout"]["eu"]["current"] == [1, 1, 1, 7]
    card = process.store.card(MODEL)
    assert card.metrics["region us"] == {
        "before": 0.5, "after": 0.9, "labelled": 10, "adopts": 0, "alerts_added": 3, "alerts_dropped": 2,
    }  # fmt: skip
    assert card.data["reason"] == process.ledger.rounds(1)[0].reason

    process.runner.keeps = ("ap",)
    settle(process, clock, drift("d2", clock.ns, "us"))  # about version 1, which us still serves
    plan = process.runner.plans[1]
    assert [(kept.version, kept.regions) for kept in plan.kept] == [(1, ("ap", "us"))]
    assert [process.store.current(MODEL, region) for region in ("eu", "us", "ap")] == [3, 3, 1]
    assert not list(tmp_path.glob("rounds/*/*.safetensors"))


def test_a_region_that_keeps_a_version_is_compared_with_that_version(process, clock, tmp_path):
    process.runner.keeps = ("us",)
    settle(process, clock, drift("d1", clock.ns))
    process.runner.looks = 10**9
    process.ledger.record([drift("d2", clock.ns, "us")])
    clock.advance(100)
    process.ticks(4)
    folder = tmp_path / "rounds" / process.ledger.open_round().round_id
    plan, current = round_files.read_plan(folder)
    (kept,) = round_files.read_kept(folder, plan)
    assert plan.made_with == LabelledAnomalies(feedback=1, rules=4)
    assert kept.made_with == UNLABELLED
    assert kept.regions == {"us"}
    assert same(kept.weights, process.store.weights(MODEL, 1))
    assert same(current, process.store.weights(MODEL, 2))
    (folder / "kept-1.safetensors").write_bytes(b"gone")
    with pytest.raises(RoundFailedError, match="a version that regions keep cannot be read"):
        round_files.read_kept(folder, plan)


def test_a_threshold_of_one_region_is_on_the_card_and_judges_it_in_the_next_round(process, clock):
    process.runner.thresholds = {"us": 0.25}
    settle(process, clock, drift("d1", clock.ns))
    card = process.store.card(MODEL, 2)
    assert [card.threshold_in(region).value for region in ("eu", "us")] == [0.75, 0.25]
    assert card.threshold_in("us").held_out == HELD_OUT

    process.runner.thresholds, process.runner.keeps = {}, ("us",)
    settle(process, clock, drift("d2", clock.ns, version=2))
    assert [(k.version, k.threshold, k.regions) for k in process.runner.plans[1].kept] == [(2, 0.25, ("us",))]
    assert process.store.card(MODEL, 3).thresholds == {}

    settle(process, clock, drift("d3", clock.ns, version=3))
    assert [(k.version, k.threshold, k.regions) for k in process.runner.plans[2].kept] == [(2, 0.25, ("us",))]


def test_a_line_classifiers_candidate_becomes_a_version_with_figures_by_class(tmp_path, clock, monkeypatch):
    ModelStore(tmp_path / "models").publish(MODEL, build("rules"), ModelNotes())
    matrix = np.diag([40, 3, 0, 0, 0, 0, 7])
    matrix[1, 0] = 2
    figures = (HoldoutFigures("eu", tuple(matrix.ravel().tolist()), tuple(matrix.ravel().tolist())),)
    monkeypatch.setattr(
        "tests.support.coordinator_process.result_of",
        lambda *args, **options: replace(result_of(*args, **options), figures=figures),
    )
    process = CoordinatorProcess(tmp_path, clock)
    settle(process, clock, drift("d1", clock.ns))
    card = process.store.any_card(MODEL)
    assert (card.version, card.kind, card.detector, card.participants) == (2, LINE_CLASSIFIER, "rules", ("eu", "us"))
    assert card.metrics["holdout"]["accuracy"] == pytest.approx(50 / 52)
    assert card.metrics["holdout"]["security_anomaly.recall"] == pytest.approx(0.6)
    plan = round_files.RoundPlan.model_validate_json((tmp_path / "rounds" / "round-0" / round_files.PLAN).read_bytes())
    assert (plan.spec.kind, plan.threshold) == (LINE_CLASSIFIER, 0.0)
    process.close()


def test_the_trace_of_a_round_is_on_the_plan_and_the_card(process, clock, tmp_path):
    settle(process, clock, drift("d1", clock.ns))
    context = process.observer.begin("")
    folder = tmp_path / "rounds" / "round-0"
    plan = round_files.RoundPlan.model_validate_json((folder / round_files.PLAN).read_bytes())
    assert plan.traceparent == context
    assert {p.name for p in folder.iterdir()} == {round_files.PLAN, round_files.RESULT}, "no weights are kept twice"
    assert process.store.card(MODEL).data["traceparent"] == context


def test_a_refused_candidate_is_on_record_and_nowhere_else(tmp_path, clock):
    publish_first(tmp_path)
    process = CoordinatorProcess(tmp_path, clock, accepted=False)
    settle(process, clock, drift("d1", clock.ns))
    assert process.store.versions(MODEL) == [1]
    assert [e.event for e in process.audit.verify()] == ["refused"]
    assert process.ledger.pending() == ()
    process.close()


def test_one_round_at_a_time(process, clock):
    process.runner.looks = 50
    process.ledger.record([drift("d1", clock.ns)])
    clock.advance(6)
    process.ticks(5)
    process.ledger.record([drift("d2", clock.ns, "us"), RoundTrigger("m", "manual", "", clock.ns, 0, "asked for")])
    clock.advance(90)
    process.ticks(20)
    assert process.runner.started == Counter({"round-0": 1})
    process.ticks(60)
    assert process.runner.started == Counter({"round-0": 1, "round-1": 1})


def test_a_round_without_result_fails_at_its_deadline(process, clock):
    process.runner.looks = 10**9
    process.ledger.record([drift("d1", clock.ns)])
    clock.advance(6)
    process.ticks(5)
    clock.advance(159)
    process.ticks(3)
    assert process.ledger.open_round().step is RoundStep.STARTED
    clock.advance(2)
    process.ticks(5)
    (ended,) = process.ledger.rounds(5)
    assert (ended.outcome, ended.sentence) == ("failed", "no result 60 s after the deadline")
    assert [t.id for t in process.ledger.pending()] == ["d1"]


def test_drift_is_given_up_after_so_many_failed_rounds(tmp_path, clock):
    publish_first(tmp_path)
    process = CoordinatorProcess(tmp_path, clock, attempts=2)
    process.runner.start = lambda folder, plan, weights: (
        process.runner.started.update([plan.round_id]),
        folder.mkdir(parents=True),
        round_files.write_failure(folder, "step 4: too few good updates"),
    )
    settle(process, clock, drift("d1", clock.ns), RoundTrigger("m", "manual", "", clock.ns, 0, "asked for"))
    assert process.runner.started == Counter({"round-0": 1, "round-1": 1})
    assert process.ledger.pending() == ()
    assert [e.event for e in process.audit.verify()] == ["failed", "failed"]
    process.close()


def test_an_interrupted_round_is_asked_for_again_by_whoever_asked_for_it(tmp_path, clock):
    publish_first(tmp_path)
    first = CoordinatorProcess(tmp_path, clock)
    first.ledger.record([RoundTrigger("m", "manual", "", clock.ns, 0, "asked for")])
    first.ticks(3)
    first.close()
    second = CoordinatorProcess(tmp_path, clock, ids=count(7))
    second.ticks(20)
    assert second.ledger.fact("waiting") == "a round failed; it is requested again in 15 s"
    clock.advance(15)
    second.ticks(20)
    assert [r.outcome for r in second.ledger.rounds(9)] == ["published", "interrupted"]
    assert second.ledger.rounds(1)[0].reason == "asked for"
    second.close()


def test_a_region_missing_twice_is_reported_and_cleared_when_it_comes_back(process, clock):
    for i in range(2):
        settle(process, clock, RoundTrigger(f"m{i}", "manual", "", clock.ns, 0, "asked for"))
    assert [m for m in process.observer.missed if m[1]] == [("ap", 2)]
    assert {r.name: (r.missed, r.attended) for r in process.ledger.regions()} == {
        "ap": (2, 0), "eu": (0, 2), "us": (0, 2)
    }  # fmt: skip


def test_a_candidate_proven_against_a_model_that_was_taken_back_is_not_published(process, clock):
    settle(process, clock, drift("d1", clock.ns))
    process.runner.looks = 3
    process.ledger.record([RoundTrigger("m", "manual", "", clock.ns, 0, "asked for")])
    process.ticks(3)
    process.store.rollback(MODEL)
    process.ticks(12)
    last = process.ledger.rounds(1)[0]
    assert last.outcome == "superseded"
    assert "floor version 2 is no longer current" in last.sentence
    assert process.store.current(MODEL) == 1
    assert process.store.versions(MODEL) == [1, 2]


def test_a_damaged_version_is_not_trained_on(process, clock, tmp_path):
    (tmp_path / "models" / MODEL / "1" / "weights.safetensors").write_bytes(b"gone")
    settle(process, clock, drift("d1", clock.ns))
    assert {r.outcome for r in process.ledger.rounds(9)} == {"failed"}
    assert "cannot be trained on" in process.ledger.rounds(1)[0].sentence
    assert process.runner.started == Counter()


def test_a_rollback_goes_back_and_is_on_record(process, clock):
    settle(process, clock, drift("d1", clock.ns))
    process.rollbacks.begin("regression-1", MODEL, None, "precision fell in eu")
    process.ticks(3)
    assert process.store.current(MODEL) == 1
    entry = process.audit.verify(tuple(process.ledger.fact("audit_head")))[-1]
    assert (entry.event, entry.body["from"], entry.body["to"]) == ("rolled_back", 2, 1)
    assert process.ledger.open_rollbacks() == ()


def _live(base, clock, cuts, started, ids):
    """Runs processes until one is not cut off any more; everything they did is in the folder."""
    with Ledger(base / "ledger.db") as ledger:
        ledger.record([drift("d1", clock.ns), drift("d2", clock.ns, "us")])
    for at in [*cuts, None]:
        kill_point = KillPoint(at)
        process = None
        try:
            process = CoordinatorProcess(base, clock, kill_point=kill_point, started=started, ids=ids, attempts=9)
            for _ in range(100):
                clock.advance(10)
                process.ticks(1)
                if not process.ledger.pending() and process.ledger.open_round() is None:
                    break
        except Killed:
            pass
        finally:
            if process is not None:
                process.close()
    return kill_point.count


def _prove(base, started):
    """What must hold whenever everything is over, wherever it was cut."""
    assert max(started.values()) == 1, "a round was run twice"
    store = ModelStore(base / "models")
    with Ledger(base / "ledger.db") as ledger:
        rounds = ledger.rounds(99)
        assert ledger.pending() == (), "drift was forgotten"
        assert ledger.open_round() is None
        head = tuple(ledger.fact("audit_head"))
    published = [r for r in rounds if r.outcome == "published"]
    assert len(published) == 1
    assert all(r.outcome in ("published", "interrupted") for r in rounds)
    assert store.versions(MODEL) == [1, 2]
    assert store.current(MODEL) == 2
    assert store.card(MODEL).data["round_id"] == published[0].round_id
    from federation.coordinator.audit import AuditLog

    entries = AuditLog(base / "audit.jsonl", now_ns=lambda: 0).verify(head)
    assert sorted(e.body["round_id"] for e in entries) == sorted(r.round_id for r in rounds)


def test_cut_off_at_every_single_action(tmp_path):
    publish_first(tmp_path / "whole")
    actions = _live(tmp_path / "whole", ManualWallClock(), [], Counter(), count())
    assert actions > 20
    for at in range(actions):
        base, clock, started = tmp_path / str(at), ManualWallClock(), Counter()
        publish_first(base)
        _live(base, clock, [at], started, count())
        _prove(base, started)


@given(st.lists(st.integers(0, 30), min_size=2, max_size=4))
@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_cut_off_again_and_again(tmp_path_factory, cuts):
    base, clock, started = tmp_path_factory.mktemp("cut"), ManualWallClock(), Counter()
    publish_first(base)
    _live(base, clock, cuts, started, count())
    _prove(base, started)


def test_a_rollback_cut_off_anywhere_is_finished_once(tmp_path):
    for at in range(12):
        base, clock = tmp_path / str(at), ManualWallClock()
        publish_first(base)
        process = CoordinatorProcess(base, clock)
        settle(process, clock, drift("d1", clock.ns))
        process.rollbacks.begin("back", MODEL, None, "worse in eu")
        process.close()
        for cut in (at, None):
            process = CoordinatorProcess(base, clock, kill_point=KillPoint(cut))
            with contextlib.suppress(Killed):
                process.ticks(3)
            process.close()
        assert process.store.current(MODEL) == 1
        assert [e.event for e in process.audit.verify()] == ["published", "rolled_back"]


def test_a_run_that_outlived_the_coordinator_is_taken_over(tmp_path, clock):
    publish_first(tmp_path)
    first = CoordinatorProcess(tmp_path, clock)
    first.runner.looks = 10**9
    first.ledger.record([drift("d1", clock.ns)])
    clock.advance(6)
    first.ticks(4)
    round_id = first.ledger.open_round().round_id
    weights = first.store.weights(MODEL, 1)
    first.close()
    round_files.write_result(tmp_path / "rounds" / round_id, result_of(round_id, weights))
    second = CoordinatorProcess(tmp_path, clock)
    second.ticks(6)
    assert second.runner.started == Counter()
    assert second.store.card(MODEL).data["round_id"] == round_id
    second.close()


def test_a_ledger_that_is_none_is_one_sentence(tmp_path):
    (tmp_path / "ledger.db").write_bytes(b"nonsense" * 200)
    with pytest.raises(StorageError, match=r"the ledger .*ledger\.db.*not a database"):
        Ledger(tmp_path / "ledger.db")
