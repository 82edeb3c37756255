"""The rollup step as a Bytewax logic, see `engine.flow.step`; the counting itself is in `engine.steps.rollup`."""

from typing import Any

from bytewax.operators import StatefulBatchLogic

from connectors.base import Record
from engine.flow.step import Step, restored
from engine.flow.worker_context import Context
from engine.parsing.parsed import Parsed
from engine.steps.alert import redaction
from engine.steps.rollup import MinuteRow, Rollup, RollupSettings
from foundation.documents.base import template_id_text

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
        self._rollup = Rollup(settings.late_minutes, state["counts"])
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
            for row in self._rollup.add(good.time_ns, good.template, parsed.level()).tolist():
                line = good.lines.line(int(good.rows[row])).decode("utf-8", "backslashreplace").rstrip("\r")
                self._examples[int(good.template[row])] = self._redacted(line)[:MAX_EXAMPLE]
        now_s = self._context.clock.monotonic_s()
        if now_s - self._flushed_s < self._flush_s:
            return self._records(self._rollup.closed())
        self._flushed_s = now_s
        return self._records(self._rollup.changed())

    def end(self) -> list[Record]:
        """The counts that have changed."""
        return self._records(self._rollup.changed())

    def on_eof(self) -> tuple[list[Record], bool]:
        """The end of the stream, or of what is read of it before a drain, which sends the counts as well."""
        return self.end(), StatefulBatchLogic.RETAIN

    def state(self) -> dict[str, Any]:
        """See `Step.state`."""
        texts = {template: self._texts[template] for template in self._rollup.open_templates()}
        return {"partition": self._partition, "counts": self._rollup.snapshot(), "texts": texts}

    def _records(self, rows: list[MinuteRow]) -> list[Record]:
        return [self._record(row) for row in rows]

    def _record(self, row: MinuteRow) -> Record:
        template = template_id_text(row.template)
        document = {
            "region": self._context.settings.region, "partition": self._partition, "minute": row.minute,
            "part": row.part, "template": template, "counts": (*row.levels, 0, 0, 0), "scores": "",
            "first_ns": row.first_ns, "last_ns": row.last_ns, "text": self._redacted(self._texts[row.template]),
            "example": self._examples.pop(row.template, ""),
        }  # fmt: skip
        return Record(f"{self._partition}/{row.minute}/{row.part}/{template}", self._partition, document)
