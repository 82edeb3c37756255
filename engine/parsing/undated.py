"""Times of records that have none: that of the record before them, not that of reading.

A line without a time in the log of last year belongs to last year. It gets the time of the nearest dated record:
the one before it or, at the head of the log, the first one after it in the batch. Where dated records are rare, as in
the output of a program that prints the date of its build and no other, the times of reading stay.
"""

import numpy as np
from numpy.typing import NDArray

_RARE = 20
"""A stream has times if at least one record in this many has one."""

_REMEMBERED = 4096
"""Records after which the counts are halved, so that a stream may begin or cease to write times."""

_QUIET_NS = 600 * 10**9
"""Time of reading after which a stream is not taken to stand still: undated records then move on with the machine."""

_AHEAD_NS = 86_400 * 10**9
"""A time further ahead of the machine's clock is wrong and is not copied."""


class UndatedRecords:
    """Dates the records of one partition that have no time, in order.

    Attributes:
        dated_ns: Time of the last dated record, 0 before the first.
        read_ns: When it was read.
        dated, undated: How many of the latest records have a time and have none.
    """

    def __init__(self, dated_ns: int = 0, read_ns: int = 0, dated: int = 0, undated: int = 0) -> None:
        """Takes the state of a snapshot."""
        self.dated_ns, self.read_ns = dated_ns, read_ns
        self.dated, self.undated = dated, undated

    def snapshot(self) -> list[int]:
        """Arguments of a new object."""
        return [self.dated_ns, self.read_ns, self.dated, self.undated]

    def progress(self) -> object:
        """Equal for two moments of which a snapshot may serve for both: while every record has a time, an old one."""
        return self.snapshot() if self.undated else self.dated_ns > 0

    def date(
        self, time_ns: NDArray[np.int64], undated: NDArray[np.bool_], read_ns: int
    ) -> tuple[NDArray[np.int64], bool]:
        """The times of a batch's records, and whether times of reading stay, as there are (almost) no others.

        Args:
            time_ns: int64 (n,): times as read.
            undated: bool (n,): which of them are times of reading.
            read_ns: When the batch was read.
        """
        without = int(np.count_nonzero(undated))
        self._count(len(undated) - without, without)
        timeless = self.dated * _RARE < self.undated
        known = np.flatnonzero(~undated & (time_ns <= read_ns + _AHEAD_NS))
        if without and not timeless and (len(known) or self.dated_ns):
            time_ns = self._filled(time_ns, np.flatnonzero(undated), known, read_ns)
        if len(known):
            self.dated_ns, self.read_ns = int(time_ns[known[-1]]), read_ns
        return time_ns, timeless or (without > 0 and not self.dated_ns)

    def _filled(
        self, time_ns: NDArray[np.int64], rows: NDArray[np.int64], known: NDArray[np.int64], read_ns: int
    ) -> NDArray[np.int64]:
        before = np.searchsorted(known, rows) - 1
        if not self.dated_ns:
            before = np.maximum(before, 0)
        last_ns = self.dated_ns
        if last_ns and read_ns - self.read_ns > _QUIET_NS:
            last_ns += read_ns - self.read_ns
            if len(known):  # but not past the next dated record
                last_ns = max(self.dated_ns, min(last_ns, int(time_ns[known[0]])))
        times = np.append(time_ns[known], last_ns)  # -1 is the last one of earlier batches
        filled = time_ns.copy()
        filled[rows] = times[before]
        return filled

    def _count(self, dated: int, undated: int) -> None:
        self.dated += dated
        self.undated += undated
        if self.dated + self.undated > _REMEMBERED and self.undated:
            self.dated, self.undated = self.dated // 2, self.undated - self.undated // 2
