"""Whether the lines of a source can be used: how many go to the dead letters, and how many have no readable time.

A source of which more than a small share is rejected is read in the wrong way, and a log whose records have the time
of reading makes windows that are not to be trusted. Either fails the condition `input`, which is logged once when it
begins, and both are counted for the summary at the end.
"""

from collections import Counter
from collections.abc import Iterable

from engine.telemetry.health import Health

CONDITION = "input"

MOST_REJECTED, MOST_UNDATED = 0.01, 0.1
"""Shares of lines beyond which the condition fails."""

RECENT_LINES = 10_000
"""Lines after which what was counted before has half the weight."""

FEWEST_LINES = 200
"""Below that many lines a share says little."""

BLANK = "empty line"
"""The reason of blank lines; nothing is lost with them."""


class InputQuality:
    """Counts the lines of one worker and reports the condition.

    Attributes:
        lines, rejected, undated: Totals.
    """

    def __init__(self, health: Health, *, dated: bool = True) -> None:
        """Takes where to report, and whether lines are expected to have a time (not those of format `raw`)."""
        self._health = health
        self._dated = dated
        self.lines = self.rejected = self.undated = 0
        self._recent = [0.0, 0.0, 0.0]
        self._reasons: Counter[str] = Counter()

    def parsed(self, lines: int, undated: int, reasons: Iterable[str]) -> None:
        """Counts a batch: its lines, those with the time of reading, and why others were rejected."""
        kinds = [reason.partition(": ")[0] for reason in reasons if reason != BLANK]
        self._count(lines, len(kinds), undated, kinds)

    def late(self, lines: int) -> None:
        """Counts lines that no window took."""
        self._count(0, lines, 0, ["too late for every window"] * lines)

    @property
    def share_rejected(self) -> float:
        """Share of all lines that went to the dead letters."""
        return self.rejected / self.lines if self.lines else 0.0

    @property
    def worth_a_warning(self) -> bool:
        """Whether many lines were rejected, or many of those that should have a time have none."""
        return self.wrong or (self._dated and self.undated > MOST_UNDATED * self.lines)

    @property
    def wrong(self) -> bool:
        """Whether more than a small share of all lines was rejected."""
        return self.share_rejected > MOST_REJECTED

    def summary(self) -> str:
        """All counts in one sentence, with the most frequent reason where many lines were rejected."""
        reason = (
            f"; rejected mostly because: {self._reasons.most_common(1)[0][0]}" if self.wrong and self._reasons else ""
        )
        return (
            f"{self.lines:,} lines read: {self.rejected:,} went to the dead letters, "
            f"{self.undated:,} have the time of reading{reason}"
        )

    def _count(self, lines: int, rejected: int, undated: int, kinds: list[str]) -> None:
        self.lines += lines
        self.rejected += rejected
        self.undated += undated
        recent = [a + b for a, b in zip(self._recent, (lines, rejected, undated), strict=True)]
        self._reasons.update(kinds[:1000])
        if recent[0] > RECENT_LINES:
            recent = [value / 2 for value in recent]
            self._reasons = Counter({kind: n // 2 for kind, n in self._reasons.most_common(50) if n > 1})
        self._recent = recent
        self._report(*recent)

    def _report(self, lines: float, rejected: float, undated: float) -> None:
        if lines < FEWEST_LINES:
            return
        if rejected > MOST_REJECTED * lines:
            reason = self._reasons.most_common(1)[0][0] if self._reasons else "no reason"
            self._health.fail(
                CONDITION,
                f"{rejected / lines:.1%} of the latest lines go to the dead letters, mostly because: {reason}; "
                f"up to {MOST_REJECTED:.0%} are expected",
            )
        elif self._dated and undated > MOST_UNDATED * lines:
            self._health.fail(
                CONDITION,
                f"{undated / lines:.0%} of the latest lines have no time that can be read, so they have the time of "
                "reading and their windows are not to be trusted: see the formats in docs/formats.md",
            )
        else:
            self._health.ok(CONDITION)
