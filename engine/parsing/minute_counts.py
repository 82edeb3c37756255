"""Counts by minute of event time and template, in tables that compiled loops fill.

A minute stays open until what is `late` minutes newer was counted. What comes for a minute that is closed is counted in
a row of its own, whose part is the newest minute at that moment; other rows have the part 0. Which row counts something
depends on its place in the stream only, not on how the stream was cut into batches. The sum over the parts is exact.
"""

import itertools
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.compiled.count import count_lines, count_windows, enter_slots, find_slots
from foundation.time_text import NS_PER_S

MINUTE_NS = 60 * NS_PER_S
ALL = 0
"""Template of the row that counts each window once; the text of no template has this id in practice."""

_PART_BITS = 32
"""Bits of a part in the number that minute and part make together; minutes of the year 2116 have 27."""

_NO_TIME = np.iinfo(np.int64)
_ROOM = 16
"""Slots of a new table."""


class MinuteRow(NamedTuple):
    """The counts of a template in a minute.

    Attributes:
        minute: Minutes since 1970.
        part: See the module.
        template: `models.base.template_id` of its text, or `ALL`.
        counts: One for each column.
        first_ns, last_ns: Event time of the earliest and latest line.
    """

    minute: int
    part: int
    template: int
    counts: tuple[int, ...]
    first_ns: int
    last_ns: int


class _Minute:
    """Counts of one minute and part, by slot of the template."""

    def __init__(self, columns: int, slots: int) -> None:
        self.counts = np.zeros((slots, columns), np.int32)
        self.seen = np.empty((slots, 2), np.int64)
        self.seen[:] = _NO_TIME.max, _NO_TIME.min
        self.changed = np.zeros(slots, np.bool_)

    def grow(self, slots: int) -> None:
        """Make room for slots."""
        if slots > len(self.changed):
            more = _Minute(self.counts.shape[1], slots - len(self.changed))
            self.counts = np.concatenate([self.counts, more.counts])
            self.seen = np.concatenate([self.seen, more.seen])
            self.changed = np.concatenate([self.changed, more.changed])


