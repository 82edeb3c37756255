r"""Turns a blob of lines into skeletons, and finds every run of digits in it, whole batches at a time.

A line's *skeleton* is the line with each run of digits written as one `0`, and each id as one byte if
ids are looked for (`engine.formats.hex_ids`). Lines of one skeleton differ only in the digits of their
runs, in how many there are, and in their ids, so everything else about them is known from the first.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.formats.hex_ids import Found

PAD = 64
"""Zero bytes on both sides of a padded blob, so that loads of whole words never leave it."""

_TO_ZERO = bytes.maketrans(b"123456789", b"0" * 9)
_DROP = b"\xff"


def padded(data: bytes) -> NDArray[np.uint8]:
    """The bytes of `data` between `PAD` zero bytes on either side."""
    return np.frombuffer(b"".join((bytes(PAD), data, bytes(PAD))), np.uint8)


def digit_flags(blob: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """True where a byte is an ASCII digit."""
    return (blob - np.uint8(48)) < np.uint8(10)


def skeletons(blob: NDArray[np.uint8], digits: NDArray[np.bool_], ids: Sequence[Found] = ()) -> list[bytes]:
    r"""The skeleton of each `\n`-closed line of a padded blob.

    The byte 0xFF, which no UTF-8 text contains, is dropped, and the bytes that mark ids are not text
    either: a line that contains one of them must not be looked up.

    Args:
        blob: Padded bytes.
        digits: Its runs: the digits, and the ids as a whole.
        ids: The ids.
    """
    repeated = np.zeros(len(blob), np.uint8)
    np.logical_and(digits[1:], digits[:-1], out=repeated[1:].view(np.bool_))
    np.negative(repeated, out=repeated)
    np.bitwise_or(repeated, blob, out=repeated)
    for found in ids:
        repeated[found.start] = found.mark
    lines = repeated[PAD : len(blob) - PAD].tobytes().translate(_TO_ZERO, _DROP).split(b"\n")
    lines.pop()
    return lines


def skeleton(line: bytes) -> bytes:
    """The skeleton of one line."""
    blob = padded(line + b"\n")
    return skeletons(blob, digit_flags(blob))[0]


def run_edges(digits: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Start and end of every run of digits by turns: run i is `[edges[2 * i], edges[2 * i + 1])`."""
    return np.flatnonzero(digits[1:] != digits[:-1]) + 1


@dataclass(frozen=True, slots=True)
class Words:
    """Loads of eight bytes, or of two, at any index of a padded blob."""

    view: NDArray[np.uint64]
    pairs: NDArray[np.uint16]

    @staticmethod
    def of(blob: NDArray[np.uint8]) -> "Words":
        """Views of `blob`, nothing is copied."""
        return Words(
            np.ndarray((len(blob) - 7,), np.dtype("<u8"), blob.data, strides=(1,)),
            np.ndarray((len(blob) - 1,), np.dtype("<u2"), blob.data, strides=(1,)),
        )

    def at(self, index: NDArray[np.int64]) -> NDArray[np.uint64]:
        """uint64, little-endian: the eight bytes from each index on."""
        return self.view[index]


_EIGHT = np.uint64(8)


def _eight_digits(words: NDArray[np.uint64], width: NDArray[np.int64]) -> NDArray[np.uint64]:
    """The number in the last `width` (0..8) digits of each word; earlier bytes are ignored."""
    shift = ((_EIGHT - width.astype(np.uint64)) * _EIGHT).astype(np.uint64)
    empty = shift == 64
    np.minimum(shift, np.uint64(63), out=shift)
    x = (words >> shift << shift) & np.uint64(0x0F0F0F0F0F0F0F0F)
    x = x * np.uint64(10) + (x >> _EIGHT)
    low = (x & np.uint64(0x000000FF000000FF)) * np.uint64(0x000F424000000064)
    high = ((x >> np.uint64(16)) & np.uint64(0x000000FF000000FF)) * np.uint64(0x0000271000000001)
    x = (low + high) >> np.uint64(32)
    x[empty] = 0
    return x


def _pair_values() -> NDArray[np.int64]:
    """The number that two bytes end with, by their load as one little-endian word."""
    first, last = np.arange(65_536) % 256 - 48, np.arange(65_536) // 256 - 48
    first[(first < 0) | (first > 9)] = 0
    return np.where((last < 0) | (last > 9), 0, 10 * first + last)


_PAIRS = _pair_values()
_PAIRED_DIGITS = 4
"""Up to here two look-ups for each two digits cost less than the multiplications."""

MAX_DIGITS = 16
"""Longest run of digits that `run_values` reads."""


def run_values(words: Words, end: NDArray[np.int64], width: NDArray[np.int64]) -> NDArray[np.int64]:
    """int64: the numbers in the runs of `width` (1..16) digits that end before `end`.

    Short ones are composed of pairs of digits. Otherwise eight digits are added up in three
    multiplications inside one 64-bit word. Widths out of range give some number, never an error.
    """
    longest = int(width.max()) if len(width) else 0
    if longest <= _PAIRED_DIGITS:
        return _paired(words, end, width, longest)
    value = _eight_digits(words.at(end - 8), np.clip(width, 0, 8)).astype(np.int64)
    if longest > 8:
        long = np.flatnonzero(width > 8)
        upper = _eight_digits(words.at(end[long] - 16), np.clip(width[long] - 8, 0, 8))
        value[long] += upper.astype(np.int64) * 100_000_000
    return value


def _paired(words: Words, end: NDArray[np.int64], width: NDArray[np.int64], longest: int) -> NDArray[np.int64]:
    # The byte before a run is not a digit, so a pair that reaches beyond it by one byte is read correctly.
    value = _PAIRS[words.pairs[end - 2]]
    for read in range(2, longest, 2):
        value += _PAIRS[words.pairs[end - 2 - read]] * (width > read) * 10**read
    return value
