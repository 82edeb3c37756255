"""Numbers values of a column densely, in order of first appearance, whole batches at a time."""

import numpy as np
from numpy.typing import NDArray

_BITS = 14
_MIX = np.uint64(0x9E3779B97F4A7C15)


class Codes:
    """Dense numbers for 64-bit values (hashes, pairs of numbers).

    Values get the numbers 1, 2, … in order of first appearance; once `limit` values are known, all others share 0.
    """

    def __init__(self, limit: int, *, known: NDArray[np.int64] | None = None) -> None:
        self._limit = limit
        self._numbers: dict[int, int] = {}
        self._known = np.zeros(0, np.int64)
        self._slot_value = np.zeros(1 << _BITS, np.int64)
        self._slot_code = np.full(1 << _BITS, -1, np.int32)
        for value in [] if known is None else known.tolist():
            self._number(value)

    def __len__(self) -> int:
        return len(self._numbers)

    def known(self) -> NDArray[np.int64]:
        """int64: the values in the order of their numbers."""
        if len(self._known) < len(self._numbers):
            self._known = np.fromiter(self._numbers, np.int64, len(self._numbers))
        return self._known

    def of(self, values: NDArray[np.int64]) -> NDArray[np.int32]:
        """int32 (n,): the number of each value."""
        slot = (values.view(np.uint64) * _MIX) >> np.uint64(64 - _BITS)
        found: NDArray[np.int32] = self._slot_code[slot]
        # A slot holds the value that came last, so values that share one are looked up by themselves.
        missed = np.flatnonzero((self._slot_value[slot] != values) | (found < 0))
        if len(missed):
            unique, first, inverse = np.unique(values[missed], return_index=True, return_inverse=True)
            numbers = np.empty(len(unique), np.int32)
            for i in np.argsort(first, kind="stable").tolist():
                numbers[i] = self._number(int(unique[i]))
            found[missed] = numbers[inverse]
            self._slot_value[slot[missed]] = values[missed]
            self._slot_code[slot[missed]] = found[missed]
        return found

    def _number(self, value: int) -> int:
        number = self._numbers.get(value)
        if number is None:
            if len(self._numbers) >= self._limit:
                return 0
            number = self._numbers[value] = 1 + len(self._numbers)
        return number
