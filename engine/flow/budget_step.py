"""The budget step as a Bytewax logic, see `engine.flow.step`; the work itself is in `engine.steps.budget`."""

from datetime import datetime

from bytewax.operators import StatefulBatchLogic

from connectors.base import Record
from engine.flow.step import EVERY_TURN, Step, restored
from engine.flow.worker_context import Context
from engine.steps.budget import AlertBudget

_QUIET_S = 60.0
"""Seconds without an alert after which the wall clock replaces event time."""


class BudgetStep(Step[Record, Record]):
    """Alerts of one shard, from windows and from findings → those that are sent now."""

    name = "budget"

    def __init__(self, context: Context, snapshot: bytes | None) -> None:
        super().__init__(context)
        settings = context.settings.decide
        # Where sessions cross partitions each shard sees a part of every source.
        shards = context.settings.shards if context.settings.route == "session" else 1
        self._budget = AlertBudget(
            settings.alert_budget / shards, group_s=settings.group_s, snapshot=restored(snapshot)
        )
        self._seen_s = context.clock.monotonic_s()
        self._withheld = 0

    def work(self, values: list[Record]) -> list[Record]:
        """See `Step.work`."""
        self._seen_s = self._context.clock.monotonic_s()
        return self._counted([sent for record in values for sent in self._budget.take(record)])

    def notify_at(self) -> datetime | None:
        """When to look for work that no item brings."""
        return EVERY_TURN if self._budget.waiting else None

    def on_notify(self) -> tuple[list[Record], bool]:
        """Sends what has waited long enough on a source that raises no further alert."""
        quiet_s = self._context.clock.monotonic_s() - self._seen_s
        if quiet_s < _QUIET_S:
            self._context.pace.idle(self._context.clock)
            return [], StatefulBatchLogic.RETAIN
        self._seen_s += quiet_s
        return self._counted(self._budget.pass_time(quiet_s)), StatefulBatchLogic.RETAIN

    def end(self) -> list[Record]:
        """Sends what waits."""
        return self._counted(self._budget.finish())

    def _counted(self, sent: list[Record]) -> list[Record]:
        metrics = self._context.telemetry.metrics
        metrics.alerts.inc(len(sent))
        metrics.alerts_withheld.inc(self._budget.withheld - self._withheld)
        self._withheld = self._budget.withheld
        return sent

    def state(self) -> bytes:
        """See `Step.state`."""
        return self._budget.snapshot()
