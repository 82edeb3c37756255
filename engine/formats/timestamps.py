"""Event time from header fields, one line at a time.

`engine.compiled.clock` gives the same answer wherever it gives one; the lines that it leaves (a field
out of range, a time outside the accepted span) get the time or the reason for the dead letter here.

A header's named groups define the meaning of a run of digits; see `DIGIT_GROUPS`. A year that the format
leaves out is the latest one that does not date the line after its arrival (plus the tolerance
for clocks that run ahead), so that a line of December read in January belongs to the year before.
A date that is left out altogether is found the same way, with a tolerance of an hour at most.
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
from numpy.typing import NDArray

from engine.formats.time_values import ZONES, tai64n_ns, time_ns
from engine.formats.zone_offsets import ZoneOffsets
from foundation.time_text import iso_seconds

DIGIT_GROUPS = (
    "yymmdd", "yyyymmdd", "mmdd", "hhmmss", "year", "yy", "month", "day", "hour", "minute", "second", "fraction",
    "millisecond", "epoch_s", "epoch", "zone_hour", "zone_minute", "zone_hhmm",
)  # fmt: skip
"""Header groups that hold one run of digits each; those of `LETTER_GROUPS` hold none. `epoch` is in ms, µs or ns.
`Format.clocks` may also have `zone_name` or `zone_before`, an abbreviation of `ZONES`, `zone_iana`, `tai64n`, and in
hexadecimal digits `epoch_hex` in s with `nanosecond_hex`.
"""

MONTHS = {m: i + 1 for i, m in enumerate("Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split())}

LETTER_GROUPS: Mapping[str, Mapping[str, int]] = {
    "month_name": {name: number for month, number in MONTHS.items() for name in (month, month.upper(), month.lower())},
    "utc": {"Z": 1, "UTC": 1, "GMT": 1},
    "zone_sign": {"+": 1, "-": 2},
    "half_day": {"AM": 1, "PM": 2},
}
"""What the letters in a header's groups represent; 0 represents a group that took no part."""

_MINUS = _PM = 2  # their numbers in `LETTER_GROUPS`
_NOON = 12
_DATELESS_AHEAD_S = 3600.0
_SECOND, _MILLISECOND = 1_000_000_000, 1_000_000
_DAY_S = 86_400
_QUARTER_S = 900
_EPOCH_ORDINAL = dt.date(1970, 1, 1).toordinal()


class BadTimeError(ValueError):
    """The line's time cannot be used; the message is the reason in one sentence."""


@lru_cache(maxsize=4096)
def _offset_s(zone: ZoneInfo, local_quarter: int) -> int:
    """Seconds to subtract from local time in that quarter of an hour (the earlier one, if it occurs twice)."""
    local = dt.datetime(1970, 1, 1) + dt.timedelta(seconds=local_quarter * _QUARTER_S)  # noqa: DTZ001
    offset = local.replace(tzinfo=zone).utcoffset()
    return 0 if offset is None else int(offset.total_seconds())


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise BadTimeError(f"there is no time zone {name!r}") from None


