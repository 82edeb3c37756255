"""Compiled loops over OTLP's log requests in the wire format of Protocol Buffers.

`scan_requests` notes where the fields of each record are, without copying anything. Every length is compared with the
bytes that are left, nothing is read recursively, and each byte is looked at a bounded number of times, so a hostile
message costs no more than an honest one of its size. Fields of unknown number or type are skipped, as the format asks.
"""

from typing import Any

import numpy as np

from connectors.packed.loops import entry, loop
from connectors.packed.pointers import copy_bytes

# Columns of a record; starts and ends are places in the data, -1 where the field is absent.
(
    RESOURCE,  # number of its resource and scope
    TIME,  # ns since the epoch: when it happened, or else when it was observed; 0 where both are absent
    SEVERITY,  # 1 to 24, or 0
    LEVEL, LEVEL_END,  # severity_text
    KIND, BODY, BODY_END,  # number of the body's field in AnyValue, 0 without body; its bytes, or its value in BODY
    TRACE, TRACE_END,
    SPAN, SPAN_END,
    START, END,  # of the record
    PLAIN,  # whether all attributes are strings, whole numbers or booleans
    COLUMNS,
) = range(16)  # fmt: skip

# Columns of a resource with one of its scopes: where the bytes of both are.
RESOURCE_START, RESOURCE_END, SCOPE_START, SCOPE_END = range(4)

STRING, BOOL, INT, DOUBLE, ARRAY, OBJECT, BYTES = range(1, 8)
"""Fields of AnyValue."""

NO_ROOM = -1
BROKEN = -2

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_Int = Any
_Int64s = Any
_Bytes = Any
_Fields = tuple[Any, Any, Any, Any]


@loop
def varint(data: _Bytes, at: _Int, stop: _Int) -> tuple[Any, Any]:
    """A number of seven bits a byte, and the place behind it; -1 where it is cut or longer than ten bytes."""
    value, shift = np.int64(0), np.int64(0)
    while at < stop and shift < 70:
        byte = np.int64(data[at])
        at += 1
        if shift < 64:
            value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7
    return np.int64(0), np.int64(-1)


@loop
def next_field(data: _Bytes, at: _Int, stop: _Int) -> _Fields:
    """The field at a place: its tag, its value where it is a number, and where its bytes begin and end.

    The tag is -1 where the field is broken.
    """
    zero = np.int64(0)
    tag, at = varint(data, at, stop)
    if at < 0 or tag < 8 or tag >= 1 << 32:
        return np.int64(-1), zero, zero, zero
    wire = tag & 7
    if wire == _VARINT:
        value, end = varint(data, at, stop)
        return (tag if end >= 0 else np.int64(-1)), value, at, end
    if wire == _BYTES:
        size, begin = varint(data, at, stop)
        if begin < 0 or size < 0 or size > stop - begin:
            return np.int64(-1), zero, zero, zero
        return tag, zero, begin, begin + size
    size = np.int64(8 if wire == _FIXED64 else 4 if wire == _FIXED32 else -1)
    if size < 0 or size > stop - at:
        return np.int64(-1), zero, zero, zero
    value = np.int64(0)
    for i in range(size):
        value |= np.int64(data[at + i]) << (8 * i)
    return tag, value, at, at + size


@loop
def any_value(data: _Bytes, at: _Int, stop: _Int) -> _Fields:
    """The kind of an AnyValue, its value where it is a number, and where its bytes are; kind -1 where it is broken."""
    kind, value, start, end = np.int64(0), np.int64(0), np.int64(0), np.int64(0)
    while at < stop:
        tag, number, begin, at = next_field(data, at, stop)
        if tag < 0:
            return np.int64(-1), value, start, end
        field, wire = tag >> 3, tag & 7
        known = wire == _BYTES and (field == STRING or (ARRAY <= field <= BYTES))
        known |= (wire == _VARINT and (field == BOOL or field == INT)) or (wire == _FIXED64 and field == DOUBLE)
        if known:
            kind, value, start, end = field, number, begin, at
    return kind, value, start, end


@loop
def is_plain(data: _Bytes, at: _Int, stop: _Int) -> _Int:
    """Whether the value of an attribute is a string, whole number or boolean: 1 or 0; -1 where it is broken."""
    kind = np.int64(0)
    while at < stop:
        tag, _, begin, at = next_field(data, at, stop)
        if tag < 0:
            return np.int64(-1)
        if tag == (2 << 3 | _BYTES):
            kind, _, _, _ = any_value(data, begin, at)
            if kind < 0:
                return np.int64(-1)
    return np.int64(1 if STRING <= kind <= INT else 0)


