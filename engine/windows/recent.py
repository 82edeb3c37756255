"""The raw lines read last, so that an alert can quote its window."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from connectors.base import LineBatch
from engine.records import ParsedLines
from engine.windows.window_base import WHOLE_SOURCE


@dataclass(frozen=True, slots=True)
class _Held:
    """A batch with the requested parts: rows and sessions of the lines that went into windows, and its bounds."""

    lines: LineBatch
    rows: NDArray[np.int32]
    session: NDArray[np.int64]
    first: int
    last: int
    size: int


class RecentLines:
    """Recent batches of lines of all partitions, within a number of bytes.

    This is not part of recovery: after a restart, lines read before it count as omitted.
    """

    def __init__(self, max_bytes: int) -> None:
        """Keeps at most `max_bytes` of lines and what finds them; 0 keeps nothing."""
        self._max_bytes = max_bytes
        self._bytes = 0
        self._age: deque[str] = deque()
        self._batches: dict[str, deque[_Held]] = {}

    @property
    def nbytes(self) -> int:
        """Bytes held now."""
        return self._bytes

    def add(self, lines: ParsedLines, late: Sequence[int] = ()) -> None:
        """Keeps a batch and drops the oldest ones (of whichever partition) that no longer fit.

        Args:
            lines: The batch.
            late: Rows of it that went into no window, and must not be quoted as if they had.
        """
        size = _size(lines)
        if not len(lines) or size > self._max_bytes:
            return
        partition, positions = lines.lines.partition, lines.lines.positions
        rows, session = lines.rows, lines.session
        if late:
            rows, session = np.delete(rows, late), np.delete(session, late)
        held = _Held(lines.lines, rows, session, int(positions[0]), int(positions[-1]), size)
        self._batches.setdefault(partition, deque()).append(held)
        self._age.append(partition)
        self._bytes += size
        while self._bytes > self._max_bytes:
            oldest = self._age.popleft()
            batches = self._batches[oldest]
            self._bytes -= batches.popleft().size
            if not batches:
                del self._batches[oldest]

    def lines_of(self, partition: str, session: int, first: int, last: int, limit: int) -> list[bytes]:
        """The last `limit` raw lines of a window that are still held, oldest first, without their line ends.

        Args:
            partition: Partition of the window.
            session: Hash of its session key; `WHOLE_SOURCE` for all lines between `first` and `last`.
            first: Position of the window's first line.
            last: Position of its last line.
            limit: Lines at most.
        """
        found: list[bytes] = []
        # To the very oldest: the shards of a partition hand in their parts one after the other, so that
        # a part before the window's first line states nothing about those added before it.
        for held in reversed(self._batches.get(partition, ())):
            if len(found) == limit:
                break
            if held.first <= last and held.last >= first:
                line = held.lines.line
                rows = _rows(held, session, first, last)
                found += [line(row) for row in rows[::-1][: limit - len(found)].tolist()]
        return found[::-1]


def _rows(held: _Held, session: int, first: int, last: int) -> NDArray[np.int32]:
    """int32: the rows in the batch's lines that belong to the session between the positions."""
    rows, sessions = held.rows, held.session
    if held.first < first or held.last > last:
        positions = held.lines.positions
        bounds = positions.searchsorted(first), positions.searchsorted(last, "right")
        start, stop = rows.searchsorted(np.array(bounds, rows.dtype)).tolist()
        rows, sessions = rows[start:stop], sessions[start:stop]
    return rows if session == WHOLE_SOURCE else rows[(sessions == session).nonzero()[0]]


def _size(lines: ParsedLines) -> int:
    raw = lines.lines
    return len(raw.data) + raw.ends.nbytes + raw.positions.nbytes + lines.rows.nbytes + lines.session.nbytes
