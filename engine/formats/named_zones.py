"""Formats whose times are followed by the name of a zone, such as CET or Europe/Berlin.

They are those of other modules with another time. The time is found by `Format.clocks`, one line at a time. Names with
several meanings, such as IST, are not among them: such lines have the source's own zone.
"""

from dataclasses import replace

from engine.formats import general, multiline, platforms, programs, services, timed
from engine.formats.base import FRACTION, HMS, MONTH_NAME, NO_SESSIONS, YMD, ZONE, Format, headed
from engine.formats.time_values import ZONES

_LONGEST_FIRST = sorted((name for name in ZONES if name not in ("UTC", "GMT", "UT")), key=len, reverse=True)
_NAMES = "|".join(_LONGEST_FIRST).encode()
_NAMED = rb"(?:" + _NAMES + rb")"
_ZONE = rb"(?P<zone_name>" + _NAMES + rb")"
_ISO = YMD + rb"[T ]" + HMS + rb"(?:[.,]" + FRACTION + rb")? "
_ISO_ANY = rb"[0-9]+-[0-9]+-[0-9]+[T ][0-9]+:[0-9]+:[0-9]+(?:[.,][0-9]+)? "
_SOME_ZONE = rb"(?:(?P<utc>UTC|GMT)|[A-Z]+)"
_POSTGRESQL = YMD + rb" " + HMS + rb"(?:\." + FRACTION + rb")? " + _SOME_ZONE


def _derived(format: Format, old: bytes, new: bytes, clock: bytes, examples: tuple[bytes, ...]) -> Format:
    """A format with another time; `old` is how its header begins or what the time in it is."""
    pattern = format.header.pattern if format.header is not None else b""
    if old not in pattern:
        raise ValueError(f"the header of {format.name} has no {old!r}")
    return replace(
        format,
        name=f"{format.name}_zone",
        expected=f"as {format.name}, with the name of a zone",
        examples=examples,
        blocks=(),
        header=headed(pattern.replace(old, new, 1)),
        clocks=(clock,),
    )


POSTGRESQL_ZONE = _derived(
    services.POSTGRESQL, _POSTGRESQL, _ISO_ANY + _NAMED, _ISO + _ZONE,
    (b"2024-03-10 07:25:01.123 CET [4711] LOG:  database system is ready to accept connections",),
)  # fmt: skip

POSTGRESQL_RDS_ZONE = _derived(
    services.POSTGRESQL_RDS, _POSTGRESQL, _ISO_ANY + _NAMED, _ISO + _ZONE,
    (b'2024-03-10 07:25:01 CET:10.0.0.5(52344):app@shop:[4711]:ERROR:  relation "orders" does not exist',),
)  # fmt: skip

POSTGRESQL_CSV_ZONE = _derived(
    multiline.POSTGRESQL_CSV, YMD + rb" " + HMS + rb"\." + FRACTION + rb" (?:" + ZONE + rb"|[A-Z]+),",
    _ISO_ANY + _NAMED + b",", _ISO + _ZONE,
    (
        b'2024-03-10 07:25:01.123 CET,"app","shop",4711,"10.0.0.7:50022",65ed5a1d.1267,3,"SELECT",'
        b'2024-03-10 07:25:00 CET,3/8,0,ERROR,42P01,"relation ""orders"" does not exist",,,,,,"SELECT 1",15,,"psql"',
    ),
)  # fmt: skip

PHP_ZONE = _derived(
    programs.PHP,
    rb"\[(?P<day>[0-9]{2})-" + MONTH_NAME + rb"-(?P<year>[0-9]{4}) " + HMS
    + rb"(?: (?:(?P<utc>UTC|GMT)|[A-Z][A-Za-z_/+-]*))?\] PHP ",
    rb"\[[0-9]+-[A-Z][a-z]+-[0-9]+ [0-9]+:[0-9]+:[0-9]+ [A-Z][A-Za-z]+/[A-Za-z_/-]+\] PHP ",
    rb"\[(?P<day>[0-9]{2})-" + MONTH_NAME + rb"-(?P<year>[0-9]{4}) " + HMS
    + rb" (?P<zone_iana>[A-Za-z]+/[A-Za-z_/-]+)\]",
    (b"[10-Mar-2024 07:25:01 Europe/Berlin] PHP Warning:  Undefined variable $total in /srv/shop/pay.php on line 17",),
)  # fmt: skip