class MinuteCounts:
    """Counts of one partition."""

    def __init__(self, late: int, columns: int, snapshot: Mapping[str, Any] | None = None) -> None:
        """Begin without counts, or continue from the result of `snapshot`.

        Args:
            late: Minutes of event time that a minute stays open for.
            columns: Number of counts of a row.
            snapshot: State to continue from.
        """
        self._late = late
        self._columns = columns
        self._newest = 0
        self._known = 0
        self._ids = np.zeros(_ROOM, np.int64)
        self._table = np.zeros(4 * _ROOM, np.int32)
        self._last = np.zeros(_ROOM, np.int64)
        self._minutes: dict[tuple[int, int], _Minute] = {}
        self._closed: list[MinuteRow] = []
        self._enter(np.array([ALL], np.int64))
        if snapshot is not None:
            self._newest = snapshot["newest"]
            for key, saved in snapshot["minutes"].items():
                self._restore(key, **saved)

    def add_lines(
        self, time_ns: NDArray[np.int64], template: NDArray[np.int64], level: NDArray[np.int8]
    ) -> NDArray[np.int64]:
        """Count lines, in their order.

        Args:
            time_ns: int64 (n,): event time.
            template: int64 (n,): template id.
            level: int8 (n,): column of the count.

        Returns:
            Indexes of the first line of every template that was not seen since the start.
        """
        slot, new = self._slots(np.require(template, requirements="W"))
        time_ns = np.require(time_ns, requirements="W")  # Numba compiles once more for arrays that are read-only
        for counts, rows in self._by_minute(time_ns):
            count_lines(slot[rows], level[rows], time_ns[rows], counts.counts, counts.seen, counts.changed)
        self._close()
        return new

    def add_windows(
        self, time_ns: NDArray[np.int64], ids: NDArray[np.int64], offsets: NDArray[np.int64], column: NDArray[np.int32]
    ) -> None:  # fmt: skip
        """Count windows, in their order, once for each of their templates and once for all.

        Args:
            time_ns: int64 (n,): event time.
            ids: int64: template ids, one window after the other.
            offsets: int64 (n + 1,): window i has `ids[offsets[i]:offsets[i + 1]]`.
            column: int32 (n, k): columns that the window adds to; negative ones are left out.
        """
        slot, _ = self._slots(np.require(ids, requirements="W"))
        offsets = np.require(offsets, requirements="W")
        self._last[:] = -1
        every = np.arange(len(time_ns))
        for counts, rows in self._by_minute(time_ns):
            count_windows(slot, offsets, every[rows], column, counts.counts, self._last, counts.changed)
        self._close()

    def changed(self) -> list[MinuteRow]:
        """Every row that has changed since the last call, those of closed minutes included."""
        rows = self.closed()
        for (at, part), counts in self._minutes.items():
            rows += self._rows(at, part, counts)
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
            found.update(self._ids[np.flatnonzero(counts.counts.any(1))].tolist())
        return found

    def snapshot(self) -> dict[str, Any]:
        """Plain data from which the constructor continues; call it with no closed rows waiting."""
        minutes = {}
        for key, counts in self._minutes.items():
            used = np.flatnonzero(counts.counts.any(1))
            flat = counts.counts[used].ravel()
            cells = np.flatnonzero(flat)
            minutes[key] = {
                "ids": self._ids[used], "cells": cells.astype(np.int32), "counts": flat[cells],
                "seen": counts.seen[used],
            }  # fmt: skip
        return {"newest": self._newest, "minutes": minutes}

    def _restore(self, key: tuple[int, int], ids: Any, cells: Any, counts: Any, seen: Any) -> None:
        slot, _ = self._slots(ids)
        minute = self._minute(key)
        flat = np.zeros(len(ids) * self._columns, np.int32)
        flat[cells] = counts
        minute.counts[slot] = flat.reshape(-1, self._columns)
        minute.seen[slot] = seen
        minute.changed[slot] = True  # it may not have been written before the crash

    def _slots(self, template: NDArray[np.int64]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Slot of every template, and the first place of each new one."""
        slots = np.empty(len(template), np.int32)
        new = np.zeros(0, np.int64)
        known = find_slots(self._ids, self._table, template, 0, slots)
        if known < len(template):
            rest = template[known:]
            unknown = np.flatnonzero(~np.isin(rest, self._ids[: self._known]))
            ids, first = np.unique(rest[unknown], return_index=True)
            new = known + np.sort(unknown[first])
            self._enter(ids)
            find_slots(self._ids, self._table, template, known, slots)
        return slots, new

    def _enter(self, ids: NDArray[np.int64]) -> None:
        """Give new templates slots."""
        first, self._known = self._known, self._known + len(ids)
        if self._known > len(self._ids):
            room = 2 * self._known
            self._ids = np.concatenate([self._ids, np.zeros(room - len(self._ids), np.int64)])
            self._last = np.zeros(room, np.int64)
            self._table, first_entered = np.zeros(1 << (4 * room).bit_length(), np.int32), 0
        else:
            first_entered = first
        self._ids[first : self._known] = ids
        enter_slots(self._ids[: self._known], self._table, first_entered)

    def _by_minute(self, time_ns: NDArray[np.int64]) -> Iterator[tuple[_Minute, NDArray[np.int64] | slice]]:
        """The minutes that a batch belongs to, each with its rows in order."""
        if not len(time_ns):
            return
        earliest, latest = int(time_ns.min()) // MINUTE_NS, int(time_ns.max()) // MINUTE_NS
        newest, self._newest = self._newest, max(self._newest, latest)
        if earliest == latest and earliest >= self._newest - self._late:
            yield self._minute((earliest, 0)), slice(None)  # the usual batch, at a fraction of the cost
            return
        minute = time_ns // MINUTE_NS
        before = np.maximum(np.maximum.accumulate(minute), newest)
        code = minute << _PART_BITS | np.where(minute >= before - self._late, 0, before)
        order = np.argsort(code, kind="stable")
        edges = [0, *(np.flatnonzero(np.diff(code[order])) + 1).tolist(), len(code)]
        for start, end in itertools.pairwise(edges):
            found = int(code[order[start]])
            yield self._minute((found >> _PART_BITS, found & (1 << _PART_BITS) - 1)), order[start:end]

    def _minute(self, key: tuple[int, int]) -> _Minute:
        minute = self._minutes.get(key)
        if minute is None:
            minute = self._minutes[key] = _Minute(self._columns, len(self._ids))
        minute.grow(len(self._ids))
        return minute

    def _close(self) -> None:
        """Move what nothing later can change out of the open minutes."""
        for at, part in [*self._minutes]:
            if (part and part < self._newest) or (not part and at < self._newest - self._late):
                self._closed += self._rows(at, part, self._minutes.pop((at, part)))

    def _rows(self, at: int, part: int, counts: _Minute) -> Iterator[MinuteRow]:
        slots = counts.changed.nonzero()[0]
        columns = self._ids[slots].tolist(), counts.counts[slots].tolist(), counts.seen[slots].tolist()
        for template, numbers, (first_ns, last_ns) in zip(*columns, strict=True):
            yield MinuteRow(at, part, template, tuple(numbers), first_ns, last_ns)
