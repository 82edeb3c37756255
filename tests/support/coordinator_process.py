"""A coordinator's controller that can be killed at any of its actions and continues from what is on the disk."""

import itertools
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np

from federation.coordinator.audit import AuditLog
from federation.coordinator.controller import Controller, ControllerParts, ControllerSettings
from federation.coordinator.hooks import RoundObserver
from federation.coordinator.ledger import Ledger
from federation.coordinator.records import RoundTrigger
from federation.coordinator.rollback import Rollbacks
from federation.coordinator.schedule import ScheduleSettings
from federation.protocol.records import HoldoutFigures, LabelledAnomalies
from federation.round import round_files
from federation.round.result import RegionVerdict, RoundResult, Standing
from federation.round.settings import RoundSettings
from models.base import Windows, template_id
from models.detectors.registry import build
from models.storage.store import ModelStore, Notes
from models.thresholds.base import HeldOut, Threshold

MODEL = "floor"
S = 10**9


class Killed(BaseException):
    """The process is gone."""


class KillPoint:
    """Counts the moments before and after each action, and kills at the one numbered `at`."""

    def __init__(self, at=None):
        self.at = at
        self.count = 0

    def pass_action(self):
        if self.count == self.at:
            raise Killed
        self.count += 1


CHANGES = {
    "record", "dismiss", "plan", "save", "close_round", "save_rollback", "set_fact",
    "publish_weights", "promote", "start", "append",
}  # fmt: skip
"""Methods that change something outside the process; a kill before a query equals one before the next change."""


class Interruptible:
    """Passes calls on; the process may be killed before and after each that changes something."""

    def __init__(self, target, kill_point):
        self._target = target
        self._kill_point = kill_point

    def __getattr__(self, name):
        found = getattr(self._target, name)
        if name not in CHANGES:
            return found

        def call(*args, **kwargs):
            self._kill_point.pass_action()
            result = found(*args, **kwargs)
            self._kill_point.pass_action()
            return result

        return call


class FakeRunner:
    """Runs that take a number of looks; they die with the process unless they outlive it."""

    def __init__(self, started, accepted, looks):
        self.keeps = ()
        self.thresholds = {}
        self.plans = []
        self.started = started
        self.accepted = accepted
        self.looks = looks
        self.nodes = 3
        self._left = {}
        self._work = {}

    def start(self, folder, plan, weights):
        self.started[plan.round_id] += 1
        self.plans.append(plan)
        round_files.write_plan(folder, plan, weights)
        self._left[plan.round_id] = self.looks
        self._work[plan.round_id] = (folder, plan, weights)

    def running(self, round_id):
        if round_id not in self._left:
            return False
        self._left[round_id] -= 1
        if self._left[round_id] < 0:
            folder, plan, weights = self._work[round_id]
            result = result_of(plan.round_id, weights, accepted=self.accepted, keeps=self.keeps)
            round_files.write_result(folder, replace(result, thresholds=self.thresholds))
            return False
        return True

    def online(self):
        return self.nodes


class RecordingObserver(RoundObserver):
    """Records every call."""

    def __init__(self):
        self.troubles = []
        self.missed = []
        self.over = []

    def begin(self, round_id):
        return f"00-{'a' * 32}-{'b' * 16}-01"

    def missing(self, region, count):
        self.missed.append((region, count))

    def ended(self, ended, folder):
        self.over.append(ended)

    def step_problem(self, sentence):
        if sentence:
            self.troubles.append(sentence)


HELD_OUT = HeldOut(normal_scores=(0.1, 0.5), normal_shares=(0.5, 0.5), count=40, labelled=True, max_share=0.1)


def result_of(round_id, weights, *, accepted=True, participants=("eu", "us"), keeps=()):
    """The result of a round; regions in `keeps` lose by the candidate, `eu` and `us` gain otherwise."""
    verdicts = tuple(
        RegionVerdict(name, Standing.LOSES if name in keeps else Standing.GAINS, name not in keeps, 0.5, 0.9, 10, 3, 2)
        for name in ("eu", "us")
    )
    return RoundResult(
        round_id=round_id,
        weights={name: array + (array.dtype.kind == "f") for name, array in weights.items()},
        threshold=0.75,
        held_out=HELD_OUT,
        accepted=accepted,
        reason="the candidate is better" if accepted else "the candidate is not better",
        figures=(HoldoutFigures("eu", (1, 1, 1, 7), (2, 0, 0, 8), known=LabelledAnomalies(feedback=1, rules=4)),),
        participants=participants,
        missing=("ap",),
        examples=900,
        verdicts=verdicts,
        others_adopt="ap" not in keeps,
    )


class CoordinatorProcess:
    """The coordinator's controller over a folder, from its start to its end."""

    def __init__(
        self,
        base: Path,
        clock,
        *,
        kill_point=None,
        started=None,
        accepted=True,
        looks=1,
        ids=None,
        observer=None,
        **schedule,
    ):
        self.clock = clock
        kill_point = kill_point or KillPoint()
        self.ledger = Ledger(base / "ledger.db")
        self.ledger._database.execute("PRAGMA synchronous = OFF")  # the process is killed, never the machine
        self.store = ModelStore(base / "models")
        self.audit = AuditLog(base / "audit.jsonl", now_ns=clock)
        self.runner = FakeRunner(started if started is not None else Counter(), accepted, looks)
        self.observer = observer or RecordingObserver()
        self.ids = ids or itertools.count()

        def interruptible(target):
            return Interruptible(target, kill_point)

        ledger, store = interruptible(self.ledger), interruptible(self.store)
        self.rollbacks = Rollbacks(ledger, store, interruptible(self.audit), now_ns=clock)
        parts = ControllerParts(ledger, store, interruptible(self.runner), self.rollbacks, self.observer)
        self.settings = ControllerSettings(
            MODEL,
            base / "rounds",
            ("ap", "eu", "us"),
            ScheduleSettings(**{"debounce_s": 5, "cool_down_s": 60, **schedule}),
            RoundSettings(min_regions=2, deadline_s=100),
        )
        self.controller = Controller(
            self.settings,
            parts,
            now_ns=clock,
            new_id=lambda: f"round-{next(self.ids)}",
        )

    def ticks(self, count):
        for _ in range(count):
            self.controller.tick()

    def close(self):
        self.ledger.close()


class ManualWallClock:
    """Wall clock that moves only when a test moves it."""

    def __init__(self):
        self.ns = 1_769_860_800 * S

    def __call__(self):
        return self.ns

    def advance(self, seconds):
        self.ns += int(seconds * S)


def publish_first(base):
    texts = {template_id(t): t for t in ("a", "b")}
    windows = Windows.of([list(texts)] * 8)
    detector = build("event_counts")
    detector.fit(windows, None, texts)
    notes = Notes(threshold=Threshold(rule="percentile", value=0.5))
    return ModelStore(base / "models").publish(MODEL, detector, notes)


def publish_round(base):
    """Publish version 1, and have a round publish version 2."""
    publish_first(base)
    clock = ManualWallClock()
    process = CoordinatorProcess(base, clock)
    process.ledger.record([drift("d1", clock.ns)])
    clock.advance(6)
    process.ticks(12)
    process.close()


def drift(identity, time_ns, region="eu", version=1):
    return RoundTrigger(identity, "drift", region, time_ns, version, f"drift in {region}")


def same(a, b):
    return all(np.array_equal(a[k], b[k]) for k in a)


def settle(process, clock, *triggers):
    """Lets everything that is due happen."""
    process.ledger.record(triggers)
    for _ in range(4):
        clock.advance(61)
        process.ticks(12)
