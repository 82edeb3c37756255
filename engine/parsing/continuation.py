"""Joins the rest of a stack trace to the line that it belongs to.

A continuation gets no row of its own: its record has the time, the template and the session of the
first line, which describes the event, and a window stays as long as it would be without the trace.
Only the first line decides, so a record may be cut by a batch anywhere.

Lines that no format takes belong to the record right before them. In the log of a container every
line has a header, so there the message decides, and a line belongs to the record before it in its
stream; lines of the other stream may be in between.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

CONTINUATION = re.compile(
    rb"[ \t]+[^\s]+"
    rb"|Caused by:(?: |$)|stack traceback:|coroutine [0-9]+:$"
    rb"|Suppressed: |Wrapped by: |\[CIRCULAR REFERENCE|\.\.\. [0-9]+ (?:more|common frames)"
    rb"|Exception in thread |--- End of "
    rb"|Traceback \(most recent call last\):"
    rb"|During handling of the above exception|The above exception was the direct cause"
    rb"|(?:[\w$]+\.)*(?:[A-Z][\w$]*)?(?:Error|Exception|Warning|Throwable|Interrupt|Exit)(?::|\s*$)"
    rb"|thread '[^']*' (?:\([0-9]+\) )?panicked at |stack backtrace:"
    rb"|goroutine [0-9]+ \[|goroutine running|panic: |created by "
    rb"|[^\s:]+\.(?:rb|erb):[0-9]+:in |#[0-9]+ |Stack trace:|\{main\}|\[[0-9]+x[0-9A-Za-z]+\] "
    rb"|=+[0-9]+=+ ?ERROR: [A-Za-z]+Sanitizer|SUMMARY: [A-Za-z]+Sanitizer|\[signal |\*+ Check failure stack trace: \*+"
    rb"|\*\* \([\w.]+\) |Last message(?: \(from |:)|State: |Request: [A-Z]+ /"
    rb"|Server: \S+ \(https?\)$|\[stacktrace\]|WARNING: [A-Za-z]+Sanitizer"
    rb"|Stack Trace:|\xe2\x94[\x82\x94]|! @[0-9a-z]+ - "
    # Frames as Go's structured loggers write them, a function a line.
    rb"|[\w-]++(?:\.[\w-]++)+/(?:[\w.@~-]++/)*[\w-]+\.[\w.()*]+$|(?:main|runtime|net/http)\.[\w.()*]+$"
)
"""How a line of a stack trace begins, apart from its first: Java, Python, .NET, Node, Rust, Go, Ruby, PHP, Elixir, C++.

