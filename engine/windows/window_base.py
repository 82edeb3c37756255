"""The contract of a windower, and the records that it returns.

A windower holds the open windows of one shard (usually one source partition) and turns `ParsedLines` into
`WindowBatch`es. The windows, and the order in which they come out, are a function of the lines alone: cutting the
same stream into other batches, or restoring a snapshot between any two of them, changes nothing. Three things are
outside that promise because they depend on load or on a clock: eviction beyond the maximum of open windows, eviction
of idle ones, and leaving idle partitions out of the watermark.
"""

from dataclasses import dataclass
from typing import Protocol

from engine.records import ParsedLines, WindowBatch
from foundation.errors import DriftlineError

NO_TIME = -(1 << 62)
"""An event time before all others; far enough from the end of int64 that adding a gap cannot overflow."""


WHOLE_SOURCE = -1
"""`WindowBatch.session` of windows over all lines of a partition, independent of session keys."""


class WindowStateError(DriftlineError):
    """A snapshot cannot be used: damaged, of another version, or cut by other settings than today's."""


class NoRoomForWindowsError(DriftlineError):
    """The open windows cannot be saved, because the disk is full."""


@dataclass(frozen=True, slots=True)
class LateLine:
    """A line that no open window can take any more; `row` counts in the `ParsedLines` it came with."""

    row: int
    reason: str


@dataclass(frozen=True, slots=True)
class Windowed:
    """What one batch of lines gave: windows ready for scoring, and the lines that came too late."""

    windows: WindowBatch | None
    late: tuple[LateLine, ...] = ()


@dataclass(slots=True)
class WindowCounters:
    """Running totals since the windower was made; snapshots do not carry them.

    `late`: lines refused because their window had ended, or because they lie further ahead of the clock than
    allowed. `skipped`: lines without a session key under `unkeyed = "skip"`. `evicted`: windows closed by their
    number or by idleness. `emitted`: windows handed on, growth steps included.
    """

    late: int = 0
    skipped: int = 0
    evicted: int = 0
    emitted: int = 0


class Windower(Protocol):
    """The window step of one shard; used from one thread."""

    counters: WindowCounters

    @property
    def open_windows(self) -> int:
        """Windows (sliding: keys) that hold state now."""
        ...

    @property
    def watermark_ns(self) -> int:
        """Event time before which no more lines are expected, or `NO_TIME`."""
        ...

    def add(self, lines: ParsedLines) -> Windowed:
        """Takes lines in; gives back the windows that they complete, in the order of the completing lines."""
        ...

    def tick(self) -> WindowBatch | None:
        """Closes what has been idle for too long; call about once a second, also while no lines come."""
        ...

    def close_all(self) -> WindowBatch | None:
        """Closes every open window at the end of a finite source."""
        ...

    @property
    def part_bytes(self) -> int:
        """Size of the file that the latest snapshot wrote, 0 without one."""
        ...

    def snapshot(self) -> bytes:
        """The open windows as plain bytes, for the constructor; later calls of other methods do not change them.

        Of many windows they are a reference to files (see `engine.windows.table_log`), which stay until the snapshot
        after the next one.
        """
        ...
