"""Blocks of windows: what the detectors see at once, and the windows that wait until a block is full."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.drift.columns import Counts, TemplateColumns
from models.base import Windows

SAMPLE_SHARE = 10
"""One window of so many is sampled for the statistics that would cost too much for all of them."""

_CELLS = 1 << 22
"""Entries of the table of windows and templates that is made at once, in bytes."""


@dataclass(frozen=True, slots=True)
class Blocks:
    """Whole blocks of complete windows.

    Attributes:
        columns: int64 (total,): column of each line's template, one window after the other.
        lengths: int64 (m * n,): lines of each window, at least 1.
        scores: float32 (m, n).
        time_ns: int64 (m, n): event time of each window's last line.
    """

    columns: Counts
    lengths: NDArray[np.int64]
    scores: NDArray[np.float32]
    time_ns: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.scores)

    def part(self, start: int, stop: int) -> "Blocks":
        """The blocks from `start` up to `stop`."""
        width = self.scores.shape[1]
        ends = np.concatenate([[0], np.cumsum(self.lengths)])
        lines = slice(ends[start * width], ends[min(stop, len(self)) * width])
        windows = slice(start * width, stop * width)
        return Blocks(self.columns[lines], self.lengths[windows], self.scores[start:stop], self.time_ns[start:stop])

    def counts(self, columns: int) -> Counts:
        """int64 (m, columns): windows of each block that hold each template.

        Windows, not lines: one session that repeats a line a hundred times says less than a hundred sessions.
        """
        width = self.scores.shape[1]
        step = max(1, _CELLS // (width * columns))
        return np.concatenate([self.part(i, i + step)._counts(columns) for i in range(0, len(self), step)])

    def _counts(self, columns: int) -> Counts:
        holds = np.zeros(len(self.lengths) * columns, np.uint8)
        holds[np.repeat(np.arange(len(self.lengths)) * columns, self.lengths) + self.columns] = 1
        # Sums of small numbers stay in small numbers: four times as fast.
        small = np.uint8 if self.scores.shape[1] < 256 else np.uint32
        found: Counts = holds.reshape(len(self), -1, columns).sum(1, dtype=small).astype(np.int64)
        return found

    def share_with(self, chosen: NDArray[np.bool_]) -> NDArray[np.float64]:
        """float64 (m,): share of windows with a line of a chosen column (k,)."""
        hit = chosen[self.columns]
        if not hit.any():
            return np.zeros(len(self))
        starts = np.cumsum(self.lengths) - self.lengths
        found: NDArray[np.float64] = np.logical_or.reduceat(hit, starts).reshape(len(self), -1).mean(1)
        return found

    def sampled(self) -> NDArray[np.int64]:
        """int64 (m * s,): indexes of evenly spaced windows, equally many of each block."""
        width = self.scores.shape[1]
        inside = np.arange(0, width, SAMPLE_SHARE)
        found: NDArray[np.int64] = (np.arange(len(self))[:, None] * width + inside).ravel()
        return found

    def lines_of(self, windows: NDArray[np.int64]) -> tuple[Counts, NDArray[np.int64]]:
        """Columns of the lines of some windows, one after the other, and the lines of each."""
        lengths = self.lengths[windows]
        starts = (np.cumsum(self.lengths) - self.lengths)[windows]
        inside = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        return self.columns[np.repeat(starts, lengths) + inside], lengths


_Part = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32], NDArray[np.int64]]


class Pending:
    """Complete windows that wait for their block to be full; what is told does not depend on how they came."""

    def __init__(self, block_windows: int, state: dict[str, Any] | None = None) -> None:
        """Starts empty, or from what `snapshot` gave."""
        self._width = block_windows
        self._parts: list[_Part] = []
        if state is not None:
            ids, lengths, times = (np.frombuffer(state[name], np.int64) for name in ("ids", "lengths", "time_ns"))
            self._parts = [(ids, lengths, np.frombuffer(state["scores"], np.float32), times)]
        self._count = sum(len(part[1]) for part in self._parts)

    def add(self, windows: Windows, scores: NDArray[np.float32], time_ns: NDArray[np.int64]) -> None:
        """Takes the complete windows; growth steps would count their session's lines again and again."""
        lengths = windows.lengths()
        chosen = windows.closed & (lengths > 0)
        if chosen.all():
            self._parts.append((windows.ids[windows.offsets[0] : windows.offsets[-1]], lengths, scores, time_ns))
        elif chosen.any():
            taken = windows.take(np.flatnonzero(chosen))
            self._parts.append((taken.ids, lengths[chosen], scores[chosen], time_ns[chosen]))
        self._count += int(chosen.sum())

    def full(self, columns: TemplateColumns) -> Blocks | None:
        """The full blocks, which are no longer pending; None where there is none."""
        whole = self._count // self._width
        if not whole:
            return None
        ids, lengths, scores, time_ns = self._joined()
        windows = whole * self._width
        lines = int(lengths[:windows].sum())
        self._parts = [(ids[lines:], lengths[windows:], scores[windows:], time_ns[windows:])]
        self._count -= windows
        shape = (whole, self._width)
        return Blocks(
            columns.of(ids[:lines]), lengths[:windows],
            scores[:windows].reshape(shape), time_ns[:windows].reshape(shape),
        )  # fmt: skip

    def _joined(self) -> _Part:
        """What waits, in one part."""
        if not self._parts:
            none = np.zeros(0, np.int64)
            self._parts = [(none, none, np.zeros(0, np.float32), none)]
        if len(self._parts) > 1:
            ids = np.concatenate([part[0] for part in self._parts])
            lengths = np.concatenate([part[1] for part in self._parts])
            scores = np.concatenate([part[2] for part in self._parts])
            self._parts = [(ids, lengths, scores, np.concatenate([part[3] for part in self._parts]))]
        return self._parts[0]

    def template_ids(self) -> NDArray[np.int64]:
        """Ids of all templates in the windows that wait, each once."""
        return np.unique(self._joined()[0])

    def snapshot(self) -> dict[str, Any]:
        """The waiting windows as plain data."""
        ids, lengths, scores, time_ns = self._joined()
        return {
            "ids": ids.tobytes(),
            "lengths": lengths.tobytes(),
            "scores": scores.tobytes(),
            "time_ns": time_ns.tobytes(),
        }
