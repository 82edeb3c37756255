"""The product under test: what `driftline scan` does with a baseline and a log, as a function over lines."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from bench.incidents.base import DetectorAlert
from bench.incidents.line_batches import batches
from engine.findings.base import Signal, State, TemplateLookup
from engine.findings.describe import MAX_TEMPLATES
from engine.findings.grouping import Finding, Grouping
from engine.findings.warmup import WarmUpSettings
from engine.findings.watch import SourceWatch
from engine.parsing.parse_settings import ParseSettings
from engine.steps.parse import Parser

PARSE = ParseSettings(format="auto")


class OneDetector(Grouping):
    """Findings from the signals of a single detector."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name

    def add(self, signals: Sequence[Signal], templates: TemplateLookup, *, block_lines: int, row: int) -> list[Finding]:
        """See `Grouping.add`."""
        mine = [signal for signal in signals if signal.detector == self._name]
        return super().add(mine, templates, block_lines=block_lines, row=row)


@dataclass(frozen=True, slots=True)
class ScanDetector:
    """`driftline scan` with its defaults; with `alone`, the findings of the detector with that name only."""

    alone: str | None = None

    def learn(self, past: Sequence[str]) -> "ScanWatch":
        """Read the past as a baseline."""
        parser, watch = Parser(PARSE, _place), SourceWatch(WarmUpSettings())
        for batch in batches(past):
            watch.add(parser.parse(batch), str, learn=True)
        return ScanWatch(parser.snapshot(), watch.snapshot(), len(past), self.alone)


@dataclass(frozen=True, slots=True)
class ScanWatch:
    """What was learnt from the past, as the states of parser and detectors, and the number of its lines."""

    parser: bytes
    state: State
    past: int
    alone: str | None

    def watch(self, now: Sequence[str]) -> list[DetectorAlert]:
        """Read what follows; every finding is an alert."""
        parser, watch = Parser(PARSE, _place, self.parser), SourceWatch(WarmUpSettings(), self.state)
        watch.warmup.end("a baseline was given")
        if self.alone is not None:
            watch.grouping = OneDetector(self.alone)
        for batch in batches(now):
            watch.add(parser.parse(batch), str)
        watch.finish()
        texts = [template.text for template in watch.finder.reader.table.all]
        return [self._alert(finding, len(now), texts) for finding in watch.grouping.findings]

    def _alert(self, finding: Finding, lines: int, texts: Sequence[str]) -> DetectorAlert:
        """The finding's signals as the report lists them; what joined it later was raised with its own last line."""
        parts = []
        for strength, signal in finding.by_strength[:MAX_TEMPLATES]:
            first, last = signal.first - self.past, signal.last - self.past
            rows = range(min(max(first, 0), lines - 1), min(max(last, 0), lines - 1) + 1)
            detected = finding.detected - self.past
            raised = min(max(detected if detected >= first else last, rows[0]), lines - 1)
            about = f"{signal.kind} {texts[signal.key] if signal.key >= 0 else signal.note}"
            parts.append(DetectorAlert(rows, raised, strength, about, repr(signal)))
        return replace(parts[0], strength=finding.strength, also=tuple(parts[1:]))


def _place(partition: str, row: int) -> str:
    return f"{partition}:{row}"


SCAN = ScanDetector()
NOVELTY = ScanDetector("novelty")
RATES = ScanDetector("rates")
SILENCE = ScanDetector("silence")
VALUES = ScanDetector("values")
LEVELS = ScanDetector("levels")
NODES = ScanDetector("nodes")
ORDER = ScanDetector("order")
SEASON = ScanDetector("season")
VOLUME = ScanDetector("volume")
