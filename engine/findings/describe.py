"""Findings as text for people and as documents for programs."""

from collections.abc import Mapping, Sequence
from typing import Any

from engine.findings.base import ALL_LINES, Signal
from engine.findings.grouping import Finding
from engine.findings.lines import ColumnReader
from engine.findings.prior import severity_name
from engine.findings.quotes import Quotes, mark_of
from engine.formats.base import LEVEL_NAMES
from foundation.time_text import iso_time

MAX_TEMPLATES = 12
MAX_TEXT = 200
MAX_LINE_CHARS = 500
_REASONS = {
    "new": "never seen before", "more": "far more often than usual", "fewer": "far less often than usual",
    "silent": "no longer there", "value": "its numbers have shifted", "level": "more lines like this than usual",
    "node": "far more often than usual on this host", "order": "never before at this place of a session",
    "drop": "far fewer lines than usual", "surge": "far more lines than usual",
}  # fmt: skip


def text_of(signal: Signal, reader: ColumnReader) -> str:
    """The template, level, status or number that a signal is about."""
    if signal.kind == "level":
        status = signal.note["status"]
        return f"requests with status {status.lower()}" if status else f"{LEVEL_NAMES[signal.level]} lines"
    if signal.key == ALL_LINES:
        return "all lines"
    if signal.kind == "value":
        _, name = reader.slots[int(signal.note["slot"])]
        word, _, rest = name.partition(" ")
        which = word or f"number {rest.rpartition(' ')[2].partition('/')[0]}"
        return f"{which} of {_cut(reader.table.all[signal.key].text)}"
    return _cut(reader.table.all[signal.key].text)


def sentence(signal: Signal, reader: ColumnReader) -> str:
    """A signal in one sentence, without its template."""
    where = f" on {reader.nodes[signal.node]}" if signal.node else ""
    if "hour" in signal.note:
        where += f" from {signal.note['hour']}:00 to {signal.note['hour']}:59 UTC"
    match signal.kind:
        case "new":
            return f"never seen before, {_times(signal.count)} so far"
        case "more" | "level" | "node":
            usual = _number(signal.usual)
            return f"{_times(round(signal.observed))}{where} where {usual} {'is' if usual == '1' else 'are'} usual"
        case "order":
            after = _cut(reader.table.all[int(signal.note["after"])].text)
            others = f"{signal.note['followed']:,} times"
            return f"came {_times(signal.count)} after '{after}', which other lines followed {others}"
        case "fewer":
            return f"only {_times(round(signal.observed))}{where} where {_number(signal.usual)} are usual"
        case "silent" if signal.unit == "s":
            return f"silent for {_duration(signal.observed)}, usually every {_duration(signal.usual)}"
        case "drop" if signal.unit == "s":
            return f"none for {_duration(signal.observed)}, where the longest pause was {_duration(signal.usual)}"
        case "drop" | "surge":
            return f"{_change(signal)} since {iso_time(signal.first_ns)[:19]}"
        case "silent":
            return f"not once where {_number(signal.usual)} are usual"
        case _:
            direction = "higher" if signal.note["higher"] else "lower"
            return f"{direction} than usual: {_number(signal.observed)} now, {_number(signal.usual)} before (medians)"


def summary(finding: Finding, reader: ColumnReader) -> str:
    """The finding in one sentence: its strongest signal, and how much else there is."""
    _, signal = finding.by_strength[0]
    # That it was never seen before says more about a template than how often it came after that.
    signal = finding.signals.get(("new", signal.key, 0), (0.0, signal))[1]
    others = {mark_of(s)[1] for _, s in finding.signals.values()}
    more = f" (and {len(others) - 1} more)" if len(others) > 1 else ""
    return f"{text_of(signal, reader)}: {sentence(signal, reader)}{more}"


def kind_of(finding: Finding, reader: ColumnReader) -> str:
    """Which of the seven kinds of line (`models.classify.base.CLASSES`) the finding is about."""
    for _, signal in finding.by_strength:
        if signal.kind in ("new", "more", "node") and reader.table.all[signal.key].kind != "normal":
            return reader.table.all[signal.key].kind
    return "performance_issue" if finding.by_strength[0][1].kind == "value" else "normal"


def document(finding: Finding, reader: ColumnReader, quotes: Quotes, *, rank: int, source: str) -> dict[str, Any]:
    """The finding as JSON-compatible data.

    Rows count the records of the source from 0, in the order in which they were read.
    """
    strongest = finding.by_strength
    hosts = sorted({reader.host(s.node) for _, s in strongest} - {""})
    return {
        "rank": rank,
        "strength": round(finding.strength, 2),
        "severity": severity_name(finding.severity),
        "kind": kind_of(finding, reader),
        "summary": summary(finding, reader),
        "source": source,
        "since": iso_time(finding.first_ns),
        "until": iso_time(finding.last_ns),
        "first_row": finding.first,
        "last_row": finding.last,
        "detected_row": finding.detected,
        "hosts": hosts,
        "reasons": [_reason(signal, strength, reader, quotes) for strength, signal in strongest[:MAX_TEMPLATES]],
        "reasons_omitted": max(0, len(strongest) - MAX_TEMPLATES),
        "around": [{"place": place, "line": quoted(line)} for place, line in quotes.around],
    }


def _reason(signal: Signal, strength: float, reader: ColumnReader, quotes: Quotes) -> dict[str, Any]:
    template = reader.table.all[signal.key] if signal.key >= 0 else None
    return {
        "kind": signal.kind,
        "why": _REASONS[signal.kind],
        "what": text_of(signal, reader),
        "sentence": sentence(signal, reader),
        "observed": signal.observed,
        "usual": signal.usual,
        "unit": signal.unit,
        "strength": round(strength, 2),
        "sounds": template.why if template is not None else "",
        "host": reader.host(signal.node),
        "first_row": signal.first,
        "last_row": signal.last,
        "since": iso_time(signal.first_ns),
        "examples": [{"place": p, "line": quoted(line)} for p, line in quotes.examples.get(mark_of(signal), ())],
    }


def _cut(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…"


def quoted(line: bytes) -> str:
    """A raw line as text, cut."""
    return line.decode("utf-8", "backslashreplace")[:MAX_LINE_CHARS]


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count:,} times"


def _number(value: float) -> str:
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if value >= 0.01 else "none"


def _change(signal: Signal) -> str:
    """How lines per minute changed, or per hour or day if there are few."""
    word = "fell" if signal.kind == "drop" else "rose"
    highest = max(signal.usual, signal.observed)
    minutes, unit = next(
        (m, unit) for m, unit in ((1, "minute"), (60, "hour"), (1440, "day")) if highest * m >= 1 or m == 1440
    )
    return f"{word} from {_number(signal.usual * minutes)} to {_number(signal.observed * minutes)} a {unit}"


def _duration(seconds: float) -> str:
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} s"


Document = Mapping[str, Any]
Documents = Sequence[Document]
