"""The budget step as a Bytewax logic, see `engine.flow.step`; the work itself is in `engine.steps.budget`.

Bytewax calls a sink only for its items. Channels have work that time makes due: ends of groups, reminders, digests and
repeats of what was not delivered. Where a region has channels, this step therefore sends them a pulse from its first
alert on.
"""

from datetime import datetime

from bytewax.operators import StatefulBatchLogic

from connectors.base import Record
from connectors.channels.base import ChannelSettings
from engine.flow.step import EVERY_TURN, Step, restored
from engine.flow.worker_context import Context
from engine.steps.budget import AlertBudget
from engine.steps.sinks import PULSE

_QUIET_S = 60.0
"""Seconds without an alert after which the wall clock replaces event time."""
PULSE_S = 5.0
"""Seconds between two pulses."""


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
        self._pulses = any(isinstance(sink, ChannelSettings) for sink in context.settings.sinks)
        self._active = self._pulses and snapshot is not None
        self._pulse_at_s = self._seen_s + PULSE_S

    def work(self, values: list[Record]) -> list[Record]:
        """See `Step.work`."""
        self._seen_s = self._context.clock.monotonic_s()
        self._active = self._pulses
        return self._counted([sent for record in values for sent in self._budget.take(record)])

    def notify_at(self) -> datetime | None:
        """When to look for work that no item brings."""
        return EVERY_TURN if self._budget.waiting or self._active else None

    def on_notify(self) -> tuple[list[Record], bool]:
        """Sends what has waited long enough on a source that raises no further alert, and pulses."""
        now_s = self._context.clock.monotonic_s()
        sent: list[Record] = []
        if self._active and now_s >= self._pulse_at_s:
            self._pulse_at_s = now_s + PULSE_S
            sent.append(PULSE)
        quiet_s = now_s - self._seen_s
        if self._budget.waiting and quiet_s >= _QUIET_S:
            self._seen_s = now_s
            sent += self._counted(self._budget.pass_time(quiet_s))
        if not sent:
            self._context.pace.idle(self._context.clock)
        return sent, StatefulBatchLogic.RETAIN

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
