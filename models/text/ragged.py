"""Ragged windows as arrays: content keys, duplicates, markers, rectangles for the networks."""

import secrets
from collections.abc import Hashable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.base import Windows
from models.text.embeddings import BEGIN, END, PADDING

_RANDOM = np.random.default_rng(secrets.randbits(128))
_CLOSED, _LENGTH = (_RANDOM.integers(0, 2**64, 2, np.uint64) for _ in range(2))


class _Multipliers:
    """Random 64-bit numbers by position, two to a position; made once a process, longer when needed."""

    def __init__(self) -> None:
        self.values = _RANDOM.integers(0, 2**64, (2, 1024), np.uint64)

    def upto(self, length: int) -> NDArray[np.uint64]:
        if length > self.values.shape[1]:
            more = _RANDOM.integers(0, 2**64, (2, 2 * length - self.values.shape[1]), np.uint64)
            self.values = np.concatenate([self.values, more], axis=1)
        return self.values


_multipliers = _Multipliers()


def content_keys(windows: Windows) -> list[bytes]:
    """16 bytes for each window, equal for equal content and `closed` flag; valid in this process only.

    Two multilinear hashes modulo 2^64, sum of id times a random number of its position, with
    numbers that no sender of logs can guess. Two different windows share one hash with probability
    2^(z-64), z being the zero bits at the end of the difference of their ids (ids are hashes
    themselves, so z is small), and both hashes with its square: near 2^-128. Windows with equal
    keys are therefore taken as equal without comparing them.
    """
    lengths = windows.lengths()
    if not len(lengths):
        return []
    numbers = _multipliers.upto(int(lengths.max()))
    ids = windows.ids.view(np.uint64)
    position = np.arange(len(ids)) - np.repeat(windows.offsets[:-1] - windows.offsets[0], lengths)
    keys = np.empty((len(lengths), 2), np.uint64)
    for half in range(2):
        # Differences of a running sum that wraps around are exact modulo 2^64, and need no care for empty windows.
        total = np.zeros(len(ids) + 1, np.uint64)
        np.cumsum(ids * numbers[half][position], out=total[1:])
        keys[:, half] = total[windows.offsets[1:]] - total[windows.offsets[:-1]]
        keys[:, half] += lengths.view(np.uint64) * _LENGTH[half] + windows.closed * _CLOSED[half]
    packed: list[bytes] = keys.view("V16").ravel().tolist()
    return packed


def distinct(keys: Sequence[Hashable]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Which entries are the first of their kind, and for every entry which of those it equals.

    Returns:
        int64 (m,), ascending: index of the first of each kind; int64 (n,): index into it.
    """
    first: dict[Hashable, int] = {}
    inverse = np.fromiter((first.setdefault(k, len(first)) for k in keys), np.int64, len(keys))
    index = np.zeros(len(first), np.int64)
    index[inverse[::-1]] = np.arange(len(keys) - 1, -1, -1)
    return index, inverse


def marked(windows: Windows, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Table rows with a begin marker before each window and an end marker behind each closed one.

    The markers make a missing beginning or ending visible to a network that sees only a few lines
    at a time. A window that is still growing has no end yet, so it gets no end marker.

    Args:
        windows: Give the shape.
        rows: int64 (total,): table row of each entry of `windows.ids`.

    Returns:
        int64 tokens of all windows one after the other, and their offsets (n + 1,).
    """
    lengths = windows.lengths()
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths + 1 + windows.closed, out=offsets[1:])
    tokens = np.full(offsets[-1], END, np.int64)
    tokens[offsets[:-1]] = BEGIN
    tokens[np.arange(len(rows)) + np.repeat(offsets[:-1] + 1 - windows.offsets[:-1], lengths)] = rows
    return tokens, offsets


_WASTE = 0.25
"""Padding that is worth one rectangle more, as a part of its shortest row."""


def rectangles(lengths: NDArray[np.int64], budget: int) -> Iterator[NDArray[np.int64]]:
    """Indexes of windows that go well into one rectangle: by length, with little padding.

    A rectangle holds at most `budget` tokens (one window where it alone is longer), and its longest
    row is at most (1 + `_WASTE`) times its shortest plus 2.
    """
    order = np.argsort(lengths, kind="stable")
    ascending = lengths[order]
    start = 0
    while start < len(order):
        widest = int(ascending[start] * (1 + _WASTE)) + 2
        stop = int(np.searchsorted(ascending, widest, "right"))
        # The rectangle is as wide as its last row, so the row count is checked against the actual width.
        width = max(1, int(ascending[stop - 1]))
        stop = min(stop, start + max(1, budget // width))
        yield order[start:stop]
        start = stop


def padded(
    tokens: NDArray[np.int64], offsets: NDArray[np.int64], index: NDArray[np.integer[Any]], width: int = 0
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The windows at `index` as a rectangle (B, T), `PADDING` behind each, and their lengths (B,).

    T is the longest of them, or `width` where that is more.
    """
    lengths = offsets[index + 1] - offsets[index]
    columns = np.arange(max(width, int(lengths.max(initial=0))))
    inside = columns < lengths[:, None]  # (B, T)
    at = np.where(inside, offsets[index][:, None] + columns, 0)
    return np.where(inside, tokens[at], PADDING), lengths
