"""Rollbacks: the model store's pointer goes back, the audit log says so, the topic hears of it.

1. The rollback is recorded in the ledger, with the version to go back to: from here on nothing forgets it.
2. The pointer is moved.
3. The audit log gets its entry.
4. The announcement is acknowledged.

Each step may be done twice without harm, so whoever finds an unfinished rollback finishes it: the process
that began it, or the coordinator after a crash.
"""

from collections.abc import Callable
from dataclasses import replace

from federation.coordinator.announcements import Announcer, announcement
from federation.coordinator.audit import AuditLog
from federation.coordinator.ledger import Ledger
from federation.coordinator.records import Rollback, RoundStep
from foundation.time_text import iso_millis
from models.storage.store import ModelStore


class Rollbacks:
    """Begins and finishes rollbacks.

    Attributes:
        audit: The log that they go to.
        announcer: The topic that hears of them.
    """

    def __init__(
        self, ledger: Ledger, store: ModelStore, audit: AuditLog, announcer: Announcer, *, now_ns: Callable[[], int]
    ) -> None:
        """Takes what the steps need; `now_ns` is the wall clock."""
        self._ledger = ledger
        self._store = store
        self.audit = audit
        self.announcer = announcer
        self._now_ns = now_ns

    def begin(self, identity: str, model: str, to: int | None, reason: str) -> Rollback:
        """Records one (1); `finish` does the rest.

        Args:
            identity: Unique; a second one with the same identity is the same rollback.
            model: Its name.
            to: The version to go back to; the one before where None.
            reason: One sentence.

        Raises:
            models.base.StoreError: there is nothing to go back to, or the version is damaged.
        """
        bad = self._store.current(model) or 0
        good = self._store.rollback_target(model) if to is None else to
        self._store.verify(model, good)
        begun = Rollback(identity, model, bad, good, reason, RoundStep.PLANNED, self._now_ns())
        self._ledger.record((), [begun])
        return begun

    def finish(self, rollback: Rollback) -> Rollback:
        """Does the steps that are not done yet.

        Raises:
            models.base.StoreError: the model store cannot be written; call again.
            federation.errors.StorageError: audit log or ledger cannot be written; call again.
            SinkUnavailable: the announcement was not acknowledged; call again.
        """
        if rollback.step is RoundStep.PLANNED:
            self._store.promote(rollback.model, rollback.good)  # 2
            rollback = self._record(rollback, RoundStep.PUBLISHED)
        body = {"model": rollback.model, "from": rollback.bad, "to": rollback.good, "reason": rollback.reason}
        entry = self.audit.append(f"{rollback.id}/rolled_back", "rolled_back", body)  # 3
        self._ledger.set_fact("audit_head", [entry.seq, entry.sha256])
        sha256 = self._store.card_sha256(rollback.model, rollback.good)
        self.announcer.announce(  # 4
            announcement(
                rollback.model, rollback.good, "rolled_back", card_sha256=sha256,
                time=iso_millis(rollback.time_ns), reason=rollback.reason, audit_sha256=entry.sha256,
            )
        )  # fmt: skip
        return self._record(rollback, RoundStep.DONE)

    def _record(self, rollback: Rollback, step: RoundStep) -> Rollback:
        changed = replace(rollback, step=step)
        self._ledger.save_rollback(changed)
        return changed