Neither digits nor ids matter to it, so one check holds for all lines of a shape.
"""

WITHIN = re.compile(
    rb"\s*$|\}|\"\}|Next [\w\\]+: |READ of size |WRITE of size |[0-9]+x[0-9a-f]+ is located |freed by thread |=>"
    rb"|previously allocated |allocated by thread |Shadow bytes|=+[0-9]+=+ ?(?:ABORTING|HINT|Register)|=+$|HINT: "
    rb"|Node\.js v|note: |index out of bounds: |[\w.*()/-]+\([^)]*\)$|exit status "
    rb"|Stop(?:Async)?Iteration|(?:[A-Za-z_]\w*\.)+[A-Za-z_][\w$]*(?::\s|\s*$)"
    rb"|- (?:/|\[internal\])|(?:Request|Referer) URL: |Client IP: "
)
"""Lines that belong to a trace only after its start: blank lines of chained traces, and errors without such a name."""


_BARE = re.compile(rb"(?:Error|Exception|Warning)(?::|\s*$)")
"""What rather begins a record than a trace, where no format shows where records begin."""

TRACES, ANY, PLAIN = 1, 2, 3
"""Which lines may join a record: those that look like the rest of a stack trace, all that no format takes, or the
first but `_BARE` ones."""


class Open(NamedTuple):
    """The last record read: which lines may join it (0: none), lines read since its first, bytes that joined."""

    joins: int = 0
    lines: int = 0
    bytes: int = 0


CLOSED = Open()
NONE_OPEN = (CLOSED, CLOSED, CLOSED)
"""Of the lines that are in no stream, and of the two streams of a container."""

PASSED_OVER = -1


@dataclass(frozen=True, slots=True)
class Candidates:
    """The lines of a batch, with the properties that decide about joining.

    Attributes:
        count: How many there are.
        failed: Rows that no format took, ascending.
        joins: int8 (n,): which lines may join a good row: none (0), `TRACES` or `ANY`.
        heads: bool (n,): whether a failed row that does not join begins a record, which is `PLAIN`.
        text: What a row adds to the record that it joins.
        stream: int8 (n,): the stream of each good row, 0 if it is in none, `PASSED_OVER` for rows that
            are not lines; None if no row is in a stream.
        traces: Good rows in a stream whose message looks like the rest of a trace, ascending.
        following: Good rows that belong to the record before them, ascending.
    """

    count: int
    failed: list[int]
    joins: NDArray[np.int8]
    heads: NDArray[np.bool_]
    text: Callable[[int], bytes]
    stream: NDArray[np.int8] | None = None
    traces: tuple[int, ...] = ()
    following: tuple[int, ...] = ()


def _continues(text: bytes, before: Open) -> bool:
    """Whether a line looks like the rest of the trace of a record."""
    if before.bytes and WITHIN.match(text):
        return True
    return bool(CONTINUATION.match(text)) and not (before.joins == PLAIN and not before.bytes and _BARE.match(text))


class Joiner:
    """Decides for the lines of one partition, in order, which belong to the record before.

    Attributes:
        open: The last record in no stream and in each; what a snapshot keeps.
        last: Which of them is the last of all.
    """

    def __init__(self, max_lines: int, max_bytes: int, open: tuple[Open, ...] = NONE_OPEN, last: int = 0) -> None:
        self._max_lines = max_lines
        self._max_bytes = max_bytes
        self.open = open
        self.last = last

    def join(self, lines: Candidates) -> dict[int, int]:
        """Row → stream of its record, for rows that join a record before them, ascending."""
        walk = _Walk(lines, self.open, self.last)
        found: dict[int, int] = {}
        while (row := walk.next()) is not None:
            stream, first, now = walk.record_before(row)
            text = lines.text(row)
            size = now.bytes + len(text)
            fits = now.joins and row - first <= self._max_lines and size <= self._max_bytes
            if fits and (walk.belongs(row, now) or _continues(text, now)):
                found[row] = stream
                walk.joined(row, stream, size)
            else:
                walk.began(row)
        ended = walk.end()
        self.last = walk.last
        # A record that has got too old looks the same in every snapshot.
        self.open = tuple(o if o.lines <= self._max_lines else CLOSED for o in ended)
        return found


class _Walk:
    """Visit each row that may join a record, and track the last record before it.

    Attributes:
        last: Stream of the last record.
    """

    def __init__(self, lines: Candidates, open: tuple[Open, ...], last: int) -> None:
        self._lines = lines
        self._failed = frozenset(lines.failed)
        self._following = frozenset(lines.following)
        self._open = list(open)
        self._first = [-1 - o.lines for o in open]  # row of each record's first line
        self._known = [-1] * len(open)  # up to which row that is known
        self.last, self._last_row = last, -1
        self._good: NDArray[np.int64] | None = None
        self._rows: list[NDArray[np.int64]] = []
        self._waiting = [*lines.failed, *lines.traces, *lines.following]
        if lines.stream is not None:
            good = np.ones(lines.count, np.bool_)
            good[lines.failed] = False
            good &= lines.stream != PASSED_OVER
            self._good = np.flatnonzero(good)
            self._rows = [np.flatnonzero(good & (lines.stream == s)) for s in range(len(open))]
            for stream in range(1, len(open)):
                if open[stream].bytes:
                    self._wait(stream, -1)
        heapify(self._waiting)

    def next(self) -> int | None:
        """The next row that may join a record."""
        if not self._waiting:
            return None
        row = heappop(self._waiting)
        while self._waiting and self._waiting[0] == row:
            heappop(self._waiting)
        return row

    def belongs(self, row: int, before: Open) -> bool:
        """Whether a row belongs to the record before it whatever it looks like."""
        return row in self._following or (before.joins == ANY and row in self._failed)

    def record_before(self, row: int) -> tuple[int, int, Open]:
        """Stream, first row and state of the record that a row would join."""
        stream = self._last_stream(row) if row in self._failed else self._stream_of(row)
        self._catch_up(stream, row)
        return stream, self._first[stream], self._open[stream]

    def joined(self, row: int, stream: int, size: int) -> None:
        """The row joined the record of that stream, to which that many bytes have now been joined."""
        self._put(row, stream, self._first[stream], Open(self._open[stream].joins, 0, size))
        if stream and self._rows:
            self._wait(stream, row)

    def began(self, row: int) -> None:
        """The row joined none."""
        failed = row in self._failed
        joins = PLAIN * int(self._lines.heads[row]) if failed else int(self._lines.joins[row])
        self._put(row, 0 if failed else self._stream_of(row), row, Open(joins))

    def end(self) -> list[Open]:
        """The last record in no stream and in each."""
        count = self._lines.count
        self.last = self._last_stream(count)
        for stream in range(len(self._open)):
            self._catch_up(stream, count)
        return [
            o._replace(lines=count - 1 - first) if o.joins else CLOSED
            for o, first in zip(self._open, self._first, strict=True)
        ]

    def _put(self, row: int, stream: int, first: int, open: Open) -> None:
        self._open[stream], self._first[stream], self._known[stream] = open, first, row
        self.last, self._last_row = stream, row

    def _stream_of(self, row: int) -> int:
        return 0 if self._lines.stream is None else int(self._lines.stream[row])

    def _last_stream(self, row: int) -> int:
        """The stream of the last record before a row."""
        before = row - 1 if self._good is None else _newest(self._good, row)
        return self._stream_of(before) if before > self._last_row else self.last

    def _catch_up(self, stream: int, row: int) -> None:
        """Account for the good rows before a row that cannot join any record."""
        if self._rows:
            before = _newest(self._rows[stream], row)
        else:
            before = row - 1 if stream == 0 else -1
        if before > self._known[stream]:
            self._known[stream] = self._first[stream] = before
            self._open[stream] = Open(int(self._lines.joins[before]))

    def _wait(self, stream: int, row: int) -> None:
        """Add the next row of the stream to the rows to visit: it may be blank, or end the trace."""
        rows = self._rows[stream]
        after = int(np.searchsorted(rows, row, side="right"))
        if after < len(rows):
            heappush(self._waiting, int(rows[after]))


def _newest(rows: NDArray[np.int64], row: int) -> int:
    """The last of ascending rows before a row, -1 if absent."""
    at = int(np.searchsorted(rows, row)) - 1
    return int(rows[at]) if at >= 0 else -1
