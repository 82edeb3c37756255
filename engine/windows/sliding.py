"""Sliding windows: every `stride` lines the last `size` lines, of a source or of one session key."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from engine.clock import Clock
from engine.records import ParsedLines, WindowBatch
from engine.windows.base_windower import ShardSettings, WindowShard
from engine.windows.grouping import Groups, Ints, group, ragged_index
from engine.windows.session_table import BASE, COUNT, DEADLINE, FIRST, FIRST_NS, SESSION, SessionTable
from engine.windows.window_base import WHOLE_SOURCE, LateLine
from models.base import Windows

SKIP, STARTED, TOUCHED = FIRST_NS, FIRST, DEADLINE
"""What a key's row holds. SKIP: lines to leave out before the next window begins (a stride longer than the
size). STARTED: 1 once the key had a window. TOUCHED: about how many lines the shard
had had when the key had its last one; which of two is larger is exact."""

_TEMPLATE, _POSITION, _TIME, _PARTITION = range(4)
"""What is kept of each line that a window still needs."""


class SlidingWindows(ShardSettings):
    """Window i of a key holds its lines i·stride to i·stride + size - 1, in the order read."""

    kind: Literal["sliding"] = "sliding"
    size: Annotated[int, Field(ge=1, le=4096)] = Field(default=20, description="Lines in a window.")
    stride: Annotated[int, Field(ge=1, le=4096)] = Field(
        default=10,
        description="Lines from the start of one window to the start of the next; with a stride above the size, "
        "lines are left out.",
    )
    per: Literal["source", "session"] = Field(
        default="source", description="Whether a window holds the lines of a whole partition or of one session key."
    )


class WindowRows:
    """Windows of kept lines, each with the line that completed it."""

    def __init__(self) -> None:
        self._lines: list[Ints] = []
        self._lengths: list[Ints] = []
        self._slots: list[Ints] = []
        self._trigger: list[Ints] = []

    def put(self, lines: Ints, lengths: Ints, slots: Ints, trigger: Ints) -> None:
        """Adds windows: `lines` (sum of lengths, 4) one after the other; k lengths, slots of the keys, lines."""
        if len(slots):
            self._lines.append(lines)
            self._lengths.append(lengths)
            self._slots.append(slots)
            self._trigger.append(trigger)

    def build(
        self, table: SessionTable, partitions: Sequence[str], ready_ns: int, produced_ns: int, traceparent: str
    ) -> WindowBatch | None:
        """The windows by completing line, then by first position; all are closed."""
        if not self._slots:
            return None
        lines, lengths = np.concatenate(self._lines), np.concatenate(self._lengths)
        slots, trigger = np.concatenate(self._slots), np.concatenate(self._trigger)
        starts = np.cumsum(lengths) - lengths
        order = np.lexsort((table.rows[slots, SESSION], lines[starts, _POSITION], trigger))
        lines = lines[ragged_index(starts[order], lengths[order])]
        lengths, slots, n = lengths[order], slots[order], len(order)
        offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
        starts = offsets[:-1]
        # Positions of two partitions cannot be compared: a window keeps to those of its first line's.
        partition = lines[starts, _PARTITION]
        native = lines[:, _PARTITION] == np.repeat(partition, lengths)
        place = np.where(native, lines[:, _POSITION], np.iinfo(np.int64).min)
        return WindowBatch(
            windows=Windows(lines[:, _TEMPLATE].copy(), offsets, np.ones(n, bool)),
            partition=tuple(map(partitions.__getitem__, partition.tolist())),
            session=table.rows[slots, SESSION],
            key=table.words(slots),
            first=lines[starts, _POSITION],
            last=np.maximum.reduceat(place, starts),
            first_ns=np.minimum.reduceat(lines[:, _TIME], starts),
            last_ns=np.maximum.reduceat(lines[:, _TIME], starts),
            ready_ns=np.full(n, ready_ns),
            produced_ns=np.full(n, produced_ns),
            traceparent=traceparent,
        )


class SlidingWindower(WindowShard[WindowRows]):
    """Sliding windows, emitted by the line that completes them.

    No line is late: event time is only reported. When a key ends (source at its end, idle, too many keys),
    the lines not covered by any window yet come out as one shorter window together with those before them that its
    next window would have started with; lines that the stride leaves out never do.
    """

    kind = "sliding"

    def __init__(
        self, settings: SlidingWindows, clock: Clock, state: bytes | None = None, folder: Path | None = None
    ) -> None:
        super().__init__(settings, clock, WindowRows, folder, token_width=4)
        self._per_source = settings.per == "source"
        self._size, self._stride = settings.size, settings.stride
        self._seen = 0
        if state is not None:
            self._restore(state)
            used = self._table.used()
            self._seen = 1 + int(self._table.rows[used, TOUCHED].max(initial=-1))

    def _take(self, lines: ParsedLines, partition: int, emission: WindowRows) -> tuple[tuple[LateLine, ...], Ints]:
        self._watermark.advance(partition, self._timely(lines), timeless=lines.timeless)
        ids, rows = self._assign(lines, partition)
        if len(rows):
            groups = group(ids)
            rows = rows[groups.order]
            kept = np.empty((len(rows), 4), np.int64)
            kept[:, _TEMPLATE] = lines.template[rows]
            kept[:, _POSITION] = lines.lines.positions[lines.rows[rows]]
            kept[:, _TIME] = lines.time_ns[rows]
            kept[:, _PARTITION] = partition
            first = rows[groups.starts]
            shown = np.full(len(first), WHOLE_SOURCE) if self._per_source else lines.session[first]
            slots = self._slots(ids[groups.order[groups.starts]], shown, first, lines)
            self._slide(kept, rows, groups, slots, emission)
        return (), np.zeros(0, np.int64)

    def _assign(self, lines: ParsedLines, partition: int) -> tuple[Ints, Ints]:
        """What each line is grouped by, and its row; lines that are left out are not among them."""
        rows = np.arange(len(lines))
        if self._per_source:
            return np.full(len(lines), self._unkeyed[partition]), rows
        ids, unkeyed = self._ids(lines, partition)
        if unkeyed is None or self._settings.unkeyed == "window":
            return ids, rows
        self.counters.skipped += int(np.count_nonzero(unkeyed))
        return ids[~unkeyed], rows[~unkeyed]

    def _slide(self, kept: Ints, rows: Ints, groups: Groups, slots: Ints, emission: WindowRows) -> None:
        """Emit the windows that these lines complete, and keep the start of the next ones.

        The lines of each key, old and new, are laid side by side from the begin of its next window on.
        """
        prior = self._table.rows[slots]
        held, skip = prior[:, COUNT], prior[:, SKIP]
        dropped = np.minimum(skip, groups.lengths)
        fresh = groups.lengths - dropped
        total = held + fresh
        begin = np.cumsum(total) - total
        line, trigger = np.empty((int(total.sum()), 4), np.int64), np.empty(int(total.sum()), np.int64)
        line[ragged_index(begin, held)] = self._table.tokens.gather(prior[:, BASE], held)
        source, target = ragged_index(groups.starts + dropped, fresh), ragged_index(begin + held, fresh)
        line[target], trigger[target] = kept[source], rows[source]

        windows = np.maximum((total - self._size) // self._stride + 1, 0)
        which = np.repeat(np.arange(len(slots)), windows)
        nth = np.arange(len(which)) - np.repeat(np.cumsum(windows) - windows, windows)
        start = begin[which] + nth * self._stride
        lengths = np.full(len(which), self._size)
        emission.put(line[ragged_index(start, lengths)], lengths, slots[which], trigger[start + self._size - 1])

        used = np.minimum(windows * self._stride, total)
        left = total - used
        self._table.tokens.free(prior[held > 0, BASE], held[held > 0])
        keeps = left.nonzero()[0]
        none = np.zeros(len(keeps), np.int64)
        rest = line[ragged_index((begin + used)[keeps], left[keeps])]
        prior[keeps, BASE] = self._table.tokens.extend(none, none, left[keeps], rest)
        prior[:, COUNT] = left
        prior[:, SKIP] = skip - dropped + windows * self._stride - used
        prior[:, STARTED] |= windows > 0
        prior[:, TOUCHED] = self._seen + rows[groups.starts + groups.lengths - 1]
        self._seen += int(rows.max()) + 1
        self._table.write(slots, prior, grew=False)

    def _close(self, slots: Ints, emission: WindowRows, trigger: int) -> None:
        rows = self._table.rows[slots]
        covered = np.where(rows[:, STARTED] > 0, max(self._size - self._stride, 0), 0)
        rest = rows[:, COUNT] > covered
        out = rows[rest]
        emission.put(
            self._table.tokens.gather(out[:, BASE], out[:, COUNT]),
            out[:, COUNT],
            slots[rest],
            np.full(len(out), trigger),
        )
        held = rows[rows[:, COUNT] > 0]
        self._table.tokens.free(held[:, BASE], held[:, COUNT])