@loop
def scan_record(data: _Bytes, start: _Int, stop: _Int, row: _Int64s) -> _Int:
    """Fills the columns of a record; 0, or `BROKEN`."""
    for i in range(TIME, COLUMNS):
        row[i] = -1
    row[TIME] = row[SEVERITY] = row[KIND] = 0
    row[START], row[END], row[PLAIN] = start, stop, 1
    observed, at = np.int64(0), start
    while at < stop:
        tag, value, begin, at = next_field(data, at, stop)
        if tag < 0:
            return BROKEN
        if tag == (1 << 3 | _FIXED64):
            row[TIME] = value
        elif tag == (11 << 3 | _FIXED64):
            observed = value
        elif tag == (2 << 3 | _VARINT):
            row[SEVERITY] = value
        elif tag == (3 << 3 | _BYTES):
            row[LEVEL], row[LEVEL_END] = begin, at
        elif tag == (5 << 3 | _BYTES):
            kind, number, first, last = any_value(data, begin, at)
            if kind < 0:
                return BROKEN
            if kind > 0:
                row[KIND], row[BODY], row[BODY_END] = kind, first, last
                if kind == INT or kind == BOOL:
                    row[BODY] = number
        elif tag == (6 << 3 | _BYTES):
            plain = is_plain(data, begin, at)
            if plain < 0:
                return BROKEN
            row[PLAIN] &= plain
        elif tag == (9 << 3 | _BYTES):
            row[TRACE], row[TRACE_END] = begin, at
        elif tag == (10 << 3 | _BYTES):
            row[SPAN], row[SPAN_END] = begin, at
    if row[TIME] == 0:
        row[TIME] = observed
    return 0


@loop
def last_field(data: _Bytes, at: _Int, stop: _Int, wanted: _Int) -> tuple[Any, Any]:
    """Where the last field of a tag begins and ends; 0 and 0 without one, -1 and -1 where the message is broken."""
    first, last = np.int64(0), np.int64(0)
    while at < stop:
        tag, _, begin, at = next_field(data, at, stop)
        if tag < 0:
            return np.int64(-1), np.int64(-1)
        if tag == wanted:
            first, last = begin, at
    return first, last


@loop
def scan_request(data: _Bytes, at: _Int, end: _Int, records: _Int64s, resources: _Int64s, totals: _Int64s) -> _Int:
    """Notes the records of the request between two places; 0, `NO_ROOM`, or `BROKEN`, and then `totals` stay."""
    record, resource = totals[0], totals[1]
    while at < end:
        tag, _, group, at = next_field(data, at, end)
        if tag < 0:
            return BROKEN
        if tag != (1 << 3 | _BYTES):
            continue
        first, last = last_field(data, group, at, 1 << 3 | _BYTES)
        if first < 0:
            return BROKEN
        while group < at:
            tag, _, scope, group = next_field(data, group, at)
            if tag != (2 << 3 | _BYTES):
                continue
            if resource == len(resources):
                return NO_ROOM
            name, name_end = last_field(data, scope, group, 1 << 3 | _BYTES)
            if name < 0:
                return BROKEN
            resources[resource, RESOURCE_START], resources[resource, RESOURCE_END] = first, last
            resources[resource, SCOPE_START], resources[resource, SCOPE_END] = name, name_end
            while scope < group:
                tag, _, begin, scope = next_field(data, scope, group)
                if tag != (2 << 3 | _BYTES):
                    continue
                if record == len(records):
                    return NO_ROOM
                if scan_record(data, begin, scope, records[record]) < 0:
                    return BROKEN
                records[record, RESOURCE] = resource
                record += 1
            resource += 1
    totals[0], totals[1] = record, resource
    return 0


@entry
def scan_requests(
    addresses: _Int64s, sizes: _Int64s, data: _Bytes, data_address: int, records: _Int64s,
    resources: _Int64s, last_records: _Int64s, totals: _Int64s,
) -> int:  # fmt: skip
    """Copies requests into `data`, and notes their records.

    Args:
        addresses: Int64 (n,): where each request lies in memory.
        sizes: Int64 (n,): its bytes.
        data: Room for all of them.
        data_address: Where `data` is.
        records: Int64 (r, COLUMNS): filled.
        resources: Int64 (m, 4): filled.
        last_records: Int64 (n,): filled with how many records there are up to the end of each request, or `BROKEN`.
        totals: Filled with how many records and resources there are.

    Returns:
        0, or `NO_ROOM` where `records` or `resources` are too short.
    """
    at = np.int64(0)
    totals[0] = totals[1] = 0
    for message in range(len(addresses)):
        size = sizes[message]
        copy_bytes(data_address + at, addresses[message], size)
        found = scan_request(data, at, at + size, records, resources, totals)
        if found == NO_ROOM:
            return NO_ROOM
        last_records[message] = totals[0] if found == 0 else BROKEN
        at += size
    return 0
