r"""Compiled loops that write the records of OTLP requests as lines.

A line of a record, its fields separated by tabs (see the format `otlp` of `engine.formats`)::

    TIME  LEVEL  HOST  SERVICE  TRACE  SPAN  {"resource":{...},"scope":{...},"attributes":{...}}  BODY

Tabs and line ends within fields become spaces; in JSON they are escaped.
"""

from typing import Any

import numpy as np

from connectors.packed.gather import line_end
from connectors.packed.loops import entry, loop
from connectors.packed.otlp_scan import (
    BODY,
    BODY_END,
    BOOL,
    BYTES,
    END,
    INT,
    KIND,
    LEVEL,
    LEVEL_END,
    PLAIN,
    RESOURCE,
    SEVERITY,
    SPAN,
    SPAN_END,
    START,
    STRING,
    TIME,
    TRACE,
    TRACE_END,
    any_value,
    next_field,
)
from connectors.packed.pointers import copy_bytes
from connectors.packed.positions import LINE_BITS

NO_ROOM = -1

_LEVELS = np.frombuffer(b"TRACEDEBUGINFO WARN ERRORFATAL", np.uint8)
_HEX = np.frombuffer(b"0123456789abcdef", np.uint8)
_WORDS = np.frombuffer(b'"attributes":{falsetrue', np.uint8)

_DAY_NS = 86_400_000_000_000
_Int = Any
_Int64s = Any
_Bytes = Any


@loop
def put_number(out: _Bytes, at: _Int, value: _Int, width: _Int) -> _Int:
    """Writes a number of at least `width` digits, with leading zeros; returns the place behind it."""
    digits, rest = np.int64(1), value
    while rest >= 10:
        digits, rest = digits + 1, rest // 10
    digits = max(digits, width)
    for i in range(digits - 1, -1, -1):
        out[at + i] = 48 + value % 10
        value //= 10
    return at + digits


@loop
def put_integer(out: _Bytes, at: _Int, value: _Int) -> _Int:
    """Writes an int64 in decimal; returns the place behind it."""
    if value >= 0:
        return put_number(out, at, value, np.int64(1))
    out[at] = 45
    last = -(value + 1) % 10 + 1  # -value would not fit for the least number
    rest = -(value + last) // 10
    if last == 10:
        last, rest = np.int64(0), rest + 1
    if rest > 0:
        at = put_number(out, at + 1, rest, np.int64(1)) - 1
    out[at + 1] = 48 + last
    return at + 2


