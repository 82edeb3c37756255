"""Messages of text: one line each, or several separated by line ends."""

import ctypes
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from connectors.base import RAW_BYTES, DeadLetter
from connectors.packed.compile_loops import compile_loops
from connectors.packed.gather import gather_lines
from connectors.packed.positions import LINE_BITS


@dataclass(frozen=True, slots=True)
class Unpacked:
    r"""Lines out of messages: `data`, `ends` and `positions` as in `LineBatch`, and what could not be read."""

    data: bytes
    ends: NDArray[np.int64]
    positions: NDArray[np.int64]
    rejects: tuple[DeadLetter, ...] = ()


class LineRoom:
    """Arrays that loops write to, kept from one batch to the next and enlarged when they are too small.

    Attributes:
        data: uint8: the lines.
        ends, positions: int64, one entry a line.
    """

    def __init__(self) -> None:
        self.data = np.zeros(0, np.uint8)
        self.ends = self.positions = np.zeros(1024, np.int64)
        self.more_lines()

    def bytes(self, size: int) -> None:
        """Makes room for so many bytes."""
        if len(self.data) < size:
            self.data = np.empty(size * 3 // 2, np.uint8)

    def more_lines(self) -> None:
        """Makes room for twice as many lines."""
        size = 2 * len(self.ends)
        self.ends, self.positions = np.zeros(size, np.int64), np.zeros(size, np.int64)


class TextMessages:
    """Reads messages of one partition, which is called `name` in dead letters."""

    def __init__(self, name: str) -> None:
        compile_loops()
        self._name = name
        self._room = LineRoom()

    def unpack(self, addresses: NDArray[np.int64], sizes: NDArray[np.int64], offsets: NDArray[np.int64]) -> Unpacked:
        """The lines of messages; see `connectors.packed.gather.gather_lines`."""
        room, totals = self._room, np.zeros(2, np.int64)
        cut = np.zeros(len(sizes), np.int64)
        room.bytes(int(sizes.sum()) + len(sizes))
        while True:
            lines = gather_lines(
                addresses, sizes, offsets, room.data, room.data.ctypes.data, room.ends, room.positions, cut,
                totals,
            )  # fmt: skip
            if lines >= 0:
                break
            room.more_lines()
        data, ends = room.data[: totals[0]].tobytes(), room.ends[:lines].copy()
        letters = []
        if totals[1]:
            for row in np.flatnonzero(cut >= 0):
                size = int(sizes[row] - cut[row])
                raw = ctypes.string_at(int(addresses[row] + cut[row]), size)
                letters.append(self._letter(int(offsets[row]), raw))
        return Unpacked(data, ends, room.positions[:lines].copy(), tuple(letters))

    def _letter(self, offset: int, rest: bytes) -> DeadLetter:
        place = f"{self._name}/{offset}#{1 << LINE_BITS}"
        rest = rest.removesuffix(b"\n")
        return DeadLetter(place, f"more than {1 << LINE_BITS} lines in one message", rest[:RAW_BYTES], len(rest))