@dataclass(frozen=True, slots=True)
class TimeRules:
    """What is needed in addition to the digits to compute the time of a line.

    Attributes:
        zone: Zone of times without one, None for UTC.
        earliest_ns: Lines before it are refused.
        max_future_s: Lines later than their arrival by more are refused.
        offsets: What was found out about `zone` so far.
    """

    zone: ZoneInfo | None = None
    earliest_ns: int = 0
    max_future_s: float = 86_400.0
    offsets: "ZoneOffsets" = field(default_factory=ZoneOffsets, repr=False, compare=False)

    def limits(self, read_ns: int) -> NDArray[np.int64]:
        """int64 (6,): what compiled code needs for lines read at `read_ns`.

        That is the arrival, latest and earliest time accepted, latest time of lines without a date (all in ns since
        the epoch), the year of the arrival, and whether times without a zone are local to one.
        """
        latest_ns, dateless_ns = self.latest_ns(read_ns), self._latest_dateless_ns(read_ns)
        found = [read_ns, latest_ns, self.earliest_ns, dateless_ns, _year_of(read_ns), self.zone is not None]
        return np.array(found, np.int64)

    def latest_ns(self, read_ns: int) -> int:
        """The latest time accepted for lines read at `read_ns`."""
        return read_ns + int(self.max_future_s * _SECOND)

    def check(self, time_ns: int, read_ns: int) -> int:
        """`time_ns` itself if it is in the accepted span.

        Raises:
            BadTimeError: it is not.
        """
        if time_ns < self.earliest_ns:
            raise BadTimeError(f"time {_show(time_ns)} is before {_show(self.earliest_ns)}, the earliest accepted")
        if time_ns > self.latest_ns(read_ns):
            ahead = f"more than {self.max_future_s:g} s after it was read ({_show(read_ns)})"
            raise BadTimeError(f"time {_show(time_ns)} is {ahead}")
        return time_ns

    def of_groups(self, groups: dict[str, bytes | None], read_ns: int) -> int:
        """UTC ns of one line from the groups of its header.

        Raises:
            BadTimeError: a field is out of range, or the time is outside the accepted span.
        """
        if label := groups.get("tai64n"):
            return self.check(tai64n_ns(label), read_ns)
        if seconds := groups.get("epoch_hex"):
            return self.check(int(seconds, 16) * _SECOND + int(groups.get("nanosecond_hex") or b"0", 16), read_ns)
        number = {n: int(v) for n, v in groups.items() if v is not None and n in DIGIT_GROUPS and n != "fraction"}
        for name, values in LETTER_GROUPS.items():
            if letters := groups.get(name):
                number[name] = values[letters.decode()]
        if zone_name := groups.get("zone_name") or groups.get("zone_before"):
            number["zone_s"] = int(ZONES[zone_name.decode()] * 3600)
        fraction = int(((groups.get("fraction") or b"") + b"0" * 9)[:9]) + number.get("millisecond", 0) * _MILLISECOND
        if "epoch_s" in number:
            return self.check(number["epoch_s"] * _SECOND + fraction, read_ns)
        if "epoch" in number:
            return self.check(time_ns(number["epoch"], dt.UTC) or 0, read_ns)
        _split_dates(number)
        clock_s = _clock_s(number)
        if "year" in number:
            local_s = _day(number["year"], number["month"], number["day"]) * _DAY_S + clock_s
            if zone := groups.get("zone_iana"):
                utc_s = local_s - _offset_s(_zone(zone.decode()), local_s // _QUARTER_S)
            else:
                utc_s = local_s - _zone_s(number) if _zoned(number) else self._utc_s(local_s)
            return self.check(utc_s * _SECOND + fraction, read_ns)
        if "month" not in number:
            return self.check(self._dateless(clock_s, fraction, read_ns), read_ns)
        return self.check(self._yearless(number, clock_s, fraction, read_ns), read_ns)

    def _dateless(self, clock_s: int, fraction: int, read_ns: int) -> int:
        latest_ns = self._latest_dateless_ns(read_ns)
        day = latest_ns // (_DAY_S * _SECOND) + 1
        while (time_ns := self._utc_s(day * _DAY_S + clock_s) * _SECOND + fraction) > latest_ns:
            day -= 1
        return time_ns

    def _latest_dateless_ns(self, read_ns: int) -> int:
        return read_ns + int(min(self.max_future_s, _DATELESS_AHEAD_S) * _SECOND)

    def _utc_s(self, local_s: int) -> int:
        if self.zone is None:
            return local_s
        try:
            offset_s = _offset_s(self.zone, local_s // _QUARTER_S)
        except OverflowError:
            raise BadTimeError("the year is out of range") from None
        self.offsets.add(local_s // _QUARTER_S, offset_s)
        return local_s - offset_s

    def _yearless(self, number: dict[str, int], clock_s: int, fraction: int, read_ns: int) -> int:
        this_year, month, day = _year_of(read_ns), number["month"], number["day"]
        ahead_s = _zone_s(number) if _zoned(number) else None
        for year in range(this_year + 1, this_year - 9, -1):
            try:
                local_s = _day(year, month, day) * _DAY_S + clock_s
            except BadTimeError:
                continue
            time_ns = (self._utc_s(local_s) if ahead_s is None else local_s - ahead_s) * _SECOND + fraction
            if time_ns <= self.latest_ns(read_ns):
                return time_ns
        raise BadTimeError(f"there is no month {month} with a day {day}")


def _split_dates(number: dict[str, int]) -> None:
    """Replaces dates and times that are written as one number by their parts."""
    if "yymmdd" in number:
        yy, rest = divmod(number["yymmdd"], 10_000)
        number |= {"year": _century(yy), "month": rest // 100, "day": rest % 100}
    if "yyyymmdd" in number:
        year, rest = divmod(number["yyyymmdd"], 10_000)
        number |= {"year": year, "month": rest // 100, "day": rest % 100}
    if "mmdd" in number:
        number |= {"month": number["mmdd"] // 100, "day": number["mmdd"] % 100}
    if "yy" in number:
        number["year"] = _century(number["yy"])
    if "hhmmss" in number:
        hour, rest = divmod(number["hhmmss"], 10_000)
        number |= {"hour": hour, "minute": rest // 100, "second": rest % 100}
    if "month_name" in number:
        number["month"] = number["month_name"]


def _zoned(number: dict[str, int]) -> bool:
    return "utc" in number or "zone_sign" in number or "zone_s" in number


def _zone_s(number: dict[str, int]) -> int:
    if "zone_s" in number:
        return number["zone_s"]
    hour, minute = divmod(number.get("zone_hhmm", 0), 100)
    hour, minute = hour + number.get("zone_hour", 0), minute + number.get("zone_minute", 0)
    if hour == 0 and "zone_hhmm" not in number:  # DB2 writes the zone in minutes alone
        hour, minute = divmod(minute, 60)
    if hour > 23 or minute > 59:
        raise BadTimeError(f"there is no zone {hour:02d}:{minute:02d} from UTC")
    offset_s = hour * 3600 + minute * 60
    return -offset_s if number.get("zone_sign") == _MINUS else offset_s


def _clock_s(number: dict[str, int]) -> int:
    hour, minute, second = number["hour"], number["minute"], number["second"]
    if half := number.get("half_day"):
        if not 1 <= hour <= _NOON:
            raise BadTimeError(f"there is no hour {hour} before or after noon")
        hour = hour % _NOON + (_NOON if half == _PM else 0)
    if hour > 23 or minute > 59 or second > 60:
        raise BadTimeError(f"there is no time of day {hour:02d}:{minute:02d}:{second:02d}")
    return hour * 3600 + minute * 60 + second


def _day(year: int, month: int, day: int) -> int:
    if year > 9998:
        raise BadTimeError(f"the year {year} is out of range")
    try:
        return dt.date(year, month, day).toordinal() - _EPOCH_ORDINAL
    except ValueError:
        raise BadTimeError(f"there is no date {year:04d}-{month:02d}-{day:02d}") from None


def _century(yy: int) -> int:
    """Two-digit years as POSIX reads them, but with its pivot at 70: 70..99 are of the 1900s."""
    return 2000 + yy if yy < 70 else 1900 + yy


def _year_of(time_ns: int) -> int:
    return dt.datetime.fromtimestamp(time_ns / _SECOND, dt.UTC).year


def _show(time_ns: int) -> str:
    try:
        return iso_seconds(time_ns)
    except (ValueError, OverflowError, OSError):
        return f"{time_ns} ns"
