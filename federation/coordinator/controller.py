"""The controller: from a reason for a round to a new version, one round at a time.

Steps of a round. Each is recorded in the ledger when it is done, and each may be repeated after a crash:

1. **planned**: a round is due (`federation.coordinator.schedule`); it gets its id and its triggers.
2. **started**: the run is handed over. Recorded *before* the run starts: no run is started twice.
3. **judged**: the round's folder holds a result: accepted by the gate, refused, or failed. A run that left no
   result and is not running any more (the coordinator was killed with it) was interrupted.
4. **published**: an accepted candidate is a version of the model store, and current; regions that do not take it
   keep the version that they serve. The round's id on its card
   shows whether it was stored before a crash, and the store whether it was ever current: a version that was
   rolled back since is not restored. If the version that the round started from is no longer current (it was
   rolled back meanwhile), the candidate was compared with the wrong model: it is superseded.
5. **audited**: the audit log has the outcome of the round.
6. **done**: drift whose round failed waits for the next round, and so do all triggers of a round that was
   interrupted.

A lease in the model store keeps a second coordinator from any step, and a current version that another program has
changed is recorded in the audit log. Unfinished rollbacks come before everything else. A step that fails because
something cannot be reached is repeated at the next tick.
"""

import logging
import socket
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from connectors.base import ConnectorError
from federation.coordinator.hooks import RoundObserver
from federation.coordinator.ledger import Ledger
from federation.coordinator.records import Round, RoundOutcome, RoundStep
from federation.coordinator.rollback import Rollbacks
from federation.coordinator.round_records import audit_body, judged, made_with, notes_of, spec_of, threshold_of
from federation.coordinator.schedule import Begin, ScheduleSettings, Situation, Wait, decide
from federation.errors import FederationError, RoundFailedError, SetupError, StorageError
from federation.protocol.records import Weights
from federation.round import round_files
from federation.round.round_files import KeptVersion, RoundPlan
from federation.round.settings import RoundSettings
from models.base import ModelError
from models.storage.lease import LEASE_S
from models.storage.model_cards import AnyCard, Card
from models.storage.store import ModelStore

log = logging.getLogger(__name__)

LATE_S = 60.0
"""Seconds after a round's own deadline at which the controller gives it up."""

MAX_MISSED = 2
"""Consecutive rounds without a region after which it is reported as missing."""


class RoundRunner(Protocol):
    """Runs one round at a time in the background; its result is left in the folder of the round."""

    def start(self, folder: Path, plan: RoundPlan, weights: Weights) -> None:
        """Start a run and return at once. The run leaves a result or a failure in the folder."""
        ...

    def running(self, round_id: str) -> bool:
        """Whether this process runs the round now."""
        ...

    def online(self) -> int | None:
        """Number of nodes that could take part; None if unknown."""
        ...


@dataclass(frozen=True, slots=True)
class ControllerSettings:
    """What the controller decides by.

    Attributes:
        model: Name of the model in the store.
        folder: Holds a folder for each round.
        regions: Every region that should take part.
        schedule: When a round is due.
        round: How a round is run.
    """

    model: str
    folder: Path
    regions: tuple[str, ...]
    schedule: ScheduleSettings
    round: RoundSettings


@dataclass(frozen=True, slots=True)
class ControllerParts:
    """What the controller acts on."""

    ledger: Ledger
    store: ModelStore
    runner: RoundRunner
    rollbacks: Rollbacks
    observer: RoundObserver


