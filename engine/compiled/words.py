"""Loads of eight bytes at any place, and what can be read off them at once.

Loads may reach up to seven bytes beyond what is asked for, so arrays that they read from are padded.
"""

from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from engine.compiled.jit import loop
from engine.compiled.machine_types import ZERO, Bytes, Int, Word

PAD = 16
"""Bytes of padding before and behind."""

ONES = np.uint64(0xFFFFFFFFFFFFFFFF)
_HIGH = np.uint64(0x8080808080808080)
_LOW7 = np.uint64(0x7F7F7F7F7F7F7F7F)
_LOWEST = np.uint64(0x0101010101010101)
_ZEROS = np.uint64(0x3030303030303030)
_ABOVE_NINE = np.uint64(0x7676767676767676)
_GATHER = np.uint64(0x0002040810204081)


def _load_word(typing: Any, data: Any, at: Any) -> Any:

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, args[0])
        index = context.cast(builder, args[1], signature.args[1], types.intp)
        place = builder.gep(array.data, [index])
        return builder.load(builder.bitcast(place, ir.IntType(64).as_pointer()), align=1)

    return types.uint64(data, at), generate


def _lowest_bit(typing: Any, word: Any) -> Any:

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 0))

    return types.int64(types.uint64), generate


load_word: Any = intrinsic(_load_word)
"""(data, at) → uint64, little-endian: the eight bytes of a uint8 array from a place on."""

lowest_bit: Any = intrinsic(_lowest_bit)
"""(word) → int64: the place of the lowest bit that is set in a uint64; 64 where none is."""


def padded(data: bytes) -> NDArray[np.uint8]:
    """A copy of bytes that compiled loops may read from."""
    found = np.empty(len(data) + 2 * PAD, np.uint8)
    found[:PAD] = found[PAD + len(data) :] = 0
    found[PAD : PAD + len(data)] = np.frombuffer(data, np.uint8)
    return found


@loop
def digit_bits(word: Word) -> Word:
    """Eight bits, one for each byte that is an ASCII digit."""
    turned = word ^ _ZEROS
    other = ((turned & _LOW7) + _ABOVE_NINE) | turned
    return ((~other & _HIGH) >> np.uint64(7)) * (_GATHER << np.uint64(7)) >> np.uint64(56)


@loop
def find_byte(data: Bytes, at: Int, stop: Int, byte: Int) -> Int:
    """The first place of a byte from `at` on, or some place at or after `stop`."""
    pattern = np.uint64(byte) * _LOWEST
    while at < stop:
        word = load_word(data, at) ^ pattern
        found = (word - _LOWEST) & ~word & _HIGH  # the lowest bit set is that of a zero byte
        if found:
            return at + (lowest_bit(found) >> 3)
        at += 8
    return at


@loop
def find_digit(data: Bytes, at: Int, stop: Int) -> Int:
    """The first place of an ASCII digit from `at` on, or some place at or after `stop`."""
    while at < stop:
        found = digit_bits(load_word(data, at))
        if found:
            return at + lowest_bit(found)
        at += 8
    return at


@loop
def low_bytes(count: Int) -> Word:
    """A mask of the lowest bytes, up to eight."""
    return ONES if count >= 8 else (np.uint64(1) << np.uint64(8 * count)) - np.uint64(1)


@loop
def eight_digits(word: Word, width: Int) -> Word:
    """The number in the last `width` (1 to 8) digits of a word."""
    shift = np.uint64(64 - 8 * width)
    x = (word >> shift << shift) & np.uint64(0x0F0F0F0F0F0F0F0F)
    x = x * np.uint64(10) + (x >> np.uint64(8))
    low = (x & np.uint64(0x000000FF000000FF)) * np.uint64(0x000F424000000064)
    high = ((x >> np.uint64(16)) & np.uint64(0x000000FF000000FF)) * np.uint64(0x0000271000000001)
    return np.int64((low + high) >> np.uint64(32))


@loop
def number_before(data: Bytes, end: Int, width: Int) -> Int:
    """The number in the `width` (1 to 18) digits before a place."""
    if width <= 8:
        return eight_digits(load_word(data, end - 8), width)
    found = eight_digits(load_word(data, end - 8), ZERO + 8)
    if width <= 16:
        return found + eight_digits(load_word(data, end - 16), width - 8) * 100_000_000
    found += eight_digits(load_word(data, end - 16), ZERO + 8) * 100_000_000
    for i in range(width - 16):
        found += (np.int64(data[end - 17 - i]) - 48) * (10_000_000_000_000_000 if i == 0 else 100_000_000_000_000_000)
    return found
