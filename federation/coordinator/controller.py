"""The controller: from a reason for a round to its announcement, one round at a time.

A round's steps. Each is recorded in the ledger when it is done, and each may be begun again after a crash:

1. **planned**: a round is due (`federation.coordinator.schedule`); it gets its id, and the triggers it answers.
2. **started**: the run is handed over. Recorded *before* it begins: a run is never begun twice.
3. **judged**: the round's folder holds a result: accepted by the gate, refused, or failed. A run that left
   none and is not under way any more (the coordinator was killed with it) was interrupted.
4. **published**: an accepted candidate is a version of the model store, and current. The round's id on
   its card says whether it is there already, and the store whether it was ever current: what was taken back
   since is not put back. A candidate whose starting point is no longer the current
   version (somebody rolled back meanwhile) was proven against the wrong model: it is superseded.
5. **audited**: the audit log says what became of the round.
6. **done**: a new version is announced, if it is still current; drift whose round failed waits for the next
   one, and so does whatever asked for a round that was interrupted.

Unfinished rollbacks come before everything else. Whatever cannot be reached now is tried again at the
next tick, from the step that was recorded last.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from connectors.base import ConnectorError
from federation.coordinator.announcements import Announcement
from federation.coordinator.hooks import RoundObserver
from federation.coordinator.ledger import Ledger, Outcome, Round, RoundStep
from federation.coordinator.rollback import Rollbacks
from federation.coordinator.schedule import Begin, ScheduleSettings, Situation, decide
from federation.errors import FederationError, RoundFailedError, StorageError
from federation.protocol.records import ModelSpec, Weights
from federation.round import round_files
from federation.round.gate import table
from federation.round.result import RoundResult
from federation.round.round_files import RoundPlan
from federation.round.settings import RoundSettings
from foundation.time_text import iso_millis
from models.base import ModelError
from models.storage.model_cards import AnyCard, Card, ModelNotes, Notes
from models.storage.store import ModelStore
from models.training.thresholds import Threshold

log = logging.getLogger(__name__)

LATE_S = 60.0
"""Behind a round's own deadline: by then whoever runs it must have given it up."""

MISSED = 2
"""Rounds in a row that a region was missing from before it is reported."""


class RoundRunner(Protocol):
    """Runs one round at a time in the background; what came of it lies in the round's folder."""

    def start(self, folder: Path, plan: RoundPlan, weights: Weights) -> None:
        """Begins a run; returns at once. It leaves a result or a failure in the folder."""
        ...

    def running(self, round_id: str) -> bool:
        """Whether this process runs the round now."""
        ...

    def online(self) -> int | None:
        """Nodes that could take part; None where nobody can say."""
        ...


@dataclass(frozen=True, slots=True)
class ControllerParts:
    """What the controller acts on."""

    ledger: Ledger
    store: ModelStore
    runner: RoundRunner
    rollbacks: Rollbacks
    observer: RoundObserver


