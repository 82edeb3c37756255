"""Finds what is new or unusual in files: the detectors of `engine.findings`, run once over a log.

Files that are rotations of one log are one *source*, read from the oldest to the newest. Its first part is learnt, or
a baseline is; what follows is judged line by line while it is read, and learnt in turn.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from connectors.base import LineBatch
from connectors.file_reader import is_compressed
from engine.findings.describe import document
from engine.findings.finder import Judged
from engine.findings.grouping import Finding, rank
from engine.findings.warmup import WarmUpSettings
from engine.findings.watch import SourceWatch
from engine.offline.inputs import damage_in
from engine.steps.parse import Parser

_COMPRESSION = 10
"""Bytes of lines in a byte of an archive, so that the archives of a log count about as much as its plain files."""


class SourceScan:
    """One source on its way through the detectors.

    Attributes:
        name: Of the source.
        watch: What it has learnt, and its findings.
        lines: Lines read.
        bad: Lines that did not parse.
        damage: A sentence for each damaged archive.
        timeline: Time of the last line, and lines, of each block.
        first_ns: Time of the first line; None before there is one.
        last_ns: Time of the last line.
    """

    def __init__(self, name: str, parser: Parser, settings: WarmUpSettings, *, baseline_ns: int | None = None) -> None:
        """See `SourceWatch` for `settings`, and `LogScan` for `baseline_ns`."""
        self.name = name
        self._parser = parser
        self._baseline_ns = baseline_ns
        self.watch = SourceWatch(settings, look=self._look, decides=baseline_ns is None)
        self._next_line: dict[str, int] = {}
        self.lines = self.bad = 0
        self.damage: list[str] = []
        self.timeline: list[tuple[int, int]] = []
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
        if damage := damage_in(batch):
            self.damage.append(f"{file}: {damage}; what lies before it was read")
        first_line = self._next_line.get(file, 1)
        self._next_line[file] = first_line + len(batch) + len(batch.rejects)
        parsed = self._parser.parse(batch)
        self.lines += len(batch) + len(batch.rejects)
        self.bad += len(parsed.good.bad)
        if self.first_ns is None and len(parsed):
            self.first_ns = int(parsed.good.time_ns[0])
        found = self.watch.add(parsed, lambda row: f"{file}:{first_line + row}", learn=learn, share=share)
        return [raised.finding for raised in found if not raised.again]

    def finish(self) -> list[Finding]:
        """Judges what is left; returns the findings that are new with it."""
        return [raised.finding for raised in self.watch.finish() if not raised.again]

    def _look(self, judged: Judged) -> None:
        lines = judged.block.lines
        # By block: a batch may hold a whole file.
        if self._baseline_ns is not None and int(lines.time_ns[0]) - (self.first_ns or 0) >= self._baseline_ns:
            self.watch.warmup.end("the requested baseline was read")
        self.last_ns = max(self.last_ns, int(lines.time_ns[-1]))
        self.timeline.append((int(lines.time_ns[-1]), len(judged.block)))


@dataclass(frozen=True, slots=True)
class Input:
    """A file to be scanned.

    Attributes:
        file: Its path, or `-`.
        source: Name of the source it belongs to.
        size: Bytes on disk; 0 where unknown.
        learn: Whether it is part of a baseline.
    """

    file: str
    source: str
    size: int
    learn: bool = False

    @property
    def text_bytes(self) -> float:
        """About how many bytes of lines the file has; an archive is not decompressed for it."""
        return float(self.size * (_COMPRESSION if is_compressed(self.file) else 1))

    def read(self, left: int) -> float:
        """How many of these have been read while `left` bytes on disk have not."""
        return self.text_bytes * max(0.0, 1.0 - left / max(1, self.size))


class LogScan:
    """A scan of any number of sources.

    Attributes:
        sources: By name, in order of appearance.
    """

    def __init__(
        self, parser: Callable[[], Parser], *, settings: WarmUpSettings | None = None, since_ns: int | None = None,
        baseline_ns: int | None = None,
    ) -> None:  # fmt: skip
        """`parser` makes one; `baseline_ns` learns that much of each source's time instead of choosing it."""
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
            found = self.sources[name] = SourceScan(name, self._parser, self._settings, baseline_ns=self._baseline_ns)
        if known:
            found.watch.warmup.end("a baseline was given")
        return found

    def add(self, batch: LineBatch, of: Input, *, share: float | None) -> list[tuple[SourceScan, Finding]]:
        """Reads a batch of a file; returns the findings that are new with it."""
        source = self.source(of.source)
        return [(source, finding) for finding in source.add(batch, of.file, learn=of.learn, share=share)]

    def finish(self) -> list[tuple[SourceScan, Finding]]:
        """Judges what is left of every source."""
        return [(source, finding) for source in self.sources.values() for finding in source.finish()]

    def findings(self) -> list[tuple[SourceScan, Finding]]:
        """All findings, the most important one first."""
        found = [(source, finding) for source in self.sources.values() for finding in source.watch.grouping.findings]
        order = {id(finding): at for at, finding in enumerate(rank([finding for _, finding in found]))}
        found = [(s, f) for s, f in found if self._since_ns is None or f.last_ns >= self._since_ns]
        return sorted(found, key=lambda pair: order[id(pair[1])])

    def documents(self) -> list[dict[str, Any]]:
        """All findings as JSON-compatible data, ranked."""
        return [
            document(finding, source.watch.finder.reader, source.watch.quotes(finding), rank=rank, source=source.name)
            for rank, (source, finding) in enumerate(self.findings(), start=1)
        ]  # fmt: skip


def sources_of(scan: LogScan) -> Sequence[dict[str, Any]]:
    """Summary of each source, as JSON-compatible data."""
    from foundation.time_text import iso_time

    return [
        {
            "source": source.name,
            "lines": source.lines,
            "bad_lines": source.bad,
            "records": source.watch.finder.reader.rows,
            "templates": len(source.watch.finder.reader.table),
            "first_time": None if source.first_ns is None else iso_time(source.first_ns),
            "last_time": iso_time(source.last_ns) if source.last_ns else None,
            "learnt_records": _learnt(source),
            "learnt_why": source.watch.warmup.reason or "all of it: too little was read to judge the rest",
        }
        for source in scan.sources.values()
    ]


def _learnt(source: SourceScan) -> int:
    judged_from = source.watch.judged_from
    return source.watch.finder.reader.rows if judged_from is None else judged_from[0]