CISCO_ZONE = _derived(
    platforms.CISCO,
    MONTH_NAME + rb" +(?P<day>[0-9]{1,2}) (?:(?P<year>[0-9]{4}) )?" + HMS + rb"(?:\." + FRACTION
    + rb")?(?: (?:(?P<utc>UTC|GMT)|[A-Z]+))?",
    rb"[A-Z][a-z]+ +[0-9]+ (?:[0-9]+ )?[0-9]+:[0-9]+:[0-9]+(?:\.[0-9]+)? " + _NAMED,
    MONTH_NAME + rb" +(?P<day>[0-9]{1,2}) (?:(?P<year>[0-9]{4}) )?" + HMS + rb"(?:\." + FRACTION + rb")? " + _ZONE,
    (b"<187>117: sw-1: Mar 10 07:25:01.123 CET: %LINK-3-UPDOWN: Interface GigabitEthernet0/1, changed state to down",),
)  # fmt: skip

JOURNAL_FULL_ZONE = _derived(
    programs.JOURNAL_FULL,
    YMD + rb" " + HMS + rb"(?:\." + FRACTION + rb")? (?:(?P<utc>UTC|GMT)|[A-Z]+|[+-][0-9]+)",
    _ISO_ANY + _NAMED, _ISO + _ZONE,
    (b"Sun 2024-03-10 07:25:01 CET web-1 sshd[4711]: Accepted publickey for root from 10.0.0.7 port 50022 ssh2",),
)  # fmt: skip

DATED_NAME = Format(
    name="dated_name",
    expected="YYYY-MM-DD HH:MM:SS[.FFF] ZONE-NAME [LEVEL] [COMPONENT:] MESSAGE",
    examples=(
        b"2024-03-10 07:25:01.123 CET ERROR shop.orders: order 18 failed",
        b"[2024-03-10 01:25:02 EST] queue is long",
        b"2024-03-10 07:25:03 Europe/Berlin WARN shop.orders: slow",
    ),
    header=headed(
        rb"[\[(<]?"
        + _ISO_ANY
        + rb"(?:"
        + _NAMED
        + rb"|[A-Z][A-Za-z]+/[A-Za-z_/+-]+)"
        + general.MAYBE_LEVEL
        + general.REST
    ),
    clocks=(_ISO + _ZONE, _ISO + rb"(?P<zone_iana>[A-Z][A-Za-z]+/[A-Za-z_/+-]+)"),
    timed=True,
    sessions=NO_SESSIONS,
    joins=True,
    general=True,
)

DATE_COMMAND_NAME = Format(
    name="date_command_name",
    expected="Day Mmm DD HH:MM:SS ZONE-NAME YYYY [LEVEL] [COMPONENT:] MESSAGE",
    examples=(b"Sun Mar 10 07:25:01 CET 2024 backup: ERROR disk full",),
    header=headed(
        rb"\[?" + timed.WEEKDAY + rb" [A-Z][a-z]+ +[0-9]+ [0-9]+:[0-9]+:[0-9]+ " + _NAMED + rb" [0-9]+"
        + general.MAYBE_LEVEL + general.REST
    ),
    clocks=(MONTH_NAME + rb" +(?P<day>[0-9]{1,2}) " + HMS + rb" " + _ZONE + rb" (?P<year>[0-9]{4})",),
    sessions=NO_SESSIONS,
    joins=True,
    general=True,
)  # fmt: skip