@loop
def put_time(out: _Bytes, at: _Int, time_ns: _Int) -> _Int:
    """Writes a time since the epoch as RFC 3339 in UTC, with nanoseconds; returns the place behind it."""
    days, in_day = time_ns // _DAY_NS, time_ns % _DAY_NS
    # Days are counted from 1 March of year 0, so that a leap day is the last of its year.
    shifted = days + 719_468
    era, of_era = shifted // 146_097, shifted % 146_097
    year = (of_era - of_era // 1_460 + of_era // 36_524 - of_era // 146_096) // 365
    of_year = of_era - (365 * year + year // 4 - year // 100)
    month = (5 * of_year + 2) // 153
    day = of_year - (153 * month + 2) // 5 + 1
    month = month + 3 if month < 10 else month - 9
    year = year + era * 400 + (1 if month <= 2 else 0)
    seconds = in_day // 1_000_000_000
    at = put_number(out, at, year, np.int64(4))
    out[at] = 45
    at = put_number(out, at + 1, month, np.int64(2))
    out[at] = 45
    at = put_number(out, at + 1, day, np.int64(2))
    out[at] = 84
    at = put_number(out, at + 1, seconds // 3600, np.int64(2))
    out[at] = 58
    at = put_number(out, at + 1, seconds // 60 % 60, np.int64(2))
    out[at] = 58
    at = put_number(out, at + 1, seconds % 60, np.int64(2))
    out[at] = 46
    at = put_number(out, at + 1, in_day % 1_000_000_000, np.int64(9))
    out[at] = 90
    return at + 1


@loop
def put_plain(out: _Bytes, at: _Int, data: _Bytes, start: _Int, stop: _Int, tabs: _Int) -> _Int:
    """Copies text with line ends, and tabs as well where `tabs` is 1, as spaces; returns the place behind it."""
    for i in range(start, stop):
        byte = data[i]
        out[at + i - start] = 32 if byte == 10 or (tabs != 0 and byte == 9) else byte
    return at + max(stop - start, np.int64(0))


@loop
def put_string(out: _Bytes, at: _Int, data: _Bytes, start: _Int, stop: _Int) -> _Int:
    """Writes a JSON string; returns the place behind it."""
    out[at] = 34
    at += 1
    for i in range(start, stop):
        byte = data[i]
        if byte == 34 or byte == 92:
            out[at] = 92
            out[at + 1] = byte
            at += 2
        elif byte < 32:
            out[at], out[at + 1], out[at + 2], out[at + 3] = 92, 117, 48, 48
            out[at + 4], out[at + 5] = _HEX[byte >> 4], _HEX[byte & 15]
            at += 6
        else:
            out[at] = byte
            at += 1
    out[at] = 34
    return at + 1


@loop
def put_hex(out: _Bytes, at: _Int, data: _Bytes, start: _Int, stop: _Int) -> _Int:
    """Writes bytes as hexadecimal digits; returns the place behind them."""
    for i in range(start, stop):
        out[at], out[at + 1] = _HEX[data[i] >> 4], _HEX[data[i] & 15]
        at += 2
    return at


@loop
def put_word(out: _Bytes, at: _Int, start: _Int, stop: _Int) -> _Int:
    """Writes a part of `_WORDS`; returns the place behind it."""
    for i in range(start, stop):
        out[at + i - start] = _WORDS[i]
    return at + stop - start


@loop
def put_scalar(out: _Bytes, at: _Int, data: _Bytes, kind: _Int, value: _Int, start: _Int, stop: _Int) -> _Int:
    """Writes a string, whole number or boolean as JSON; returns the place behind it."""
    if kind == INT:
        return put_integer(out, at, value)
    if kind == BOOL:
        return put_word(out, at, 14, 19) if value == 0 else put_word(out, at, 19, 23)
    return put_string(out, at, data, start, stop)


@loop
def put_attributes(out: _Bytes, at: _Int, data: _Bytes, start: _Int, stop: _Int) -> _Int:
    """Writes the plain attributes of a record as `"attributes":{...}`; returns the place behind them, or `at`."""
    first = at
    while start < stop:
        tag, _, begin, start = next_field(data, start, stop)
        if tag != 50:  # field 6, bytes
            continue
        key = key_end = np.int64(0)
        kind = value = text = text_end = np.int64(0)
        at_pair = begin
        while at_pair < start:
            tag, _, begin, at_pair = next_field(data, at_pair, start)
            if tag == 10:
                key, key_end = begin, at_pair
            elif tag == 18:
                kind, value, text, text_end = any_value(data, begin, at_pair)
        if at == first:
            at = put_word(out, at, 0, 14)
        else:
            out[at] = 44
            at += 1
        at = put_string(out, at, data, key, key_end)
        out[at] = 58
        at = put_scalar(out, at + 1, data, kind, value, text, text_end)
    if at > first:
        out[at] = 125
        at += 1
    return at


@loop
def put_level(out: _Bytes, at: _Int, data: _Bytes, row: _Int64s) -> _Int:
    """Writes the level of a record: by its number, or else its text; returns the place behind it."""
    number = row[SEVERITY]
    if number < 1 or number > 24:
        return put_plain(out, at, data, row[LEVEL], row[LEVEL_END], np.int64(1))
    first = (number - 1) // 4 * 5
    for i in range(first, first + 5):
        if _LEVELS[i] != 32:
            out[at] = _LEVELS[i]
            at += 1
    return at


@loop
def put_head(
    out: _Bytes, at: _Int, data: _Bytes, row: _Int64s, texts: _Bytes, resources: _Int64s, attributes: _Int64s,
    more: _Bytes, number: _Int,
) -> _Int:  # fmt: skip
    """Writes everything in front of a record's body; see `render_records`."""
    if row[TIME] > 0:
        at = put_time(out, at, row[TIME])
    out[at] = 9
    at = put_level(out, at + 1, data, row)
    out[at] = 9
    at += 1
    source = resources[row[RESOURCE]]
    for i in range(source[0], source[1]):
        out[at] = texts[i]
        at += 1
    out[at] = 9
    at = put_hex(out, at + 1, data, row[TRACE], row[TRACE_END])
    out[at] = 9
    at = put_hex(out, at + 1, data, row[SPAN], row[SPAN_END])
    out[at], out[at + 1] = 9, 123
    at += 2
    for i in range(source[1], source[2]):
        out[at] = texts[i]
        at += 1
    before = at
    if source[2] > source[1]:
        out[at] = 44
        at += 1
    first = at
    if row[PLAIN] != 0:
        at = put_attributes(out, at, data, row[START], row[END])
    else:
        at = put_plain(out, at, more, attributes[number, 0], attributes[number, 1], np.int64(0))
    if at == first:
        at = before
    out[at], out[at + 1] = 125, 9
    return at + 2


@loop
def put_body(
    out: _Bytes, at: _Int, out_address: _Int, data_address: _Int, row: _Int64s, more_address: _Int, bodies: _Int64s,
    number: _Int,
) -> _Int:  # fmt: skip
    """Copies a record's body, line ends included; returns the place behind it."""
    kind = row[KIND]
    if kind == STRING:
        size = row[BODY_END] - row[BODY]
        copy_bytes(out_address + at, data_address + row[BODY], size)
        return at + size
    if kind == INT or kind == BOOL:
        return put_scalar(out, at, out, kind, row[BODY], np.int64(0), np.int64(0))
    if BOOL < kind <= BYTES:
        size = bodies[number, 1] - bodies[number, 0]
        copy_bytes(out_address + at, more_address + bodies[number, 0], size)
        return at + size
    return at


@entry
def render_records(
    data: _Bytes, records: _Int64s, positions: _Int64s, texts: _Bytes, resources: _Int64s, more: _Bytes,
    attributes: _Int64s, bodies: _Int64s, whole: int, out: _Bytes, addresses: _Int64s, ends: _Int64s,
    line_positions: _Int64s, totals: _Int64s,
) -> Any:  # fmt: skip
    r"""Writes the lines of records into `out`, each closed by one `\n`.

    Args:
        data: What the places in `records` refer to.
        records: Int64 (n, COLUMNS), see `connectors.packed.otlp_scan`.
        positions: Int64 (n,): position of the first record of each record's message.
        texts: Of each resource: host and service separated by a tab, and JSON of resource and scope.
        resources: Int64 (m, 3): where the first of both begins in `texts`, where it ends, where the second ends.
        more: Holds what is not written here: attributes and bodies with nested values, bytes or fractions.
        attributes: Int64 (n, 2): where the attributes of each record are in `more`, if they are not plain.
        bodies: Int64 (n, 2): where its body is in `more`, if it is of another type than text.
        whole: 1 to write whole records, one line each; 0 to write bodies, which may have several lines.
        out: Room for all.
        addresses: Int64 (3,): where `data`, `more` and `out` are.
        ends: Filled with the end of each line in `out`.
        line_positions: Filled with the position of each line.
        totals: Filled with the bytes in `out`.

    Returns:
        How many lines; `NO_ROOM` where `ends` is too short.
    """
    at, line, room = np.int64(0), np.int64(0), len(ends)
    index, before, out_address = np.int64(0), np.int64(-1), addresses[2]
    for number in range(len(records)):
        row = records[number]
        if positions[number] != before:
            index, before = np.int64(0), positions[number]
        if whole != 0:
            at = put_head(out, at, data, row, texts, resources, attributes, more, np.int64(number))
        start = at
        at = put_body(out, at, out_address, addresses[0], row, addresses[1], bodies, np.int64(number))
        if whole == 0 and at > start and out[at - 1] == 10:
            at -= 1
        while True:
            end = line_end(out, start, at)
            start = end + 1
            if end < at and whole != 0:
                out[end] = 32
                continue
            if line == room:
                return NO_ROOM
            ends[line] = end
            line_positions[line] = before + index
            line += 1
            index += 1
            if end == at:
                break
        out[at] = 10
        at += 1
        if index > 1 << LINE_BITS:
            return -2 - number
    totals[0] = at
    return line
