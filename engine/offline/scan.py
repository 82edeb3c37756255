"""Finds what is new or unusual in files: the detectors of `engine.findings`, run once over a log.

Files that are rotations of one log are one *source*, read from the oldest to the newest. Its first part is learnt, or
a baseline is; what follows is judged line by line while it is read, and learnt in turn.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from connectors.base import LineBatch
from engine.findings.describe import Quotes, document, mark_of
from engine.findings.finder import Finder, Judged
from engine.findings.grouping import Finding, Grouping, rank
from engine.findings.warmup import WarmUp, WarmUpSettings
from engine.parsing.parsed import Parsed
from engine.steps.parse import Parser

AROUND = 3
"""Lines quoted before and behind the first line of a finding."""
MAX_LINE_CHARS = 500
_KEPT_BYTES = 8 << 20
EXAMPLES = 2


@dataclass(frozen=True, slots=True)
class Place:
    """A line's place: the file, and the line's number in it from 1."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(slots=True)
class RawLines:
    """The batches read last, to quote from."""

    held: deque[tuple[int, Parsed, str, int]] = field(default_factory=deque)
    size: int = 0

    def add(self, first_row: int, parsed: Parsed, file: str, first_line: int) -> None:
        """Keeps a batch whose good lines are numbered from `first_row`, its lines from `first_line`."""
        self.held.append((first_row, parsed, file, first_line))
        self.size += len(parsed.good.lines.data)
        while len(self.held) > 1 and self.size > _KEPT_BYTES:
            self.size -= len(self.held.popleft()[1].good.lines.data)

    def line(self, row: int) -> tuple[str, str] | None:
        """Place and text of a line, by its number among the good ones; None where it is no longer held."""
        for first_row, parsed, file, first_line in reversed(self.held):
            if first_row <= row < first_row + len(parsed):
                at = int(parsed.good.rows[row - first_row])
                text = parsed.good.lines.line(at).decode("utf-8", "backslashreplace").rstrip("\r")
                return str(Place(file, first_line + at)), text[:MAX_LINE_CHARS]
        return None


@dataclass(slots=True)
class Timeline:
    """Lines per stretch of time, for pictures: time of a block's end, lines and seconds of the block."""

    points: list[tuple[int, int]] = field(default_factory=list)


class SourceScan:
    """One source on its way through the detectors.

    Attributes:
        name: Of the source.
        finder: What it has learnt.
        grouping: Its findings.
        quotes: Raw lines by number of the finding.
        judged_from: Number of the first line that was judged; None while all are learnt.
        lines, bad: Lines read and lines that did not parse.
    """

    def __init__(self, name: str, parser: Parser, warmup: WarmUp, *, decides: bool = True) -> None:
        """`decides`: whether the source itself decides when enough was learnt."""
        self.name = name
        self.decides = decides
        self._parser = parser
        self.warmup = warmup
        self.finder = Finder()
        self.grouping = Grouping()
        self.quotes: dict[int, Quotes] = {}
        self._raw = RawLines()
        self._next_line: dict[str, int] = {}
        self.judged_from: int | None = None
        self.judged_from_ns = 0
        self.lines = self.bad = 0
        self.timeline: list[tuple[int, int, float]] = []
        self.first_ns: int | None = None
        self.last_ns = 0

    def add(self, batch: LineBatch, file: str, *, learn: bool, share: float | None) -> list[Finding]:
        """Reads a batch; returns the findings that are new with it.

        Args:
            batch: Its lines.
            file: For people.
            learn: Whether it is part of a baseline.
            share: Share of the source that was read with it, where it is known.
        """
        first_line = self._next_line.get(file, 1)
        self._next_line[file] = first_line + len(batch) + len(batch.rejects)
        return self._parsed(self._parser.parse(batch), file, first_line, learn=learn, share=share)

    def _parsed(self, parsed: Parsed, file: str, first_line: int, *, learn: bool, share: float | None) -> list[Finding]:
        self.lines += len(parsed.good.lines)
        self.bad += len(parsed.good.bad)
        if not len(parsed):
            return []
        if self.first_ns is None:
            self.first_ns = int(parsed.good.time_ns[0])
        self._raw.add(self.finder.reader.rows, parsed, file, first_line)
        return self._judged(self.finder.add(parsed), learn=learn, share=share)

    def finish(self, *, learn: bool = False) -> list[Finding]:
        """Judges what is left; returns the findings that are new with it."""
        return self._judged(self.finder.finish(), learn=learn, share=1.0)

    def _judged(self, blocks: Iterator[Judged], *, learn: bool, share: float | None) -> list[Finding]:
        fresh: list[Finding] = []
        for judged in blocks:
            lines = judged.block.lines
            last = int(lines.row[-1])
            self.last_ns = max(self.last_ns, int(lines.time_ns[-1]))
            self.timeline.append((int(lines.time_ns[-1]), len(judged.block), judged.block.span_s))
            if learn:
                continue
            if not self.warmup.done:
                if self.decides:
                    self.warmup.update(
                        lines=last + 1, blocks=self.finder.blocks, share=share, births=self.finder.births()
                    )
                continue
            if self.judged_from is None:
                self.judged_from, self.judged_from_ns = int(lines.row[0]), int(lines.time_ns[0])
            found = self.grouping.add(
                judged.signals, self.finder.reader.table, blocks=self.finder.blocks,
                block_lines=self.finder.block_lines, row=last,
            )  # fmt: skip
            fresh += found
            self._quote(last)
        return fresh

    def _quote(self, row: int) -> None:
        """Keeps lines that show the findings which the last block changed, while they are still held."""
        for finding in self.grouping.findings:
            if finding.updated != row:
                continue
            quotes = self.quotes.setdefault(finding.number, Quotes())
            for _, signal in finding.by_strength[:12]:
                if (mark := mark_of(signal)) not in quotes.examples:
                    rows = dict.fromkeys((signal.first - 1 if signal.kind == "silent" else signal.first, signal.last))
                    rows = dict.fromkeys(list(rows)[: 1 if signal.kind in ("silent", "fewer") else EXAMPLES])
                    found = [line for r in rows if (line := self._raw.line(r)) is not None]
                    quotes.examples[mark] = found
            if not quotes.around:
                near = range(finding.first - AROUND, finding.first + AROUND + 1)
                quotes.around = [line for r in near if (line := self._raw.line(r)) is not None]


