"""Lines that took the worker down: found alone, and rejected instead of parsed.

1. Before lines are parsed, their range is written to a file. A crash leaves it there.
2. At the next start, the lines of that range are suspects. Each is parsed alone, with its own range in the file.
3. A line that was left there alone `STRIKES` times is not parsed again. It becomes a dead letter.

A kill from outside leaves a range as well. It slows the next start down, but rejects no line: it would have to hit the
same line alone twice.
"""

import json
import mmap
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from connectors.base import LineBatch
from foundation import durable

STRIKES = 2
"""How often a line takes the worker down, parsed alone, until it is rejected."""

MAX_RANGES = 100
"""Suspect ranges that are kept, the newest ones."""

_SLOT_BYTES = 8192
"""Room for one range: the partition can be a path of 4,096 bytes."""


@dataclass(frozen=True, slots=True)
class LineRange:
    """Lines of one partition, by their first and last position, and how often they were left behind.

    Attributes:
        partition: See `LineBatch`.
        first: Position of the first line.
        last: Position of the last line.
        strikes: Crashes in which this range was being parsed.
    """

    partition: str
    first: int
    last: int
    strikes: int = 1


class Suspects:
    """The lines at work in this process, and those that earlier processes left behind."""

    def __init__(self, folder: Path) -> None:
        """Read what the last process left in `folder`, which belongs to this worker alone.

        Raises:
            OSError: the folder cannot be written.
        """
        self._path = folder / "suspects.json"
        self._ranges = self._load()
        slot = folder / "at-work"
        with slot.open("a+b") as file:
            file.truncate(_SLOT_BYTES)
            self._slot = mmap.mmap(file.fileno(), _SLOT_BYTES)
        left = self._left_behind()
        if left is not None:
            self._strike(left)
        self.end()

    def begin(self, batch: LineBatch) -> None:
        """Write down that these lines are parsed now."""
        if not len(batch):
            return
        place = json.dumps([batch.partition, int(batch.positions[0]), int(batch.positions[-1])]).encode()
        if len(place) < _SLOT_BYTES:
            self._slot[: len(place) + 1] = place + b"\0"

    def end(self) -> None:
        """Write down that no lines are parsed now."""
        self._slot[0] = 0

    def parts(self, batch: LineBatch) -> Iterator[tuple[LineBatch, bool]]:
        """Yield the batch, or its parts with each suspect alone, and for each part whether it is to be rejected."""
        if not self._ranges or not len(batch):
            yield batch, False
            return
        alone, rejected = self._marks(batch)
        if not alone.any():
            yield batch, False
            return
        cuts = np.flatnonzero(alone | np.concatenate(([False], alone[:-1])) | (np.arange(len(batch)) == 0))
        for start, stop in zip(cuts, [*cuts[1:], len(batch)], strict=True):
            yield batch.lines(int(start), int(stop)), bool(rejected[start])
        self._forgive(batch)

    def _marks(self, batch: LineBatch) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        alone, rejected = np.zeros(len(batch), bool), np.zeros(len(batch), bool)
        for found in self._ranges:
            if found.partition == batch.partition:
                rows = (batch.positions >= found.first) & (batch.positions <= found.last)
                alone |= rows
                if found.first == found.last and found.strikes >= STRIKES:
                    rejected |= rows
        return alone, rejected

    def _forgive(self, batch: LineBatch) -> None:
        """Drop the ranges of several lines that were parsed without a crash; single lines stay."""
        last = int(batch.positions[-1])
        kept = [r for r in self._ranges if r.partition != batch.partition or r.first == r.last or r.last > last]
        if len(kept) != len(self._ranges):
            self._ranges = kept
            self._save()

    def _strike(self, left: LineRange) -> None:
        for i, known in enumerate(self._ranges):
            if replace(known, strikes=1) == left:
                self._ranges[i] = replace(known, strikes=known.strikes + 1)
                break
        else:
            self._ranges = [*self._ranges, left][-MAX_RANGES:]
        self._save()

    def _left_behind(self) -> LineRange | None:
        text, _, _ = self._slot[:].partition(b"\0")
        try:
            partition, first, last = json.loads(text)
        except ValueError:  # nothing, or cut by the crash
            return None
        return LineRange(str(partition), int(first), int(last))

    def _load(self) -> list[LineRange]:
        try:
            return [LineRange(*row) for row in json.loads(self._path.read_bytes())]
        except (FileNotFoundError, ValueError, TypeError):  # a damaged file costs the marks, not the start
            return []

    def _save(self) -> None:
        rows = [[r.partition, r.first, r.last, r.strikes] for r in self._ranges]
        durable.write(self._path, json.dumps(rows).encode())
