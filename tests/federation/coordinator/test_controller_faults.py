"""The controller where a disk fails, a region stays away, or somebody goes back in between."""

from itertools import count
from pathlib import Path

import pytest

from federation.coordinator.records import RoundStep, RoundTrigger
from federation.round import round_files
from models.storage.store import ModelStore
from tests.support.coordinator_process import MODEL, CoordinatorProcess, Killed, drift, publish_first, settle


def _cut_before_the_publication_is_recorded(base, clock):
    """A process that is killed once the candidate is current, and before the ledger records it."""
    publish_first(base)
    first = CoordinatorProcess(base, clock)
    first.ledger.record([RoundTrigger("m", "manual", "", clock.ns, 0, "asked for")])
    save = first.ledger.save

    def cut(changed, *more):
        if changed.step is RoundStep.PUBLISHED:
            raise Killed
        save(changed, *more)

    first.ledger.save = cut
    with pytest.raises(Killed):
        first.ticks(20)
    first.close()


@pytest.mark.parametrize("to", [None, 1])
def test_a_version_taken_back_before_its_publication_was_recorded_is_not_put_back(tmp_path, clock, to):
    _cut_before_the_publication_is_recorded(tmp_path, clock)
    store = ModelStore(tmp_path / "models")
    assert store.current(MODEL) == 2
    store.rollback(MODEL, to)
    second = CoordinatorProcess(tmp_path, clock)
    second.ticks(20)
    assert second.store.current(MODEL) == 1
    (ended,) = second.ledger.rounds(5)
    assert (ended.outcome, ended.published, ended.step) == ("published", 2, RoundStep.DONE)
    second.close()


def test_a_version_that_was_written_and_never_current_is_put_into_service(process, clock, monkeypatch):
    full = [OSError(28, "No space left on device")]
    point = ModelStore._point

    def refuse(store, name, version, held):
        if full:
            raise full.pop()
        point(store, name, version, held)

    monkeypatch.setattr(ModelStore, "_point", refuse)
    settle(process, clock, drift("d1", clock.ns))
    assert "No space left" in process.observer.troubles[0]
    assert (process.store.versions(MODEL), process.store.current(MODEL)) == ([1, 2], 2)
    assert process.ledger.rounds(1)[0].outcome == "published"


def _failing(process, present):
    process.runner.start = lambda folder, plan, weights: (
        folder.mkdir(parents=True, exist_ok=True),
        round_files.write_failure(folder, "step 1, who is there: 1 regions of 2 needed", present),
    )


def test_a_region_missing_from_rounds_that_failed_for_it_is_reported_too(process, clock):
    _failing(process, ("us",))
    for i in range(2):
        settle(process, clock, RoundTrigger(f"s{i}", "schedule", "", clock.ns, 0, "due"))
    assert [m for m in process.observer.missed if m[1]] == [("ap", 2), ("eu", 2)]
    assert {r.name: (r.missed, r.attended) for r in process.ledger.regions()} == {
        "ap": (2, 0), "eu": (2, 0), "us": (0, 2)
    }  # fmt: skip
    entry = process.audit.verify()[0]
    assert (entry.event, entry.body["participants"], entry.body["missing"]) == ("failed", ["us"], ["ap", "eu"])


def test_a_failure_that_says_nothing_of_the_regions_is_held_against_none(process, clock):
    _failing(process, None)
    settle(process, clock, RoundTrigger("m", "manual", "", clock.ns, 0, "asked for"))
    assert process.ledger.rounds(1)[0].outcome == "failed"
    assert process.ledger.regions() == ()


def test_a_result_that_cannot_be_read_is_a_sentence_and_is_read_again(process, clock, tmp_path, monkeypatch):
    broken = [OSError(5, "Input/output error")]
    read = Path.read_bytes

    def flaky(path):
        if path.name == round_files.RESULT and broken:
            raise broken.pop()
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", flaky)
    settle(process, clock, drift("d1", clock.ns))
    assert [t for t in process.observer.troubles if "Input/output error" in t] == [
        f"the result of the round in {tmp_path / 'rounds' / 'round-0'} cannot be read: [Errno 5] Input/output error"
    ]
    assert process.store.current(MODEL) == 2


def test_a_result_that_stays_unreadable_fails_the_round_at_its_deadline(process, clock, monkeypatch):
    read = Path.read_bytes

    def refuse(path):
        if path.name == round_files.RESULT:
            raise PermissionError(13, "Permission denied")
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", refuse)
    process.ledger.record([RoundTrigger("m", "manual", "", clock.ns, 0, "asked for")])
    process.ticks(6)
    assert process.ledger.open_round().step is RoundStep.STARTED
    clock.advance(161)
    process.controller.tick()
    judged = process.ledger.open_round()
    assert (judged.outcome, judged.step) == ("failed", RoundStep.JUDGED)
    assert judged.sentence.startswith("no result 60 s after the deadline: the result of the round in")


def test_going_back_while_the_candidate_is_being_written_wins(process, clock, monkeypatch):
    settle(process, clock, drift("d1", clock.ns))
    assert process.store.current(MODEL) == 2
    add = process.store._folder.add_version

    def add_and_go_back(name, files):
        version = add(name, files)
        ModelStore(str(process.store._folder)).rollback(MODEL)
        return version

    monkeypatch.setattr(process.store._folder, "add_version", add_and_go_back)
    settle(process, clock, RoundTrigger("m", "manual", "", clock.ns, 0, "asked for"))
    assert (process.store.versions(MODEL), process.store.current(MODEL)) == ([1, 2, 3], 1)
    assert process.ledger.rounds(1)[0].outcome == "superseded"


def test_files_of_rounds_that_a_killed_coordinator_left_go_with_the_next_round(tmp_path, clock, monkeypatch):
    publish_first(tmp_path)
    first = CoordinatorProcess(tmp_path, clock)
    first.ledger.record([RoundTrigger("m1", "manual", "", clock.ns, 0, "asked for")])
    with monkeypatch.context() as patch:
        patch.setattr(round_files, "tidy", lambda *given: (_ for _ in ()).throw(Killed))
        with pytest.raises(Killed):
            first.ticks(20)
    first.close()
    assert (tmp_path / "rounds" / "round-0" / round_files.CANDIDATE).exists()
    second = CoordinatorProcess(tmp_path, clock, ids=count(1))
    settle(second, clock, RoundTrigger("m2", "manual", "", clock.ns, 0, "asked for"))
    assert [r.outcome for r in second.ledger.rounds(9)] == ["published", "published"]
    assert not list((tmp_path / "rounds").glob("*/*.safetensors"))
    assert len(list((tmp_path / "rounds").glob(f"*/{round_files.RESULT}"))) == 2
    second.close()


def test_files_that_cannot_be_removed_cost_nothing_but_their_place(process, clock, monkeypatch, caplog):
    monkeypatch.setattr(round_files, "tidy", lambda *given: (_ for _ in ()).throw(PermissionError(13, "denied")))
    settle(process, clock, drift("d1", clock.ns))
    assert process.ledger.rounds(1)[0].step is RoundStep.DONE
    assert "files of completed rounds could not be removed" in caplog.text
