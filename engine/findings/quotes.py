"""Raw lines that show a finding, quoted while they are still in memory."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from engine.findings.base import ABSENT, Signal
from engine.findings.grouping import Finding
from engine.parsing.parsed import Parsed

AROUND = 3
"""Lines quoted before and behind the first line of a finding."""
EXAMPLES = 2
MAX_QUOTED = 12
"""Signals of a finding that are quoted."""
_KEPT_BYTES = 8 << 20

Place = Callable[[int], str]
"""Row of a batch → the line's place as text."""


@dataclass(slots=True)
class Quotes:
    """Raw lines that show a finding, each with its place as text.

    Attributes:
        examples: By kind and template, or place of a number (see `mark_of`).
        around: The lines around the first one.
    """

    examples: dict[tuple[str, int], list[tuple[str, bytes]]] = field(default_factory=dict)
    around: list[tuple[str, bytes]] = field(default_factory=list)


def mark_of(signal: Signal) -> tuple[str, int]:
    """Under which name examples of a signal are kept."""
    return signal.kind, int(signal.note["slot"]) if signal.kind == "value" else signal.key


class RawLines:
    """The batches read last. They are not part of a snapshot: after a restart, lines read before it are not quoted."""

    def __init__(self) -> None:
        self._held: deque[tuple[int, Parsed, Place]] = deque()
        self._bytes = 0

    def add(self, first_row: int, parsed: Parsed, place: Place) -> None:
        """Keeps a batch whose good lines are numbered from `first_row`."""
        self._held.append((first_row, parsed, place))
        self._bytes += len(parsed.good.lines.data)
        while len(self._held) > 1 and self._bytes > _KEPT_BYTES:
            self._bytes -= len(self._held.popleft()[1].good.lines.data)

    def lines(self, rows: "list[int] | range") -> list[tuple[str, bytes]]:
        """Place and text of lines by their numbers, of those that are still held."""
        return [line for row in rows if (line := self._line(row)) is not None]

    def position(self, row: int) -> int:
        """Position of a line in its source (see `LineBatch.positions`); that of the oldest one held for older ones."""
        for first_row, parsed, _ in reversed(self._held):
            if first_row <= row and len(parsed):
                at = min(row - first_row, len(parsed) - 1)
                return int(parsed.good.lines.positions[parsed.good.rows[at]])
        _, parsed, _ = self._held[0]
        return int(parsed.good.lines.positions[parsed.good.rows[0]])

    def _line(self, row: int) -> tuple[str, bytes] | None:
        for first_row, parsed, place in reversed(self._held):
            if first_row <= row < first_row + len(parsed):
                at = int(parsed.good.rows[row - first_row])
                return place(at), parsed.good.lines.line(at).removesuffix(b"\r")
        return None

    def quote(self, finding: Finding, quotes: Quotes) -> None:
        """Adds lines that show what the finding lists and `quotes` does not show yet."""
        for _, signal in finding.by_strength[:MAX_QUOTED]:
            if (mark := mark_of(signal)) not in quotes.examples:
                gone = signal.kind in ABSENT
                rows = [signal.first - 1] if gone else list(dict.fromkeys((signal.first, signal.last)))[:EXAMPLES]
                quotes.examples[mark] = self.lines(rows)
        if not quotes.around:
            quotes.around = self.lines(range(finding.first - AROUND, finding.first + AROUND + 1))
