r"""Layouts in which a time of any common form stands early in the line, whatever stands before it.

They are the last resort before `unknown`, and so match many programs that no entry describes. The time is found by
`Format.clocks`, one line at a time. What can only be a header before it (numbers, brackets, letters, tags, a level) is
peeled off; words may be the message, so they stay in it.
"""

from engine.formats.base import ANY_MONTH, HMS, MONTH_NAMES, NO_SESSIONS, ZONE, Format, headed
from engine.formats.general import AFTER_TIME, LEVEL
from engine.formats.time_values import ZONES

_NAMES = "|".join(sorted((name for name in ZONES if name not in ("UTC", "GMT")), key=len, reverse=True)).encode()
_N = rb"[0-9]+"
_SOME_CLOCK = _N + rb":" + _N + rb":" + _N
_SOME_MONTH = rb"(?:" + MONTH_NAMES + rb")"
_GAP = rb"(?:T| +|_|-|@|\|| -+ +|, *|:+ *)"
"""Between date and time of day."""

_SOME_TIME = (
    rb"(?:" + _N + rb"[-/.:]" + _N + rb"[-/.:]" + _N + _GAP + _SOME_CLOCK
    + rb"|" + _N + rb"[-/. ]" + _SOME_MONTH + rb"(?:[-/. ]" + _N + rb")?" + _GAP + _SOME_CLOCK
    + rb"|" + _SOME_MONTH + rb"[-/. ]? *" + _N + rb"(?:(?:,? |[-/])" + _N + rb")?" + _GAP + _SOME_CLOCK
    + rb"|" + _N + rb"[-/]" + _N + rb"[- |T]" + _SOME_CLOCK + rb")"
)  # fmt: skip
"""A time without groups: which of its numbers is the year, the clocks decide."""

_BEHIND = rb"(?:[.,:]" + _N + rb")?(?: ?(?:AM|PM))?(?: ?[-+]" + _N + rb"(?::" + _N + rb")?|Z)?"
"""What belongs to the time behind it: fraction, half of the day, offset."""

_PRIORITY = rb"(?:<(?P<priority>[0-9]+)> ?(?:" + _N + rb" )?)?"
_PIECE = (
    rb"(?:\[[^\]]*\][ \t]*+|\([^)]*\)[ \t]*+|####<|[A-Z][ \t]++|[*|#-]+[ \t]++|" + _N + rb"(?:[:|,][ \t]*+|[ \t]++)"
    rb"|(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)(?:,[ \t]*+|[ \t]++)"
    rb"|(?:[0-9]+\|)?[A-Za-z_][A-Za-z0-9_./-]*(?:\[[0-9]+\])?(?::[ \t]*+| *\|[ \t]*+))"
)
"""What can only be part of a header."""
_PIECES, _MORE_PIECES = rb"(?:" + _PIECE + rb"){0,3}?", rb"(?:" + _PIECE + rb"){0,2}?"
_ZONE_BEFORE = rb"(?:(?P<zone_before>UTC|GMT|" + _NAMES + rb") )?"
_WORDS = rb"(?:[^ \t]++[ \t]++){0,3}?[^ \t0-9]*?"

_CLOCK = (
    rb"(?P<hour>[0-9]{1,2}):(?P<minute>[0-9]{2}):(?P<second>[0-9]{2})(?:[.,:](?P<fraction>[0-9]{1,9})[0-9]*)?"
    rb"(?: ?(?P<half_day>AM|PM))?(?: ?" + ZONE + rb"| (?P<zone_name>" + _NAMES + rb"))?(?![0-9A-Za-z])"
)
_MONTH, _DAY = rb"(?P<month>[0-9]{1,2})", rb"(?P<day>[0-9]{1,2})"
_YEAR, _YY = rb"(?P<year>[0-9]{4})", rb"(?P<yy>[0-9]{2})"
_HALF_DAYS = rb"(?=[0-9:.,]+ ?[AP]M)"
_TIMES = (
    _YEAR + rb"[-/.:]" + _MONTH + rb"[-/.:]" + _DAY + _GAP + _CLOCK,
    _DAY + rb"[-/. ]" + ANY_MONTH + rb"(?:[-/. ]" + _YEAR + rb")?" + _GAP + _CLOCK,
    ANY_MONTH + rb" +" + _DAY + rb" " + HMS + rb"(?:[.,](?P<fraction>[0-9]{1,9}))? " + _YEAR + rb"(?![0-9:])",
    ANY_MONTH + rb"[-/. ]? *" + _DAY + rb"(?:(?:,? |[-/])" + _YEAR + rb")?" + _GAP + _CLOCK,
    # Where people put the month first, programs write AM and PM. A date that does not exist is tried another way.
    _MONTH + rb"[-/.]" + _DAY + rb"[-/.]" + _YEAR + _GAP + _HALF_DAYS + _CLOCK,
    _DAY + rb"[-/.]" + _MONTH + rb"[-/.]" + _YEAR + _GAP + _CLOCK,
    _MONTH + rb"[-/.]" + _DAY + rb"[-/.]" + _YEAR + _GAP + _CLOCK,
    _MONTH + rb"[-/.]" + _DAY + rb"[-/.]" + _YY + _GAP + _CLOCK,
    _DAY + rb"[-/.]" + _MONTH + rb"[-/.]" + _YY + _GAP + _CLOCK,
    _YY + rb"[-/.]" + _MONTH + rb"[-/.]" + _DAY + _GAP + _CLOCK,
    _MONTH + rb"[-/]" + _DAY + rb"[- |T]" + _CLOCK,
)  # fmt: skip
"""Times in the order in which they are tried."""


