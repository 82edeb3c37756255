"""The product under test: `driftline scan` with the past as baseline, as a function over lines."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace

from bench.incidents.base import Alert
from bench.incidents.line_batches import batches
from engine.findings.base import Signal, Templates
from engine.findings.describe import MAX_TEMPLATES
from engine.findings.grouping import Finding, Grouping
from engine.offline.scan import Input, Scan
from engine.parsing.parse_settings import ParseSettings
from engine.steps.parse import Parser

SOURCE = "log"


class OneDetector(Grouping):
    """Findings from the signals of a single detector."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name

    def add(self, signals: Sequence[Signal], templates: Templates, **at: int) -> list[Finding]:
        """See `Grouping.add`."""
        return super().add([signal for signal in signals if signal.detector == self._name], templates, **at)


@dataclass(frozen=True, slots=True)
class ScanDetector:
    """`driftline scan` with its defaults; with `alone`, the findings of the detector with that name only."""

    alone: str | None = None

    def learn(self, past: Sequence[str]) -> "ScanWatch":
        """Read the past as a baseline."""
        scan = Scan(_parser)
        baseline = Input(SOURCE, SOURCE, None, learn=True)
        for batch in batches(past):
            scan.add(batch, baseline, share=None)
        if self.alone is not None:
            scan.source(SOURCE).watch.grouping = OneDetector(self.alone)
        return ScanWatch(scan, len(past))


@dataclass(frozen=True, slots=True)
class ScanWatch:
    """A scan that has read the past, and the number of its lines."""

    scan: Scan
    past: int

    def watch(self, now: Sequence[str]) -> list[Alert]:
        """Read what follows; every finding is an alert."""
        scan = copy.deepcopy(self.scan)
        scan.source(SOURCE, known=True)
        read = Input(SOURCE, SOURCE, None)
        for batch in batches(now):
            scan.add(batch, read, share=None)
        scan.finish()
        return [self._alert(finding, len(now), scan) for _, finding in scan.findings()]

    def _alert(self, finding: Finding, lines: int, scan: Scan) -> Alert:
        """The finding's signals as the report lists them; what joined it later was raised with its own last line."""
        texts = scan.source(SOURCE).watch.finder.reader.table.all
        parts = []
        for strength, signal in finding.by_strength[:MAX_TEMPLATES]:
            first, last = signal.first - self.past, signal.last - self.past
            rows = range(min(max(first, 0), lines - 1), min(max(last, 0), lines - 1) + 1)
            detected = finding.detected - self.past
            raised = min(max(detected if detected >= first else last, rows[0]), lines - 1)
            about = f"{signal.kind} {texts[signal.key].text if signal.key >= 0 else ''}"
            parts.append(Alert(rows, raised, strength, about, repr(signal)))
        return replace(parts[0], strength=finding.strength, also=tuple(parts[1:]))


def _parser() -> Parser:
    return Parser(ParseSettings(format="auto"), _describe)


def _describe(partition: str, row: int) -> str:
    return f"{partition}:{row}"


SCAN = ScanDetector()
NOVELTY = ScanDetector("novelty")
RATES = ScanDetector("rates")
SILENCE = ScanDetector("silence")
VALUES = ScanDetector("values")
LEVELS = ScanDetector("levels")
NODES = ScanDetector("nodes")
