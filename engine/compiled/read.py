"""Reads lines: by their skeleton where it is known, else by the header patterns of the formats.

A line whose skeleton is known has everything at the same places as the line that it was learnt from,
counted from the last run of digits before. Whatever cannot be decided here (a line of no format, a
time out of range, a message beyond ASCII) is marked for the caller, who reads it with `re`.

Compiled functions pass arrays one by one: passing a whole tuple costs more than the work in it.
"""

import numpy as np

from engine.compiled.clock import UNSURE
from engine.compiled.groups import PLACED, SLOTS
from engine.compiled.inner_level import inner_level
from engine.compiled.jit import entry, loop
from engine.compiled.machine_types import ZERO, Bytes, Flag, Flags, Int, Int32s, Int64s
from engine.compiled.mask import mask_message
from engine.compiled.match import fill_up
from engine.compiled.recognise import clear, find_key, learn, level_in, recognise, restore, time_in
from engine.compiled.scan import BEYOND_ASCII, NUL, find_runs, hash_bytes, hash_skeleton
from engine.compiled.tables import (
    BY_LAYOUT,
    BY_LOOP,
    BYTES,
    CLOCKED,
    CONTAINER,
    FORMAT,
    HASH,
    KEY,
    KINDS,
    LAYOUT_COLUMNS,
    LAYOUTS,
    LEVEL,
    LEVEL_ASKED,
    LEVEL_EACH,
    MASK,
    NO_TEXT,
    NODE,
    OTHER_HASH,
    SESSION,
    SIZE,
    START,
    TEXT,
    TEXT_FORMAT,
    TEXT_HASH,
    TEXT_MODE,
    TEXTS,
    TOKEN_START,
    WORD,
    WRAPPED,
    ClockTables,
    KnownLines,
    Room,
    RowColumns,
    Tables,
)  # fmt: skip
from engine.compiled.words import number_before

ASK_LINE, ASK_TEXT, ASK_KEY, ASK_LEVEL = 1, 2, 4, 8
"""What the caller has to find out about a row: everything, or its masked message, session key, or level; bits."""

_KEY, _MESSAGE, _STATUS_SLOT = SLOTS["key"], SLOTS["message"], SLOTS["status"]
_PLACED = len(PLACED)


@loop
def text_number(
    counts: Int64s, table: Int32s, texts: Int64s, bytes: Bytes,
    text: Bytes, start: Int, end: Int, format: Int,
) -> Int:  # fmt: skip
    """The number of the masked message `text[start:end]`, which is kept if it is new."""
    hash = np.int64(hash_bytes(text, start, end) ^ (np.uint64(format) << np.uint64(40)))
    mask = len(table) - 1
    at = hash & mask
    size = end - start
    while True:
        number = np.int64(table[at]) - 1
        if number < 0:
            break
        if texts[number, TEXT_HASH] == hash and texts[number, SIZE] == size and texts[number, TEXT_FORMAT] == format:
            first = texts[number, START]
            same = True
            for i in range(size):
                same &= bytes[first + i] == text[start + i]
            if same:
                return number
        at = (at + 1) & mask
    number, first = counts[TEXTS], counts[BYTES]
    table[at] = number + 1
    for i in range(size):
        bytes[first + i] = text[start + i]
    texts[number, TEXT_HASH], texts[number, START], texts[number, SIZE] = hash, first, size
    texts[number, TEXT_FORMAT], texts[number, TOKEN_START], texts[number, NODE] = format, -1, -1
    counts[TEXTS] += 1
    counts[BYTES] += size
    return number


@loop
def _put_message(
    names: Bytes,
    kind: Int,
    slots: Int64s,
    data: Bytes,
    end: Int,
    text: Bytes,
) -> Int:
    """Copies a line's message, with the name of its HTTP status in place of the code; returns its size."""
    first = slots[_MESSAGE] if slots[_MESSAGE] >= 0 else end
    size = 0
    if kind > 0:
        for at in range(first, slots[_STATUS_SLOT]):
            text[size] = data[at]
            size += 1
        for i in range(names[kind, 16]):
            text[size] = names[kind, i]
            size += 1
        first = slots[_STATUS_SLOT + 1]
    for at in range(first, end):
        text[size] = data[at]
        size += 1
    return size


@loop
def _holds_digit(text: Bytes, size: Int) -> Flag:
    for i in range(size):
        if 48 <= text[i] <= 57:
            return True
    return False


@loop
def _has_room(counts: Int64s, layouts: Int, texts: Int, bytes: Int, more: Int) -> Flag:
    """Whether one more layout and text fit."""
    return counts[LAYOUTS] < layouts and counts[TEXTS] < texts and counts[BYTES] + more < bytes


