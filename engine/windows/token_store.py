"""Many growing rows of numbers in one array: blocks of doubling size, with a free list per size."""

import numpy as np
from numpy.typing import NDArray

from engine.windows.grouping import Ints, ragged_index

SMALLEST = 8
SIZES: Ints = SMALLEST << np.arange(40, dtype=np.int64)
"""Block sizes in entries; a row of n entries always lies in the smallest block that holds it."""

_GROWTH = 1.25
"""Growing in place asks the allocator to move pages, not to copy them, so small steps cost little."""


def size_class(counts: Ints) -> Ints:
    """int64: index in `SIZES` of the block for each count."""
    return np.searchsorted(SIZES, counts)


class _Stack:
    """A stack of block addresses that is pushed and popped many at a time."""

    def __init__(self) -> None:
        self._items: Ints = np.empty(64, np.int64)
        self._size = 0

    def push(self, items: Ints) -> None:
        needed = self._size + len(items)
        if needed > len(self._items):
            self._items.resize(max(needed, int(len(self._items) * _GROWTH)), refcheck=False)
        self._items[self._size : needed] = items
        self._size = needed

    def pop(self, at_most: int) -> Ints:
        taken = min(at_most, self._size)
        self._size -= taken
        return self._items[self._size : self._size + taken].copy()


class TokenStore:
    """Rows of int64 entries addressed by (base, count); the caller keeps both.

    Freed blocks are used again for rows of the same size, so memory follows the largest number of rows of each size
    that were ever open at once, regardless of the number over time.
    """

    def __init__(self, width: int = 1) -> None:
        """Makes an empty store whose entries are `width` numbers each (shape () for 1)."""
        self._entries: Ints = np.zeros((1024,) if width == 1 else (1024, width), np.int64)
        self._top = 0
        self._free = [_Stack() for _ in SIZES]

    @property
    def nbytes(self) -> int:
        """Bytes set aside for entries."""
        return self._entries.nbytes

    def allocate(self, counts: Ints) -> Ints:
        """int64 bases of new blocks that hold `counts` entries each."""
        classes = size_class(counts)
        bases = np.empty(len(counts), np.int64)
        for size in np.flatnonzero(np.bincount(classes)) if len(classes) else ():
            wanted = (classes == size).nonzero()[0]
            used = self._free[size].pop(len(wanted))
            bases[wanted[: len(used)]] = used
            fresh = wanted[len(used) :]
            if len(fresh):
                bases[fresh] = self._top + np.arange(len(fresh)) * SIZES[size]
                self._top += len(fresh) * int(SIZES[size])
        if self._top > len(self._entries):
            rows = max(self._top, int(len(self._entries) * _GROWTH))
            self._entries.resize((rows, *self._entries.shape[1:]), refcheck=False)
        return bases

    def free(self, bases: Ints, counts: Ints) -> None:
        """Gives blocks back; their entries may be overwritten from now on."""
        classes = size_class(counts)
        for size in np.flatnonzero(np.bincount(classes)) if len(classes) else ():
            self._free[size].push(bases[classes == size])

    def extend(self, bases: Ints, counts: Ints, lengths: Ints, values: Ints) -> Ints:
        """Appends `lengths[i]` of `values` to row i, which holds `counts[i]` entries (0: no block yet).

        Returns:
            int64 bases of the rows, which move when they outgrow their block.
        """
        moved = np.flatnonzero((counts == 0) | (size_class(counts) != size_class(counts + lengths)))
        if len(moved):
            bases = bases.copy()
            old = moved[counts[moved] > 0]
            old_bases = bases[old]
            bases[moved] = self.allocate((counts + lengths)[moved])
            if len(old):
                source = ragged_index(old_bases, counts[old])
                self._entries[ragged_index(bases[old], counts[old])] = self._entries[source]
                self.free(old_bases, counts[old])
        self._entries[ragged_index(bases + counts, lengths)] = values
        return bases

    def gather(self, bases: Ints, counts: Ints) -> NDArray[np.int64]:
        """The entries of the rows, one row after the other, as a copy."""
        return self._entries[ragged_index(bases, counts)]
