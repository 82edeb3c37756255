"""Precision under operator feedback: how many of the judged alerts were surely wrong."""

from collections.abc import Sequence

_Z = 2.326
"""One-sided 99 % of the normal distribution."""

MIN_JUDGED = 10
"""Fewer judgements say nothing."""


class JudgedAlerts:
    """The latest judgements on the alerts of one model."""

    def __init__(self, keep: int, judgements: Sequence[tuple[int, int]] = ()) -> None:
        """Starts with what `judgements` held; looks at the `keep` latest."""
        self._keep = keep
        self.judgements = list(judgements)

    def add(self, right: int, wrong: int) -> float:
        """The statistic after so many more: share of wrong alerts, surely exceeded; 0 with too few to say."""
        if right or wrong:
            self.judgements.append((right, wrong))
        while len(self.judgements) > 1 and sum(map(sum, self.judgements[1:])) >= self._keep:
            del self.judgements[0]
        rights, wrongs = (sum(column) for column in zip(*self.judgements, strict=True)) if self.judgements else (0, 0)
        return surely(wrongs, rights + wrongs)

    def count(self) -> int:
        """Judgements looked at."""
        return sum(map(sum, self.judgements))


def surely(count: int, of: int) -> float:
    """The share that `count` of `of` surely exceeds (99 %), 0 with too few: Wilson, "Probable inference", 1927."""
    if of < MIN_JUDGED:
        return 0.0
    share, square = count / of, _Z * _Z
    spread: float = _Z * (share * (1 - share) / of + square / (4 * of * of)) ** 0.5
    return max(0.0, (share + square / (2 * of) - spread) / (1 + square / of))
