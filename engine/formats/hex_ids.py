r"""Finds ids that never come again, UUIDs and long hexadecimal ones, in whole batches.

Their letters differ from line to line, so that lines with such ids would each have a skeleton of its
own. An id that is found here becomes one byte of the skeleton, and everything that reads lines by
their skeleton must treat it as one thing (`engine.formats.id_invariance`).

An id is found only if the masks of `engine.formats.masks` replace it as a whole, with any content: a
UUID (groups of 8, 4, 4, 4 and 12) or 32, 40 or 64 hexadecimal digits, lower case, that hold digits and
letters, and are between characters that end a word. Other ids are left as they are.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

BEFORE = b" [({<\"'=/|>"
"""Bytes that may precede an id; a hyphen may too, after a letter that is not a hexadecimal digit."""

BEFORE_HYPHEN = b"ghijklmnopqrstuvwxyz"

AFTER = b" ])}>\"'=/|,:;&?<\r\n"
"""Bytes that may follow an id."""


class IdKind(NamedTuple):
    """One kind of id: the byte that represents it in a skeleton, and what it is made of.

    Every id of the kind holds at least one character of each row of `needs`.
    """

    mark: int
    characters: bytes
    needs: tuple[bytes, ...]


_DIGITS, _LETTERS = b"0123456789", b"abcdef"
UUID = IdKind(0xFE, _DIGITS + _LETTERS + b"-", (_DIGITS, _LETTERS, b"-"))
HEX = IdKind(0xFD, _DIGITS + _LETTERS, (_DIGITS, _LETTERS))
KINDS = (UUID, HEX)
MARKS = bytes(kind.mark for kind in KINDS)

_UUID_GROUPS = (8, 4, 4, 4, 12)
_UUID_BYTES = sum(_UUID_GROUPS) + 4
_HEX_LENGTHS = (32, 40, 64)
_TURNS = 3
"""Changes from digits to letters that the mask of hexadecimal numbers asks for."""

_HYPHEN = 45
_LETTER_BITS = np.uint64(0x4040404040404040)  # set in every letter, and in no digit
_BYTE = np.uint64(8)
_TRUE = np.uint64(0x0101010101010101)


class Found(NamedTuple):
    """Ids of one kind and size in a padded blob; `start` is int64 (n,), the place of the first byte of each."""

    mark: int
    size: int
    start: NDArray[np.int64]

    def flag(self, flags: NDArray[np.bool_]) -> None:
        """Sets the flags of all their bytes."""
        words = _words(flags)
        for at in (*range(0, self.size - 8, 8), self.size - 8):
            words[self.start + at] = _TRUE


def _table(characters: bytes) -> NDArray[np.bool_]:
    table = np.zeros(256, np.bool_)
    table[list(characters)] = True
    return table


_BEFORE, _BEFORE_HYPHEN, _AFTER = _table(BEFORE), _table(BEFORE_HYPHEN), _table(AFTER)


def find_ids(blob: NDArray[np.uint8], digits: NDArray[np.bool_]) -> list[Found]:
    """The ids of a padded blob in which `digits` flags the ASCII digits; [] if there are none."""
    hexadecimal = digits | ((blob - np.uint8(97)) < np.uint8(6))
    edges = np.flatnonzero(hexadecimal[1:] != hexadecimal[:-1]) + 1
    start, end = edges[0::2], edges[1::2]
    length = end - start
    words = _words(blob)
    found = []
    for size in _HEX_LENGTHS:
        first = _apart(blob, start[length == size], size)
        found.append(Found(HEX.mark, size, first[_turns(words, first) >= _TURNS]))
    first = _apart(blob, _uuids(blob, start, end, length), _UUID_BYTES)
    found.append(Found(UUID.mark, _UUID_BYTES, first[_mixed(words, first)]))
    return [ids for ids in found if len(ids.start)]


def _words(blob: NDArray[np.uint8] | NDArray[np.bool_]) -> NDArray[np.uint64]:
    """Loads and stores of eight bytes at any index."""
    return np.ndarray((len(blob) - 7,), np.dtype("<u8"), blob.data, strides=(1,))


def _uuids(
    blob: NDArray[np.uint8], start: NDArray[np.int64], end: NDArray[np.int64], length: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Places of five runs with the lengths of a UUID's groups and hyphens between them."""
    at = np.flatnonzero(length == _UUID_GROUPS[0])
    at = at[at < len(start) - 4]
    for step, size in enumerate(_UUID_GROUPS[1:], start=1):
        at = at[(length[at + step] == size) & (start[at + step] == end[at + step - 1] + 1)]
        at = at[blob[start[at + step] - 1] == _HYPHEN]
    found: NDArray[np.int64] = start[at]
    return found


def _apart(blob: NDArray[np.uint8], first: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """The ids that are separate words."""
    before = blob[first - 1]
    apart = _BEFORE[before] | ((before == _HYPHEN) & _BEFORE_HYPHEN[blob[first - 2]])
    kept: NDArray[np.int64] = first[apart & _AFTER[blob[first + size]]]
    return kept


def _turns(words: NDArray[np.uint64], first: NDArray[np.int64]) -> NDArray[np.uint8]:
    """How often a letter follows a digit within the first 29 characters."""
    turns = np.zeros(len(first), np.uint8)
    for at in (0, 7, 14, 21):
        letters = words[first + at] & _LETTER_BITS
        turns += np.bitwise_count((letters >> _BYTE) & ~letters)
    return turns


def _mixed(words: NDArray[np.uint64], first: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether there are digits and letters among the first eight and the last eight of a UUID."""
    both = words[first] & _LETTER_BITS, words[first + _UUID_BYTES - 8] & _LETTER_BITS
    mixed: NDArray[np.bool_] = ((both[0] | both[1]) != 0) & ((both[0] & both[1]) != _LETTER_BITS)
    return mixed
