from dataclasses import replace

import pytest

from federation.coordinator.controller import Controller, ControllerParts
from federation.coordinator.records import RoundTrigger
from federation.errors import SetupError
from federation.round import round_files
from tests.support.coordinator_process import MODEL, CoordinatorProcess, drift, publish_first, settle


def test_a_second_coordinator_on_the_same_store_does_nothing_until_the_lease_ends(tmp_path, clock):
    publish_first(tmp_path)
    first = CoordinatorProcess(tmp_path, clock)
    first.ticks(1)
    other = replace(first.settings, folder=tmp_path / "elsewhere")
    parts = ControllerParts(first.ledger, first.store, first.runner, first.rollbacks, first.observer)
    second = Controller(other, parts, now_ns=clock, new_id=lambda: "second-0")
    with pytest.raises(SetupError, match=r"another coordinator \(.*rounds\) manages floor in"):
        second.hold_lease()
    assert not second.tick()
    assert "another coordinator" in first.observer.troubles[-1]
    clock.advance(45)
    first.ticks(1)  # renews it
    clock.advance(45)
    assert not second.tick()
    clock.advance(61)
    second.hold_lease()
    assert first.store.lease(MODEL, "third", clock()) == second._holder
    first.close()


def test_a_current_version_that_another_program_changes_is_on_record(process, clock):
    settle(process, clock, drift("d1", clock.ns))
    process.rollbacks.begin("back", MODEL, None, "worse in eu")
    process.ticks(3)
    assert [e.event for e in process.audit.verify()] == ["published", "rolled_back"]
    process.store.promote(MODEL, 2)
    process.ticks(3)
    moved = process.audit.verify(tuple(process.ledger.fact("audit_head")))[-1]
    assert (moved.event, moved.body["from"], moved.body["to"]) == ("moved", 1, 2)
    process.ticks(3)
    assert len(process.audit.verify()) == 3


def test_a_command_whose_round_failed_is_requested_again(process, clock):
    start = process.runner.start

    def fail_first(folder, plan, weights):
        start(folder, plan, weights)
        if plan.round_id == "round-0":
            round_files.write_failure(folder, "step 1, hello: 1 regions of 2 needed")

    process.runner.start = fail_first
    settle(process, clock, RoundTrigger("m", "manual", "", clock.ns, 0, "asked for"))
    clock.advance(20)
    process.ticks(12)
    assert [r.outcome for r in process.ledger.rounds(9)] == ["published", "failed"]
    assert process.ledger.round_for("m") == "round-1"
