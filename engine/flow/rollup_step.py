"""The rollup steps as Bytewax logic, see `engine.flow.step`; the counting itself is in `engine.steps.rollup`."""

from collections.abc import Iterable
from typing import Any, cast

from bytewax.operators import StatefulBatchLogic

from connectors.base import Record
from connectors.sql_settings import ALL_TEMPLATES
from engine.flow.step import Step, restored
from engine.flow.worker_context import Context
from engine.parsing.minute_counts import ALL, MinuteCounts, MinuteRow
from engine.parsing.parsed import Parsed
from engine.records import DecidedWindows
from engine.steps.alert import redaction
from engine.steps.rollup import FIRST_BUCKET, LEVELS, RollupSettings, WindowRollup
from foundation.documents.alert import AlertDocument
from foundation.documents.base import template_id_text
from foundation.score_buckets import text_of

MAX_EXAMPLE = 1_000
"""Characters of an example line."""


class RollupStep(Step[Parsed, Record]):
    """Parsed lines of one partition → counts per minute and template."""

    name = "rollup"

    def __init__(self, context: Context, snapshot: bytes | None) -> None:
        super().__init__(context)
        settings = context.settings.rollup or RollupSettings()
        state = restored(snapshot) or {"partition": "", "counts": None, "texts": {}}
        self._partition: str = state["partition"]
        self._counts = MinuteCounts(settings.late_minutes, LEVELS, state["counts"])
        self._texts: dict[int, str] = dict(state["texts"])
        self._examples: dict[int, str] = {}
        self._redacted = redaction(context.settings.alert)
        self._flush_s = settings.flush_s
        self._flushed_s = context.clock.monotonic_s()

    def work(self, values: list[Parsed]) -> list[Record]:
        """See `Step.work`."""
        for parsed in values:
            good = parsed.good
            self._partition = good.lines.partition
            self._texts.update(good.templates)
            for row in self._counts.add_lines(good.time_ns, good.template, parsed.level()).tolist():
                line = good.lines.line(int(good.rows[row])).decode("utf-8", "backslashreplace").rstrip("\r")
                self._examples[int(good.template[row])] = self._redacted(line)[:MAX_EXAMPLE]
        now_s = self._context.clock.monotonic_s()
        if now_s - self._flushed_s < self._flush_s:
            return self._records(self._counts.closed())
        self._flushed_s = now_s
        return self._records(self._counts.changed())

    def end(self) -> list[Record]:
        """The counts that have changed."""
        return self._records(self._counts.changed())

    def on_eof(self) -> tuple[list[Record], bool]:
        """The end of the stream, or of what is read of it before a drain, which sends the counts as well."""
        return self.end(), StatefulBatchLogic.RETAIN

    def state(self) -> dict[str, Any]:
        """See `Step.state`."""
        texts = {template: self._texts[template] for template in self._counts.open_templates()}
        return {"partition": self._partition, "counts": self._counts.snapshot(), "texts": texts}

    def _records(self, rows: list[MinuteRow]) -> list[Record]:
        return [self._record(row) for row in rows]

    def _record(self, row: MinuteRow) -> Record:
        template = template_id_text(row.template)
        document = {
            "region": self._context.settings.region, "partition": self._partition, "minute": row.minute,
            "part": row.part, "template": template, "counts": (*row.counts, 0, 0, 0), "scores": "",
            "first_ns": row.first_ns, "last_ns": row.last_ns, "text": self._redacted(self._texts[row.template]),
            "example": self._examples.pop(row.template, ""),
        }  # fmt: skip
        return Record(f"{self._partition}/{row.minute}/{row.part}/{template}", self._partition, document)


class WindowRollupStep(Step[tuple[str, DecidedWindows | Record], Record]):
    """Decided windows and sent alerts, each with its shard → counts per minute and template."""

    name = "count"

    def __init__(self, context: Context, snapshot: bytes | None) -> None:
        super().__init__(context)
        settings = context.settings.rollup or RollupSettings()
        self._rollup = WindowRollup(settings.late_minutes, restored(snapshot))
        self._flush_s = settings.flush_s
        self._flushed_s = context.clock.monotonic_s()

    def work(self, values: list[tuple[str, DecidedWindows | Record]]) -> list[Record]:
        """See `Step.work`."""
        for shard, value in values:
            if isinstance(value, Record):
                self._rollup.add_alert(shard, cast(AlertDocument, value.document))
            else:
                self._rollup.add_windows(shard, value)
        now_s = self._context.clock.monotonic_s()
        if now_s - self._flushed_s < self._flush_s:
            return self._records(self._rollup.closed())
        self._flushed_s = now_s
        return self.end()

    def end(self) -> list[Record]:
        """The counts that have changed."""
        return self._records(self._rollup.changed())

    def on_eof(self) -> tuple[list[Record], bool]:
        """The end of the stream, or of what is read of it before a drain, which sends the counts as well."""
        return self.end(), StatefulBatchLogic.RETAIN

    def state(self) -> dict[str, Any]:
        """See `Step.state`."""
        return self._rollup.snapshot()

    def _records(self, rows: Iterable[tuple[str, MinuteRow]]) -> list[Record]:
        return [self._record(partition, row) for partition, row in rows]

    def _record(self, partition: str, row: MinuteRow) -> Record:
        template = ALL_TEMPLATES if row.template == ALL else template_id_text(row.template)
        document = {
            "region": self._context.settings.region, "partition": partition, "minute": row.minute, "part": row.part,
            "template": template, "counts": (*(0 for _ in range(LEVELS)), *row.counts[:FIRST_BUCKET]),
            "scores": text_of({i: n for i, n in enumerate(row.counts[FIRST_BUCKET:]) if n}),
            "first_ns": 0, "last_ns": 0, "text": "", "example": "",
        }  # fmt: skip
        return Record(f"{partition}/{row.minute}/{row.part}/{template}", partition, document)