def _clocks(prefix: bytes) -> tuple[bytes, ...]:
    """Patterns for the time behind a prefix."""
    return tuple(rb"^(?:<[0-9]+> ?(?:[0-9]+ )?)?" + prefix + _ZONE_BEFORE + time for time in _TIMES)


_SOME_LEVEL = rb"(?:" + LEVEL.replace(rb"(?P<level>", rb"(?:") + rb")?"

PEELED = Format(
    name="peeled",
    expected="NUMBERS, [BRACKETS], TAGS: or LEVEL, then a date and a time of any form, then MESSAGE",
    examples=(
        b"[4711] 2024/03/10 06:25:01.123456 [ERR] 10.0.0.7:50022 - cid:17 - authentication error",
        b"ERROR [ReadStage-2] 2024-03-10 06:25:02,417 Executor.java:166 - order 18 failed",
        b"[Mar 10 06:25:03] WARNING[4711]: chan_sip.c:4070 retrans_pkt: Retransmission timeout reached",
        b"0|shop     | 2024-03-10T06:25:04: Error: connect ECONNREFUSED 10.0.0.2:5432",
        b"10-MAR-2024 06:25:05 * establish * shop * 12514",
    ),
    header=headed(
        _PRIORITY + _PIECES + rb"(?:" + LEVEL + rb")?" + _MORE_PIECES + rb"(?:\[[A-Z]+ |[\[(<\"'])?" + _SOME_TIME
        + _BEHIND + rb"[\"']?(?:" + AFTER_TIME + rb"|,)(?P<message>.*)"
    ),
    clocks=_clocks(_PIECES + _SOME_LEVEL + _MORE_PIECES + rb"[\[(<\"']?"),
    timed=True,
    sessions=NO_SESSIONS,
    joins=True,
    general=True,
)  # fmt: skip

_LEVEL_MARK = (
    rb"(?:[A-Za-z][A-Za-z0-9_-]*:)?[<(\[]?(?:[TDIWEFCN]|trace|debug|info|notice|warn|warning|error|fatal|critical)"
    rb"(?:[>)\]:,][ \t]*+|[ \t]++)"
)

LEVEL_MARKED = Format(
    name="level_marked",
    expected="LETTER or level, perhaps in brackets or behind TAG:, then a date and a time of any form, then MESSAGE",
    examples=(
        b"<W>2024-03-10 06:25:01.123 certificate expires soon",
        b"(E) 2024-03-10T06:25:02 - order 18 failed",
        b"shop:error 2024-03-10 06:25:03: order 19 failed",
        b"[warning 2024/03/10 06:25:04.123 UTC server1 <main> tid=0x1] queue is long",
    ),
    header=headed(
        _LEVEL_MARK.replace(rb"(?:[TDI", rb"(?P<level>[TDI") + rb"[\[(]?" + _SOME_TIME + _BEHIND + AFTER_TIME
        + rb"(?P<message>.*)"
    ),
    clocks=_clocks(_LEVEL_MARK + rb"[\[(]?"),
    levels={
        "T": "trace", "D": "debug", "I": "info", "N": "info", "W": "warn", "E": "error", "F": "fatal", "C": "fatal",
    },
    timed=True,
    sessions=NO_SESSIONS,
    joins=True,
    general=True,
)  # fmt: skip

LOCATED = Format(
    name="located",
    expected="up to three WORDS, then a date and a time of any form",
    examples=(
        b"tls 2.0 2024-03-10T06:25:01 net/my-nlb/c6e77e28c25b2234 10.0.0.7:51341 10.0.1.9:443 5 2 98 246",
        b"Backup started 2024-03-10 06:25:02 with 17 files",
    ),
    header=headed(_PRIORITY + rb"(?P<message>" + _WORDS + _SOME_TIME + rb"(?:[^0-9A-Za-z:].*|Z.*)?)$"),
    clocks=_clocks(_WORDS),
    timed=True,
    sessions=NO_SESSIONS,
    joins=True,
    general=True,
)
