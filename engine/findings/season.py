"""`season`: a template that is far more or less frequent than it usually is at this hour of the day.

`rates` compares a count with all of the past, so a burst at night that would be ordinary by day is not unusual to it.
Here every hour is compared with the same hour of earlier days, working days and weekends apart, as soon as there are
enough of them. As in `engine.findings.counts`, a count is surprising only if neither the clock nor the other lines of
the hour explain it. Days begin at midnight UTC.
"""

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc  # type: ignore[import-untyped]

from engine.findings.base import Block, Signal, State, TemplateLookup
from engine.findings.block_loops import add_to_hour

MAX_TEMPLATES = 1000
"""Templates that are watched, the oldest ones; each takes 400 bytes."""
MIN_DAYS = 5
"""Earlier hours of a slot before a count is compared with them: a week of working days."""
SLOTS = 48
"""24 hours of working days, and behind them those of weekends."""
_HOUR_NS = 3600 * 10**9
_EPOCH_WEEKDAY = 3
"""1 January 1970 was a Thursday."""
_FEWEST = 8.0
"""Lines to be expected before their absence means anything."""
_SHRINK, _USUAL_DISPERSION = 10.0, 0.5
"""Lines at which a template's own dispersion counts as much as the usual one, and the usual one."""
_TINY = 1e-300

Floats = NDArray[np.float64]


def slot_of(hour: int) -> int:
    """The slot of an hour, counted from the epoch."""
    day = hour // 24
    return hour % 24 + 24 * ((day + _EPOCH_WEEKDAY) % 7 >= 5)


