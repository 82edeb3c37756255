"""Joins the rest of a stack trace to the line that it belongs to.

A continuation gets no row of its own: its record has the time, the template and the session of the
first line, which says what happened, and a window stays as long as it would be without the trace.
Only the first line decides, so a record may be cut by a batch anywhere.
"""

import re
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from connectors.base import LineBatch

CONTINUATION = re.compile(
    rb"[ \t]+[^\s]"
    rb"|Caused by: |Suppressed: |\.\.\. [0-9]+ (?:more|common frames)"
    rb"|Traceback \(most recent call last\):"
    rb"|During handling of the above exception|The above exception was the direct cause"
    rb"|(?:[A-Za-z_$][\w$]*\.)*[A-Z][\w$]*(?:Error|Exception|Warning|Throwable|Interrupt|Exit)(?::|\s*$)"
)
"""How a line of a Java stack trace or a Python traceback begins, apart from its first."""

WITHIN = re.compile(rb"\s*$|Stop(?:Async)?Iteration|(?:[A-Za-z_]\w*\.)+[A-Za-z_]\w*(?::\s|\s*$)")
"""What belongs to a trace only where one has begun: the blank lines of chained ones, errors not called so."""


class Open(NamedTuple):
    """The record at the end of what was read: whether lines may join it, and what has joined it."""

    joins: bool = False
    lines: int = 0
    bytes: int = 0


CLOSED = Open()
_FRESH = Open(joins=True)


class Joiner:
    """Decides for the lines of one partition, in order, which belong to the line before.

    Attributes:
        open: The last record; what a snapshot keeps.
    """

    def __init__(self, max_lines: int, max_bytes: int, open: Open = CLOSED) -> None:
        self._max_lines = max_lines
        self._max_bytes = max_bytes
        self.open = open

    def join(
        self, batch: LineBatch, failed: list[int], joins: NDArray[np.bool_], heads: NDArray[np.bool_]
    ) -> list[int]:
        """The rows that join the record before them.

        Args:
            batch: The lines.
            failed: Rows that no format took, ascending; only these may join.
            joins: bool (n,): whether lines may join a good row.
            heads: bool (n,): whether a failed row that does not join begins a record.
        """
        found = []
        now, before = self.open, -1
        for row in failed:
            if row > before + 1:
                now = _FRESH if joins[row - 1] else CLOSED
            before = row
            line = batch.line(row)
            lines, size = now.lines + 1, now.bytes + len(line)
            fits = now.joins and lines <= self._max_lines and size <= self._max_bytes
            if fits and (CONTINUATION.match(line) or (now.lines and WITHIN.match(line))):
                found.append(row)
                now = Open(True, lines, size)
            else:
                now = _FRESH if heads[row] else CLOSED
        last = len(batch) - 1
        if last > before:
            now = _FRESH if joins[last] else CLOSED
        self.open = now
        return found
