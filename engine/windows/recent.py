"""The raw lines read last, so that an alert can quote its window."""

from collections import deque

import numpy as np
from numpy.typing import NDArray

from engine.records import ParsedLines
from engine.windows.window_base import WHOLE_SOURCE


class RecentLines:
    """Recent batches of lines of all partitions, within a number of bytes.

    This is no part of recovery: after a restart, lines read before it count as omitted.
    """

    def __init__(self, max_bytes: int) -> None:
        """Keeps at most `max_bytes` of lines and columns; 0 keeps nothing."""
        self._max_bytes = max_bytes
        self._bytes = 0
        self._age: deque[str] = deque()
        self._batches: dict[str, deque[ParsedLines]] = {}

    @property
    def nbytes(self) -> int:
        """Bytes held now."""
        return self._bytes

    def add(self, lines: ParsedLines) -> None:
        """Keeps a batch and drops the oldest ones (of whichever partition) that no longer fit."""
        size = _size(lines)
        if not len(lines) or size > self._max_bytes:
            return
        partition = lines.lines.partition
        self._batches.setdefault(partition, deque()).append(lines)
        self._age.append(partition)
        self._bytes += size
        while self._bytes > self._max_bytes:
            oldest = self._age.popleft()
            batches = self._batches[oldest]
            self._bytes -= _size(batches.popleft())
            if not batches:
                del self._batches[oldest]

    def lines_of(
        self, partition: str, session: int, first: int, last: int, limit: int
    ) -> tuple[list[bytes], int | None]:
        """The last `limit` raw lines of a window, oldest first, without their line ends.

        Args:
            partition: Partition of the window.
            session: Hash of its session key; `WHOLE_SOURCE` for all lines between `first` and `last`.
            first: Position of the window's first line.
            last: Position of its last line.
            limit: Lines at the most.

        Returns:
            The lines, and how many more of the session lie between the positions and are not among them; None where
            that is not known, because what was read back then is no longer held.
        """
        found: list[bytes] = []
        count, complete = 0, False
        for batch in reversed(self._batches.get(partition, ())):
            positions = batch.lines.positions
            if int(positions[0]) > last:
                continue
            if int(positions[-1]) < first:
                complete = True
                break
            rows = _rows(batch, session, first, last)
            count += len(rows)
            for row in rows[::-1][: limit - len(found)].tolist():
                found.append(batch.lines.line(row))
            if int(positions[0]) <= first:
                complete = True
                break
        return found[::-1], count - len(found) if complete else None


def _rows(batch: ParsedLines, session: int, first: int, last: int) -> NDArray[np.int32]:
    """int32: the rows in the batch's lines that belong to the session between the positions."""
    positions = batch.lines.positions
    low = np.searchsorted(batch.rows, np.searchsorted(positions, first, "left"))
    high = np.searchsorted(batch.rows, np.searchsorted(positions, last, "right"))
    rows = batch.rows[low:high]
    return rows if session == WHOLE_SOURCE else rows[batch.session[low:high] == session]


def _size(lines: ParsedLines) -> int:
    columns = (lines.rows, lines.time_ns, lines.template, lines.session, lines.key_start, lines.key_end)
    raw = lines.lines
    return len(raw.data) + raw.ends.nbytes + raw.positions.nbytes + sum(column.nbytes for column in columns)
