"""Watches one source from its first line on: learns, then reports, and learns on."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from engine.findings.base import ABSENT, Signal, State
from engine.findings.finder import Finder, Judged
from engine.findings.grouping import Finding, Grouping
from engine.findings.quotes import Place, Quotes, RawLines
from engine.findings.warmup import WarmUp, WarmUpSettings
from engine.parsing.parsed import Parsed

Look = Callable[[Judged], None]


@dataclass(frozen=True, slots=True)
class Raised:
    """A finding that is new, or shows something new.

    Attributes:
        finding: As it is now.
        again: Whether it was raised before.
    """

    finding: Finding
    again: bool


class SourceWatch:
    """See the module.

    Attributes:
        finder: The learnt state.
        warmup: Whether enough was learnt; set `done` to begin at once.
        grouping: The findings.
        raw: The lines read last.
        judged_from: Number and time of the first line that was judged; None while all are learnt.
    """

    def __init__(
        self, settings: WarmUpSettings, state: State | None = None, *, look: Look = lambda _: None, decides: bool = True
    ) -> None:
        """Starts empty or continues from a snapshot.

        Args:
            settings: How much is learnt first.
            state: What `snapshot` gave.
            look: Called with every block.
            decides: Whether the source itself decides when enough was learnt.
        """
        saved = state or {}
        self.finder = Finder(saved.get("finder"))
        self.warmup = WarmUp(settings, **saved.get("warmup", {}))
        self.grouping = Grouping(saved.get("grouping"))
        self.raw = RawLines()
        self._quotes: dict[int, Quotes] = {}
        self._look = look
        self._decides = decides
        self.judged_from: tuple[int, int] | None = saved.get("judged_from")

    def add(self, parsed: Parsed, place: Place, *, learn: bool = False, share: float | None = None) -> list[Raised]:
        """Read lines and return the findings that are new with them.

        Args:
            parsed: The lines.
            place: Returns the place of a row as text.
            learn: Whether they are part of a baseline.
            share: Share of the source that was read with them, if it is known.
        """
        if not len(parsed):
            return []
        self.raw.add(self.finder.reader.rows, parsed, place)
        return self._judged(self.finder.add(parsed), learn=learn, share=share)

    def finish(self) -> list[Raised]:
        """Judges the lines that wait for their block to be complete."""
        return self._judged(self.finder.finish(), learn=False, share=1.0)

    def stopped(self, seconds: float) -> list[Raised]:
        """Judge a source that has shown no line for this time, after `finish`."""
        if not self.warmup.done or self.finder.open_lines:
            return []
        found = self._group(self.finder.stopped(seconds), self.finder.reader.rows - 1)
        return [Raised(finding, finding.raised > 1) for finding in found]

    def quotes(self, finding: Finding) -> Quotes:
        """Raw lines that show a finding."""
        return self._quotes.get(finding.number, Quotes())

    def _judged(self, blocks: Iterator[Judged], *, learn: bool, share: float | None) -> list[Raised]:
        raised: dict[int, Raised] = {}
        for judged in blocks:
            self._look(judged)
            lines = judged.block.lines
            last = int(lines.row[-1])
            if learn:
                continue
            if not self.warmup.done:
                if self._decides:
                    births = self.finder.births()
                    # Of the block, while `share` is that of the batch, which may be most of a file.
                    part = None if share is None else share * (last + 1) / self.finder.reader.rows
                    self.warmup.update(lines=last + 1, blocks=self.finder.blocks, share=part, births=births)
                continue
            if self.judged_from is None:
                self.judged_from = int(lines.row[0]), int(lines.time_ns[0])
            for finding in self._group(judged.signals, last):
                again = finding.raised > 1 and raised.get(finding.number, Raised(finding, True)).again
                raised[finding.number] = Raised(finding, again)
        return list(raised.values())

    def _group(self, signals: Sequence[Signal], row: int) -> list[Finding]:
        # Templates that had stopped before judging began are part of the baseline.
        begin = (self.judged_from or (0, 0))[0] - 2 * self.finder.block_lines
        signals = [s for s in signals if s.kind not in ABSENT or s.first >= begin]
        found = self.grouping.add(
            signals, self.finder.reader.table, block_lines=self.finder.block_lines, row=row
        )  # fmt: skip
        for finding in self.grouping.findings:
            if finding.updated == row:
                self.raw.quote(finding, self._quotes.setdefault(finding.number, Quotes()))
        if len(self._quotes) > len(self.grouping.findings):
            kept = {finding.number for finding in self.grouping.findings}
            self._quotes = {number: quotes for number, quotes in self._quotes.items() if number in kept}
        return found

    def snapshot(self) -> State:
        """The state; raw lines are not part of it."""
        return {
            "finder": self.finder.snapshot(), "warmup": self.warmup.snapshot(), "grouping": self.grouping.snapshot(),
            "judged_from": self.judged_from,
        }  # fmt: skip
