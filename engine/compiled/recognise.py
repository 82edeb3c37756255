"""Takes one line apart: its format, the places of its groups, its time, level and session key."""

import numpy as np

from engine.compiled.clock import HALF_DAY, MONTH_NAME, UNSURE, ZONE_SIGN, time_of
from engine.compiled.groups import INDEX, MOST, NUMBERS, SLOTS
from engine.compiled.jit import loop
from engine.compiled.machine_types import ZERO, Bytes, Flag, Flags, Int, Int32s, Int64s, Words
from engine.compiled.match import GAVE_UP, NO_MATCH, match_at, search
from engine.compiled.tables import HEADER, LEVEL_BYTES
from engine.compiled.words import number_before

_NUMBERS = len(NUMBERS)
_STATUS, _PRIORITY, _FRACTION = INDEX["status"], INDEX["priority"], INDEX["fraction"]
_LEVEL, _KEY = SLOTS["level"], SLOTS["key"]
_LOW = (1 << 32) - 1
_MONTHS = np.array([sum(ord(c) << 8 * i for i, c in enumerate(m)) for m in
                    "jan feb mar apr may jun jul aug sep oct nov dec".split()], np.int64)  # fmt: skip
_SMALL = 0x202020
"""Makes three letters small ones."""
_SEVERITIES = np.array([6, 6, 6, 5, 4, 3, 3, 2], np.int64)
"""Severity of syslog → index into `engine.formats.base.LEVEL_NAMES`."""


@loop
def clear(slots: Int64s) -> None:
    """Sets all entries to -1."""
    for i in range(len(slots)):
        slots[i] = -1


@loop
def anchored(edges: Int64s, used: Int, place: Int) -> Int:
    """A place as the number of runs of digits that end before it and the bytes behind the last one; -1 within a run."""
    low, high = 0, used // 2 - 1
    while low < high:
        middle = (low + high + 1) // 2
        if edges[2 * middle + 1] <= place:
            low = middle
        else:
            high = middle - 1
    if 2 * low + 2 < used and place > edges[2 * low + 2]:
        return -1
    return low << 32 | (place - edges[2 * low + 1])


@loop
def learn(
    groups: Int64s, places: Int64s, number: Int, format: Int, slots: Int64s,
    edges: Int64s, used: Int,
) -> Flag:  # fmt: skip
    """Keeps the places of a line's groups; False where one begins or ends within a run of digits."""
    for i in range(MOST):
        group = groups[format, i, 0]
        if group < 0:
            break
        for side in range(2):
            place = slots[2 * group + side]
            if place < 0:
                places[number, 2 * i + side] = -1
                continue
            found = anchored(edges, used, place)
            if found < 0:
                return False
            places[number, 2 * i + side] = found
    return True


@loop
def restore(
    groups: Int64s, places: Int64s, number: Int, format: Int, slots: Int64s,
    edges: Int64s,
) -> None:  # fmt: skip
    """Puts the places of a line's groups into `slots`."""
    for i in range(MOST):
        group = groups[format, i, 0]
        if group < 0:
            break
        first = places[number, 2 * i]
        if first < 0:
            slots[2 * group] = slots[2 * group + 1] = -1
            continue
        last = places[number, 2 * i + 1]
        slots[2 * group] = edges[2 * (first >> 32) + 1] + (first & _LOW)
        slots[2 * group + 1] = edges[2 * (last >> 32) + 1] + (last & _LOW)


@loop
def recognise(
    code: Int32s, sets: Flags, formats: Int64s, groups: Int64s,
    orders: Int64s, preferred: Int, data: Bytes, start: Int, end: Int,
    slots: Int64s, stack: Int64s,
) -> Int:  # fmt: skip
    """The format of a line, whose groups are then in `slots`; -1 where the caller has to be asked."""
    document = end > start and (data[start] == 123 or data[start] == 60)  # { or <
    blank = True
    for at in range(start, end):
        document |= data[at] == 61  # =
        blank &= data[at] == 32 or 9 <= data[at] <= 13
    if blank:
        return -1
    clear(slots)
    for i in range(orders.shape[1]):
        format = orders[preferred, i]
        if format < 0:
            break
        if formats[format, HEADER] < 0:
            if document:
                return -1
            continue
        found = match_at(code, sets, formats[format, HEADER], data, start, end, start, slots, stack)
        if found == NO_MATCH:
            for j in range(MOST):
                group = groups[format, j, 0]
                if group < 0:
                    break
                slots[2 * group] = slots[2 * group + 1] = -1
            continue
        if found == GAVE_UP:
            return -1
        for j in range(MOST):
            group = groups[format, j, 0]
            if group < 0 or group >= _NUMBERS:
                break
            width = slots[2 * group + 1] - slots[2 * group]
            if slots[2 * group] >= 0 and (width < groups[format, j, 1] or width > groups[format, j, 2]):
                return -1
        return format
    return -1


