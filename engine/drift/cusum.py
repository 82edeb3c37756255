"""Page's cumulative sums: how much each series has left its usual range, added up over the blocks.

Page, "Continuous inspection schemes", 1954. A short burst adds little, a lasting change adds without end, and
the change began where its sum was last zero. The range is that of the reference (`engine.drift.reference`) and
of the same hour of earlier days (`engine.drift.rhythm`).
"""

from collections.abc import Sequence
from dataclasses import astuple
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.drift.base import ReferenceProgress
from engine.drift.reference import Delta, Floats, Limits, Reference
from engine.drift.rhythm import HOUR_NS, Rhythm
from engine.drift.settings import Growth

_MOST_QUEUED = 120
"""Blocks that wait to join the reference at most: an episode that ends within this many is part of what is usual."""

_MOST_LIMITS = 1.5
"""Limits to which a sum grows at most, so that it is soon below its limit when a change is over."""
_WITH = 0.4
"""Share of its limit that a sum has to reach, to belong to a change that another one made certain."""
_ADOPTED = 3.0
"""A change that has lasted this many times as long as a young reference is adopted as the reference."""
_YOUNG_BLOCKS = 40
"""Blocks from which a reference is not young any more."""


class Cusum:
    """The sums of k series; k grows as templates appear."""

    def __init__(self, delta: Delta, windows: int | None, growth: Growth) -> None:
        """Starts without a reference; for `delta` and `windows` see `Reference`."""
        self._growth = growth
        self.reference = Reference(delta, windows)
        self.rhythm = Rhythm()
        self.sums: Floats = np.zeros((2, 0))
        self.since: Floats = np.zeros((2, 0))  # blocks since a sum was last zero
        self.added: Floats = np.zeros((2, 0))  # sum of the values in these blocks
        self.start_ns = self.now_ns = 0
        self.queue: list[Floats] = []  # blocks that wait to join the reference, oldest first
        self.due = 0  # blocks of the reference at which limits are found again
        self.limits: Limits | None = None
        self._new: Limits | None = None  # of a series that appears
        self._low = self._high = np.zeros(0)

    @property
    def progress(self) -> ReferenceProgress:
        """Blocks of the reference so far, and how many a first verdict needs."""
        return ReferenceProgress(self.reference.blocks, self._growth.first_blocks)

    @property
    def usual(self) -> Floats:
        """float64 (k,): the value of each series that is usual at this hour."""
        if self.limits is None:
            return self.reference.total / self.reference.blocks
        low, high = self._low + self.limits.slack[1], self._high - self.limits.slack[0]
        return np.clip(self.limits.mean, low, np.maximum(low, high))

    @property
    def growing(self) -> bool:
        """Whether calm blocks still join the reference."""
        young = (self.now_ns - self.start_ns) / 3.6e12 < self._growth.hours
        return self.reference.blocks < self._growth.blocks or young

    def add(self, row: Floats, time_ns: int) -> NDArray[np.bool_]:
        """Adds a block's values (k,); returns which series have changed, bool (2, k): upwards, downwards."""
        self.start_ns = self.start_ns or time_ns
        self.now_ns = time_ns
        if not self.progress.ready:
            self.reference.add(row[None])
            self.rhythm.add(row, time_ns, calm=True, mean=row[:0], noise=row[:0])
            return np.zeros((2, len(row)), bool)
        limits = self._limits_now(row, time_ns)
        self.sums[0] += np.minimum(row - self._high, limits.most[0])
        self.sums[1] += np.minimum(self._low - row, limits.most[1])
        np.clip(self.sums, 0, _MOST_LIMITS * limits.limit, out=self.sums)
        self.since += 1
        self.added += row
        rest = self.sums == 0
        self.since[rest] = 0
        self.added[rest] = 0
        self.queue = [*self.queue, row][-_MOST_QUEUED:]
        found: NDArray[np.bool_] = self.sums >= limits.limit
        return found

    def skip(self, rows: Floats, times_ns: NDArray[np.int64]) -> int:
        """Adds leading blocks (m, k) in which nothing changes and no limit, all at once; returns how many.

        The same as `add` and `grow` for each of them, at a small part of the cost. 0 where the next block needs them.
        """
        limits, m = self.limits, self._plain_blocks(rows, times_ns)
        if limits is None or m == 0:
            return 0
        rows = rows[:m]
        up, down = (
            np.minimum(off, most) for off, most in zip((rows - self._high, self._low - rows), limits.most, strict=True)
        )
        path = self.sums[:, None] + np.cumsum([up, down], axis=1)  # (2, m, k): sums that are never cut at zero
        lowest = np.minimum(np.minimum.accumulate(path, axis=1), 0)
        sums = path - lowest
        high = (sums >= limits.limit[:, None]).any((0, 2))
        if high.any():
            m = int(high.argmax())
            rows, sums = rows[:m], sums[:, :m]
        if m:
            self._pass(rows, sums, int(times_ns[m - 1]))
        return m

    def _plain_blocks(self, rows: Floats, times_ns: NDArray[np.int64]) -> int:
        """Leading blocks of an hour, all with the limits and the series of the block before."""
        growth, reference = self._growth, self.reference
        if self.limits is None or rows.shape[1] != len(self.limits.mean) or (self.sums >= self.limits.limit).any():
            return 0
        m = int((times_ns // HOUR_NS == self.rhythm.hour).argmin()) if len(rows) else 0
        if len(rows) and m == 0 and times_ns[0] // HOUR_NS == self.rhythm.hour:
            m = len(rows)
        if not self.growing:
            return m
        # Up to the block that makes the reference complete, or long enough for new limits.
        full = growth.blocks if reference.blocks < growth.blocks else reference.blocks + m
        bound = min(full, self.due) - reference.blocks
        old = (times_ns[:m] - self.start_ns) / 3.6e12 >= growth.hours
        young = int(old.argmax()) if old.any() else m
        return max(0, min(m, young, bound + growth.delay_blocks - len(self.queue)))

    def _pass(self, rows: Floats, sums: Floats, time_ns: int) -> None:
        """Takes calm blocks (m, k) with their sums (2, m, k)."""
        m = len(rows)
        self.now_ns = time_ns
        self.rhythm.add_all(rows)
        backwards = (sums == 0)[:, ::-1]
        never = ~backwards.any(1)
        since = np.where(never, m, backwards.argmax(1))
        total = np.concatenate([np.zeros((1, rows.shape[1])), np.cumsum(rows[::-1], axis=0)])
        added = np.take_along_axis(total, since.astype(np.int64), 0)
        self.since = np.where(never, self.since + m, since)
        self.added = np.where(never, self.added + added, added)
        self.sums = sums[:, -1].copy()
        self.queue = [*self.queue, *rows]
        self.grow()

    def current(self, row: Floats) -> Floats:
        """float64 (2, k): mean of each series since its change began; its value in `row` where nothing changes."""
        found: Floats = np.where(self.since > 0, self.added / np.maximum(self.since, 1), row)
        return found

    def together(self, changed: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Bool (2, k): what has changed, and what is on its way and began in the same block, or next to it."""
        since = np.unique(self.since[changed])
        near = np.isin(self.since, np.concatenate([since - 1, since, since + 1]))
        found: NDArray[np.bool_] = changed | (near & (self.sums >= _WITH * self._bounds()))
        return found

    def _limits_now(self, row: Floats, time_ns: int) -> Limits:
        """The limits for a block with these values at this time."""
        k = len(row)
        if k > self.sums.shape[1]:
            more = ((0, 0), (0, k - self.sums.shape[1]))
            self.sums, self.since, self.added = (np.pad(a, more) for a in (self.sums, self.since, self.added))
        calm = self.limits is None or bool((self.sums[:, : len(self.limits.mean)] < self.limits.limit).all())
        usual, noise = (row[:0], row[:0]) if self.limits is None else (self.limits.mean, self.limits.noise)
        turned = self.rhythm.add(row, time_ns, calm=calm, mean=usual, noise=noise)
        if self.limits is None or self._new is None or self.reference.blocks >= self.due:
            self.due = self.reference.due
            self.limits, self._new = self.reference.limits()
            turned = True
        if k > len(self.limits.mean):
            self.limits = self.limits.widened(self._new, k)
            turned = True
        if turned:
            low, high = self.rhythm.range(k, self.limits.mean)
            self._low, self._high = low - self.limits.slack[1], high + self.limits.slack[0]
        return self.limits

    def blind(self, reach: float, ways: int = 2) -> bool:
        """Whether no value from 0 to `reach` that stays for long could bring a sum to its limit.

        Args:
            reach: The largest value that there is.
            ways: 1 to look upwards only.
        """
        if self.limits is None:
            return False
        room = np.stack([reach - self.limits.mean, self.limits.mean]) - self.limits.slack
        return bool((np.minimum(room, self.limits.most) * _MOST_QUEUED < self.limits.limit)[:ways].all())

    def grow(self, *, raised: bool = False) -> None:
        """Lets blocks that have waited long enough join the reference; called after each `add`.

        Args:
            raised: Whether the stream counts as changed; its blocks wait until it does not.
        """
        wait = self._growth.delay_blocks
        if raised:
            young = self.reference.blocks < _YOUNG_BLOCKS
            if young and self.since[self.sums >= self._bounds()].max(initial=0) >= _ADOPTED * self.reference.blocks:
                self.adopt(keep_rhythm=True)
            return
        joining, self.queue = self.queue[:-wait], self.queue[-wait:]
        if self.growing and joining:
            self.reference.add(_stacked(joining, self.sums.shape[1]))

    def adopt(self, *, keep_rhythm: bool = False) -> None:
        """Restart the reference with the blocks since the change: the changed stream is the new normal.

        Args:
            keep_rhythm: Whether the statistics by hour still count.
        """
        changed = self.sums >= self._bounds()
        blocks = int(self.since[changed].max(initial=self._growth.delay_blocks))
        k = self.sums.shape[1]
        self.reference = self.reference.fresh()
        self.rhythm = self.rhythm if keep_rhythm else Rhythm()
        self.reference.add(_stacked(self.queue[-blocks:], k))
        self.sums, self.since, self.added = (np.zeros((2, k)) for _ in range(3))
        self.queue, self.due, self.limits, self._new = [], 0, None, None
        self.start_ns = self.now_ns

    def _bounds(self) -> Floats:
        return np.full(self.sums.shape, np.inf) if self.limits is None else self.limits.limit

    def state(self) -> dict[str, Any]:
        """Plain data that nothing changes later."""
        return {
            **{name: getattr(self, name) for name in _PLAIN},
            **{name: getattr(self, name).copy() for name in _ARRAYS},
            "limits": None if self.limits is None else astuple(self.limits),
            "new": None if self._new is None else astuple(self._new),
            "queue": list(self.queue),
            "reference": self.reference.state(),
            "rhythm": self.rhythm.state(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continues from what `state` returned."""
        for name in _PLAIN:
            setattr(self, name, state[name])
        for name in _ARRAYS:
            setattr(self, name, state[name].copy())
        self.limits, self._new = (None if state[name] is None else Limits(*state[name]) for name in ("limits", "new"))
        self.queue = list(state["queue"])
        self.reference.restore(state["reference"])
        self.rhythm.restore(state["rhythm"])


def _stacked(rows: Sequence[Floats], k: int) -> Floats:
    """Rows (m, k), with zeros for the series that came later."""
    found = np.zeros((len(rows), k))
    for i, row in enumerate(rows):
        found[i, : len(row)] = row
    return found


_PLAIN = ("start_ns", "now_ns", "due")
_ARRAYS = ("sums", "since", "added", "_low", "_high")
