"""Alert: the JSON document that leaves the engine for one anomalous window.

`AlertDocument` declares it and `docs/alert.schema.json` describes it. On Kafka it carries its CloudEvents
attributes as headers.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Annotated
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, field_validator

from connectors.base import Record
from engine.clock import Clock
from engine.records import Decision, ScoredWindows
from engine.steps.alert_reasons import AlertWords
from engine.steps.classify import Classify
from engine.steps.explain import Explain, top_lines
from engine.windows.recent import RecentLines
from foundation.bounded_pattern import BoundedPattern
from foundation.content_ids import document_id
from foundation.documents.alert import EVENT_TYPE, AlertDocument, LineClassification, ScoreExplanation, TemplateCount
from foundation.documents.base import SCHEMA_VERSION, message_headers, template_id_text
from foundation.time_text import iso_time

REDACTED = "[redacted]"

MOST_REDACTED = 16_384
"""Characters of a text that patterns of the settings read; `driftline check` tries them on as many."""

CUT_WITH = 256
"""Characters before that cut that are left out with it: they may be the beginning of a secret."""


class AlertSettings(BaseModel):
    """What an alert quotes from the logs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_lines: Annotated[int, Field(ge=0)] = Field(
        20, description="Maximum number of raw lines quoted in an alert, the last ones of the window. 0 quotes none."
    )
    max_line_bytes: Annotated[int, Field(ge=16)] = Field(
        2000, description="Maximum number of bytes quoted of one line."
    )
    redact: tuple[str, ...] = Field(
        (),
        description="Regular expressions; their matches in quoted lines and in template texts are replaced by "
        "[redacted].",
    )
    explain: bool = Field(
        False, description="List the lines of the window that add most to its score. Costs time for alerts only."
    )
    explain_lines: Annotated[int, Field(ge=1)] = Field(
        5, description="With explain: maximum number of lines listed with their contribution."
    )
    recent_bytes: Annotated[int, Field(ge=0)] = Field(
        67_108_864, description="Memory for recent raw lines that alerts may quote, in bytes per worker."
    )

    @field_validator("redact")
    @classmethod
    def _compiles(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in patterns:
            BoundedPattern(pattern)
        return patterns


def alert_id(region: str, source: str, session: str, first: int, last: int) -> str:
    """The same for the same window of the same lines, whenever and wherever it is scored."""
    return document_id(region, source, session, first, last)


def redaction(settings: AlertSettings) -> Callable[[str], str]:
    """Removes from a text what must not leave the region."""
    patterns = [BoundedPattern(pattern) for pattern in settings.redact]
    if not patterns:
        return lambda text: text

    def redacted(text: str) -> str:
        cut = len(text) > MOST_REDACTED
        text = text[:MOST_REDACTED]
        for pattern in patterns:
            found = pattern.replaced(text, REDACTED)
            if found is None:
                return REDACTED  # what the pattern would have found is not known
            text = found
        return text[:-CUT_WITH] if cut else text

    return redacted


def alert_headers(
    region: str, identity: str, source: str, session: str, created: str, traceparent: str
) -> dict[str, str]:
    """The CloudEvents attributes of an alert."""
    # A URI reference, hence quoted: paths may hold anything.
    uri = f"/driftline/{region}/{quote(source.lstrip('/'), errors='surrogateescape')}"
    return message_headers(
        type=EVENT_TYPE, source=uri, id=identity, time=created, subject=session, traceparent=traceparent
    )


class AlertWriter:
    """Turns decisions into records for the sinks."""

    def __init__(
        self,
        settings: AlertSettings,
        region: str,
        *,
        recent: RecentLines,
        templates: Mapping[int, str],
        describe: Callable[[str, int], str],
        clock: Clock,
        explain: Explain = lambda *_: None,
        classify: Classify | None = None,
    ) -> None:
        """Takes the running parts that a document quotes from.

        Args:
            settings: What to quote.
            region: Name of this region.
            recent: The raw lines read last.
            templates: Text of every template id.
            describe: `Source.describe`: partition and position as text.
            clock: For the time of creation.
            explain: Explains the windows that are alerted on, if enabled in the settings.
            classify: Classifies the windows that are alerted on; None without a line classifier.
        """
        self._settings = settings
        self._region = region
        self._recent = recent
        self._templates = templates
        self._describe = describe
        self._clock = clock
        self._explain = explain
        self._classify = classify
        self._redacted = redaction(settings)
        self._words = AlertWords(self._text)

    def records(self, scored: ScoredWindows, decisions: tuple[Decision, ...]) -> list[Record]:
        """One record a decision, in order."""
        reasons = self._reasons(scored, decisions) if self._settings.explain else [None] * len(decisions)
        kinds = self._kinds(scored, decisions)
        rows = zip(decisions, reasons, kinds, strict=True)
        return [self._record(scored, decision, reason, kind) for decision, reason, kind in rows]

    def _kinds(self, scored: ScoredWindows, decisions: tuple[Decision, ...]) -> list[LineClassification | None]:
        """The line classifier's result for each decision's window; None if absent."""
        if self._classify is None or not decisions:
            return [None] * len(decisions)
        batch, ids = scored.batch, [scored.batch.windows.row(d.index).tolist() for d in decisions]
        raw = [
            self._recent.lines_of(batch.partition[i], int(batch.session[i]), int(batch.first[i]), int(batch.last[i]), n)
            for i, n in (
                (d.index, min(len(row), self._classify.max_lines)) for d, row in zip(decisions, ids, strict=True)
            )
        ]
        texts = [[self._templates.get(t, "") for t in row] for row in ids]
        found = self._classify(list(zip(texts, raw, strict=True)))
        return [None if kind is None else self._shown(kind) for kind in found]

    def _shown(self, kind: LineClassification) -> LineClassification:
        """The same, redacted."""
        reasons = kind["reasons"]
        if reasons is not None:
            reasons = [{"what": self._redacted(reason["what"]), "value": reason["value"]} for reason in reasons]
        return {**kind, "text": self._redacted(kind["text"]), "reasons": reasons}

    def _reasons(self, scored: ScoredWindows, decisions: tuple[Decision, ...]) -> list[ScoreExplanation | None]:
        """The explanation of each decision, computed for all at once; None if absent."""
        index = np.array([decision.index for decision in decisions], np.int64)
        explanation = self._explain(scored, index) if len(index) else None
        if explanation is None:
            return [None] * len(decisions)
        ends = np.cumsum(scored.batch.windows.lengths()[index])
        parts = np.split(explanation.contributions, ends[:-1])
        return [
            self._reason(scored, i, part, base)
            for i, part, base in zip(index.tolist(), parts, explanation.base.tolist(), strict=True)
        ]

    def _reason(self, scored: ScoredWindows, i: int, part: NDArray[np.float32], base: float) -> ScoreExplanation:
        batch = scored.batch
        ids = batch.windows.row(i).tolist()
        raw: list[bytes] = []
        if self._settings.max_lines:  # 0 quotes none, here neither
            place = int(batch.session[i]), int(batch.first[i]), int(batch.last[i])
            raw = self._recent.lines_of(batch.partition[i], *place, len(ids))
        return top_lines(part, base, ids, raw, self._settings.explain_lines, text=self._text, quote=self._quote)

    def _record(
        self,
        scored: ScoredWindows,
        decision: Decision,
        reason: ScoreExplanation | None,
        kind: LineClassification | None,
    ) -> Record:
        batch, i = scored.batch, decision.index
        source, session = batch.partition[i], batch.key[i]
        first, last = int(batch.first[i]), int(batch.last[i])
        identity = alert_id(self._region, source, session, first, last)
        created = iso_time(self._clock.wall_ns())
        lines, omitted = self._lines(source, int(batch.session[i]), first, last, len(batch.windows.row(i)))
        ids = batch.windows.row(i).tolist()
        counts = Counter(ids)
        words = self._words.describe(
            decision,
            counts,
            score=float(scored.score[i]),
            where=session or source,
            top_lines=[] if reason is None else [line["text"] for line in reason["lines"]],
        )
        document: AlertDocument = {
            "schema_version": SCHEMA_VERSION,
            "id": identity,
            "summary": words.summary,
            "severity": words.severity,
            "reasons": words.reasons,
            "region": self._region,
            "source": source,
            "session": session,
            "score": float(scored.score[i]),
            "threshold": decision.threshold,
            "model": scored.model,
            "version": scored.version,
            "first_position": first,
            "last_position": last,
            "first_place": self._describe(source, first),
            "last_place": self._describe(source, last),
            "first_time": iso_time(int(batch.first_ns[i])),
            "last_time": iso_time(int(batch.last_ns[i])),
            "line_count": len(ids),
            "closed": bool(batch.windows.closed[i]),
            "templates": self._template_counts(counts),
            "lines": lines,
            "lines_omitted": omitted,
            "explanation": reason,
            "classification": kind,
            "repeats": decision.repeats,
            "group": decision.group,
            "group_count": decision.group_count,
            "created": created,
            "traceparent": batch.traceparent,
        }
        headers = alert_headers(self._region, identity, source, session, created, batch.traceparent)
        return Record(identity, session, document, headers)

    def _template_counts(self, counts: Mapping[int, int]) -> list[TemplateCount]:
        """List the window's templates in order of first appearance."""
        return [{"id": template_id_text(t), "text": self._text(t), "count": count} for t, count in counts.items()]

    def _lines(self, source: str, session: int, first: int, last: int, total: int) -> tuple[list[str], int]:
        """The last lines of the window, redacted and cut, and how many of the window are not quoted."""
        limit = min(self._settings.max_lines, total)
        if limit == 0:
            return [], total
        found = self._recent.lines_of(source, session, first, last, limit)
        return [self._quote(line) for line in found], total - len(found)

    def _quote(self, line: bytes) -> str:
        # Redaction comes before the cut: half a secret is still a secret.
        text = self._redacted(line.decode("utf-8", "backslashreplace").rstrip("\r"))
        if len(text) <= self._settings.max_line_bytes // 4:  # four bytes a character at most
            return text
        return text.encode()[: self._settings.max_line_bytes].decode("utf-8", "ignore")

    def _text(self, template: int) -> str:
        return self._redacted(self._templates.get(template, ""))
