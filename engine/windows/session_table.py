"""The open windows of one shard as rows of one integer table."""

from collections import deque
from collections.abc import Iterable, Sequence
from itertools import repeat

import numpy as np
from numpy.typing import NDArray

from engine.windows.deadlines import Deadlines, entries_for, slots_of
from engine.windows.grouping import Ints
from engine.windows.token_store import TokenStore
from engine.windows.window_base import NO_TIME

ID, SESSION, COUNT, FIRST, LAST, FIRST_NS, LAST_NS, DEADLINE, PARTITION, BASE, ENTRY = range(11)
"""Columns. ID: what lines are matched by (SESSION, or a hash of it). SESSION: hash handed on. COUNT: lines held.
FIRST, LAST: positions. FIRST_NS, LAST_NS: earliest and latest event time. DEADLINE: due once the watermark is past
it. PARTITION: number of the partition's name. BASE: where the token store keeps its lines. ENTRY: its one valid
reminder among the deadlines."""

WIDTH = 11
SAVED = BASE
"""Columns before this one are saved; the others are computed again."""

UNCHANGED, GREW, REPLACED = range(3)
"""What happened to a slot since it was saved: nothing, lines were added to its window, anything else."""

MAX_OPEN = 1 << 24
"""Number of slots that an entry of the deadlines can address; half are reserved for the windows of one batch."""

_UNUSED = -1
"""Instead of the second of the last line: the slot holds no window."""

_NO_ENTRY = np.iinfo(np.int64).min
_GROWTH = 1.25


def _all(calls: Iterable[None]) -> None:
    """Makes all calls of a `map`; a loop in Python takes twice as long."""
    deque(calls, maxlen=0)


