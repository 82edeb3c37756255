"""The find step as a Bytewax logic, see `engine.flow.step`; the work itself is in `engine.steps.find`."""

from datetime import datetime
from typing import Any, cast

from bytewax.operators import StatefulBatchLogic

from connectors.base import Record
from engine.flow.step import EVERY_TURN, Step, restored
from engine.flow.worker_context import Context
from engine.parsing.parsed import Parsed
from engine.steps.find import FindingWriter, LearnSettings, SourceFinder
from engine.steps.silences import Silences, is_silenced
from foundation.documents.alert import AlertDocument

_LIVE_NS = 600 * 10**9
"""A source whose last line was written less than ten minutes before it was read is live."""


class FindStep(Step[Parsed, Record]):
    """Parsed lines of one partition → alerts about what is new or unusual in them."""

    name = "find"

    def __init__(self, context: Context, snapshot: bytes | None) -> None:
        super().__init__(context)
        settings = context.settings.learn or LearnSettings()
        describe = context.source.describe
        writer = FindingWriter(
            context.settings.alert, context.settings.region, describe=describe, clock=context.clock,
            classify=context.classify,
        )  # fmt: skip
        self._finder = SourceFinder(settings, writer, describe, restored(snapshot))
        decide = context.settings.decide
        self._silences = Silences(decide.suppress, decide.silences, context.clock.monotonic_s)
        self._idle_s = settings.idle_s
        self._due_s = float("inf")
        self._arrived_s = 0.0
        self._live = False

    def work(self, values: list[Parsed]) -> list[Record]:
        """See `Step.work`."""
        clock = self._context.clock
        self._arrived_s = clock.monotonic_s()
        self._due_s = self._arrived_s + self._idle_s
        records = [record for parsed in values for record in self._finder.add(parsed)]
        last_ns = self._finder.last_ns
        # An archive that is replayed ends; only a source that is written now can stop.
        self._live = last_ns is not None and abs(clock.wall_ns() - last_ns) < _LIVE_NS
        return self._counted(records)

    def notify_at(self) -> datetime | None:
        """When to look for work that no item brings."""
        return EVERY_TURN if self._finder.waiting or self._live else None

    def on_notify(self) -> tuple[list[Record], bool]:
        """Judges lines that have waited for others for long, and a source that shows no more lines."""
        now_s = self._context.clock.monotonic_s()
        if now_s < self._due_s:
            self._context.pace.idle(self._context.clock)
            return [], StatefulBatchLogic.RETAIN
        self._due_s = now_s + self._idle_s
        records = self._finder.finish()
        if self._live:
            records += self._finder.stopped(now_s - self._arrived_s)
        return self._counted(records), StatefulBatchLogic.RETAIN

    def end(self) -> list[Record]:
        """Judges what waits."""
        return self._counted(self._finder.finish())

    def _counted(self, records: list[Record]) -> list[Record]:
        rules = self._silences()
        kept = [record for record in records if not is_silenced(cast(AlertDocument, record.document), rules)]
        self._context.telemetry.metrics.suppressed.inc(len(records) - len(kept))
        return kept

    def state(self) -> dict[str, Any]:
        """See `Step.state`."""
        return self._finder.snapshot()
