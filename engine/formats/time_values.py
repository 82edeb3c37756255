"""Times as documents write them: ISO 8601, numbers since the epoch, and what web servers and mail write."""

import datetime as dt
import math
import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

_EPOCH_DIGITS, _NS_DIGITS = 9, 19  # shorter ones may be dates without hyphens
_TAI64N_DIGITS = 24
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)

ZONES: Mapping[str, float] = {
    "UTC": 0, "GMT": 0, "UT": 0, "WET": 0, "WEST": 1, "CET": 1, "CEST": 2, "MEZ": 1, "MESZ": 2, "EET": 2, "EEST": 3,
    "MSK": 3, "TRT": 3, "SAST": 2, "EAT": 3, "WAT": 1, "CAT": 2, "NPT": 5.75, "ICT": 7, "WIB": 7, "HKT": 8, "SGT": 8,
    "JST": 9, "KST": 9, "AWST": 8, "ACST": 9.5, "ACDT": 10.5, "AEST": 10, "AEDT": 11, "NZST": 12, "NZDT": 13,
    "EST": -5, "EDT": -4, "CDT": -5, "MST": -7, "MDT": -6, "PST": -8, "PDT": -7, "AKST": -9, "AKDT": -8, "HST": -10,
    "BRT": -3, "ART": -3, "NST": -3.5, "NDT": -2.5,
}  # fmt: skip
"""Abbreviation → hours from UTC, for zones that the time zone database gives one meaning.

Others, such as IST, CST or BST, name several zones: such a time is read in the source's own zone.
"""

_ZONE_NAME = re.compile(r"[ ]?([A-Z]{2,5})$")
_ACCESS_LOG = "%d/%b/%Y:%H:%M:%S %z"
_DAY_FIRST = re.compile(r"^([0-9]{2})[-.]([0-9]{2})[-.]([0-9]{4})[ T](?=[0-9]{2}:)")
_OFFSET = re.compile(r"(?<=[0-9:.])(:[0-9]{2}(?:[.,][0-9]+)?) ?([+-][0-9]{2}):?([0-9]{2})?$")


def time_ns(value: Any, zone: dt.tzinfo) -> int | None:
    """UTC ns of a time as text or as a number since the epoch, also in digits; None if it is neither.

    The size of a number gives its unit: below 1e11 seconds, below 1e14 ms, below 1e17 µs, else ns.

    Args:
        value: What the document holds.
        zone: Zone of times that are written without one, or with an abbreviation of several meanings.
    """
    if isinstance(value, str):
        number = _number(value)
        if number is None:
            return _text_ns(value.strip(), zone)
        value = number
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    for limit, factor in ((1e11, 1_000_000_000), (1e14, 1_000_000), (1e17, 1_000)):
        if abs(value) < limit:
            # A float with this number of seconds is precise to a microsecond at best.
            return value * factor if isinstance(value, int) else round(value * (factor // 1000)) * 1000
    return int(value)


def tai64n_ns(label: bytes) -> int:
    """UTC ns of a TAI64N label without its `@`: 16 hexadecimal digits of seconds, 8 of nanoseconds; 0 if it is not one.

    As daemontools and s6 count: 10 s ahead of UTC, without leap seconds.
    """
    if len(label) != _TAI64N_DIGITS:
        return 0
    seconds = int(label[:16], 16) - (1 << 62) - 10
    return seconds * 1_000_000_000 + int(label[16:], 16)


def _number(text: str) -> int | float | None:
    whole, dot, fraction = text.partition(".")
    if not (whole.isascii() and whole.isdecimal() and _EPOCH_DIGITS <= len(whole) <= _NS_DIGITS):
        return None
    if not dot:
        return int(whole)
    return float(text) if fraction.isascii() and fraction.isdecimal() else None


def _text_ns(text: str, zone: dt.tzinfo) -> int | None:
    if text.endswith(" Z"):
        text = text[:-2] + "Z"
    text = _DAY_FIRST.sub(r"\3-\2-\1 ", text)
    moment = _iso(text) or _named_zone(text) or _other(text)
    if moment is None:
        return None
    try:
        since = (moment if moment.tzinfo else moment.replace(tzinfo=zone)) - _EPOCH
    except OverflowError:
        return None
    return (since.days * 86_400 + since.seconds) * 1_000_000_000 + since.microseconds * 1000 + _below_micro(text)


def _iso(text: str) -> dt.datetime | None:
    try:
        return dt.datetime.fromisoformat(text)
    except ValueError:
        pass
    try:
        return dt.datetime.fromisoformat(_OFFSET.sub(lambda m: f"{m[1]}{m[2]}:{m[3] or '00'}", text))
    except ValueError:
        return None


def _named_zone(text: str) -> dt.datetime | None:
    """A time with an abbreviation; without zone where the abbreviation has several meanings or is unknown."""
    found = _ZONE_NAME.search(text)
    moment = _iso(text[: found.start()]) if found else None
    if moment is None or found is None or moment.tzinfo is not None or found[1] not in ZONES:
        return moment
    return moment.replace(tzinfo=dt.timezone(dt.timedelta(hours=ZONES[found[1]])))


def _other(text: str) -> dt.datetime | None:
    try:
        return dt.datetime.strptime(text, _ACCESS_LOG)  # noqa: DTZ007 - the format has a zone
    except ValueError:
        pass
    try:
        return parsedate_to_datetime(text)
    except ValueError:
        return None


def _below_micro(text: str) -> int:
    """The digits 7 to 9 of the fraction, which datetime drops, as ns."""
    at = text.find(".")
    if at < 0:
        return 0
    digits = ""
    for char in text[at + 1 :]:
        if not char.isdecimal():
            break
        digits += char
    return int(digits[6:9].ljust(3, "0"))
