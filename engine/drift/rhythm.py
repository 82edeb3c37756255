"""The rhythm of a day: what series were at each hour of earlier days, so that a later day is compared with its like.

An hour's mean is accepted once it is half a day old and the stream is calm: a change that lasts is never
accepted, one that ended without a swap is part of the rhythm. Only the first week is learnt, weekend included: later
a slow drift would pass for a rhythm.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

HOUR_NS = 3_600 * 10**9
_DAY = 24
_LEARN_HOURS = 8 * _DAY
_AGE_HOURS = 12
_HELD_HOURS = 4 * _DAY
"""Hours that wait to be accepted at most: a long weekend and a day."""
_ERRORS = 2.0
"""Standard errors by which an hour has to differ from the usual to be a rhythm."""
_FOLLOW_BLOCKS = 50
"""Calm blocks of the hour before by which the range follows at once: enough for an abrupt change to show first."""


class Rhythm:
    """Lowest and highest hourly means of k series at each hour of the day."""

    kept = ("low", "high", "days", "hour", "first", "sum", "blocks", "before", "before_blocks", "held")

    def __init__(self) -> None:
        self.low: NDArray[np.float32] = np.full((_DAY, 0), np.inf, np.float32)
        self.high: NDArray[np.float32] = np.full((_DAY, 0), -np.inf, np.float32)
        self.days = np.zeros(_DAY, np.int64)  # accepted hours of each hour of the day
        self.hour = self.first = -1  # hours since the epoch
        self.sum: Floats = np.zeros(0)
        self.blocks = 0  # of this hour
        self.before: Floats = np.zeros(0)  # mean of the hour before
        self.before_blocks = 0
        self.held: list[tuple[int, NDArray[np.float32]]] = []  # hours that are not accepted yet

    def add(self, row: Floats, time_ns: int, *, calm: bool, mean: Floats, noise: Floats) -> bool:
        """Adds a block's values (k,); returns whether `range` has changed.

        Args:
            row: The values.
            time_ns: Event time of the block.
            calm: Whether no series counts as changed.
            mean: The usual values (k,) or fewer, of the series that came first.
            noise: Standard deviations of a block's values, as many.
        """
        hour = time_ns // HOUR_NS
        turned = hour != self.hour
        if turned:
            self._turn(hour, calm, mean, noise)
        if len(self.sum) < len(row):
            self.sum = np.pad(self.sum, (0, len(row) - len(self.sum)))
        self.sum = self.sum + row
        self.blocks += 1
        return turned

    def add_all(self, rows: Floats) -> None:
        """Adds further blocks (m, k) of this hour."""
        k = rows.shape[1]
        if len(self.sum) < k:
            self.sum = np.pad(self.sum, (0, k - len(self.sum)))
        self.sum = self.sum + rows.sum(0)
        self.blocks += len(rows)

    def range(self, k: int, mean: Floats) -> tuple[Floats, Floats]:
        """Lowest and highest values (k,) that are usual at this hour.

        Args:
            k: Series.
            mean: float64 (k,): their usual values at any hour. They count as usual at this one too, but for series
                that were at each hour of one day what they were at the same hour of another.
        """
        near = [(self.hour + step) % _DAY for step in (-1, 0, 1)]
        low, high = self.low[near].min(0), self.high[near].max(0)
        if self.before_blocks >= _FOLLOW_BLOCKS:
            n = len(self.before)
            low, high = _wider(low, n, np.inf), _wider(high, n, -np.inf)
            low[:n], high[:n] = np.minimum(low[:n], self.before), np.maximum(high[:n], self.before)
        # A series that had not appeared by then was zero.
        absent = 0.0 if np.isfinite(low).any() else np.inf
        daily = _wider(self._daily(), k, False)[:k]
        low, high = (_wider(row, k, fill).astype(np.float64) for row, fill in ((low, absent), (high, -absent)))
        return np.where(daily, low, np.minimum(low, mean)), np.where(daily, high, np.maximum(high, mean))

    def _daily(self) -> NDArray[np.bool_]:
        """Series (n,) whose hours differ more from each other than from the same hours of other days."""
        often = self.days >= 2
        if often.sum() < _DAY // 2:
            return np.zeros(self.low.shape[1], bool)
        low, high = self.low[often], self.high[often]
        between, within = ((low + high) / 2).var(0), ((high - low) ** 2).mean(0)
        found: NDArray[np.bool_] = within < between / 2
        return found

    def _turn(self, hour: int, calm: bool, mean: Floats, noise: Floats) -> None:
        """Ends an hour."""
        level = self._level(mean, noise)
        if self.first < 0:
            self.first = hour
        elif self.blocks and hour - self.first <= _LEARN_HOURS:
            self.held = [*self.held, (self.hour, level.astype(np.float32))][-_HELD_HOURS:]
        follows = calm and self.blocks and hour == self.hour + 1
        self.before, self.before_blocks = (level, self.blocks) if follows else (level[:0], 0)
        if calm:
            for seen, values in self.held:
                if hour - seen > _AGE_HOURS:
                    self._accept(seen % _DAY, values)
            self.held = [entry for entry in self.held if hour - entry[0] <= _AGE_HOURS]
        self.hour, self.sum, self.blocks = hour, np.zeros(len(self.sum)), 0

    def _level(self, mean: Floats, noise: Floats) -> Floats:
        """The hour's values (k,), nearer to the usual ones by what chance explains in so few blocks."""
        if not self.blocks:
            return self.sum
        off = self.sum / self.blocks
        usual, by_chance = np.zeros(len(off)), np.zeros(len(off))
        usual[: len(mean)], by_chance[: len(mean)] = mean[: len(off)], noise[: len(off)]
        off -= usual
        beyond = np.maximum(np.abs(off) - _ERRORS * by_chance / np.sqrt(self.blocks), 0)
        level: Floats = usual + np.sign(off) * beyond
        return level

    def _accept(self, hour: int, mean: NDArray[np.float32]) -> None:
        more = len(mean) - self.low.shape[1]
        if more > 0:
            # What had not appeared yet was zero in the hours that were seen.
            new = np.where(np.isfinite(self.low).any(1, keepdims=True), 0.0, np.inf).astype(np.float32)
            self.low = np.concatenate([self.low, np.repeat(new, more, 1)], 1)
            self.high = np.concatenate([self.high, np.repeat(-new, more, 1)], 1)
        low, high = self.low.copy(), self.high.copy()
        values = np.zeros(self.low.shape[1], np.float32)
        values[: len(mean)] = mean
        low[hour], high[hour] = np.minimum(low[hour], values), np.maximum(high[hour], values)
        self.low, self.high = low, high
        self.days = self.days + (np.arange(_DAY) == hour)

    def state(self) -> dict[str, Any]:
        """Plain data that nothing changes later."""
        return {name: getattr(self, name) for name in self.kept} | {"held": list(self.held)}

    def restore(self, state: dict[str, Any]) -> None:
        """Continues from what `state` returned."""
        for name in self.kept:
            setattr(self, name, state[name])


def _wider(row: NDArray[Any], k: int, fill: float) -> NDArray[Any]:
    """A copy with `fill` for the series that came later."""
    found = np.full(max(k, len(row)), fill, row.dtype)
    found[: len(row)] = row
    return found
