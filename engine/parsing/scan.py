"""The skeletons of a batch, computed once for whoever needs them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from connectors.base import LineBatch
from engine.parsing.skeleton import PAD, digit_flags, padded, skeletons


@dataclass(frozen=True, slots=True)
class Scan:
    """A batch's padded bytes, where its digits are, and the skeleton of every line."""

    data: NDArray[np.uint8]
    digits: NDArray[np.bool_]
    names: list[bytes]

    @staticmethod
    def of(batch: LineBatch) -> "Scan":
        """The scan of a batch."""
        data = padded(batch.data)
        digits = digit_flags(data)
        return Scan(data, digits, skeletons(data, digits))

    def unsure(self, batch: LineBatch, max_line_bytes: int) -> list[int]:
        """Rows that must not be looked up: their skeleton is not the whole line, or too long to be kept."""
        found: list[int] = []
        length = np.diff(batch.ends, prepend=-1) - 1
        if len(length) and length.max() > max_line_bytes:
            found += np.flatnonzero(length > max_line_bytes).tolist()
        if b"\xff" in batch.data:
            found += np.searchsorted(batch.ends, np.flatnonzero(self.data == 0xFF) - PAD).tolist()
        return found
