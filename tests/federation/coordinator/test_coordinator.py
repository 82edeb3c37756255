import json
import threading
import time
from dataclasses import dataclass, replace

import pytest

from connectors.memory import FAIL, MemorySink, MemorySource
from federation.coordinator.background_runner import BackgroundRunner
from federation.coordinator.controller import Controller, ControllerParts
from federation.coordinator.coordinator import Coordinator
from federation.coordinator.drift_events import event_feed
from federation.errors import RoundFailedError, SetupError, StorageError
from federation.round import round_files
from tests.support.coordinator_process import MODEL, CoordinatorProcess, ManualWallClock, publish_first, result_of
from tests.support.documents import drift_document

DRIFT = drift_document()
BOUND_S = 100.0


@dataclass
class FakeNode:
    status: str


class FakeLink:
    """A SuperLink whose rounds end on request."""

    def __init__(self):
        self.known = [FakeNode("online"), FakeNode("offline"), FakeNode("online")]
        self.end = threading.Event()
        self.started = threading.Event()
        self.failure = None
        self.watched = 0
        self.asked = 0

    def watch(self):
        self.watched += 1
        return False

    def nodes(self):
        self.asked += 1
        if self.known is None:
            raise SetupError("the SuperLink does not answer")
        return self.known

    def run(self, folder, plan, weights):
        round_files.write_plan(folder, plan, weights)
        self.started.set()
        assert self.end.wait(BOUND_S)
        if self.failure is not None:
            raise self.failure
        result = result_of(plan.round_id, weights)
        round_files.write_result(folder, result)
        return result


@pytest.fixture
def parts(tmp_path):
    """A coordinator over a memory topic and a fake SuperLink."""
    publish_first(tmp_path)
    base = CoordinatorProcess(tmp_path, ManualWallClock())
    link = FakeLink()
    runner = BackgroundRunner(link, clock=lambda: base.clock.ns / 1e9)
    base.controller = Controller(
        replace(base.settings, regions=()),
        ControllerParts(base.ledger, base.store, runner, base.rollbacks, base.observer),
        now_ns=base.clock,
        new_id=lambda: f"round-{next(base.ids)}",
    )
    source = MemorySource({"t/0": [FAIL, json.dumps(DRIFT).encode()]})
    events = event_feed(
        source, MemorySink(), base.ledger, base.store, MODEL, settings=base.settings.schedule, now_ns=base.clock
    )
    base.observer.reported = []
    base.observer.events_problem = base.observer.reported.append
    yield Coordinator(base.controller, events, runner, base.observer), base, link, runner
    link.end.set()
    base.close()


def hear(coordinator, base):
    """Looks until the event is in the ledger."""
    for _ in range(5):
        coordinator.poll()
    assert len(base.ledger.pending()) == 1


def until(condition):
    deadline = time.monotonic() + BOUND_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_an_event_on_the_topic_becomes_a_version(parts):
    coordinator, base, link, runner = parts
    hear(coordinator, base)
    assert sum(map(bool, base.observer.reported)) == 1  # the source failed once
    assert base.observer.reported[-1] == ""
    base.clock.advance(6)
    coordinator.poll()
    assert runner.busy
    watched = link.watched
    coordinator.poll()
    assert link.watched == watched  # whoever runs the round watches the SuperLink
    link.end.set()
    until(lambda: not runner.busy)
    coordinator.poll()
    assert base.store.current(MODEL) == 2


def _fail(parts, failure):
    """A round that drift asks for, and that ends with this."""
    coordinator, base, link, runner = parts
    link.failure = failure
    link.end.set()
    hear(coordinator, base)
    base.clock.advance(6)
    coordinator.poll()
    until(lambda: not runner.busy)
    coordinator.poll()


@pytest.mark.parametrize(
    ("failure", "says"),
    [
        (RoundFailedError("step 1: 1 region"), "step 1: 1 region"),
        (StorageError("plan.json cannot be written"), "plan.json cannot be written"),
        (ValueError("x"), "the round failed with ValueError: x"),
    ],
)
def test_a_run_that_fails_leaves_word_of_it(parts, failure, says):
    base = parts[1]
    _fail(parts, failure)
    assert base.ledger.rounds(1)[0].sentence == says
    assert base.ledger.rounds(1)[0].outcome == "failed"
    assert len(base.ledger.pending()) == 1


def test_who_is_online_is_asked_once_a_second(parts):
    _, base, link, runner = parts
    assert [runner.online() for _ in range(3)] == [2, 2, 2]
    assert link.asked == 1
    link.known = None
    base.clock.advance(1.1)
    assert runner.online() is None


def test_no_round_begins_beside_one_that_was_given_up_and_still_runs(parts):
    coordinator, base, link, runner = parts
    hear(coordinator, base)
    base.clock.advance(6)
    coordinator.poll()
    assert link.started.wait(BOUND_S)  # a round that is given up before it has started ends at once
    for _ in range(4):
        base.clock.advance(1_000)
        coordinator.poll()
    assert [r.outcome for r in base.ledger.rounds(9)] == ["failed"]
    assert runner.busy
    link.end.set()
    until(lambda: not runner.busy)
    for _ in range(3):
        coordinator.poll()
        until(lambda: not runner.busy)
    assert base.ledger.rounds(1)[0].number == 2


def test_the_loop_ends_when_it_is_told_to(parts):
    coordinator, base, _, _ = parts
    answers = iter([False, False, True])
    coordinator.run(lambda seconds: next(answers))
    assert base.ledger.fact("waiting") is not None


def test_an_orderly_end_interrupts_a_round_and_does_not_fail_it(parts):
    coordinator, base, link, runner = parts
    link.failure = RoundFailedError("the SuperLink died during the run")
    hear(coordinator, base)
    base.clock.advance(6)
    coordinator.poll()
    assert runner.busy
    coordinator.run(lambda seconds: True)
    link.end.set()
    until(lambda: not runner.busy)
    base.ticks(6)
    assert base.ledger.rounds(1)[0].outcome == "interrupted"
    assert len(base.ledger.pending()) == 1


def test_a_run_that_cannot_even_leave_word_is_asked_for_again(parts, monkeypatch, caplog):
    base = parts[1]

    def full(folder, reason, present=None):
        raise StorageError("result.json cannot be written: No space left on device")

    monkeypatch.setattr(round_files, "write_failure", full)
    _fail(parts, StorageError("plan.json cannot be written: No space left on device"))
    (ended,) = base.ledger.rounds(9)
    assert (ended.outcome, "could not be written" in ended.sentence) == ("interrupted", True)
    assert len(base.ledger.pending()) == 1
    assert "plan.json cannot be written" in caplog.text