class Controller:
    """See the module; `tick` often, from one thread."""

    def __init__(
        self, model: str, folder: Path, regions: tuple[str, ...], schedule: ScheduleSettings, settings: RoundSettings,
        world: ControllerParts, *, now_ns: Callable[[], int], new_id: Callable[[], str],
    ) -> None:  # fmt: skip
        """Takes everything; does nothing yet.

        Args:
            model: Name of the model in the store.
            folder: Holds a folder for each round.
            regions: Every region that should take part.
            schedule: When a round is due.
            settings: How a round is run.
            world: See the class.
            now_ns: Wall clock.
            new_id: Gives a round's id; never the same twice.
        """
        self._model = model
        self._folder = folder
        self._regions = regions
        self._schedule = schedule
        self._settings = settings
        self._ledger = world.ledger
        self._world = world
        self._now_ns = now_ns
        self._new_id = new_id
        if self._ledger.fact("born_ns") is None:
            self._ledger.set_fact("born_ns", now_ns())

    def tick(self) -> bool:
        """One step, if there is one to do; whether something was done. Never raises what a retry may mend."""
        try:
            moved = self._move()
        except (FederationError, ModelError, ConnectorError) as error:
            self._world.observer.trouble(str(error))
            return False
        self._world.observer.trouble("")
        return moved

    def _move(self) -> bool:
        for rollback in self._ledger.open_rollbacks():
            with self._world.observer.step("rollback", ""):
                self._world.rollbacks.finish(rollback)
            self._world.observer.rolled_back(rollback.model, rollback.good)
            return True
        current = self._ledger.open_round()
        if current is None:
            return self._plan()
        work: Mapping[RoundStep, Callable[[Round], Round | None]] = {
            RoundStep.PLANNED: self._start,
            RoundStep.STARTED: self._judge,
            RoundStep.JUDGED: self._publish,
            RoundStep.PUBLISHED: self._audit,
            RoundStep.AUDITED: self._end,
        }
        return work[current.step](current) is not None

    def _plan(self) -> bool:
        """Step 1."""
        last = next(iter(self._ledger.rounds(1)), None)
        situation = Situation(
            now_ns=self._now_ns(),
            triggers=self._ledger.pending(),
            version=self._world.store.current(self._model),
            online=self._settings.min_regions,
            needed=self._settings.min_regions,
            since_ns=last.ended_ns if last else int(self._ledger.fact("born_ns")),
            rounds=last.number if last else 0,
        )
        decision = decide(self._schedule, situation)
        if isinstance(decision, Begin):  # only now: the question takes its time where the SuperLink is in trouble
            decision = decide(self._schedule, replace(situation, online=self._world.runner.online()))
        if not isinstance(decision, Begin):
            self._ledger.dismiss(decision.stale, "it speaks of an older model")
            if self._ledger.fact("waiting") != decision.reason:
                self._ledger.set_fact("waiting", decision.reason)
            return bool(decision.stale)
        assert situation.version is not None
        round_id = self._new_id()
        traceparent = self._world.observer.begin(round_id)
        planned = Round(
            round_id, self._model, situation.version, decision.reason, RoundStep.PLANNED, situation.now_ns,
            traceparent=traceparent,
        )  # fmt: skip
        self._ledger.plan(planned, decision.triggers)
        log.info("round planned", extra={"round": round_id, "reason": decision.reason})
        return True

    def _start(self, planned: Round) -> Round:
        """Step 2."""
        with self._world.observer.step("start", planned.traceparent):
            try:
                card = self._world.store.any_card(self._model, planned.version)
                weights = self._world.store.weights(self._model, planned.version)
            except ModelError as error:
                return self._failed(planned, f"version {planned.version} cannot be trained on: {error}")
            plan = RoundPlan(
                round_id=planned.round_id,
                settings=self._settings,
                spec=_spec(card),
                threshold=card.threshold.value if isinstance(card, Card) else 0.0,
                traceparent=planned.traceparent,
            )
            started = replace(planned, step=RoundStep.STARTED, started_ns=self._now_ns())
            self._ledger.save(started)
            self._world.runner.start(self._folder_of(started), plan, weights)
        return started

    def _judge(self, started: Round) -> Round | None:
        """Step 3."""
        running = self._world.runner.running(started.round_id)  # asked before the folder is looked into
        late = self._now_ns() > started.started_ns + int((self._settings.deadline_s + LATE_S) * 1e9)
        try:
            result = round_files.read_result(self._folder_of(started))
        except RoundFailedError as error:
            return self._attended(started, error)
        except StorageError as error:
            if not late:
                raise  # it is read again at the next tick
            return self._failed(started, f"no result {LATE_S:g} s after the deadline: {error}")
        if result is not None:
            judged = _judged(started, result)
            self._save_judged(judged)
            return judged
        if not running:
            sentence = "the coordinator was stopped while the round ran, or the round's folder could not be written"
            return self._failed(started, sentence, "interrupted")
        if late:
            return self._failed(started, f"no result {LATE_S:g} s after the deadline")
        return None

    def _attended(self, started: Round, error: RoundFailedError) -> Round:
        """A round that failed; who was silent until then was missing, where that is known."""
        if error.present is None:
            return self._failed(started, str(error))
        missing = tuple(sorted(set(self._regions) - set(error.present)))
        failed = replace(
            started, step=RoundStep.JUDGED, outcome="failed", sentence=str(error), participants=error.present,
            missing=missing,
        )  # fmt: skip
        self._save_judged(failed)
        return failed

    def _publish(self, judged: Round) -> Round | None:
        """Step 4."""
        if judged.outcome != "accepted":
            return self._record(judged, RoundStep.PUBLISHED)
        with self._world.observer.step("publish", judged.traceparent):
            store = self._world.store
            version = self._version_of(judged)
            # It was current before a crash? If it is not any more, somebody took it back, and that stands.
            served = version is not None and version <= store.reached(self._model)
            if not served and store.current(self._model) != judged.version:
                sentence = f"{self._model} version {judged.version} is no longer current; {judged.sentence}"
                return self._record(replace(judged, outcome="superseded", sentence=sentence), RoundStep.PUBLISHED)
            if version is None:
                base = store.any_card(self._model, judged.version)
                try:
                    result = round_files.read_result(self._folder_of(judged))
                except RoundFailedError as error:
                    return self._failed(judged, str(error))
                if result is None:
                    return self._failed(judged, "the result of the round is gone")
                notes = self._notes(base, judged)
                version = store.publish_weights(base, result.weights, notes, over=judged.version)
                if version > store.reached(self._model):
                    return None  # somebody went back in this moment: the next tick finds the round superseded
            elif not served:
                store.promote(self._model, version)
            return self._record(replace(judged, outcome="published", published=version), RoundStep.PUBLISHED)

    def _audit(self, published: Round) -> Round:
        """Step 5."""
        with self._world.observer.step("audit", published.traceparent):
            entry = self._world.rollbacks.audit.append(
                f"{published.round_id}/{published.outcome}", published.outcome, _account(published)
            )
            self._ledger.set_fact("audit_head", [entry.seq, entry.sha256])
        return self._record(published, RoundStep.AUDITED)

    def _end(self, audited: Round) -> Round:
        """Step 6."""
        ended = replace(audited, step=RoundStep.DONE, ended_ns=self._now_ns())
        with self._world.observer.step("announce", audited.traceparent):
            # After a rollback meanwhile the topic's last word is the rollback's, and has to stay that.
            if audited.published and self._world.store.current(self._model) == audited.published:
                self._announce(audited)
        self._ledger.close_round(ended, self._schedule.attempts)
        log.info("round ended", extra={"round": ended.round_id, "outcome": ended.outcome, "reason": ended.sentence})
        self._world.observer.ended(ended, self._folder_of(ended))
        try:
            round_files.tidy(self._folder, self._ledger.round_ids())
        except OSError as error:
            log.warning("files of rounds that are done stay on the disk until the next one is: %s", error)
        return ended

    def _announce(self, audited: Round) -> None:
        version = audited.published
        entry = self._world.rollbacks.audit.append(f"{audited.round_id}/{audited.outcome}", audited.outcome, {})
        self._world.rollbacks.announcer.announce(
            Announcement(
                self._model, version, self._world.store.card_sha256(self._model, version), "published",
                audited.round_id, entry.time, audited.sentence, entry.sha256,
            ),
            audited.traceparent,
        )  # fmt: skip

    def _failed(self, at: Round, sentence: str, outcome: Outcome = "failed") -> Round:
        failed = replace(at, step=RoundStep.JUDGED, outcome=outcome, sentence=sentence)
        self._ledger.save(failed)
        return failed

    def _save_judged(self, judged: Round) -> None:
        self._ledger.save(judged, self._regions)
        for region in self._ledger.regions():
            if region.missed >= MISSED:
                log.warning("region %s was missing from %s rounds in a row", region.name, region.missed)
                self._world.observer.missing(region.name, region.missed)
            elif region.last_round == judged.round_id:
                self._world.observer.missing(region.name, 0)

    def _record(self, at: Round, step: RoundStep) -> Round:
        changed = replace(at, step=step)
        self._ledger.save(changed)
        return changed

    def _version_of(self, judged: Round) -> int | None:
        """The version that this round's candidate became, if it was published before a crash."""
        for version in reversed(self._world.store.versions(self._model)):
            if version <= judged.version:
                return None
            if self._world.store.any_card(self._model, version).data.get("round_id") == judged.round_id:
                return version
        return None

    def _folder_of(self, of: Round) -> Path:
        return self._folder / of.round_id

    def _notes(self, base: AnyCard, judged: Round) -> ModelNotes:
        common: dict[str, Any] = {
            "data": {
                "round_id": judged.round_id,
                "windows": judged.examples,
                **({"traceparent": judged.traceparent} if judged.traceparent else {}),
            },
            "metrics": {"holdout": table([candidate for _, _, candidate in judged.figures])},
            "seed": self._settings.seed,
            "round": judged.number,
            "participants": judged.participants,
            "epsilon": judged.epsilon,
            "delta": None if judged.epsilon is None else self._settings.privacy.delta,
        }
        if isinstance(base, Card):
            return Notes(**common, threshold=Threshold(rule=self._settings.threshold, value=judged.threshold))
        return ModelNotes(**common)