class SessionTable:
    """Slots for open windows; a slot's row is `rows[slot]`, its key in bytes `keys[slot]`.

    `touched_s[slot]` is for the owner to set: seconds from its start to the window's last line, not negative.
    `change[slot]` is `UNCHANGED`, `GREW` or `REPLACED`.
    """

    def __init__(self, token_width: int = 1) -> None:
        self.rows: Ints = np.zeros((1024, WIDTH), np.int64)
        self.keys: list[bytes] = [b""] * 1024
        self.touched_s: NDArray[np.int32] = np.full(1024, _UNUSED, np.int32)
        self.change: NDArray[np.uint8] = np.zeros(1024, np.uint8)
        self.tokens = TokenStore(token_width)
        self._slot_of: dict[int, int] = {}
        self._free: Ints = np.arange(1023, -1, -1)
        self._free_size = 1024
        self._deadlines = Deadlines()

    def __len__(self) -> int:
        return len(self._slot_of)

    def find(self, ids: Ints) -> Ints:
        """int64: the slot of each id, -1 where none is open."""
        return np.fromiter(map(self._slot_of.get, ids.tolist(), repeat(-1)), np.int64, len(ids))

    def open(self, ids: Ints, sessions: Ints, keys: Sequence[bytes]) -> Ints:
        """int64: new slots for ids that have none; their rows hold no line yet."""
        n = len(ids)
        if self._free_size < n:
            self.resize(max(len(self.rows) + n, int(len(self.rows) * _GROWTH)))
        self._free_size -= n
        slots = self._free[self._free_size : self._free_size + n].copy()
        self.open_at(slots, ids, sessions, keys)
        return slots

    def open_at(self, slots: Ints, ids: Ints, sessions: Ints, keys: Sequence[bytes]) -> None:
        """Opens ids in unused slots; `find_free` has to follow unless these were taken from the free ones."""
        self._slot_of.update(zip(ids.tolist(), slots.tolist(), strict=True))
        _all(map(self.keys.__setitem__, slots.tolist(), keys))
        blank = np.zeros((len(slots), WIDTH), np.int64)
        blank[:, ID] = ids
        blank[:, SESSION] = sessions
        blank[:, LAST_NS] = NO_TIME
        blank[:, ENTRY] = _NO_ENTRY
        self.rows[slots] = blank
        self.touched_s[slots] = 0
        self.change[slots] = REPLACED

    def write(self, slots: Ints, rows: Ints, *, grew: NDArray[np.bool_] | bool) -> None:
        """Sets rows; those that `grew` hold what they held before, and new lines after it."""
        self.rows[slots] = rows
        self.change[slots] = np.maximum(self.change[slots], np.where(grew, GREW, REPLACED))

    def release(self, slots: Ints) -> None:
        """Forgets windows; their blocks in the token store are the caller's to free."""
        _all(map(self._slot_of.__delitem__, self.rows[slots, ID].tolist()))
        self.rows[slots, ENTRY] = _NO_ENTRY
        self.touched_s[slots] = _UNUSED
        self.change[slots] = REPLACED
        self._free[self._free_size : self._free_size + len(slots)] = slots
        self._free_size += len(slots)

    def resize(self, size: int) -> None:
        """Makes room for `size` windows; not fewer than now."""
        old = len(self.rows)
        self.rows.resize((size, WIDTH), refcheck=False)
        for column in (self.touched_s, self.change, self._free):
            column.resize(size, refcheck=False)
        self.touched_s[old:] = _UNUSED
        self.keys.extend([b""] * (size - old))
        fresh = np.arange(size - 1, old - 1, -1)
        self._free[self._free_size : self._free_size + len(fresh)] = fresh
        self._free_size += len(fresh)

    def find_free(self) -> None:
        """Lists the unused slots again."""
        unused = (self.touched_s == _UNUSED).nonzero()[0][::-1]
        self._free[: len(unused)] = unused
        self._free_size = len(unused)

    def used(self) -> Ints:
        """int64: the slots in use, ascending."""
        slots: Ints = (self.touched_s != _UNUSED).nonzero()[0]
        return slots

    def is_used(self, slots: Ints) -> NDArray[np.bool_]:
        """Whether each slot holds a window."""
        used: NDArray[np.bool_] = self.touched_s[slots] != _UNUSED
        return used

    def remind(self, slots: Ints) -> None:
        """Sets the reminder of each slot to its row's deadline; an earlier reminder no longer counts."""
        entries = entries_for(self.rows[slots, DEADLINE], slots)
        self.rows[slots, ENTRY] = entries
        self._deadlines.push(entries)
        # Windows that end before their deadline leave reminders behind; they must not outgrow the windows.
        if len(self._deadlines) > 2 * len(self) + 65_536:
            self._deadlines = Deadlines()
            self._deadlines.push(self.rows[self.used(), ENTRY])

    def forget(self, slots: Ints) -> None:
        """Drops the reminders of slots that are released later."""
        self.rows[slots, ENTRY] = _NO_ENTRY

    def due(self, watermark_ns: int) -> Ints:
        """int64: the slots whose deadline lies before the watermark; they stay open until released."""
        entries = self._deadlines.pop(watermark_ns)
        slots = slots_of(entries)
        slots = slots[self.rows[slots, ENTRY] == entries]
        ripe = self.rows[slots, DEADLINE] < watermark_ns
        self.remind(slots[~ripe])
        passed: Ints = slots[ripe]
        return passed

    def idle(self, since_s: int) -> Ints:
        """int64: the slots not touched after `since_s` (see `touched_s`)."""
        used = self.used()
        return used[self.touched_s[used] <= since_s]

    def oldest(self, count: int, but: Ints) -> Ints:
        """int64: the `count` slots with the earliest deadlines (then positions), those in `but` left out."""
        used = self.used()
        used = used[~np.isin(used, but)]
        deadlines = self.rows[used, DEADLINE]
        early = used[deadlines <= np.partition(deadlines, count - 1)[count - 1]]
        oldest: Ints = early[np.lexsort((self.rows[early, FIRST], self.rows[early, DEADLINE]))[:count]]
        return oldest

    def words(self, slots: Ints) -> tuple[str, ...]:
        """The keys as text. A key is part of a line, so one decoding serves all, with line ends between them."""
        if not len(slots):
            return ()
        joined = b"\n".join(map(self.keys.__getitem__, slots.tolist()))
        return tuple(joined.decode("utf-8", "backslashreplace").split("\n"))