class Controller:
    """Does the steps of rounds; call `tick` often, from one thread."""

    def __init__(
        self, settings: ControllerSettings, parts: ControllerParts, *,
        now_ns: Callable[[], int], new_id: Callable[[], str],
    ) -> None:  # fmt: skip
        """Start no round yet.

        Args:
            settings: See the class.
            parts: See the class.
            now_ns: Wall clock.
            new_id: Returns a new id for a round.
        """
        self._model = settings.model
        self._settings = settings
        self._ledger = parts.ledger
        self._store = parts.store
        self._runner = parts.runner
        self._rollbacks = parts.rollbacks
        self._observer = parts.observer
        self._now_ns = now_ns
        self._new_id = new_id
        self._holder = f"{socket.gethostname()}:{settings.folder}"
        self._renew_ns = 0
        if self._ledger.fact("born_ns") is None:
            self._ledger.set_fact("born_ns", now_ns())

    def tick(self) -> bool:
        """Do one step if there is one to do, and return whether there was; failures are left for the next tick."""
        try:
            moved = self._move()
        except (FederationError, ModelError, ConnectorError) as error:
            self._observer.step_problem(str(error))
            return False
        self._observer.step_problem("")
        return moved

    def hold_lease(self) -> None:
        """Take the lease on the model, or renew it in time; raises SetupError if another coordinator holds it."""
        now_ns = self._now_ns()
        if now_ns < self._renew_ns:
            return
        if other := self._store.lease(self._model, self._holder, now_ns):
            raise SetupError(
                f"another coordinator ({other}) manages {self._model} in {self._store}; stop it and wait {LEASE_S:g} "
                "s, or use another model store"
            )
        self._renew_ns = now_ns + int(LEASE_S / 3 * 1e9)

    def _move(self) -> bool:
        self.hold_lease()
        for rollback in self._ledger.open_rollbacks():
            with self._observer.step("rollback", ""):
                self._rollbacks.finish(rollback)
            self._observer.rolled_back(rollback.model, rollback.good)
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
        self._audit_move()
        situation = self._situation()
        decision = decide(self._settings.schedule, situation)
        if isinstance(decision, Begin):  # only now: the number takes its time if the SuperLink does not answer
            decision = decide(self._settings.schedule, replace(situation, online=self._runner.online()))
        if isinstance(decision, Wait):
            self._ledger.dismiss(decision.stale, "about an older model")
            if self._ledger.fact("waiting") != decision.reason:
                self._ledger.set_fact("waiting", decision.reason)
            return bool(decision.stale)
        round_id = self._new_id()
        planned = Round(
            round_id, self._model, decision.version, decision.reason, RoundStep.PLANNED, situation.now_ns,
            traceparent=self._observer.begin(round_id),
        )  # fmt: skip
        self._ledger.plan(planned, decision.triggers)
        log.info("round planned", extra={"round": round_id, "reason": decision.reason})
        return True

    def _audit_move(self) -> None:
        """Audit a change of the current version that no round and no rollback of this ledger made."""
        current, known = self._store.current(self._model), self._ledger.fact("current")
        if current == known:
            return
        if known is not None:
            reason = "another program changed the current version in the model store"
            log.warning("%s from %s to %s", reason, known, current)
            body = {"model": self._model, "from": known, "to": current, "reason": reason}
            entry = self._rollbacks.audit.append(f"moved/{self._now_ns()}", "moved", body)
            self._ledger.set_fact("audit_head", [entry.seq, entry.sha256])
        self._ledger.set_fact("current", current)

    def _situation(self) -> Situation:
        last = next(iter(self._ledger.rounds(1)), None)
        return Situation(
            now_ns=self._now_ns(),
            triggers=self._ledger.pending(),
            version=self._store.current(self._model),
            held=self._store.held(self._model),
            online=max(self._settings.round.min_regions, len(self._settings.regions)),
            needed=self._settings.round.min_regions,
            expected=len(self._settings.regions),
            since_ns=last.ended_ns if last else int(self._ledger.fact("born_ns")),
            rounds=last.number if last else 0,
        )

    def _start(self, planned: Round) -> Round:
        """Step 2."""
        with self._observer.step("start", planned.traceparent):
            try:
                card = self._store.any_card(self._model, planned.version)
                weights = self._store.weights(self._model, planned.version)
            except ModelError as error:
                return self._failed(planned, f"version {planned.version} cannot be trained on: {error}")
            plan = RoundPlan(
                round_id=planned.round_id,
                settings=self._settings.round,
                spec=spec_of(card),
                threshold=threshold_of(card),
                made_with=made_with(card),
                kept=self._write_kept(card, self._folder_of(planned)),
                traceparent=planned.traceparent,
            )
            started = replace(planned, step=RoundStep.STARTED, started_ns=self._now_ns())
            self._ledger.save(started)
            self._runner.start(self._folder_of(started), plan, weights)
        return started

    def _write_kept(self, base: AnyCard, folder: Path) -> tuple[KeptVersion, ...]:
        """What regions serve instead of the base: earlier versions, and the base with a threshold of their own.

        The weights are written to files. Versions of another model are skipped.
        """
        own = base.thresholds if isinstance(base, Card) else {}
        serving = {**dict.fromkeys(own, base.version), **self._store.held(self._model)}
        regions: dict[tuple[int, float], list[str]] = {}
        cards = {version: self._store.any_card(self._model, version) for version in set(serving.values())}
        for region, version in sorted(serving.items()):
            regions.setdefault((version, threshold_of(cards[version], region)), []).append(region)
        kept = []
        for (version, threshold), names in sorted(regions.items()):
            card = cards[version]
            if (card.detector, card.settings, card.extra) != (base.detector, base.settings, base.extra):
                continue
            round_files.write_kept(folder, version, self._store.weights(self._model, version))
            kept.append(
                KeptVersion(version=version, threshold=threshold, regions=tuple(names), made_with=made_with(card))
            )
        return tuple(kept)

    def _serving(self, regions: Iterable[str]) -> dict[str, int]:
        """The version that each of these regions, and each known one, serves."""
        known = {*regions, *self._settings.regions, *(region.name for region in self._ledger.regions())}
        found = {region: self._store.current(self._model, region) for region in sorted(known)}
        return {region: version for region, version in found.items() if version is not None}

    def _judge(self, started: Round) -> Round | None:
        """Step 3."""
        running = self._runner.running(started.round_id)  # before the folder is read
        deadline_s = self._settings.round.deadline_s + LATE_S
        late = self._now_ns() > started.started_ns + int(deadline_s * 1e9)
        try:
            result = round_files.read_result(self._folder_of(started))
        except RoundFailedError as error:
            return self._failed_with_attendance(started, error)
        except StorageError as error:
            if not late:
                raise  # it is read again at the next tick
            return self._failed(started, f"no result {LATE_S:g} s after the deadline: {error}")
        if result is not None:
            with_verdict = judged(started, result, self._serving(f.region for f in result.figures))
            self._save_attendance(with_verdict)
            return with_verdict
        if not running:
            reason = "the coordinator was stopped while the round ran, or the round's folder could not be written"
            return self._failed(started, reason, "interrupted")
        return self._failed(started, f"no result {LATE_S:g} s after the deadline") if late else None

    def _failed_with_attendance(self, started: Round, error: RoundFailedError) -> Round:
        """A failed round; if its participants are known, all other regions were missing."""
        if error.present is None:
            return self._failed(started, str(error))
        missing = tuple(sorted(set(self._settings.regions) - set(error.present)))
        failed = replace(
            started, step=RoundStep.JUDGED, outcome="failed", sentence=str(error), participants=error.present,
            missing=missing,
        )  # fmt: skip
        self._save_attendance(failed)
        return failed

    def _publish(self, accepted: Round) -> Round | None:
        """Step 4."""
        if accepted.outcome != "accepted":
            return self._record(accepted, RoundStep.PUBLISHED)
        with self._observer.step("publish", accepted.traceparent):
            version = self._version_of(accepted)
            # If it was current before a crash and no longer is, it was rolled back, and stays so.
            served = version is not None and version <= self._store.reached(self._model)
            if not served and self._store.current(self._model) != accepted.version:
                reason = f"{self._model} version {accepted.version} is no longer current; {accepted.sentence}"
                superseded = replace(accepted, outcome="superseded", sentence=reason)
                return self._record(superseded, RoundStep.PUBLISHED)
            if version is None:
                try:
                    version = self._publish_candidate(accepted)
                except RoundFailedError as error:
                    return self._failed(accepted, str(error))
                if version > self._store.reached(self._model):
                    return None  # rolled back at this moment: the next tick finds the round superseded
            elif not served:
                self._store.promote(self._model, version, accepted.held)
            self._ledger.set_fact("current", version)
            return self._record(replace(accepted, outcome="published", published=version), RoundStep.PUBLISHED)

    def _publish_candidate(self, accepted: Round) -> int:
        """The version that the candidate became.

        Raises:
            RoundFailedError: the files of the round are gone or damaged.
        """
        base = self._store.any_card(self._model, accepted.version)
        result = round_files.read_result(self._folder_of(accepted))
        if result is None:
            raise RoundFailedError("the result of the round is missing")
        notes = notes_of(accepted, base, self._settings.round, result.held_out, result.thresholds)
        return self._store.publish_weights(base, result.weights, notes, over=accepted.version, held=accepted.held)

    def _audit(self, published: Round) -> Round:
        """Step 5."""
        with self._observer.step("audit", published.traceparent):
            entry = self._rollbacks.audit.append(
                f"{published.round_id}/{published.outcome}", published.outcome, audit_body(published)
            )
            self._ledger.set_fact("audit_head", [entry.seq, entry.sha256])
        return self._record(published, RoundStep.AUDITED)

    def _end(self, audited: Round) -> Round:
        """Step 6."""
        ended = replace(audited, step=RoundStep.DONE, ended_ns=self._now_ns())
        self._ledger.close_round(ended, self._settings.schedule.attempts)
        log.info("round ended", extra={"round": ended.round_id, "outcome": ended.outcome, "reason": ended.sentence})
        self._observer.ended(ended, self._folder_of(ended))
        try:
            round_files.tidy(self._settings.folder, self._ledger.round_ids())
        except OSError as error:
            log.warning("files of completed rounds could not be removed; this is repeated after the next: %s", error)
        return ended

    def _failed(self, at: Round, reason: str, outcome: RoundOutcome = "failed") -> Round:
        failed = replace(at, step=RoundStep.JUDGED, outcome=outcome, sentence=reason)
        self._ledger.save(failed)
        return failed

    def _save_attendance(self, with_participants: Round) -> None:
        self._ledger.save(with_participants, self._settings.regions)
        for region in self._ledger.regions():
            if region.missed >= MAX_MISSED:
                log.warning("region %s was missing from %s rounds in a row", region.name, region.missed)
                self._observer.missing(region.name, region.missed)
            elif region.last_round == with_participants.round_id:
                self._observer.missing(region.name, 0)

    def _record(self, at: Round, step: RoundStep) -> Round:
        changed = replace(at, step=step)
        self._ledger.save(changed)
        return changed

    def _version_of(self, accepted: Round) -> int | None:
        """The version of this round's candidate, if it was published before a crash."""
        for version in reversed(self._store.versions(self._model)):
            if version <= accepted.version:
                return None
            if self._store.any_card(self._model, version).data.get("round_id") == accepted.round_id:
                return version
        return None

    def _folder_of(self, of: Round) -> Path:
        return self._settings.folder / of.round_id
