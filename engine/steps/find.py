"""Find: what is new or unusual in the lines of one partition, without a model; see `engine.findings`.

A finding becomes an alert when it opens, and again when it shows a template that it did not show before. All alerts
of one finding are one group.
"""

from collections.abc import Callable
from typing import Annotated

from pydantic import Field

from connectors.base import Record
from engine.clock import Clock
from engine.findings.base import Signal, State
from engine.findings.describe import sentence, summary, text_of
from engine.findings.grouping import OPENS, Finding
from engine.findings.prior import severity_name
from engine.findings.quotes import Quotes, mark_of
from engine.findings.warmup import WarmUpSettings
from engine.findings.watch import Raised, SourceWatch
from engine.parsing.parsed import Parsed
from engine.steps.alert import AlertSettings, alert_headers, redaction
from engine.steps.classify import Classify
from foundation.content_ids import document_id
from foundation.documents.alert import AlertDocument, LineClassification, Reason, TemplateCount
from foundation.documents.base import SCHEMA_VERSION, template_id_text
from foundation.time_text import iso_time
from models.base import template_id

MODEL = "findings"
"""Name of the model on alerts about findings; its version is that of the document's fields."""
VERSION = 1
MAX_REASONS = 12


class LearnSettings(WarmUpSettings):
    """What is learnt from the stream itself, and what is made of it."""

    idle_s: Annotated[float, Field(gt=0)] = Field(
        30.0, description="On a quiet source, seconds after which waiting lines are judged without further ones."
    )


class FindingWriter:
    """Turns findings into records for the sinks of alerts."""

    def __init__(
        self, settings: AlertSettings, region: str, *, describe: Callable[[str, int], str], clock: Clock,
        classify: Classify | None = None,
    ) -> None:  # fmt: skip
        """See `engine.steps.alert.AlertWriter`."""
        self._classify = classify
        self._settings = settings
        self._region = region
        self._describe = describe
        self._clock = clock
        self._redacted = redaction(settings)

    def record(self, raised: Raised, watch: SourceWatch, source: str, traceparent: str) -> Record:
        """The record of a finding as it is now."""
        finding, reader = raised.finding, watch.finder.reader
        first, last = watch.raw.position(finding.first), watch.raw.position(finding.last)
        group = document_id(self._region, source, "finding", finding.number, finding.onset_ns)[:16]
        identity = document_id(self._region, source, group, finding.raised)
        created = iso_time(self._clock.wall_ns())
        quotes = watch.quotes(finding)
        lines = [self._quote(line) for _, line in quotes.around][: self._settings.max_lines]
        total = sum(signal.count for _, signal in finding.signals.values())
        document: AlertDocument = {
            "schema_version": SCHEMA_VERSION,
            "id": identity, "region": self._region, "source": source, "session": "",
            "score": finding.strength, "threshold": OPENS, "model": MODEL, "version": VERSION,
            "first_position": first, "last_position": last,
            "first_place": self._describe(source, first), "last_place": self._describe(source, last),
            "first_time": iso_time(finding.first_ns), "last_time": iso_time(finding.last_ns),
            "line_count": total, "closed": False, "templates": self._templates(finding, watch),
            "lines": lines, "lines_omitted": max(0, total - len(lines)),
            "explanation": None, "classification": self._classified(finding, watch, quotes), "repeats": 0,
            "group": group, "group_count": finding.raised, "group_first_time": iso_time(finding.onset_ns),
            "summary": self._redacted(summary(finding, reader)), "severity": severity_name(finding.severity),
            "reasons": [self._reason(signal, watch, quotes) for _, signal in finding.by_strength[:MAX_REASONS]],
            "created": created, "traceparent": traceparent,
        }  # fmt: skip
        return Record(identity, "", document, alert_headers(self._region, identity, source, "", created, traceparent))

    def _classified(self, finding: Finding, watch: SourceWatch, quotes: Quotes) -> LineClassification | None:
        """The class of the least normal example line."""
        if self._classify is None:
            return None
        shown = [
            (watch.finder.reader.table.all[signal.key].text, line)
            for _, signal in finding.by_strength[:MAX_REASONS] if signal.key >= 0
            for _, line in quotes.examples.get(mark_of(signal), ())[-1:]
        ]  # fmt: skip
        return self._classify([([text for text, _ in shown], [line for _, line in shown])])[0] if shown else None

    def _templates(self, finding: Finding, watch: SourceWatch) -> list[TemplateCount]:
        counts: dict[int, int] = {}
        for _, signal in finding.signals.values():
            if signal.key >= 0 and signal.count:
                counts[signal.key] = max(counts.get(signal.key, 0), signal.count)
        found: list[TemplateCount] = []
        for key, count in list(counts.items())[:MAX_REASONS]:
            text = watch.finder.reader.table.all[key].text
            found.append({"id": template_id_text(template_id(text)), "text": self._redacted(text), "count": count})
        return found

    def _reason(self, signal: Signal, watch: SourceWatch, quotes: Quotes) -> Reason:
        reader = watch.finder.reader
        text = reader.table.all[signal.key].text if signal.key >= 0 else ""
        return {
            "kind": signal.kind,
            "sentence": self._redacted(f"{text_of(signal, reader)}: {sentence(signal, reader)}"),
            "template": self._redacted(text),
            "observed": signal.observed,
            "usual": signal.usual,
            "unit": signal.unit,
            "examples": [
                {"place": place, "line": self._quote(line)}
                for place, line in quotes.examples.get(mark_of(signal), ())
                if self._settings.max_lines
            ],
        }

    def _quote(self, line: bytes) -> str:
        # Redaction comes before the cut: half a secret is still a secret.
        text = self._redacted(line.decode("utf-8", "backslashreplace"))
        return text.encode()[: self._settings.max_line_bytes].decode("utf-8", "ignore")


class SourceFinder:
    """Watches one partition and writes its findings."""

    def __init__(
        self, settings: LearnSettings, writer: FindingWriter, describe: Callable[[str, int], str],
        state: State | None = None,
    ) -> None:  # fmt: skip
        """Starts empty or continues from a snapshot."""
        self._writer = writer
        self._describe = describe
        self._watch = SourceWatch(settings, state)
        self._source = self._traceparent = ""
        self._last_ns: int | None = None

    @property
    def waiting(self) -> bool:
        """Whether lines wait for their block to be complete."""
        return self._watch.finder.open_lines > 0

    @property
    def last_ns(self) -> int | None:
        """Time of the last line read since the start, None before the first one."""
        return self._last_ns

    def add(self, parsed: Parsed) -> list[Record]:
        """Reads lines; returns the alerts that are due with them."""
        lines = parsed.good.lines
        self._source, self._traceparent = lines.partition, lines.traceparent
        if len(parsed):
            self._last_ns = int(parsed.good.time_ns[-1])

        def place(row: int) -> str:
            return self._describe(lines.partition, int(lines.positions[row]))

        return self._records(self._watch.add(parsed, place))

    def finish(self) -> list[Record]:
        """Judges the lines that wait."""
        return self._records(self._watch.finish())

    def stopped(self, seconds: float) -> list[Record]:
        """Judges a source that has shown no line for this time, after `finish`."""
        return self._records(self._watch.stopped(seconds))

    def _records(self, raised: list[Raised]) -> list[Record]:
        return [self._writer.record(one, self._watch, self._source, self._traceparent) for one in raised]

    def snapshot(self) -> State:
        """The state."""
        return self._watch.snapshot()
