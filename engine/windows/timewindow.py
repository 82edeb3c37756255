"""Time windows: lines of one session key, or of a whole source, within fixed spans of event time."""

from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from engine.clock import Clock
from engine.records import ParsedLines
from engine.windows.base_windower import ShardSettings, WindowShard, nanoseconds
from engine.windows.emission import Emission
from engine.windows.grouping import Ints, group
from engine.windows.segmenting import Cutting, Entries, absorb
from engine.windows.session_table import DEADLINE
from engine.windows.window_base import NO_TIME, WHOLE_SOURCE, LateLine

_MAX_OVERLAP = 64


class TimeWindows(ShardSettings):
    """Lines whose event time lies in [k·slide, k·slide + length), k counted from 1970-01-01 UTC."""

    kind: Literal["time"] = "time"
    length_s: Annotated[float, Field(gt=0, le=3.2e8)] = Field(
        default=60.0, description="Length of a window in seconds."
    )
    slide_s: Annotated[float, Field(gt=0, le=3.2e8)] | None = Field(
        default=None,
        description="Seconds from the start of one window to the start of the next; if not given, windows do not "
        "overlap.",
    )
    allowed_lateness_s: Annotated[float, Field(ge=0, le=3.2e8)] = Field(
        default=0.0,
        description="Delay of the watermark behind the latest event time, in seconds. Windows are closed that much "
        "later, and lines that much older still join their window.",
    )
    per: Literal["source", "session"] = Field(
        default="source", description="Whether a window holds the lines of a whole partition or of one session key."
    )
    max_length: Annotated[int, Field(ge=1, le=65_536)] = Field(
        default=4096, description="Maximum number of lines in a window; further lines of its span go into another one."
    )

    @model_validator(mode="after")
    def _overlap(self) -> "TimeWindows":
        if self.slide_s is not None and not self.length_s / _MAX_OVERLAP <= self.slide_s <= self.length_s:
            raise ValueError(
                f"slide_s = {self.slide_s:g} must lie between length_s / {_MAX_OVERLAP} and "
                f"length_s = {self.length_s:g}"
            )
        return self


class TimeWindower(WindowShard[Emission]):
    """Time windows, emitted when the watermark reaches their end.

    - A window ends at the first line that moves the watermark to its end or past it, or at the line that completes
      `max_length`. Windows without lines are not emitted.
    - A line goes into each window that its time lies in and that has not ended; it is late if all have.
    """

    kind = "time"

    def __init__(
        self, settings: TimeWindows, clock: Clock, state: bytes | None = None, folder: Path | None = None
    ) -> None:
        super().__init__(settings, clock, Emission, folder, settings.allowed_lateness_s)
        self._per_source = settings.per == "source"
        self._length_ns = nanoseconds(settings.length_s)
        self._slide_ns = self._length_ns if settings.slide_s is None else nanoseconds(settings.slide_s)
        self._cutting = Cutting(settings.max_length, None, np.zeros(0, np.int64))
        if state is not None:
            self._restore(state)

    def _take(self, lines: ParsedLines, partition: int, emission: Emission) -> tuple[tuple[LateLine, ...], Ints]:
        times = self._timely(lines)
        times, watermark = self._watermark.advance(partition, times, timeless=lines.timeless)
        sessions, unkeyed = self._sessions(lines, partition)
        entries, taken = self._assign(lines, times, sessions, watermark, unkeyed)
        late = ~taken if unkeyed is None else ~taken & ~unkeyed
        full = np.zeros(0, np.int64)
        if len(entries.id):
            groups = group(entries.id)
            entries = entries.take(groups.order)
            rows = entries.row[groups.starts]
            shown = np.full(len(rows), WHOLE_SOURCE) if self._per_source else lines.session[rows]
            slots = self._slots(entries.id[groups.starts], shown, rows, lines)
            full = absorb(self._table, entries, groups, slots, partition, watermark, NO_TIME, self._cutting, emission)
        due = self._table.due(int(watermark[-1]))
        ended = self._table.rows[due]
        emission.put(ended, due, np.searchsorted(watermark, ended[:, DEADLINE], "right"), holds=False, closed=True)
        return self._refuse(lines, late, watermark), np.concatenate([full, due])

    def _close(self, slots: Ints, emission: Emission, trigger: int) -> None:
        emission.put(self._table.rows[slots], slots, np.full(len(slots), trigger), holds=False, closed=True)

    def _sessions(self, lines: ParsedLines, partition: int) -> tuple[Ints, NDArray[np.bool_] | None]:
        """What lines are grouped by, and a mask of those to leave out."""
        if self._per_source:
            return np.full(len(lines), self._unkeyed[partition]), None
        ids, unkeyed = self._ids(lines, partition)
        if unkeyed is None or self._settings.unkeyed == "window":
            return ids, None
        self.counters.skipped += int(np.count_nonzero(unkeyed))
        return ids, unkeyed

    def _assign(
        self, lines: ParsedLines, times: Ints, sessions: Ints, watermark: Ints, skip: NDArray[np.bool_] | None
    ) -> tuple[Entries, NDArray[np.bool_]]:
        """An entry for each line and open window, in the order of the lines; and which lines have any."""
        newest = times // self._slide_ns
        overlap = -(-self._length_ns // self._slide_ns)
        number = newest[:, None] - np.arange(overlap - 1, -1, -1)  # (n, overlap), oldest window first
        end = number * self._slide_ns + self._length_ns
        inside = (end > times[:, None]) & (end > watermark[:, None]) & (times != NO_TIME)[:, None]
        if skip is not None:
            inside &= ~skip[:, None]
        row, which = np.nonzero(inside)
        deadline = end[row, which] - 1
        ids = _mix(sessions[row], number[row, which])
        positions = lines.lines.positions[lines.rows]
        entries = Entries(ids, row, times[row], lines.template[row], positions[row], deadline)
        return entries, inside.any(axis=1)


def _mix(session: Ints, number: Ints) -> Ints:
    """int64: a hash of both (the finalizer of splitmix64, Steele et al. 2014, over their combination)."""
    x = session.view(np.uint64) + number.view(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: Ints = (x ^ (x >> np.uint64(31))).view(np.int64)
    return mixed
