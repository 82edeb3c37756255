"""The product under test: `driftline scan` with the past as baseline, as a function over lines."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass

from bench.incidents.base import Alert
from bench.incidents.line_batches import batches
from engine.findings.base import Signal, Templates
from engine.findings.grouping import Finding, Grouping
from engine.offline.scan import Input, Scan
from engine.parsing.parse_settings import ParseSettings
from engine.steps.parse import Parser

SOURCE = "log"
STRONG = 3.0
"""Signals so much weaker than a finding's strongest one do not say where it is."""


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
            scan.source(SOURCE).grouping = OneDetector(self.alone)
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
        """The rows are those of the strongest signal, and the lines that are quoted for the other strong ones."""
        (_, signal), *others = finding.by_strength
        rows = set(range(signal.first, signal.last + 1))
        for strength, other in others:
            if strength >= finding.strength - STRONG:
                rows |= {other.first, other.last}
        inside = sorted(row - self.past for row in rows if 0 <= row - self.past < lines) or [0]
        raised = min(max(finding.detected - self.past, inside[0]), lines - 1)
        text = scan.source(SOURCE).finder.reader.table.all[signal.key].text if signal.key >= 0 else ""
        return Alert(inside, raised, finding.strength, f"{signal.kind} {text}", repr(signal))


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