@entry
def read_lines(
    tables: Tables, known: KnownLines, room: Room, clock: ClockTables, data: Bytes, ends: Int64s,
    base: Int, first: Int, stop: Int, preferred: Int, columns: RowColumns,
) -> Int:  # fmt: skip
    """Reads the rows `first` to `stop` (excluded); returns the row before which room ran out, or `stop`.

    Takes:
        tables, known, room, clock: See their classes.
        data: The lines, padded.
        ends: Where each ends, see `connectors.base.LineBatch`; places in it and in `columns` count from `base`.
        base: Where the first line begins in `data`.
        preferred: Row of `Tables.orders`.
        columns: Filled here.
    """
    code, sets, formats, groups = tables.code, tables.sets, tables.formats, tables.groups
    searches, starts = tables.searches, tables.starts
    counts, table, once, layouts, places = known.counts, known.table, known.once, known.layouts, known.places
    text_table, texts, bytes = known.text_table, known.texts, known.bytes
    edges, slots, other, stack, values = room.edges, room.slots, room.other, room.stack, room.values
    buffers, text, present, head = room.buffers, room.buffers[0], room.present, room.head
    longest = len(edges) - 4
    mask, once_mask = len(table) - 1, len(once) - 1
    current = -1
    seed, other_seed = known.seeds[0] ^ np.uint64(preferred + 1), known.seeds[1]
    # Taken out of their tuples once: each access to a tuple's array counts references to it.
    orders, levels, status, status_names = tables.orders, tables.levels, tables.status, tables.status_names
    needs, names = tables.needs, tables.names
    limits, quarters, offsets = clock.limits, clock.quarters, clock.offsets
    out_time_ns, out_session, out_key_start, out_key_end = (
        columns.time_ns,
        columns.session,
        columns.key_start,
        columns.key_end,
    )
    out_text, out_format, out_container, out_level = columns.text, columns.format, columns.container, columns.level
    out_spans, out_ask, out_layout = columns.spans, columns.ask, columns.layout
    for row in range(first, stop):
        start = base + (ends[row - 1] + 1 if row else 0)
        end = base + ends[row]
        if end > start and data[end - 1] == 13:
            end -= 1
        out_ask[row] = ASK_LINE
        out_layout[row] = out_format[row] = -1
        if end - start > longest:
            continue
        if not _has_room(counts, len(layouts), len(texts), len(bytes), buffers.shape[1]):
            return row
        used, holds = find_runs(data, start, end, edges)
        if holds & NUL:
            continue
        one, two = hash_skeleton(data, end, edges, used, seed, other_seed)
        hash, other_hash = np.int64(one), np.int64(two)
        at = hash & mask
        number = np.int64(table[at]) - 1
        while number >= 0 and (layouts[number, HASH] != hash or layouts[number, OTHER_HASH] != other_hash):
            at = (at + 1) & mask
            number = np.int64(table[at]) - 1
        known_line = number >= 0
        fill_up(stack, end - start)
        if known_line:
            format = layouts[number, FORMAT]
            if format != current:
                clear(slots)  # groups that this format lacks
            restore(groups, places, number, format, slots, edges)
        else:
            format = recognise(code, sets, formats, groups, orders, preferred, data, start, end, slots, stack)
            if format < 0:
                current = -1
                continue
        current = format
        time_ns = time_in(
            groups,
            format,
            formats[format, CLOCKED] != 0,
            slots,
            values,
            data,
            limits,
            quarters,
            offsets,
        )
        if time_ns == UNSURE:
            out_format[row] = format
            continue
        ask = 0
        if not known_line or formats[format, KEY] == BY_LOOP:
            first_rule, last_rule = formats[format, SESSION], formats[format, SESSION + 1]
            if formats[format, KEY] > BY_LOOP or not find_key(
                code, sets, searches, starts, first_rule, last_rule, data, start, end, slots, other, stack
            ):
                ask = ASK_KEY
        if not known_line and not ask:
            if once[hash & once_mask] == hash:
                number = counts[LAYOUTS]
                if learn(groups, places, number, format, slots, edges, used):
                    table[at] = number + 1
                    counts[LAYOUTS] += 1
                    layouts[number, HASH], layouts[number, OTHER_HASH] = hash, other_hash
                    layouts[number, FORMAT], layouts[number, LEVEL] = format, LEVEL_ASKED
                    layouts[number, CONTAINER] = 0
                    for i in range(TEXT, LAYOUT_COLUMNS):
                        layouts[number, i] = NO_TEXT
                else:
                    number = np.int64(-1)
            else:
                once[hash & once_mask] = hash
        out_time_ns[row], out_format[row], out_layout[row] = time_ns, format, number
        if slots[_KEY] < 0:
            out_session[row] = 0
            out_key_start[row] = out_key_end[row] = start - base
        else:
            out_key_start[row], out_key_end[row] = slots[_KEY] - base, slots[_KEY + 1] - base
            session: Int = np.int64(hash_bytes(data, slots[_KEY], slots[_KEY + 1]))
            if slots[_KEY] == slots[_KEY + 1]:
                session = 0
            elif session == 0:
                session = 1
            out_session[row] = session
        for i in range(_PLACED):
            place = slots[_MESSAGE + 2 * i]
            out_spans[row, i, 0] = (place if place >= 0 else end) - base
            out_spans[row, i, 1] = (slots[_MESSAGE + 2 * i + 1] if place >= 0 else end) - base
        level: Int = layouts[number, LEVEL] if number >= 0 else LEVEL_ASKED
        out_container[row] = layouts[number, CONTAINER] if number >= 0 else 0
        if formats[format, WRAPPED]:
            if level == LEVEL_ASKED:
                ask |= ASK_LEVEL
        elif level < 0:
            level, digits = level_in(levels, formats[format, WORD], formats[format, WORD + 1], slots, data)
            if level == 0 and slots[_MESSAGE] >= 0 and not formats[format, KINDS]:
                level = inner_level(data, slots[_MESSAGE], slots[_MESSAGE + 1], head)
            if number >= 0:
                layouts[number, LEVEL] = LEVEL_EACH if digits else level
        out_level[row] = level
        kind = 0
        if formats[format, KINDS] and slots[_STATUS_SLOT] >= 0 and slots[_STATUS_SLOT + 1] - slots[_STATUS_SLOT] == 3:
            kind = status[number_before(data, slots[_STATUS_SLOT + 1], ZERO + 3)]
        found = layouts[number, TEXT + kind] if number >= 0 else NO_TEXT
        if found == NO_TEXT:
            if holds & BEYOND_ASCII or formats[format, TEXT_MODE] > BY_LOOP:
                out_ask[row] = ask | ASK_TEXT
                continue
            size = _put_message(status_names, kind, slots, data, end, text)
            buffer, size = mask_message(
                code, sets, searches, starts, needs, names, formats[format, MASK],
                formats[format, MASK + 1], size, buffers, present, other, stack,
            )  # fmt: skip
            if size < 0:
                out_ask[row] = ask | ASK_TEXT
                continue
            found = text_number(counts, text_table, texts, bytes, buffers[buffer], ZERO, size, format)
            if number >= 0 and formats[format, TEXT_MODE] == BY_LAYOUT and not _holds_digit(buffers[buffer], size):
                layouts[number, TEXT + kind] = found
        out_text[row] = found
        out_ask[row] = ask
    return stop


