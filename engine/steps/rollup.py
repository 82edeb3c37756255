"""Rollup: exact counts of lines per minute of event time and template, by level.

A row is known by its partition, minute, part and template, and its counts are absolute. They are kept with the
recovery state and written again after a crash, so a replay ends with the same numbers.

A minute stays open until lines `late_minutes` newer than it were read. A line for a minute that is closed is counted
in a row of its own, whose part is the newest minute at that moment; other rows have the part 0. Which row counts a
line depends on the order of the lines only, not on how they were cut into batches. The sum over the parts is exact.
"""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from connectors.sql_settings import SqlSettings
from foundation.time_text import NS_PER_S

MINUTE_NS = 60 * NS_PER_S
LEVELS = 7
"""Columns of counts: lines without a level, then the levels from trace to fatal."""

_PART_BITS = 32
"""Bits of a part in the number that minute and part make together; minutes of the year 2116 have 27."""

_NO_TIME = np.iinfo(np.int64)


class RollupSettings(BaseModel):
    """Counts per minute and template, for the console and the API."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    store: SqlSettings | None = Field(None, description="Database of the counts; the region's SQL sink if not set.")
    flush_s: Annotated[float, Field(gt=0)] = Field(
        10.0, description="Seconds between two updates of the minutes that are still open."
    )
    late_minutes: Annotated[int, Field(ge=0, le=60)] = Field(
        5, description="Minutes of event time for which counts stay in memory. Later lines are counted separately."
    )
    keep_days: Annotated[float, Field(gt=0)] = Field(
        14.0, description="Days of event time after which the counts of a minute are deleted. Those of its hour remain."
    )
    keep_hourly_days: Annotated[float, Field(gt=0)] = Field(
        90.0, description="The same for the counts of an hour. Those of its day remain."
    )
    keep_daily_days: Annotated[float, Field(gt=0)] = Field(
        730.0, description="The same for the counts of a day, and for templates that were not seen since."
    )


@dataclass(frozen=True, slots=True)
class MinuteRow:
    """The lines of a template in a minute.

    Attributes:
        minute: Minutes since 1970.
        part: See the module.
        template: `models.base.template_id` of its text.
        levels: Lines by level, `LEVELS` counts.
        first_ns, last_ns: Event time of the earliest and latest line.
    """

    minute: int
    part: int
    template: int
    levels: tuple[int, ...]
    first_ns: int
    last_ns: int


@dataclass(slots=True)
class _Minute:
    """Counts of one minute and part, by slot of the template."""

    levels: NDArray[np.int64] = field(default_factory=lambda: np.zeros((0, LEVELS), np.int64))
    first_ns: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    last_ns: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    changed: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, np.bool_))

    def add(self, slot: NDArray[np.int64], level: NDArray[np.int8], time_ns: NDArray[np.int64], slots: int) -> None:
        if len(self.changed) < slots:
            self._grow(slots)
        counts = np.bincount(slot * LEVELS + level, minlength=len(self.changed) * LEVELS)
        self.levels += counts.reshape(-1, LEVELS)
        np.minimum.at(self.first_ns, slot, time_ns)
        np.maximum.at(self.last_ns, slot, time_ns)
        self.changed[slot] = True

    def _grow(self, slots: int) -> None:
        more = slots - len(self.changed) + 64
        self.levels = np.concatenate([self.levels, np.zeros((more, LEVELS), np.int64)])
        self.first_ns = np.concatenate([self.first_ns, np.full(more, _NO_TIME.max)])
        self.last_ns = np.concatenate([self.last_ns, np.full(more, _NO_TIME.min)])
        self.changed = np.concatenate([self.changed, np.zeros(more, np.bool_)])


class Rollup:
    """Counts the lines of one partition."""

    def __init__(self, late_minutes: int, snapshot: Mapping[str, Any] | None = None) -> None:
        """Begin without counts, or continue from what `snapshot` returned."""
        self._late = late_minutes
        self._newest = 0
        self._sorted = np.zeros(0, np.int64)
        self._slot_of = np.zeros(0, np.int64)
        self._templates: list[int] = []
        self._minutes: dict[tuple[int, int], _Minute] = {}
        self._closed: list[MinuteRow] = []
        if snapshot is not None:
            self._newest = snapshot["newest"]
            for key, rows in snapshot["minutes"].items():
                self._restore(key, *rows)

    def add(
        self, time_ns: NDArray[np.int64], template: NDArray[np.int64], level: NDArray[np.int8]
    ) -> NDArray[np.int64]:
        """Count lines, in their order.

        Args:
            time_ns: int64 (n,): event time.
            template: int64 (n,): template id.
            level: int8 (n,): index into `engine.parsing.parsed_columns.LEVEL_NAMES`.

        Returns:
            Indexes of the first line of every template that was not seen since the start.
        """
        if not len(time_ns):
            return np.zeros(0, np.int64)
        slot, new = self._slots(template)
        earliest, latest = int(time_ns.min()) // MINUTE_NS, int(time_ns.max()) // MINUTE_NS
        newest = max(self._newest, latest)
        if earliest == latest and earliest >= newest - self._late:  # the usual batch, at a fraction of the cost
            self._count(earliest << _PART_BITS, slot, level, time_ns)
        else:
            self._count_each(slot, level, time_ns)
        self._newest = newest
        self._close()
        return new

    def changed(self) -> list[MinuteRow]:
        """Every row that has changed since the last call, those of closed minutes included."""
        rows, self._closed = self._closed, []
        for (at, part), counts in self._minutes.items():
            rows += self._rows(at, part, counts, np.flatnonzero(counts.changed))
            counts.changed[:] = False
        return rows

    def closed(self) -> list[MinuteRow]:
        """The rows of closed minutes that were not returned yet."""
        rows, self._closed = self._closed, []
        return rows

    def open_templates(self) -> set[int]:
        """Ids of the templates of open minutes."""
        found: set[int] = set()
        for counts in self._minutes.values():
            found.update(self._templates[i] for i in np.flatnonzero(counts.levels.any(1)).tolist())
        return found

    def snapshot(self) -> dict[str, Any]:
        """Plain data from which the constructor continues; call it with no closed rows waiting."""
        ids = np.array(self._templates, np.int64)
        minutes = {}
        for key, counts in self._minutes.items():
            used = np.flatnonzero(counts.levels.any(1))
            minutes[key] = ids[used], counts.levels[used], counts.first_ns[used], counts.last_ns[used]
        return {"newest": self._newest, "minutes": minutes}

    def _restore(self, key: tuple[int, int], ids: Any, levels: Any, first_ns: Any, last_ns: Any) -> None:
        slot, _ = self._slots(ids)
        counts = self._minutes.setdefault(key, _Minute())
        counts.add(slot, np.zeros(len(slot), np.int8), first_ns, len(self._templates))
        counts.levels[slot], counts.last_ns[slot] = levels, last_ns

    def _slots(self, template: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Slot of every line's template, and the first line of each new one."""
        new = np.zeros(0, np.int64)
        place = np.searchsorted(self._sorted, template)
        place[place == len(self._sorted)] = 0
        if not len(self._sorted) or (self._sorted[place] != template).any():
            unknown = np.flatnonzero(~np.isin(template, self._sorted))
            ids, first = np.unique(template[unknown], return_index=True)
            new = np.sort(unknown[first])
            slots = np.concatenate([self._slot_of, np.arange(len(ids)) + len(self._templates)])
            self._templates += ids.tolist()
            every = np.concatenate([self._sorted, ids])
            order = np.argsort(every)
            self._sorted, self._slot_of = every[order], slots[order]
            place = np.searchsorted(self._sorted, template)
        return self._slot_of[place], new

    def _count_each(self, slot: NDArray[np.int64], level: NDArray[np.int8], time_ns: NDArray[np.int64]) -> None:
        """Count lines of several minutes, each in the row that its place in the stream gives it."""
        minute = time_ns // MINUTE_NS
        newest = np.maximum(np.maximum.accumulate(minute), self._newest)
        code = minute << _PART_BITS | np.where(minute >= newest - self._late, 0, newest)
        order = np.argsort(code, kind="stable")
        code, slot, level, time_ns = code[order], slot[order], level[order], time_ns[order]
        edges = [0, *(np.flatnonzero(np.diff(code)) + 1).tolist(), len(code)]
        for start, end in itertools.pairwise(edges):
            self._count(int(code[start]), slot[start:end], level[start:end], time_ns[start:end])

    def _count(self, code: int, slot: NDArray[np.int64], level: NDArray[np.int8], time_ns: NDArray[np.int64]) -> None:
        key = code >> _PART_BITS, code & (1 << _PART_BITS) - 1
        if (minute := self._minutes.get(key)) is None:
            minute = self._minutes[key] = _Minute()
        minute.add(slot, level, time_ns, len(self._templates))

    def _close(self) -> None:
        """Move what no later line can change out of the open minutes."""
        for at, part in [*self._minutes]:
            if (part and part < self._newest) or (not part and at < self._newest - self._late):
                counts = self._minutes.pop((at, part))
                self._closed += self._rows(at, part, counts, np.flatnonzero(counts.changed))

    def _rows(self, at: int, part: int, counts: _Minute, slots: NDArray[np.int64]) -> Iterator[MinuteRow]:
        columns = counts.levels[slots].tolist(), counts.first_ns[slots].tolist(), counts.last_ns[slots].tolist()
        for slot, levels, first_ns, last_ns in zip(slots.tolist(), *columns, strict=True):
            yield MinuteRow(at, part, self._templates[slot], tuple(levels), first_ns, last_ns)
