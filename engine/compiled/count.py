"""Counts of lines and windows by template: slots of templates in a hash table, and tables of counts by slot."""

from engine.compiled.jit import entry
from engine.compiled.machine_types import Flags, Int, Int32s, Int64s


@entry
def enter_slots(ids: Int64s, table: Int32s, first: Int) -> None:
    """Enter templates into an empty or partly filled hash table; their slots are their places in `ids`.

    Takes:
        ids: int64: template ids, each once.
        table: int32, a power of two long: slot + 1, or 0 where free.
        first: First slot to enter.
    """
    mask = len(table) - 1
    for slot in range(first, len(ids)):
        place = ids[slot] & mask
        while table[place]:
            place = (place + 1) & mask
        table[place] = slot + 1


@entry
def find_slots(ids: Int64s, table: Int32s, asked: Int64s, first: Int, slots: Int32s) -> Int:
    """Slot of each template; returns the first place whose template is unknown, or their number.

    Takes:
        ids, table: See `enter_slots`.
        asked: int64 (n,): template ids.
        first: The place to begin at.
        slots: int32 (n,): filled here.
    """
    mask = len(table) - 1
    for i in range(first, len(asked)):
        place = asked[i] & mask
        while table[place] and ids[table[place] - 1] != asked[i]:
            place = (place + 1) & mask
        if not table[place]:
            return i
        slots[i] = table[place] - 1
    return len(asked)


@entry
def count_lines(
    slots: Int32s, levels: Int32s, times: Int64s, counts: Int32s, seen: Int64s, changed: Flags
) -> None:  # fmt: skip
    """Count lines by slot and level.

    Takes:
        slots: int32 (n,): of the lines' templates.
        levels: int8 (n,): columns of `counts`.
        times: int64 (n,): event time in ns.
        counts: int32 (slots, columns): added to.
        seen: int64 (slots, 2): earliest and latest time; widened.
        changed: bool (slots,): set.
    """
    for i in range(len(slots)):
        slot = slots[i]
        counts[slot, levels[i]] += 1
        seen[slot, 0] = min(seen[slot, 0], times[i])
        seen[slot, 1] = max(seen[slot, 1], times[i])
        changed[slot] = True


@entry
def count_windows(
    slots: Int32s, offsets: Int64s, rows: Int64s, columns: Int32s, counts: Int32s, last: Int64s, changed: Flags
) -> None:  # fmt: skip
    """Count windows once for each of their templates, and once in slot 0.

    Takes:
        slots: int32: of the windows' templates, one window after the other.
        offsets: int64 (n + 1,): window i has `slots[offsets[i]:offsets[i + 1]]`.
        rows: int64 (m,): the windows to count.
        columns: int32 (n, k): columns of `counts` that window i adds to; negative ones are left out.
        counts: int32 (slots, columns): added to.
        last: int64 (slots,): the window that a slot was counted in last; -1 before the first call with `offsets`.
        changed: bool (slots,): set.
    """
    for row in rows:
        changed[0] = True
        for column in columns[row]:
            if column >= 0:
                counts[0, column] += 1
        for i in range(offsets[row], offsets[row + 1]):
            slot = slots[i]
            if last[slot] == row:
                continue
            last[slot] = row
            changed[slot] = True
            for column in columns[row]:
                if column >= 0:
                    counts[slot, column] += 1
