"""Event time from the numbers of a header, for one line, or `UNSURE` where only `TimeRules.of_groups` can decide."""

import numpy as np

from engine.compiled.groups import INDEX, NUMBERS
from engine.compiled.jit import loop
from engine.compiled.machine_types import Flag, Int, Int64s
from engine.formats.zone_offsets import OFFSET_SLOTS

UNSURE = -(1 << 62)
"""Instead of a time: a part is out of range, the time is outside the accepted span, or the zone's offset is unknown."""

_SECOND, _DAY_S, _QUARTER_S = 1_000_000_000, 86_400, 900
_YYMMDD, _YYYYMMDD, _MMDD, _HHMMSS = (INDEX[name] for name in ("yymmdd", "yyyymmdd", "mmdd", "hhmmss"))
_YEAR, _YY, _MONTH, _DAY = (INDEX[name] for name in ("year", "yy", "month", "day"))
_HOUR, _MINUTE, _SECONDS = (INDEX[name] for name in ("hour", "minute", "second"))
_FRACTION, _MILLISECOND = INDEX["fraction"], INDEX["millisecond"]
_EPOCH_S, _EPOCH = INDEX["epoch_s"], INDEX["epoch"]
_ZONE_HOUR, _ZONE_MINUTE, _ZONE_HHMM = (INDEX[name] for name in ("zone_hour", "zone_minute", "zone_hhmm"))
MONTH_NAME, UTC, ZONE_SIGN, HALF_DAY = (INDEX[name] for name in ("month_name", "utc", "zone_sign", "half_day"))
VALUES = len(NUMBERS) + 4
_POWERS = 10 ** np.arange(10, dtype=np.int64)


@loop
def _days(year: Int, month: Int, day: Int) -> Int:
    """Days since 1970-01-01, or `UNSURE` where there is no such date.

    Counts from 1 March of year 0, so that leap days come last (Hinnant, "chrono-compatible low-level
    date algorithms").
    """
    if year < 1 or year > 9998 or month < 1 or month > 12 or day < 1:
        return UNSURE
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    last = 29 if leap and month == 2 else 28 if month == 2 else 30 if month in (4, 6, 9, 11) else 31
    if day > last:
        return UNSURE
    y = year - 1 if month <= 2 else year
    era = y // 400
    of_era = y - era * 400
    of_year = (153 * (month - 3 if month > 2 else month + 9) + 2) // 5 + day - 1
    return era * 146_097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719_468


@loop
def _century(yy: Int) -> Int:
    return 2000 + yy if yy < 70 else 1900 + yy


@loop
def _offset(values: Int64s) -> Int:
    """Seconds that local time is ahead of UTC according to the line, or `UNSURE`."""
    if values[UTC] > 0 and values[ZONE_SIGN] <= 0:
        return 0
    hour = max(values[_ZONE_HOUR], 0)
    minute = max(values[_ZONE_MINUTE], 0)
    if values[_ZONE_HHMM] >= 0:
        hour += values[_ZONE_HHMM] // 100
        minute += values[_ZONE_HHMM] % 100
    if hour > 23 or minute > 59:
        return UNSURE
    seconds = hour * 3600 + minute * 60
    return -seconds if values[ZONE_SIGN] == 2 else seconds


@loop
def _utc_s(local_s: Int, ahead_s: Int, zoned: Flag, named: Flag, quarters: Int64s, offsets: Int64s) -> Int:
    if zoned:
        return local_s - ahead_s
    if not named:
        return local_s
    quarter = local_s // _QUARTER_S
    slot = quarter % OFFSET_SLOTS
    return local_s - offsets[slot] if quarters[slot] == quarter else UNSURE


