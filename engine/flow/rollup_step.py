"""The rollup steps as Bytewax logic, see `engine.flow.step`; the counting itself is in `engine.steps.rollup`."""

from collections.abc import Iterable
from typing import Any, cast

from bytewax.operators import StatefulBatchLogic

from connectors.base import Record
from connectors.count_rows import CountRow, CountsDocument, SeenTemplate
from connectors.sql_settings import ALL_TEMPLATES
from engine.flow.step import Step, restored
from engine.flow.worker_context import Context
from engine.parsing.minute_counts import ALL, MinuteCounts, MinuteRow
from engine.parsing.parsed import Parsed
from engine.records import DecidedWindows
from engine.steps.alert import redaction
from engine.steps.rollup import FIRST_BUCKET, LEVELS, RollupSettings, WindowRollup, scores_of
from foundation.documents.alert import AlertDocument
from foundation.documents.base import template_id_text

NO_LINES = (0,) * LEVELS

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
        self._shown: dict[int, str] = {}
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
        if not rows:
            return []
        found: list[CountRow] = []
        seen: dict[int, tuple[int, int]] = {}
        for minute, part, template, counts, first_ns, last_ns in rows:
            found.append((minute, part, template_id_text(template), (*counts, 0, 0, 0), ()))
            first, last = seen.get(template, (first_ns, last_ns))
            seen[template] = min(first, first_ns), max(last, last_ns)
        templates = [self._seen(template, *times) for template, times in seen.items()]
        return [_record(self._context.settings.region, self._partition, found, templates)]

    def _seen(self, template: int, first_ns: int, last_ns: int) -> SeenTemplate:
        if (text := self._shown.get(template)) is None:
            text = self._shown[template] = self._redacted(self._texts[template])
        return template_id_text(template), text, first_ns, last_ns, self._examples.pop(template, "")


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
        found: dict[str, list[CountRow]] = {}
        for partition, (minute, part, number, counts, _, _) in rows:
            template = ALL_TEMPLATES if number == ALL else template_id_text(number)
            of_windows = (*NO_LINES, *counts[:FIRST_BUCKET])
            found.setdefault(partition, []).append((minute, part, template, of_windows, scores_of(counts)))
        return [_record(self._context.settings.region, partition, rows, []) for partition, rows in found.items()]


def _record(region: str, partition: str, rows: list[CountRow], templates: list[SeenTemplate]) -> Record:
    document: CountsDocument = {"region": region, "partition": partition, "rows": rows, "templates": templates}
    return Record(f"{partition}/{rows[0][0]}/{rows[0][1]}/{rows[0][2]}", partition, document)
