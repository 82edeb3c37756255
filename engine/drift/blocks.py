"""Blocks of windows: what the detectors see at once, and the windows that wait until a block is full."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.drift.template_counts import Columns, Counts, TemplateColumns
from models.base import Windows

SAMPLE_SHARE = 10
"""One window of this many is sampled for the statistics that would cost too much for all of them."""

_CELLS = 1 << 22
"""Bytes of the largest table of windows and templates that is made at once."""


@dataclass(frozen=True, slots=True)
class Blocks:
    """Whole blocks of complete windows.

    Attributes:
        columns: int16 (total,): column of each line's template, one window after the other.
        ends: int64 (m * n + 1,): where the lines of each window begin, and where the last ones end.
        scores: float32 (m, n): finite.
        time_ns: int64 (m, n): event time of each window's last line.
        counts: int64 (m, k): windows of each block that hold each of the k templates known so far. Windows, not
            lines: one session that repeats a line a hundred times is weaker evidence than a hundred sessions.
        threshold: Score from which the model in service calls a window anomalous.
    """

    columns: Columns
    ends: NDArray[np.int64]
    scores: NDArray[np.float32]
    time_ns: NDArray[np.int64]
    counts: Counts
    threshold: float

    def __len__(self) -> int:
        return len(self.scores)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """int64 (m * n,): lines of each window, at least 1."""
        return np.diff(self.ends)

    def part(self, start: int, stop: int) -> "Blocks":
        """The blocks from `start` up to `stop`."""
        if start == 0 and stop >= len(self):
            return self
        width = self.scores.shape[1]
        ends = self.ends[start * width : stop * width + 1]
        rows = slice(start, stop)
        return Blocks(
            self.columns[ends[0] : ends[-1]], ends - ends[0], self.scores[rows], self.time_ns[rows],
            self.counts[rows], self.threshold,
        )  # fmt: skip

    def shares(self) -> NDArray[np.float64]:
        """float64 (m, k): share of each block's windows that hold each template."""
        found: NDArray[np.float64] = self.counts / self.scores.shape[1]
        return found

    def share_with(self, chosen: NDArray[np.bool_]) -> NDArray[np.float64]:
        """float64 (m,): share of windows with a line of a chosen column (k,)."""
        hit = chosen[self.columns]
        if not hit.any():
            return np.zeros(len(self))
        found: NDArray[np.float64] = np.logical_or.reduceat(hit, self.ends[:-1]).reshape(len(self), -1).mean(1)
        return found

    def sampled(self) -> NDArray[np.int64]:
        """int64 (m * s,): indexes of evenly spaced windows, equally many of each block."""
        width = self.scores.shape[1]
        inside = np.arange(0, width, SAMPLE_SHARE)
        found: NDArray[np.int64] = (np.arange(len(self))[:, None] * width + inside).ravel()
        return found

    def lines_of(self, windows: NDArray[np.int64]) -> tuple[Columns, NDArray[np.int64]]:
        """Columns of the lines of some windows, one after the other, and the lines of each."""
        starts = self.ends[windows]
        lengths = self.ends[windows + 1] - starts
        inside = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        return self.columns[np.repeat(starts, lengths) + inside], lengths


_Part = tuple[Columns, NDArray[np.int64], NDArray[np.float32], NDArray[np.int64]]
_DTYPES = {"columns": np.int16, "lengths": np.int64, "scores": np.float32, "time_ns": np.int64}


def _counts(columns: Columns, ends: NDArray[np.int64], width: int, known: int) -> Counts:
    """int64 (m, known): windows of each block of `width` windows that hold each column."""
    step = max(1, _CELLS // (width * known)) * width
    parts = [
        _count_part(columns[ends[i] : ends[min(i + step, len(ends) - 1)]], ends[i : i + step + 1], width, known)
        for i in range(0, len(ends) - 1, step)
    ]
    return np.concatenate(parts)


def _count_part(columns: Columns, ends: NDArray[np.int64], width: int, known: int) -> Counts:
    windows = len(ends) - 1
    holds = np.zeros(windows * known, np.uint8)
    holds[np.repeat(np.arange(windows) * known, np.diff(ends)) + columns] = 1
    # Sums of small numbers stay in small numbers: four times as fast.
    small = np.uint8 if width < 256 else np.uint32
    found: Counts = holds.reshape(windows // width, -1, known).sum(1, dtype=small).astype(np.int64)
    return found


class Pending:
    """Complete windows that wait until their block is full, so that nothing depends on the batches they came in."""

    def __init__(self, block_windows: int, columns: TemplateColumns, state: Mapping[str, bytes] | None = None) -> None:
        """Starts empty, or from what `state` returned; `columns` numbers the templates as they come."""
        self._width = block_windows
        self._columns = columns
        kept = [np.frombuffer(state[name] if state else b"", dtype) for name, dtype in _DTYPES.items()]
        self._parts: list[_Part] = [(kept[0], kept[1], kept[2], kept[3])]
        self._count = len(kept[1])

    def add(self, windows: Windows, scores: NDArray[np.float32], time_ns: NDArray[np.int64], threshold: float) -> None:
        """Adds the complete windows; growth steps would count their session's lines again and again.

        A score that is not finite counts as one at the threshold: a single NaN would stay in every later mean.
        """
        lengths = windows.lengths()
        chosen = windows.closed & (lengths > 0)
        if not chosen.all():
            windows, lengths = windows.take(np.flatnonzero(chosen)), lengths[chosen]
            scores, time_ns = scores[chosen], time_ns[chosen]
        if not np.isfinite(scores).all():
            scores = np.where(np.isfinite(scores), scores, np.float32(threshold))
        if len(lengths):
            columns = self._columns.of(windows.ids[windows.offsets[0] : windows.offsets[-1]]).astype(np.int16)
            self._parts.append((columns, lengths, scores, time_ns))
            self._count += len(lengths)

    def __len__(self) -> int:
        """Windows that wait."""
        return self._count

    def full(self, threshold: float) -> Blocks | None:
        """The full blocks, which are no longer pending; None if no block is full."""
        whole = self._count // self._width
        if not whole:
            return None
        columns, lengths, scores, time_ns = self._joined()
        windows = whole * self._width
        ends = np.concatenate([[0], np.cumsum(lengths[:windows])])
        self._parts = [(columns[ends[-1] :], lengths[windows:], scores[windows:], time_ns[windows:])]
        self._count -= windows
        shape = (whole, self._width)
        return Blocks(
            columns[: ends[-1]], ends, scores[:windows].reshape(shape), time_ns[:windows].reshape(shape),
            _counts(columns[: ends[-1]], ends, self._width, len(self._columns)), threshold,
        )  # fmt: skip

    def _joined(self) -> _Part:
        """The waiting windows in one part."""
        if len(self._parts) > 1:
            columns = np.concatenate([part[0] for part in self._parts])
            lengths = np.concatenate([part[1] for part in self._parts])
            scores = np.concatenate([part[2] for part in self._parts])
            self._parts = [(columns, lengths, scores, np.concatenate([part[3] for part in self._parts]))]
        return self._parts[0]

    def state(self) -> dict[str, bytes]:
        """The waiting windows as plain data."""
        columns, lengths, scores, time_ns = (part.tobytes() for part in self._joined())  # in the order of `_DTYPES`
        return {"columns": columns, "lengths": lengths, "scores": scores, "time_ns": time_ns}