@dataclass(frozen=True, slots=True)
class Input:
    """A file to be scanned.

    Attributes:
        file: Its path, or `-`.
        source: Name of the source it belongs to.
        size: Bytes; None where unknown.
        learn: Whether it is part of a baseline.
    """

    file: str
    source: str
    size: int | None
    learn: bool = False


class Scan:
    """A scan of any number of sources.

    Attributes:
        sources: By name, in order of appearance.
    """

    def __init__(
        self, parser: Callable[[], Parser], *, settings: WarmUpSettings | None = None, since_ns: int | None = None,
        baseline_ns: int | None = None,
    ) -> None:  # fmt: skip
        """`parser` makes one; `baseline_ns` learns so much of each source's own time instead of deciding by itself."""
        self._make = parser
        self._settings = settings or WarmUpSettings()
        self._baseline_ns = baseline_ns
        self._since_ns = since_ns
        self._parser: Parser | None = None
        self.sources: dict[str, SourceScan] = {}

    def source(self, name: str, *, known: bool = False) -> SourceScan:
        """The source of that name; `known` where a baseline was learnt for it."""
        found = self.sources.get(name)
        if found is None:
            self._parser = self._parser or self._make()
            found = self.sources[name] = SourceScan(
                name, self._parser, WarmUp(self._settings), decides=self._baseline_ns is None
            )
        if known and not found.warmup.done:
            found.warmup.done, found.warmup.reason = True, "a baseline was given"
        return found

    def add(self, batch: LineBatch, of: Input, *, share: float | None) -> list[tuple[SourceScan, Finding]]:
        """Reads a batch of a file; returns the findings that are new with it."""
        source = self.source(of.source)
        found = source.add(batch, of.file, learn=of.learn, share=share)
        if self._baseline_ns is not None and not source.warmup.done and source.first_ns is not None:
            if source.last_ns - source.first_ns >= self._baseline_ns:
                source.warmup.done, source.warmup.reason = True, "the baseline asked for was read"
        return [(source, finding) for finding in found]

    def finish(self) -> list[tuple[SourceScan, Finding]]:
        """Judges what is left of every source."""
        return [(source, finding) for source in self.sources.values() for finding in source.finish()]

    def findings(self) -> list[tuple[SourceScan, Finding]]:
        """All findings, the one to look at first in front."""
        found = [(source, finding) for source in self.sources.values() for finding in source.grouping.findings]
        order = {id(finding): at for at, finding in enumerate(rank([finding for _, finding in found]))}
        found = [(s, f) for s, f in found if self._since_ns is None or f.last_ns >= self._since_ns]
        return sorted(found, key=lambda pair: order[id(pair[1])])

    def documents(self) -> list[dict[str, Any]]:
        """All findings as JSON-compatible data, ranked."""
        return [
            document(finding, source.finder.reader, source.quotes.get(finding.number, Quotes()), rank=rank,
                     source=source.name, block_lines=source.finder.block_lines)
            for rank, (source, finding) in enumerate(self.findings(), start=1)
        ]  # fmt: skip


def sources_of(scan: Scan) -> Sequence[dict[str, Any]]:
    """What was read of each source, as JSON-compatible data."""
    from foundation.time_text import iso_time

    return [
        {
            "source": source.name,
            "lines": source.lines,
            "bad_lines": source.bad,
            "records": source.finder.reader.rows,
            "templates": len(source.finder.reader.table),
            "first_time": None if source.first_ns is None else iso_time(source.first_ns),
            "last_time": iso_time(source.last_ns) if source.last_ns else None,
            "learnt_records": source.finder.reader.rows if source.judged_from is None else source.judged_from,
            "learnt_why": source.warmup.reason or "all of it: too little was read to judge the rest",
        }
        for source in scan.sources.values()
    ]
