"""Replaces what masks match in a message, one mask after the other, as Drain3's `LogMasker` does."""

import numpy as np

from engine.compiled.jit import loop
from engine.compiled.machine_types import ZERO, Bytes, Flag, Flags, Int, Int32s, Int64s, Words
from engine.compiled.match import GAVE_UP, search
from engine.compiled.tables import MOST_NAME, MOST_NEEDS, NAME_SIZE

TOO_LONG = -1
"""Instead of a size: a mask gave up, or the masked message does not fit."""


@loop
def _note_bytes(text: Bytes, size: Int, present: Words) -> None:
    """Fills `present` with the set of the bytes of a text, as bits."""
    one = two = three = four = np.uint64(0)
    for i in range(size):
        bit, row = np.uint64(1) << np.uint64(text[i] & 63), text[i] >> 6
        one |= bit * np.uint64(row == 0)
        two |= bit * np.uint64(row == 1)
        three |= bit * np.uint64(row == 2)
        four |= bit * np.uint64(row == 3)
    present[0], present[1], present[2], present[3] = one, two, three, four


@loop
def _may_match(needs: Words, number: Int, present: Words) -> Flag:
    for i in range(MOST_NEEDS):
        found = np.uint64(0)
        for word in range(4):
            found |= needs[number, i, word] & present[word]
        if found == np.uint64(0):
            return False
    return True


@loop
def mask_message(
    code: Int32s, sets: Flags, searches: Int64s, starts: Flags,
    needs: Words, names: Bytes, first: Int, last: Int, size: Int,
    buffers: Bytes, present: Words, slots: Int64s, stack: Int64s,
) -> tuple[Int, Int]:  # fmt: skip
    """Applies the masks `first` to `last` (excluded) to the message in `buffers[0, :size]`.

    Takes:
        code, sets, searches, starts, needs, names: See `engine.compiled.tables.Tables`.
        first, last: The masks in `searches`.
        size: Bytes of the message.
        buffers: uint8 (2, n), scratch; the message is in the first row.
        present: uint64 (4,), scratch.
        slots, stack: See `engine.compiled.match.match_at`.

    Returns:
        The row of `buffers` that holds the masked message, and its size or `TOO_LONG`.
    """
    _note_bytes(buffers[0], size, present)
    row, room = 0, buffers.shape[1] - MOST_NAME
    for number in range(first, last):
        if not _may_match(needs, number, present):
            continue
        text, out = buffers[row], buffers[1 - row]
        at: Int = ZERO
        kept = written = ZERO
        while True:
            start, end = search(code, sets, searches, starts, number, text, ZERO, size, at, slots, stack)
            if start < 0:
                if start == GAVE_UP:
                    return row, TOO_LONG
                break
            if written + (start - kept) > room:
                return row, TOO_LONG
            for i in range(kept, start):
                out[written] = text[i]
                written += 1
            for i in range(searches[number, NAME_SIZE]):
                byte = names[number, i]
                out[written] = byte
                written += 1
                present[byte >> 6] |= np.uint64(1) << np.uint64(byte & 63)
            kept = at = end
        if kept == 0:
            continue
        if written + (size - kept) > room:
            return row, TOO_LONG
        for i in range(kept, size):
            out[written] = text[i]
            written += 1
        row, size = 1 - row, written
    return row, size