@loop
def time_of(
    values: Int64s, fraction_digits: Int, limits: Int64s, quarters: Int64s,
    offsets: Int64s,
) -> Int:  # fmt: skip
    """UTC ns, or `UNSURE`.

    Takes:
        values: int64 (VALUES,): the numbers of `NUMBERS`, then the values of letters (see
            `engine.formats.timestamps.LETTER_GROUPS`); -1 where a group took no part.
        fraction_digits: How many digits `fraction` has.
        limits, quarters, offsets: See `engine.compiled.tables.Clock`.
    """
    latest_ns = limits[1]
    named = limits[5] != 0
    fraction = 0
    if values[_FRACTION] >= 0:
        if fraction_digits > 9:
            return UNSURE
        fraction = values[_FRACTION] * _POWERS[9 - fraction_digits]
    if values[_MILLISECOND] >= 0:
        fraction += values[_MILLISECOND] * 1_000_000
    if values[_EPOCH_S] >= 0:
        return _checked(values[_EPOCH_S], fraction, limits)
    if values[_EPOCH] >= 0:
        number = values[_EPOCH]
        unit = 1_000_000 if number < 10**14 else 1_000 if number < 10**17 else 1
        return _checked(number // (_SECOND // unit), number % (_SECOND // unit) * unit, limits)
    year, month, day = values[_YEAR], values[_MONTH], values[_DAY]
    if values[_YYMMDD] >= 0:
        code = values[_YYMMDD]
        year, month, day = _century(code // 10_000), code // 100 % 100, code % 100
    elif values[_YYYYMMDD] >= 0:
        code = values[_YYYYMMDD]
        year, month, day = code // 10_000, code // 100 % 100, code % 100
    elif values[_MMDD] >= 0:
        month, day = values[_MMDD] // 100, values[_MMDD] % 100
    if values[_YY] >= 0:
        year = _century(values[_YY])
    if values[MONTH_NAME] >= 0:
        month = values[MONTH_NAME]
    hour, minute, second = values[_HOUR], values[_MINUTE], values[_SECONDS]
    if values[_HHMMSS] >= 0:
        code = values[_HHMMSS]
        hour, minute, second = code // 10_000, code // 100 % 100, code % 100
    if values[HALF_DAY] > 0:
        if hour < 1 or hour > 12:
            return UNSURE
        hour = hour % 12 + (12 if values[HALF_DAY] == 2 else 0)
    if hour < 0 or hour > 23 or minute < 0 or minute > 59 or second < 0 or second > 60:
        return UNSURE
    clock_s = hour * 3600 + minute * 60 + second
    zoned = values[UTC] > 0 or values[ZONE_SIGN] > 0
    ahead_s = _offset(values) if zoned else 0
    if ahead_s == UNSURE:
        return UNSURE
    if year >= 0:
        days = _days(year, month, day)
        if days == UNSURE:
            return UNSURE
        utc_s = _utc_s(days * _DAY_S + clock_s, ahead_s, zoned, named, quarters, offsets)
        return UNSURE if utc_s == UNSURE else _checked(utc_s, fraction, limits)
    if month < 0:
        if named or zoned:
            return UNSURE
        since = clock_s * _SECOND + fraction
        return _checked((limits[3] - since) // (_DAY_S * _SECOND) * _DAY_S + clock_s, fraction, limits)
    for candidate in range(limits[4] + 1, limits[4] - 9, -1):
        days = _days(candidate, month, day)
        if days == UNSURE:
            continue
        utc_s = _utc_s(days * _DAY_S + clock_s, ahead_s, zoned, named, quarters, offsets)
        if utc_s == UNSURE:
            return UNSURE
        if utc_s * _SECOND + fraction <= latest_ns:
            return _checked(utc_s, fraction, limits)
    return UNSURE


@loop
def _checked(utc_s: Int, fraction: Int, limits: Int64s) -> Int:
    latest_ns, earliest_ns = limits[1], limits[2]
    # Compared in seconds first: times far out do not fit into 64 bits of ns.
    if utc_s > latest_ns // _SECOND or utc_s < earliest_ns // _SECOND:
        return UNSURE
    time_ns = utc_s * _SECOND + fraction
    return time_ns if earliest_ns <= time_ns <= latest_ns else UNSURE