def _spec(card: AnyCard) -> ModelSpec:
    return ModelSpec(
        name=card.name, version=card.version, kind=card.kind, detector=card.detector, settings=card.settings,
        extra=card.extra,
    )  # fmt: skip


def _judged(started: Round, result: RoundResult) -> Round:
    return replace(
        started,
        step=RoundStep.JUDGED,
        outcome="accepted" if result.accepted else "refused",
        sentence=result.reason,
        threshold=result.threshold,
        participants=result.participants,
        missing=result.missing,
        refusals=tuple(f"{r.region}, pass {r.number}: {r.reason}" for r in result.refusals),
        figures=tuple((f.region, f.current, f.candidate) for f in result.figures),
        examples=result.examples,
        epsilon=result.epsilon,
    )


def _account(of: Round) -> dict[str, Any]:
    """What the audit log says of a round."""
    return {
        "round_id": of.round_id,
        "number": of.number,
        "model": of.model,
        "from": of.version,
        "to": of.published or None,
        "why": of.reason,
        "outcome": of.sentence,
        "participants": list(of.participants),
        "missing": list(of.missing),
        "refused": list(of.refusals),
        "holdout": {name: {"current": list(a), "candidate": list(b)} for name, a, b in of.figures},
        "windows": of.examples,
        "epsilon": of.epsilon,
        "planned": iso_millis(of.planned_ns),
        "started": iso_millis(of.started_ns) if of.started_ns else None,
    }
