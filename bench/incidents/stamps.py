"""Reading and writing the time of a line, in the ten ways in which the backgrounds write it.

All times are seconds since the epoch in UTC. Logs without a year or a zone are read as UTC in the
year that the caller names.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

BGL_ZONE_S = -7 * 3600
"""Blue Gene/L writes both the epoch and Pacific daylight time."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """Where and how a line holds its time.

    Attributes:
        pattern: The part of the line that is replaced, from its beginning.
        read: The time, from a match.
        write: The new part, from the old match and a time.
    """

    pattern: re.Pattern[str]
    read: Callable[[re.Match[str]], float]
    write: Callable[[re.Match[str], float], str]

    def time(self, line: str) -> float | None:
        """The line's time; None where the line has none."""
        match = self.pattern.match(line)
        return None if match is None else self.read(match)

    def move(self, line: str, time: float) -> str:
        """The line at another time; unchanged where it has no time."""
        match = self.pattern.match(line)
        return line if match is None else self.write(match, time) + line[match.end() :]


def utc(time: float) -> datetime:
    """The time as a datetime in UTC, rounded to microseconds."""
    return datetime.fromtimestamp(round(time, 6), UTC)


def milliseconds(time: float) -> str:
    """The three digits after the second."""
    return f"{utc(time).microsecond // 1000:03d}"


def strptime_stamp(pattern: str, layout: str) -> Stamp:
    """A stamp that `strptime` reads and `strftime` writes; group 1 is the time, group 0 what is replaced."""

    def read(match: re.Match[str]) -> float:
        return datetime.strptime(match[1], layout).replace(tzinfo=UTC).timestamp()

    def write(match: re.Match[str], time: float) -> str:
        at = match.start(1) - match.start()
        return match[0][:at] + utc(time).strftime(layout) + match[0][at + len(match[1]) :]

    return Stamp(re.compile(pattern), read, write)


def millisecond_stamp(pattern: str, layout: str, mark: str) -> Stamp:
    """A stamp whose seconds carry three more digits after `mark`, as in log4j and in ISO 8601."""

    def read(match: re.Match[str]) -> float:
        whole, _, part = match[1].rpartition(mark)
        return datetime.strptime(whole, layout).replace(tzinfo=UTC).timestamp() + int(part) / 1000

    def write(match: re.Match[str], time: float) -> str:
        at = match.start(1) - match.start()
        text = f"{utc(time).strftime(layout)}{mark}{milliseconds(time)}"
        return match[0][:at] + text + match[0][at + len(match[1]) :]

    return Stamp(re.compile(pattern), read, write)


def _bgl_write(match: re.Match[str], time: float) -> str:
    local = utc(time + BGL_ZONE_S)
    return f"- {int(time)} {local:%Y.%m.%d} {match[2]} {local:%Y-%m-%d-%H.%M.%S.%f}"


def _bgl_read(match: re.Match[str]) -> float:
    text = datetime.strptime(match[3], "%Y-%m-%d-%H.%M.%S.%f").replace(tzinfo=UTC)
    return text.timestamp() - BGL_ZONE_S


BGL = Stamp(re.compile(r"- (\d+) [\d.]+ (\S+) (\d{4}-\d\d-\d\d-[\d.]+)"), _bgl_read, _bgl_write)


def _phone_read(match: re.Match[str]) -> float:
    hour, minute, second, millisecond = (int(part) for part in match[2].split(":"))
    day = datetime.strptime(match[1], "%Y%m%d").replace(tzinfo=UTC).timestamp()
    return day + hour * 3600 + minute * 60 + second + millisecond / 1000


def _phone_write(match: re.Match[str], time: float) -> str:
    when = utc(time)
    return f"{when:%Y%m%d}-{when.hour}:{when.minute}:{when.second}:{when.microsecond // 1000}"


PHONE = Stamp(re.compile(r"(\d{8})-(\d+:\d+:\d+:\d+)"), _phone_read, _phone_write)
HDFS = strptime_stamp(r"(\d{6} \d{6})", "%y%m%d %H%M%S")
LOG4J = millisecond_stamp(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3})", "%Y-%m-%d %H:%M:%S", ",")
OPENSTACK = millisecond_stamp(r"\S+ (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3})", "%Y-%m-%d %H:%M:%S", ".")
APACHE = strptime_stamp(r"\[(\w{3} \w{3} \d\d \d\d:\d\d:\d\d \d{4})\]", "%a %b %d %H:%M:%S %Y")
SPARK = strptime_stamp(r"(\d\d/\d\d/\d\d \d\d:\d\d:\d\d)", "%y/%m/%d %H:%M:%S")
ACCESS = strptime_stamp(r"\S+ \S+ \S+ \[(\S+) \+0000\]", "%d/%b/%Y:%H:%M:%S")
JSON_TS = millisecond_stamp(r'\{"ts":"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3})Z"', "%Y-%m-%dT%H:%M:%S", ".")


def _syslog_write(match: re.Match[str], time: float) -> str:
    return f"{utc(time):%b %e %H:%M:%S}"


def syslog(year: int) -> Stamp:
    """RFC 3164 times, read as of that year."""

    def read(match: re.Match[str]) -> float:
        text = " ".join(f"{year} {match[0]}".split())
        return datetime.strptime(text, "%Y %b %d %H:%M:%S").replace(tzinfo=UTC).timestamp()

    return Stamp(re.compile(r"\w{3} [ \d]\d \d\d:\d\d:\d\d"), read, _syslog_write)
