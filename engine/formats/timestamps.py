"""Event time from header fields: one line at a time by plain Python, or a batch at a time by numpy.

Both give the same answer. The batch form states `ok = False` wherever it is not sure (a field out of
range, a time outside the accepted span), and such lines are read again one at a time, which either
gives the time or the reason for the dead letter.

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

from engine.formats.time_values import ZONES
from foundation.time_text import iso_seconds

DIGIT_GROUPS = (
    "yymmdd", "yyyymmdd", "mmdd", "hhmmss", "year", "yy", "month", "day", "hour", "minute", "second", "fraction",
    "millisecond", "epoch_s", "zone_hour", "zone_minute", "zone_hhmm",
)  # fmt: skip
"""Header groups that hold one run of digits each; those of `LETTER_GROUPS` hold none. `Format.clocks` may also have
`zone_name`, an abbreviation of `ZONES`, and `zone_iana`.
"""

MONTHS = {m: i + 1 for i, m in enumerate("Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split())}

LETTER_GROUPS: Mapping[str, Mapping[str, int]] = {
    "month_name": MONTHS,
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
_DATES_IN_TABLE = 20_000  # two years as yyyymmdd
_MONTH_DAYS = np.array([0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31], np.int64)
_POWERS = 10 ** np.arange(10, dtype=np.int64)
_NEVER = np.int64(1 << 62)
_EPOCH_ORDINAL = dt.date(1970, 1, 1).toordinal()

Column = NDArray[np.int64]


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
    """

    zone: ZoneInfo | None = None
    earliest_ns: int = 0
    max_future_s: float = 86_400.0
    _day_cache: dict[int, tuple[int, bool]] = field(default_factory=dict, repr=False, compare=False)

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
        number = {n: int(v) for n, v in groups.items() if v is not None and n in DIGIT_GROUPS and n != "fraction"}
        for name, values in LETTER_GROUPS.items():
            if letters := groups.get(name):
                number[name] = values[letters.decode()]
        if zone_name := groups.get("zone_name"):
            number["zone_s"] = int(ZONES[zone_name.decode()] * 3600)
        fraction = int(((groups.get("fraction") or b"") + b"0" * 9)[:9]) + number.get("millisecond", 0) * _MILLISECOND
        if "epoch_s" in number:
            return self.check(number["epoch_s"] * _SECOND + fraction, read_ns)
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
            return local_s - _offset_s(self.zone, local_s // _QUARTER_S)
        except OverflowError:
            raise BadTimeError("the year is out of range") from None

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

    def of_columns(self, columns: dict[str, Column], read_ns: int) -> tuple[Column, NDArray[np.bool_]]:
        """UTC ns of many lines, and where it is sure.

        Args:
            columns: int64 (n,) each: the digit groups of the format by name, `fraction_digits` (the
                width of `fraction`, 0 where a line has none) next to `fraction`, and `month` also
                where it came from a name.
            read_ns: Arrival of the lines.
        """
        fraction = columns["fraction"] * _POWERS[9 - columns["fraction_digits"]] if "fraction" in columns else None
        if "millisecond" in columns:
            fraction = columns["millisecond"] * _MILLISECOND
        last_s = self.latest_ns(read_ns) // _SECOND
        if "epoch_s" in columns:
            utc_s = columns["epoch_s"]
            ok = np.ones(len(utc_s), np.bool_)
        else:
            utc_s, ok = self._civil(columns, read_ns, last_s)
        first_s = -(-self.earliest_ns // _SECOND)
        ok &= (utc_s >= first_s) & (utc_s < last_s)
        time_ns = utc_s * _SECOND
        return (time_ns if fraction is None else time_ns + fraction), ok

    def _civil(self, columns: dict[str, Column], read_ns: int, last_s: int) -> tuple[Column, NDArray[np.bool_]]:
        clock, ok = _clock_column(columns)
        code, has_year = _date_column(columns)
        if code is None:
            return self._dateless_column(clock, ok, read_ns)
        if not has_year:
            return self._yearless_column(code, clock, ok, read_ns, last_s)
        days, valid = self._days(code)
        ok &= valid
        local_s = days * _DAY_S + clock
        utc_s = self._utc_column(local_s, ok)
        if "utc" in columns:
            utc_s = np.where(columns["utc"] > 0, local_s, utc_s)
        if "zone_sign" not in columns:
            return utc_s, ok
        offset_s, valid = _zone_column(columns)
        return np.where(columns["zone_sign"] > 0, local_s - offset_s, utc_s), ok & valid

    def _dateless_column(self, clock: Column, ok: NDArray[np.bool_], read_ns: int) -> tuple[Column, NDArray[np.bool_]]:
        if self.zone is not None:
            return clock, np.zeros(len(clock), np.bool_)
        last_s = self._latest_dateless_ns(read_ns) // _SECOND
        utc_s = clock + last_s // _DAY_S * _DAY_S
        # Within the last accepted second only the fraction decides: leave it to the slow path.
        return utc_s - np.where(utc_s > last_s, _DAY_S, 0), ok & (utc_s != last_s)

    def _yearless_column(
        self, code: Column, clock: Column, ok: NDArray[np.bool_], read_ns: int, last_s: int
    ) -> tuple[Column, NDArray[np.bool_]]:
        found = np.full(len(code), _NEVER)
        this_year = _year_of(read_ns)
        for year in (this_year - 1, this_year, this_year + 1):
            days, valid = self._days(code + year * 10_000)
            valid = valid & ok
            utc_s = self._utc_column(days * _DAY_S + clock, valid)
            found = np.where(valid & (utc_s < last_s), utc_s, found)
            # Within the last accepted second only the fraction decides: leave it to the slow path.
            ok = ok & ~(valid & (utc_s == last_s))
        return found, ok & (code != 229)

    def _utc_column(self, local_s: Column, ok: NDArray[np.bool_]) -> Column:
        if self.zone is None or not ok.any():
            return local_s
        quarter = np.where(ok, local_s // _QUARTER_S, 0)
        low, high = int(quarter.min()), int(quarter.max())
        if low == high:
            return local_s - _offset_s(self.zone, low)
        distinct, inverse = np.unique(quarter, return_inverse=True)
        offsets = np.array([_offset_s(self.zone, int(q)) for q in distinct], np.int64)
        return local_s - offsets[inverse]

    def _days(self, code: Column) -> tuple[Column | np.int64, NDArray[np.bool_] | np.bool_]:
        """Days since the epoch of dates as yyyymmdd, and which of them exist."""
        first = int(code[0]) if len(code) else 0
        if len(code) and (code == first).all():  # nearly every batch lies within one day
            if first not in self._day_cache:
                self._day_cache.clear()
                days, valid = _days_of(np.array([first], np.int64))
                self._day_cache[first] = int(days[0]) if valid[0] else 0, bool(valid[0])
            day, exists = self._day_cache[first]
            return np.int64(day), np.bool_(exists)
        return _days_of_few(code) if len(code) else _days_of(code)


def _days_of_few(code: Column) -> tuple[Column, NDArray[np.bool_]]:
    """As `_days_of`, but computes each date once if the dates lie close together."""
    first = int(code.min())
    span = int(code.max()) - first + 1
    if span > _DATES_IN_TABLE:
        return _days_of(code)
    code = code - first
    present = np.zeros(span, np.bool_)
    present[code] = True
    distinct = np.flatnonzero(present)
    days, valid = np.zeros(span, np.int64), np.zeros(span, np.bool_)
    days[distinct], valid[distinct] = _days_of(distinct + first)
    return days[code], valid[code]


def _days_of(code: Column) -> tuple[Column, NDArray[np.bool_]]:
    """Days since 1970-01-01 in the proleptic Gregorian calendar.

    Counts from 1 March of year 0, so that leap days come last (Hinnant, "chrono-compatible
    low-level date algorithms").
    """
    year, rest = np.divmod(code, 10_000)
    month, day = np.divmod(rest, 100)
    leap = (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))
    valid = (month >= 1) & (month <= 12) & (year >= 1) & (year <= 9998)
    last = _MONTH_DAYS[np.where(valid, month, 0)] + (leap & (month == 2))
    valid &= (day >= 1) & (day <= last)
    y = year - (month <= 2)
    era = y // 400
    of_era = y - era * 400
    of_year = (153 * (month + np.where(month > 2, -3, 9)) + 2) // 5 + day - 1
    of_era = of_era * 365 + of_era // 4 - of_era // 100 + of_year
    return era * 146_097 + of_era - 719_468, valid


def _date_column(columns: dict[str, Column]) -> tuple[Column | None, bool]:
    """Dates as yyyymmdd, or mmdd with False where the year is left out; None if there is no date."""
    if "yymmdd" in columns:
        code = columns["yymmdd"]
        return code + np.where(code < 700_000, 20_000_000, 19_000_000), True
    if "yyyymmdd" in columns:
        return columns["yyyymmdd"], True
    if "mmdd" in columns:
        return columns["mmdd"], False
    if "month" not in columns:
        return None, False
    code = columns["month"] * 100 + columns["day"]
    if "yy" in columns:
        year = columns["yy"]
        return code + (year + np.where(year < 70, 2000, 1900)) * 10_000, True
    if "year" in columns:
        return code + columns["year"] * 10_000, True
    return code, False


def _zone_column(columns: dict[str, Column]) -> tuple[Column, NDArray[np.bool_]]:
    """Seconds that local time is ahead of UTC by, and where that is a possible number."""
    sign = columns["zone_sign"]
    nought = np.zeros(len(sign), np.int64)
    hour, minute = np.divmod(columns.get("zone_hhmm", nought), 100)
    hour, minute = hour + columns.get("zone_hour", nought), minute + columns.get("zone_minute", nought)
    offset_s = hour * 3600 + minute * 60
    return np.where(sign == _MINUS, -offset_s, offset_s), (hour < 24) & (minute < 60)


def _clock_column(columns: dict[str, Column]) -> tuple[Column, NDArray[np.bool_]]:
    if "hhmmss" in columns:
        hour, rest = np.divmod(columns["hhmmss"], 10_000)
        minute, second = np.divmod(rest, 100)
    else:
        hour, minute, second = columns["hour"], columns["minute"], columns["second"]
    if "half_day" in columns:
        half = columns["half_day"]
        possible = (half == 0) | ((hour >= 1) & (hour <= _NOON))
        hour = np.where(half == 0, hour, np.where(possible, hour % _NOON + np.where(half == _PM, _NOON, 0), 24))
    return hour * 3600 + minute * 60 + second, (hour < 24) & (minute < 60) & (second <= 60)


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
