"""Lines with a header of their own that belong to the line before: PostgreSQL's `DETAIL`, RabbitMQ's second lines."""

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from connectors.base import LineBatch
from engine.formats.base import Format


class FollowingLines:
    """Finds them in the lines of one partition, in order, by `Format.follows`.

    Attributes:
        same: Format and group `same` of the last line that had them; "" where none had, or another line came since.
    """

    def __init__(self, formats: Sequence[Format], same: str | None = None) -> None:
        """Takes the formats by number, and what a snapshot kept of `same`."""
        self._patterns = {i: f.follows for i, f in enumerate(formats) if f.follows is not None}
        self._names = [f.name for f in formats]
        self._numbers = np.array(sorted(self._patterns), np.int16)
        self.same = same or ""

    def rows(self, batch: LineBatch, formats: NDArray[np.int16], failed: Collection[int]) -> tuple[int, ...]:
        """The rows that belong to the record before them, ascending.

        Args:
            batch: The lines.
            formats: int16 (n,): number of each line's format.
            failed: Rows that no format took; they do not part two lines.
        """
        if not self._patterns or not len(batch):
            return ()
        rows = np.flatnonzero(np.isin(formats, self._numbers))
        found: list[int] = []
        before = -1
        for row in rows.tolist():
            if row in failed:
                continue
            if any(between not in failed for between in range(before + 1, row)):
                self.same = ""
            before = row
            match = self._patterns[int(formats[row])].match(batch.line(row))
            same = "" if match is None else f"{self._names[int(formats[row])]} {match['same'].decode('latin-1')}"
            if match is not None and same == self.same and (match.lastgroup == "more" or not match.re.groups > 1):
                found.append(row)
            self.same = same
        if any(between not in failed for between in range(before + 1, len(batch))):
            self.same = ""
        return tuple(found)