class Season:
    """See the module."""

    name: ClassVar[str] = "season"
    calibrated: ClassVar[bool] = False

    def __init__(self, state: State | None = None) -> None:
        saved = state or {}
        self._hour: int | None = saved.get("hour")
        self._whole: bool = saved.get("whole", False)
        """Whether the open hour was read from its beginning."""
        self._days = saved["days"].copy() if "days" in saved else np.zeros(SLOTS, np.int64)
        self._lines = saved["lines"].copy() if "lines" in saved else np.zeros(SLOTS)
        self._sum = saved["sum"].copy() if "sum" in saved else np.zeros((SLOTS, 0), np.float32)
        self._square = saved["square"].copy() if "square" in saved else np.zeros((SLOTS, 0), np.float32)
        self._now = saved["now"].copy() if "now" in saved else np.zeros(0)
        # Number and time of the first and last line of each template in the open hour.
        self._place = saved["place"].copy() if "place" in saved else np.zeros((4, 0), np.int64)

    def observe(self, block: Block, templates: TemplateLookup) -> Sequence[Signal]:
        """See `engine.findings.base.StreamDetector`."""
        self._grow(min(len(templates), MAX_TEMPLATES))
        found: list[Signal] = []
        for hour, start, stop in self._hours(block):
            if hour != self._hour:
                found += self._close(block, start)
                self._whole, self._hour = self._hour is not None, hour
            lines = block.lines
            add_to_hour(lines.key, lines.row, lines.time_ns, start, stop, self._now, self._place)
        return found

    def _hours(self, block: Block) -> list[tuple[int, int, int]]:
        """The hours that the block is in, each with its lines [start, stop); time never runs backwards here."""
        time_ns = block.lines.time_ns
        before = -1 if self._hour is None else self._hour
        if int(time_ns.max()) // _HOUR_NS <= max(before, int(time_ns.min()) // _HOUR_NS):
            return [(max(before, int(time_ns[0]) // _HOUR_NS), 0, len(block))]
        # Lines of several writers are seldom in exact order.
        hours = np.maximum(np.maximum.accumulate(time_ns) // _HOUR_NS, before)
        starts = np.flatnonzero(np.diff(hours, prepend=-1)).tolist()
        return [(int(hours[a]), a, b) for a, b in zip(starts, [*starts[1:], len(hours)], strict=True)]

    def _close(self, block: Block, at: int) -> list[Signal]:
        """Judges the open hour, which ends at line `at` of the block, then learns it unless only a part was read."""
        if self._hour is None:
            return []
        slot, found = slot_of(self._hour), []
        if self._whole:
            if self._days[slot] >= MIN_DAYS:
                found = self._judged(slot, int(block.lines.row[at]), int(block.lines.time_ns[at]))
            self._sum[slot] += self._now
            self._square[slot] += self._now**2
            self._lines[slot] += self._now.sum()
            self._days[slot] += 1
        self._now[:] = 0.0
        return found

    def _judged(self, slot: int, row: int, time_ns: int) -> list[Signal]:
        days, count = int(self._days[slot]), self._now
        total = self._sum[slot].astype(np.float64)
        tested = int(np.count_nonzero(total))
        by_clock = (total + 0.5) / days
        by_lines = (total + 0.5) / max(self._lines[slot], 1.0) * count.sum()
        least, most = np.minimum(by_clock, by_lines), np.maximum(by_clock, by_lines)
        # Few templates are far from usual even for a Poisson count; all else is done for these alone.
        keys = np.flatnonzero((total > 0) & ((count > most + 2 * np.sqrt(most)) | (count < least - 2 * np.sqrt(least))))
        if not len(keys):
            return []
        count, total, by_clock, by_lines = count[keys], total[keys], by_clock[keys], by_lines[keys]
        own = (self._square[slot, keys] / days - (total / days) ** 2 - total / days) / np.maximum(
            (total / days) ** 2, 1e-12
        )
        dispersion = (total * np.maximum(own, 0.0) + _SHRINK * _USUAL_DISPERSION) / (total + _SHRINK)
        high = np.minimum(_above(count, by_clock, total, dispersion), _above(count, by_lines, total, dispersion))
        low = np.minimum(_below(count, by_clock, total, dispersion), _below(count, by_lines, total, dispersion))
        surprise = np.maximum(high, low) - np.log(2 * tested)
        found = []
        for i in np.flatnonzero(surprise > 0).tolist():
            more, key = bool(high[i] > low[i]), int(keys[i])
            first, last, first_ns, last_ns = self._place[:, key].tolist() if count[i] else (row, row, time_ns, time_ns)
            usual = max(by_clock[i], by_lines[i]) if more else min(by_clock[i], by_lines[i])
            found.append(
                Signal(self.name, "more" if more else "fewer", key, float(surprise[i]), float(count[i]),
                       float(usual), int(count[i]), first, last, first_ns, last_ns, note={"hour": slot % 24})
            )  # fmt: skip
        return found

    def _grow(self, size: int) -> None:
        more = size - len(self._now)
        if more > 0:
            self._now = np.append(self._now, np.zeros(more))
            self._place = np.concatenate((self._place, np.zeros((4, more), np.int64)), axis=1)
            wider = np.zeros((SLOTS, more), np.float32)
            self._sum = np.concatenate((self._sum, wider), axis=1)
            self._square = np.concatenate((self._square, wider), axis=1)

    def coarsen(self) -> None:
        """See `engine.findings.base.StreamDetector`; hours do not depend on blocks."""

    def snapshot(self) -> State:
        """See `engine.findings.base.StreamDetector`."""
        arrays = {
            "days": self._days, "lines": self._lines, "sum": self._sum, "square": self._square, "now": self._now,
            "place": self._place,
        }  # fmt: skip
        return {"hour": self._hour, "whole": self._whole, **{name: array.copy() for name, array in arrays.items()}}


def _above(count: Floats, mean: Floats, total: Floats, dispersion: Floats) -> Floats:
    """-ln of the chance of a count as high, of a negative binomial whose mean was measured on `total` lines."""
    size = 1.0 / (1.0 / (total + 0.5) + dispersion)
    chance = np.where(count >= 2, betainc(np.maximum(count, 1.0), size, mean / (mean + size)), 1.0)
    return np.asarray(-np.log(np.maximum(chance, _TINY)))


def _below(count: Floats, mean: Floats, total: Floats, dispersion: Floats) -> Floats:
    """The same of a count as low; 0 where few lines are expected."""
    size = 1.0 / (1.0 / (total + 0.5) + dispersion)
    chance = np.where(mean >= _FEWEST, betainc(size, count + 1.0, size / (mean + size)), 1.0)
    return np.asarray(-np.log(np.maximum(chance, _TINY)))