@entry
def number_messages(
    tables: Tables, known: KnownLines, room: Room, data: Bytes, ends: Int64s,
    format: Int64s, masked: Flags, first: Int, numbers: Int32s,
) -> Int:  # fmt: skip
    """Masks messages that were not found by their places in lines, and numbers them.

    Takes:
        tables, known, room: See their classes.
        data, ends: The messages, one after the other (padded), and where each ends.
        format: int64: of each.
        masked: bool: whether the message is masked already.
        first: The message to begin at.
        numbers: Filled here; -1 where masking gave up.

    Returns:
        The message before which room ran out, or their number.
    """
    formats, buffers = tables.formats, room.buffers
    for i in range(first, len(ends)):
        start = ends[i - 1] if i else 0
        size = ends[i] - start
        if not _has_room(
            known.counts, len(known.layouts), len(known.texts), len(known.bytes), max(size, buffers.shape[1])
        ):
            return i
        number = format[i]
        if masked[i]:
            numbers[i] = text_number(
                known.counts, known.text_table, known.texts, known.bytes, data, start, ends[i], number
            )
            continue
        numbers[i] = -1
        if size > buffers.shape[1] // 2:
            continue
        for at in range(size):
            buffers[0, at] = data[start + at]
        fill_up(room.stack, size)
        buffer, size = mask_message(
            tables.code, tables.sets, tables.searches, tables.starts, tables.needs, tables.names,
            formats[number, MASK], formats[number, MASK + 1], size, buffers, room.present, room.other, room.stack,
        )  # fmt: skip
        if size >= 0:
            numbers[i] = text_number(
                known.counts, known.text_table, known.texts, known.bytes, buffers[buffer], ZERO, size, number
            )
    return len(ends)
