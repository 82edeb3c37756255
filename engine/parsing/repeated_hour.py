"""The hour that occurs twice when clocks are set back at the end of summer time.

Times without a zone are read as the first of the two. A source whose time steps back within that hour is in the
second: its lines are one difference (mostly an hour) later, until the hour is over.
"""

import datetime as dt
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

STEP_NS = 120 * 10**9
"""A greater step back is the second hour; smaller ones are lines out of order."""

_SECOND_NS = 10**9
_DAY_S = 86_400


class Repeated(NamedTuple):
    """UTC ns of the first pass (`start` up to, not including `end`), and by how much the second is later."""

    start: int
    end: int
    later: int


class RepeatedHour:
    """Finds the second pass in the lines of one partition, in order.

    Attributes:
        latest_ns: The latest time read within a repeated hour, 0 outside.
        second: Whether the second pass has started.
    """

    def __init__(self, zone: str, latest_ns: int = 0, *, second: bool = False) -> None:
        """Takes the IANA name of the zone of times without one, and the state of a snapshot."""
        self._zone = None if zone == "UTC" else zone
        self.latest_ns = latest_ns
        self.second = second

    def correct(self, time_ns: NDArray[np.int64]) -> None:
        """Moves the times (int64, n) of lines of the second pass, in place."""
        if self._zone is None or not len(time_ns):
            return
        dated = time_ns[time_ns > 0]  # those of bad lines mean nothing
        if not len(dated):
            return
        for hour in _repeated(self._zone, _year(int(dated.min())), _year(int(dated.max()))):
            inside = np.flatnonzero((time_ns >= hour.start) & (time_ns < hour.end))
            if len(inside):
                self._correct(time_ns, inside, hour)
        if self.latest_ns and int(time_ns[-1]) > self.latest_ns + _DAY_S * _SECOND_NS:
            self.latest_ns, self.second = 0, False

    def _correct(self, time_ns: NDArray[np.int64], inside: NDArray[np.int64], hour: Repeated) -> None:
        if not hour.start <= self.latest_ns < hour.end:
            self.latest_ns, self.second = 0, False
        times = time_ns[inside]
        if not self.second:
            latest = np.maximum(np.maximum.accumulate(times), self.latest_ns)
            back = np.flatnonzero(latest - times > STEP_NS)
            begin = int(back[0]) if len(back) else len(times)
            self.latest_ns = int(latest[min(begin, len(times) - 1)])
            self.second = begin < len(times)
        else:
            begin = 0
        time_ns[inside[begin:]] += hour.later


def _year(time_ns: int) -> int:
    return dt.datetime.fromtimestamp(time_ns / _SECOND_NS, dt.UTC).year


@lru_cache(maxsize=256)
def _repeated(zone: str, first: int, last: int) -> tuple[Repeated, ...]:
    """The repeated hours of a zone in the last three of some years."""
    found = []
    for year in range(max(first, last - 2), last + 1):
        day_s = int(dt.datetime(year, 1, 1, tzinfo=dt.UTC).timestamp())
        for start_s in range(day_s, day_s + 366 * _DAY_S, _DAY_S):
            if _offset_s(zone, start_s) > _offset_s(zone, start_s + _DAY_S):
                found.append(_within(zone, start_s, start_s + _DAY_S))
    return tuple(found)


def _within(zone: str, low_s: int, high_s: int) -> Repeated:
    """The repeated hour at the one change of the offset between two moments."""
    before = _offset_s(zone, low_s)
    while high_s - low_s > 1:
        middle = (low_s + high_s) // 2
        low_s, high_s = (middle, high_s) if _offset_s(zone, middle) == before else (low_s, middle)
    later_s = before - _offset_s(zone, high_s)
    return Repeated((high_s - later_s) * _SECOND_NS, high_s * _SECOND_NS, later_s * _SECOND_NS)


def _offset_s(zone: str, utc_s: int) -> int:
    offset = dt.datetime.fromtimestamp(utc_s, ZoneInfo(zone)).utcoffset()
    return 0 if offset is None else int(offset.total_seconds())