@loop
def letters(group: Int, data: Bytes, at: Int) -> Int:
    """The number that the letters of a group mean, see `engine.formats.timestamps.LETTER_GROUPS`."""
    if group == MONTH_NAME:
        word = np.int64(data[at]) | np.int64(data[at + 1]) << 8 | np.int64(data[at + 2]) << 16 | _SMALL
        for i in range(12):
            if _MONTHS[i] == word:
                return i + 1
        return -1
    if group == ZONE_SIGN:
        return 2 if data[at] == 45 else 1
    if group == HALF_DAY:
        return 2 if data[at] == 80 else 1
    return 1


@loop
def time_in(
    groups: Int64s, format: Int, clocked: Flag, slots: Int64s, values: Int64s,
    data: Bytes, limits: Int64s, quarters: Int64s, offsets: Int64s,
) -> Int:  # fmt: skip
    """The line's time, or `UNSURE`."""
    clear(values)
    timed = False
    fraction_digits: Int = ZERO
    for j in range(MOST):
        group = groups[format, j, 0]
        if group < 0 or group > HALF_DAY:
            break
        start = slots[2 * group]
        if start < 0 or group == _PRIORITY:
            continue
        if group >= _NUMBERS:
            values[group] = letters(group, data, start)
            continue
        end = slots[2 * group + 1]
        width = end - start
        if width < groups[format, j, 1] or width > groups[format, j, 2] or width > 18:
            return UNSURE
        if group == _STATUS:
            continue
        values[group] = number_before(data, end, width)
        timed = True
        if group == _FRACTION:
            fraction_digits = width
    if timed:
        return time_of(values, fraction_digits, limits, quarters, offsets)
    return UNSURE if clocked else limits[0]


@loop
def level_in(levels: Words, first: Int, last: Int, slots: Int64s, data: Bytes) -> tuple[Int, Int]:
    """The level of a line that is not wrapped, see `engine.parsing.header.level_of`; and whether digits decide it."""
    start, end = slots[_LEVEL], slots[_LEVEL + 1]
    if start >= 0 and end > start:
        # What follows a level in some formats: space, tab, and ])>:|,/
        while end > start and (data[end - 1] in (32, 9, 93, 41, 62, 58, 124, 44, 47)):
            end -= 1
        if end - start > LEVEL_BYTES:
            return 0, False
        digits: Flag = False
        low = middle = high = np.uint64(0)
        for i in range(end - start):
            byte = np.uint64(data[start + i])
            digits |= np.uint64(48) <= byte <= np.uint64(57)
            if np.uint64(97) <= byte <= np.uint64(122):
                byte -= np.uint64(32)
            if i < 8:
                low |= byte << np.uint64(8 * i)
            elif i < 16:
                middle |= byte << np.uint64(8 * (i - 8))
            else:
                high |= byte << np.uint64(8 * (i - 16))
        for i in range(first, last):
            if levels[i, 0] == low and levels[i, 1] == middle and levels[i, 2] == high:
                return np.int64(levels[i, 3]), digits
        return 0, digits
    start = slots[2 * _PRIORITY]
    if start < 0:
        return 0, False
    end = slots[2 * _PRIORITY + 1]
    return _SEVERITIES[number_before(data, end, min(end - start, 3)) % 8], True


@loop
def find_key(
    code: Int32s, sets: Flags, searches: Int64s, starts: Flags,
    first: Int, last: Int, data: Bytes, start: Int, end: Int, slots: Int64s,
    other: Int64s, stack: Int64s,
) -> Flag:  # fmt: skip
    """Finds the session key of a line; False where the caller has to be asked."""
    slots[_KEY] = slots[_KEY + 1] = -1
    for number in range(first, last):
        other[_KEY] = other[_KEY + 1] = -1
        found, _ = search(code, sets, searches, starts, number, data, start, end, start, other, stack)
        if found == GAVE_UP:
            return False
        if found >= 0:
            slots[_KEY], slots[_KEY + 1] = other[_KEY], other[_KEY + 1]
            return True
    return True
