"""The ledger's bounds: what is settled is forgotten in time, what waits stays, a flood is skipped."""

from dataclasses import replace

from federation.coordinator.ledger import Ledger, LedgerBounds
from federation.coordinator.records import Round, RoundStep, RoundTrigger
from tests.support.coordinator_process import (
    MODEL,
    CoordinatorProcess,
    ManualWallClock,
    S,
    drift,
    publish_first,
    settle,
)


def _bounded(tmp_path, **bounds):
    return Ledger(tmp_path / "ledger.db", LedgerBounds(**bounds))


def _ids(ledger):
    return {row[0] for row in ledger._database.execute("SELECT id FROM triggers")}


def test_drift_events_beyond_those_that_may_wait_are_passed_over_and_commands_are_not(tmp_path):
    with _bounded(tmp_path, max_triggers=3) as ledger:
        assert ledger.record(drift(f"d{i}", i) for i in range(5)) == 3
        assert ledger.record([RoundTrigger("m", "manual", "", 9, 0, "asked for")]) == 1
        assert [t.id for t in ledger.pending()] == ["d0", "d1", "d2", "m"]


def test_settled_triggers_are_forgotten_when_they_are_too_many_or_too_old(tmp_path):
    day_ns = 86_400 * S
    with _bounded(tmp_path, max_triggers=2, keep_days=10) as ledger:
        for i in range(4):
            ledger.record([drift(f"d{i}", i)])
            ledger.dismiss(ledger.pending(), "old")
        ledger.record([drift("waits", 4)])
        assert _ids(ledger) == {"d2", "d3", "waits"}
        assert ledger.record([drift("late", 11 * day_ns)]) == 1
        assert _ids(ledger) == {"waits", "late"}, "one that waits is never too old"


def test_the_triggers_of_rounds_that_are_done_are_forgotten_as_well(tmp_path):
    clock = ManualWallClock()
    publish_first(tmp_path)
    process = CoordinatorProcess(tmp_path, clock)
    process.ledger._bounds = LedgerBounds(keep_days=1)
    settle(process, clock, drift("d1", clock.ns))
    assert _ids(process.ledger) == {"d1"}
    clock.advance(2 * 86_400)
    settle(process, clock, RoundTrigger("m", "manual", "", clock.ns, 0, "asked for"))
    assert _ids(process.ledger) == {"m"}
    assert len(process.ledger.rounds(9)) == 2, "rounds stay"
    process.close()


def test_only_the_newest_rounds_and_rollbacks_are_remembered_and_the_audit_log_tells_of_all(tmp_path):
    clock = ManualWallClock()
    publish_first(tmp_path)
    process = CoordinatorProcess(tmp_path, clock)
    process.ledger._bounds = LedgerBounds(keep_rounds=2, keep_days=1)
    for i in range(4):
        settle(process, clock, RoundTrigger(f"m{i}", "manual", "", clock.ns, 0, "asked for"))
        process.rollbacks.begin(f"b{i}", MODEL, None, "worse")
        process.ticks(3)
        clock.advance(2 * 86_400)
    assert [(r.number, r.round_id) for r in process.ledger.rounds(9)] == [(4, "round-3"), (3, "round-2")]
    assert _ids(process.ledger) == {"m3"}, "triggers of forgotten rounds are forgotten too"
    assert {p.name for p in (tmp_path / "rounds").iterdir()} == {"round-2", "round-3"}
    rollbacks = {row[0] for row in process.ledger._database.execute("SELECT id FROM rollbacks")}
    assert rollbacks == {"b1", "b2", "b3"}, "the last came after the last round's end"
    reported = [(e.event, e.body.get("round_id")) for e in process.audit.verify()]
    assert [event for event, _ in reported] == ["published", "rolled_back"] * 4
    assert reported[0] == ("published", "round-0")
    process.close()


def test_a_round_that_is_open_is_never_forgotten(tmp_path):
    with _bounded(tmp_path, keep_rounds=1) as ledger:
        for i in range(3):
            ledger.plan(Round(f"r{i}", "m", 1, "asked for", RoundStep.PLANNED, i), [])
        ledger.close_round(replace(ledger.rounds(1)[0], step=RoundStep.DONE, ended_ns=9), attempts=1)
        assert [r.round_id for r in ledger.rounds(9)] == ["r2", "r1", "r0"]


def test_a_region_that_nobody_expects_any_more_is_not_missing(tmp_path):
    with _bounded(tmp_path) as ledger:
        for number, regions in enumerate([("ap", "eu", "us"), ("eu", "us"), ()]):
            judged = Round(f"r{number}", "m", 1, "asked for", RoundStep.JUDGED, number, participants=("eu",))
            ledger.save(judged, regions)
            missed = {region.name: region.missed for region in ledger.regions()}
            assert missed == [{"ap": 1, "eu": 0, "us": 1}, {"eu": 0, "us": 2}, {"eu": 0, "us": 3}][number]
