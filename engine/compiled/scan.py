"""Finds the runs of digits in a line, and hashes what is between them.

The *skeleton* of a line is the line with each run of digits as one `0`. Lines of one skeleton differ
in nothing but the digits of their runs and in how many these are. A skeleton is known by 128 bits of
hash, from seeds that differ in every process: two of a million skeletons collide with a chance below
1e-26, and nobody can choose lines that do.
"""

import numpy as np

from engine.compiled import session_key
from engine.compiled.jit import entry, loop
from engine.compiled.machine_types import Bytes, Int, Int64s, Word
from engine.compiled.words import PAD, digit_bits, load_word, low_bytes, lowest_bit

BEYOND_ASCII, NUL = 1, 2
"""What a line holds; bits."""

_SEED, _MIX, _SPREAD = np.uint64(session_key.SEED), np.uint64(session_key.MIX), np.uint64(session_key.SPREAD)
_OTHER = np.uint64(0xD6E8FEB86659FD93)  # odd, from the splitmix-like mixers of Pelle Evensen (2018)
_29, _31, _32 = np.uint64(29), np.uint64(31), np.uint64(32)
_HIGH = np.uint64(0x8080808080808080)
_LOWEST = np.uint64(0x0101010101010101)
_ONE, _63 = np.uint64(1), np.uint64(63)


@loop
def find_runs(data: Bytes, start: Int, end: Int, edges: Int64s) -> tuple[Int, Int]:
    """Writes start and end of every run of digits in `data[start:end]`, alternately.

    Takes:
        data: Padded, see `engine.compiled.words`.
        start, end: The line.
        edges: int64; filled from the third entry on. The first two are the line's start.

    Returns:
        How many entries are used, and what the line holds.
    """
    edges[0] = edges[1] = start
    used = 2
    seen, zero = np.uint64(0), np.uint64(0)
    before = np.uint64(0)  # whether the last byte was a digit
    at = start
    while at < end:
        bits = np.uint64(0)
        left = end - at
        for i in range(8):
            if 8 * i >= left:
                break
            word = load_word(data, at + 8 * i)
            if left - 8 * i < 8:
                keep = low_bytes(left - 8 * i)
                word = (word & keep) | (np.uint64(0x2020202020202020) & ~keep)
            seen |= word
            zero |= (word - _LOWEST) & ~word & _HIGH
            bits |= digit_bits(word) << np.uint64(8 * i)
        changes = bits ^ ((bits << _ONE) | before)
        if left < 64:
            changes &= (_ONE << np.uint64(left)) - _ONE
        before = bits >> _63
        while changes:
            edges[used] = at + lowest_bit(changes)
            used += 1
            changes &= changes - _ONE
        at += 64
    if used & 1:
        edges[used] = end
        used += 1
    return used, (BEYOND_ASCII if seen & _HIGH else 0) | (NUL if zero else 0)


@loop
def hash_skeleton(data: Bytes, end: Int, edges: Int64s, used: Int, seed: Word, other: Word) -> tuple[Int, Int]:
    """128 bits of hash of the skeleton of a line whose runs of digits are known, see `find_runs`."""
    one, two = seed, other
    for i in range(1, used, 2):
        at = edges[i]
        stop = edges[i + 1] if i + 1 < used else end
        # Where a part ends matters: its length, and whether a run of digits follows it.
        one = (one ^ np.uint64(stop - at)) * _SEED
        while at < stop:
            word = load_word(data, at) & low_bytes(stop - at)
            one = (one ^ word) * _MIX
            two = (two ^ word) * _OTHER
            one ^= one >> _29
            two ^= two >> _32
            at += 8
    two = (two ^ one) * _SPREAD
    return one, two ^ (two >> _31)


@loop
def hash_bytes(data: Bytes, start: Int, end: Int) -> Word:
    """The hash of `data[start:end]` as `engine.compiled.session_key.hash_key` defines it, 0 included."""
    found = np.uint64(end - start) * _SEED
    at = start
    while at < end:
        found = (found ^ (load_word(data, at) & low_bytes(end - at))) * _MIX
        found ^= found >> _29
        at += 8
    found *= _SPREAD
    return found ^ (found >> _31)


@entry
def hash_spans(data: Bytes, start: Int64s, end: Int64s, hashes: Int64s) -> None:
    """Hashes parts of a batch as `engine.compiled.session_key.hash_key` does.

    Takes:
        data: The batch, padded.
        start, end: int64: the parts, none of them empty, counted from the batch's first byte.
        hashes: int64; filled here.
    """
    for i in range(len(start)):
        hash = np.int64(hash_bytes(data, PAD + start[i], PAD + end[i]))
        hashes[i] = hash if hash else 1
