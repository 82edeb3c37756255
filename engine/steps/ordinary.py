"""Ordinary templates: those that normal windows of a stream have shown, and since when.

An anomalous window is mostly ordinary lines. To see what is new in it, the decider remembers which
templates occurred in windows below the threshold, and at which place in the stream each did so first.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.records import WindowBatch

MAX_TEMPLATES = 20_000
"""Templates remembered; they are part of every snapshot."""

ALL_UNTIL = 1_000
"""Windows that are all looked at in the beginning."""

SAMPLE = 16
"""Afterwards one window in this many is: an ordinary template is in many of them, and the look costs time."""

_MIX = np.uint64(0x9E3779B97F4A7C15)  # Knuth's multiplicative hash


class OrdinaryTemplates:
    """Template -> number of the first normal window that showed it.

    The answers depend on the windows and their order alone, not on how they were batched.
    """

    def __init__(self, limit: int) -> None:
        """Create an empty table.

        Args:
            limit: Templates remembered; those learned first are forgotten first.
        """
        self._limit = min(limit, MAX_TEMPLATES)
        self._first: dict[int, int] = {}
        self._seen = 0
        self._batch = 0

    def add(self, batch: WindowBatch, normal: NDArray[np.bool_]) -> None:
        """Learn from the normal windows of a batch, bool (n,), before its windows are asked about."""
        self._batch = len(batch)
        index = np.flatnonzero(normal & self._is_sampled(batch))
        if not len(index):
            return
        windows = batch.windows.take(index)
        numbers = np.repeat(index + self._seen, windows.lengths())
        ids, first = np.unique(windows.ids, return_index=True)
        if len(self._first) + len(ids) > self._limit:
            first = np.arange(len(windows.ids))  # what is forgotten in between may be learned again
        order = np.sort(first)
        for template, number in zip(windows.ids[order].tolist(), numbers[order].tolist(), strict=True):
            self._first.setdefault(template, number)
            if len(self._first) > self._limit:
                del self._first[next(iter(self._first))]

    def close(self) -> None:
        """End the batch: later windows have higher numbers."""
        self._seen += self._batch
        self._batch = 0

    def number(self, i: int) -> int:
        """Number in the stream of window `i` of the open batch."""
        return self._seen + i

    def before(self, template: int, number: int) -> bool:
        """Whether a normal window before the one with this number showed the template."""
        return self._first.get(template, number) < number

    def snapshot(self) -> list[Any]:
        """The state as plain data."""
        return [self._seen, list(self._first), list(self._first.values())]

    def restore(self, state: list[Any] | None) -> None:
        """Continue from a snapshot; from nothing if absent."""
        if state is not None:
            self._seen, templates, numbers = state
            self._first = dict(zip(templates, numbers, strict=True))

    def _is_sampled(self, batch: WindowBatch) -> NDArray[np.bool_]:
        early: NDArray[np.bool_] = np.arange(len(batch)) + self._seen < ALL_UNTIL
        hashed = (batch.first.view(np.uint64) ^ batch.session.view(np.uint64)) * _MIX
        chosen: NDArray[np.bool_] = (hashed >> np.uint64(32)) % np.uint64(SAMPLE) == 0
        return early | chosen
