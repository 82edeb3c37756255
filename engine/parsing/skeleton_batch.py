"""The skeletons of a batch, computed once for all readers."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from connectors.base import LineBatch
from engine.formats.hex_ids import MARKS, find_ids
from engine.parsing.skeleton import PAD, digit_flags, padded, skeletons

_NO_TEXT = (b"\xff", *(bytes([mark]) for mark in MARKS))


@dataclass(frozen=True, slots=True)
class Scan:
    """A batch's padded bytes, where its runs are, and the skeleton of every line.

    Attributes:
        runs: bool, one a byte: whether it is a digit, or within an id.
        sought: Whether ids were looked for.
        ids: Whether there are any.
    """

    data: NDArray[np.uint8]
    runs: NDArray[np.bool_]
    names: list[bytes]
    sought: bool = False
    ids: bool = False

    @staticmethod
    def of(batch: LineBatch, *, seek: bool = False) -> "Scan":
        """The scan of a batch; `seek`: whether ids are looked for."""
        data = padded(batch.data)
        runs = digit_flags(data)
        found = find_ids(data, runs) if seek else []
        for ids in found:
            ids.flag(runs)
        return Scan(data, runs, skeletons(data, runs, found), seek, bool(found))

    def run_count(self, row: int) -> int:
        """How many runs a line has."""
        name = self.names[row]
        return name.count(b"0") + (sum(map(name.count, _NO_TEXT[1:])) if self.ids else 0)

    def has_ids(self, row: int) -> bool:
        """Whether a line that may be looked up holds ids."""
        return self.ids and any(mark in self.names[row] for mark in _NO_TEXT[1:])

    def unsure(self, batch: LineBatch, max_line_bytes: int) -> list[int]:
        """Rows that must not be looked up: their skeleton is not the whole line, or too long to be kept."""
        found: list[int] = []
        length = np.diff(batch.ends, prepend=-1) - 1
        if len(length) and length.max() > max_line_bytes:
            found += np.flatnonzero(length > max_line_bytes).tolist()
        for byte in _NO_TEXT:
            if byte in batch.data:
                found += np.searchsorted(batch.ends, np.flatnonzero(self.data == byte[0]) - PAD).tolist()
        return found


class IdWatch:
    """Decides whether ids are looked for: after a batch with many lines of new skeletons, until none is found.

    It changes the speed of reading, never the result.
    """

    def __init__(self) -> None:
        self.on = False

    def saw(self, scan: Scan, missed: int) -> None:
        """Account for the number of lines of a scan that had to be read one by one."""
        self.on = scan.ids if scan.sought else missed * _MANY > len(scan.names)


_MANY = 16
"""Ids are looked for if more than one line in this many has a new skeleton: an ordinary stream has fewer."""
