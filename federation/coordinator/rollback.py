"""Rollbacks: an earlier version of a model becomes current again, which is audited.

1. The rollback is recorded in the ledger, with the version to go back to.
2. The model store's pointer is moved.
3. The audit log gets an entry.

Every step may be repeated without harm, so any process can finish a rollback: the one that started it, or the
coordinator after a crash.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from federation.coordinator.audit import AuditLog
from federation.coordinator.ledger import Ledger
from federation.coordinator.records import Rollback, RoundStep
from models.storage.store import ModelStore


class Rollbacks:
    """Starts and finishes rollbacks.

    Attributes:
        audit: Log in which they are recorded.
    """

    def __init__(self, ledger: Ledger, store: ModelStore, audit: AuditLog, *, now_ns: Callable[[], int]) -> None:
        """Take the parts that the steps need; `now_ns` is the wall clock."""
        self._ledger = ledger
        self._store = store
        self.audit = audit
        self._now_ns = now_ns

    def begin(self, identity: str, model: str, to: int | None, reason: str) -> Rollback:
        """Record a rollback (1); `finish` does the other steps.

        Args:
            identity: Unique id; a second rollback with the same id is the same one.
            model: Name of the model.
            to: Version to go back to; None for the previous one.
            reason: One sentence.

        Raises:
            ModelStoreError: there is no such version, or it is damaged.
        """
        bad = self._store.current(model) or 0
        good = self._store.rollback_target(model) if to is None else to
        self._store.verify(model, good)
        planned = Rollback(identity, model, bad, good, reason, RoundStep.PLANNED, self._now_ns())
        self._ledger.record((), [planned])
        return planned

    def finish(self, rollback: Rollback) -> Rollback:
        """Do the steps that are not done yet.

        Raises:
            ModelStoreError: the model store cannot be written; call again.
            StorageError: the audit log or the ledger cannot be written; call again.
        """
        if rollback.step is RoundStep.PLANNED:
            self._move(rollback)  # 2
            self._ledger.set_fact("current", self._store.current(rollback.model))
            rollback = self._record(rollback, RoundStep.PUBLISHED)
        body: dict[str, Any] = {
            "model": rollback.model, "from": rollback.bad, "to": rollback.good, "reason": rollback.reason,
            "region": rollback.region or None, "automatic": rollback.automatic,
        }  # fmt: skip
        entry = self.audit.append(f"{rollback.id}/rolled_back", "rolled_back", body)  # 3
        self._ledger.set_fact("audit_head", [entry.seq, entry.sha256])
        return self._record(rollback, RoundStep.DONE)

    def _move(self, rollback: Rollback) -> None:
        """Move the pointer, for all regions or for one; a region that keeps an earlier version already stays there."""
        if not rollback.region:
            self._store.promote(rollback.model, rollback.good)
            return
        current, held = self._store.current(rollback.model), self._store.held(rollback.model)
        if current is not None and held.get(rollback.region, current) > rollback.good:
            self._store.promote(rollback.model, current, {**held, rollback.region: rollback.good})

    def _record(self, rollback: Rollback, step: RoundStep) -> Rollback:
        changed = replace(rollback, step=step)
        self._ledger.save_rollback(changed)
        return changed
