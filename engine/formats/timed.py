"""Layouts that begin with a time in one of the forms that programs write, and name no program.

Like those of `engine.formats.general`, from which they take the parts behind the time, they come last.
"""

from engine.formats.base import (
    CLOCK,
    DECIMALS,
    FRACTION,
    HMS,
    MONTH_NAME,
    NO_SESSIONS,
    PID,
    SYSLOG_LEVELS,
    SYSLOG_TIME,
    YMD,
    ZONE,
    Format,
    headed,
)
from engine.formats.general import AFTER_TIME, ASIDE, LEVEL, MAYBE_LEVEL, REST
from engine.formats.http_status import METHODS

_HALF_DAY = rb" ?(?P<half_day>AM|PM)"
WEEKDAY = rb"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)"
_COMPACT = rb"(?P<yyyymmdd>[0-9]{8})"
_LETTER = {"I": "info", "W": "warn", "E": "error", "F": "fatal", "D": "debug", "C": "fatal", "T": "trace", "V": "trace"}


def _timed(name: str, expected: str, examples: tuple[bytes, ...], time: bytes) -> Format:
    """A layout of a time, perhaps a level and a component, and a message."""
    return Format(
        name=name,
        expected=expected,
        examples=examples,
        header=headed(rb"[\[(<]?" + time + MAYBE_LEVEL + REST),
        sessions=NO_SESSIONS,
        joins=True,
        general=True,
    )


DATED_HALF_DAY = _timed(
    "dated_half_day", "YYYY-MM-DD H:MM:SS[.FFF] AM|PM [LEVEL] [COMPONENT:] MESSAGE",
    (b"2024-03-10 06:25:01 PM ERROR app: order 18 failed", b"[2024/03/10 6:25:02.5 AM] [WARN] queue is long"),
    rb"(?P<year>[0-9]{4})[-/.](?P<month>[0-9]{2})[-/.](?P<day>[0-9]{2})[T ]" + CLOCK + DECIMALS + _HALF_DAY,
)  # fmt: skip

MONTH_FIRST = _timed(
    "month_first", "MM/DD/YYYY H:MM:SS[.FFF] AM|PM [LEVEL] [COMPONENT:] MESSAGE",
    (b"03/10/2024 06:25:04 PM ERROR app: order 18 failed", b"3/10/2024, 6:25:05 AM queue is long"),
    rb"(?P<month>[0-9]{1,2})/(?P<day>[0-9]{1,2})/(?P<year>[0-9]{4}),? " + CLOCK + DECIMALS + _HALF_DAY,
)  # fmt: skip

MONTH_FIRST_SHORT = _timed(
    "month_first_short", "MM/DD/YY H:MM:SS[.FFF] AM|PM [LEVEL] [COMPONENT:] MESSAGE",
    (b"3/10/24 6:25:04 PM error: order 18 failed",),
    rb"(?P<month>[0-9]{1,2})/(?P<day>[0-9]{1,2})/(?P<yy>[0-9]{2}),? " + CLOCK + DECIMALS + _HALF_DAY,
)  # fmt: skip

DAY_FIRST = _timed(
    "day_first", "DD.MM.YYYY HH:MM:SS[.FFF] [LEVEL] [COMPONENT:] MESSAGE",
    (b"10.03.2024 06:25:01,123 [ERROR] shop: order 18 failed", b"[10/03/2024 06:25:02] queue is long"),
    rb"(?P<day>[0-9]{1,2})[./-](?P<month>[0-9]{1,2})[./-](?P<year>[0-9]{4}),? " + CLOCK + DECIMALS,
)  # fmt: skip
"""Where people put the month first, programs write AM and PM."""

MONTH_FIRST_24 = _timed(
    "month_first_24", "MM/DD/YYYY HH:MM:SS[.FFF] [LEVEL] [COMPONENT:] MESSAGE",
    (b"03/28/2024 18:25:01 ERROR shop: order 18 failed",),
    rb"(?P<month>[0-9]{1,2})/(?P<day>[0-9]{1,2})/(?P<year>[0-9]{4}),? " + CLOCK + DECIMALS,
)  # fmt: skip
"""For dates that do not exist with the day first."""

MAIL_DATE = _timed(
    "mail_date", "[Day, ]DD Mmm YYYY HH:MM:SS ZONE [LEVEL] [COMPONENT:] MESSAGE",
    (b"Sun, 10 Mar 2024 07:25:01 +0100 ERROR mailer: no route", b"Sun 10 Mar 2024 06:25:02 PM queue is long"),
    rb"(?:" + WEEKDAY + rb",? )?(?P<day>[0-9]{1,2}) " + MONTH_NAME + rb" (?P<year>[0-9]{4}) " + CLOCK + DECIMALS
    + rb"(?:" + _HALF_DAY + rb")?(?: " + ZONE + rb")?",
)  # fmt: skip

DATE_COMMAND = _timed(
    "date_command", "Day Mmm DD HH:MM:SS[.FFF] [ZONE ]YYYY [LEVEL] [COMPONENT:] MESSAGE",
    (b"Sun Mar 10 06:25:01 UTC 2024 backup: ERROR disk full", b"Sun Mar 10 06:25:02.123456 2024 [error] no route"),
    WEEKDAY + rb" " + MONTH_NAME + rb" +(?P<day>[0-9]{1,2}) " + HMS + DECIMALS
    + rb"(?: (?P<utc>UTC|GMT))? (?P<year>[0-9]{4})",
)  # fmt: skip

COMPACT_DATE = _timed(
    "compact_date", "YYYYMMDD HH:MM:SS[.FFF] [LEVEL] [COMPONENT:] MESSAGE",
    (b"20240310 06:25:01.123 ERROR [main] order 18 failed", b"20240310-06:25:02 queue is long"),
    _COMPACT + rb"[T -]" + HMS + DECIMALS,
)  # fmt: skip

COMPACT_TIME = _timed(
    "compact_time", "YYYYMMDDTHHMMSSZ [LEVEL] [COMPONENT:] MESSAGE",
    (b"20240310T062501Z ERROR order 18 failed", b"20240310-062502 queue is long"),
    _COMPACT + rb"[T -](?P<hhmmss>[0-9]{6})" + DECIMALS + rb"(?:" + ZONE + rb")?",
)  # fmt: skip

NXOS = Format(
    name="nxos",
    expected="YYYY Mmm DD HH:MM:SS[.FFF] [ZONE] [HOST] %FACILITY-SEVERITY-MNEMONIC: MESSAGE",
    examples=(b"2024 Mar 10 06:25:01 sw-1 %ETHPORT-5-IF_DOWN: Interface Ethernet1/1 is down",),
    header=headed(
        rb"(?:<[0-9]+>)?(?:[0-9]+: )?:? ?(?P<year>[0-9]{4}) " + MONTH_NAME + rb" +(?P<day>[0-9]{1,2}) " + HMS
        + DECIMALS + rb"(?: (?P<utc>UTC|GMT))?:?(?: (?P<host>[^ %]+))? %(?P<component>[A-Z][A-Z0-9_]*)-"
        rb"(?P<level>[0-9]+)-(?P<message>[A-Z0-9_]+: .*)"
    ),
    levels={str(i): level for i, level in enumerate(SYSLOG_LEVELS)},
    sessions=NO_SESSIONS,
)  # fmt: skip

JUNIPER = Format(
    name="juniper",
    expected="Mmm DD HH:MM:SS  HOST PROGRAM[PID]: %FACILITY-SEVERITY-TAG: MESSAGE",
    examples=(b"Mar 10 06:25:01  srx-1 rpd[4711]: %DAEMON-4-BGP_NEIGHBOR_STATE_CHANGED: peer 10.0.0.7 is down",),
    header=headed(
        rb"(?:<[0-9]+>)?" + SYSLOG_TIME + DECIMALS + rb" +(?P<host>[^ ]+) (?P<component>[^ :\[]+)"
        rb"(?:\[(?P<pid>[0-9]+)\])?: %[A-Z][A-Z0-9_]*-(?P<level>[0-9]+)(?P<message>-[A-Z0-9_]+: .*)"
    ),
    levels={str(i): level for i, level in enumerate(SYSLOG_LEVELS)},
    sessions=NO_SESSIONS,
)

SYSLOG_YEAR = Format(
    name="syslog_year",
    expected="Mmm DD YYYY HH:MM:SS HOST PROGRAM[PID]: MESSAGE",
    examples=(b"<34>Mar 10 2024 06:25:01 web-1 sshd[4711]: Accepted publickey for root from 10.0.0.7 port 50022",),
    header=headed(
        rb"(?:<(?P<priority>[0-9]+)>)?" + MONTH_NAME + rb" +(?P<day>[0-9]{1,2}) (?P<year>[0-9]{4}) " + HMS + DECIMALS
        + rb" (?P<host>[^ :=\"\[\]]+) (?P<component>[^ :\[=\"]+)\[(?P<pid>[0-9]+)\]: (?P<message>.*)"
    ),
    sessions=NO_SESSIONS,
    joins=True,
)  # fmt: skip

PALO_ALTO = Format(
    name="palo_alto",
    expected="N,YYYY/MM/DD HH:MM:SS,SERIAL,TYPE,SUBTYPE,...",
    examples=(b"1,2024/03/10 06:25:01,001234567890,THREAT,url,2049,2024/03/10 06:25:01,10.0.0.7,10.0.1.9,0.0.0.0",),
    header=headed(
        rb"(?:<[0-9]+>)?(?:[^,]* )?[0-9]*,(?P<year>[0-9]{4})/(?P<month>[0-9]{2})/(?P<day>[0-9]{2}) " + HMS
        + rb",[0-9A-Za-z]+,(?P<message>(?P<component>[A-Z]+),.*)"
    ),
    sessions=NO_SESSIONS,
)  # fmt: skip

LOGCAT_BRIEF = Format(
    name="logcat_brief",
    expected="L/TAG(PID): MESSAGE",
    examples=(b"E/ActivityManager( 1702): process com.example.shop has died",),
    header=headed(rb"(?P<level>[VDIWEF])/(?P<component>[^ (]+) *\( *" + PID + rb"\): (?P<message>.*)"),
    levels=_LETTER,
    sessions=NO_SESSIONS,
)

LOGCAT_YEAR = Format(
    name="logcat_year",
    expected="YYYY-MM-DD HH:MM:SS.FFF PID TID LEVEL TAG: MESSAGE",
    examples=(b"2024-03-10 06:25:01.123  1702  8671 E ActivityManager: process com.example.shop has died",),
    header=headed(
        YMD + rb" " + HMS + rb"\." + FRACTION + rb" +" + PID + rb" +[0-9]+ (?P<level>[VDIWEF]) "
        rb"(?P<component>[^ :]+) *: (?P<message>.*)"
    ),
    levels=_LETTER,
    sessions=NO_SESSIONS,
)

GLOG_YEAR = Format(
    name="glog_year",
    expected="LYYYYMMDD HH:MM:SS.FFFFFF PID FILE:LINE] MESSAGE",
    examples=(b"E20240310 06:25:01.123456  4711 server.cc:17] order 18 failed",),
    header=headed(
        rb"(?P<level>[IWEF])" + _COMPACT + rb" " + HMS + rb"\." + FRACTION + rb" +" + PID
        + rb" (?P<component>[^ \]]+:[0-9]+)\] (?P<message>.*)"
    ),
    levels=_LETTER,
    sessions=NO_SESSIONS,
    joins=True,
)  # fmt: skip

TORNADO = Format(
    name="tornado",
    expected="[L YYYY-MM-DD HH:MM:SS[.FFF] COMPONENT] MESSAGE",
    examples=(b"[E 2024-03-10 06:25:01.123 ServerApp] Could not open the notebook",),
    header=headed(
        rb"\[(?P<level>[DIWEC]) " + YMD + rb" " + HMS + DECIMALS + rb" (?P<component>[^\]]+)\] +(?P<message>.*)"
    ),
    levels=_LETTER,
    sessions=NO_SESSIONS,
    joins=True,
)

TORNADO_ACCESS = Format(
    name="tornado_access",
    expected="[L YYYY-MM-DD HH:MM:SS[.FFF] COMPONENT] STATUS METHOD PATH ...",
    examples=(b"[W 2024-03-10 06:25:01.123 JupyterHub log:191] 403 GET /hub/metrics (@10.0.0.7) 3.17ms",),
    header=headed(
        rb"\[(?P<level>[DIWEC]) " + YMD + rb" " + HMS + DECIMALS + rb" (?P<component>[^\]]+)\] +"
        rb"(?P<message>(?P<status>[0-9]{3}) (?:" + METHODS.encode() + rb") /.*)"
    ),
    levels=_LETTER,
    sessions=NO_SESSIONS,
    joins=True,
)

TORNADO_SHORT = Format(
    name="tornado_short",
    expected="[L YYMMDD HH:MM:SS MODULE:LINE] MESSAGE",
    examples=(b"[E 240310 06:25:01 web:1811] order 18 failed",),
    header=headed(
        rb"\[(?P<level>[DIWEC]) (?P<yymmdd>[0-9]{6}) " + HMS + rb" (?P<component>[^\] ]+)\] +(?P<message>.*)"
    ),
    levels=_LETTER,
    sessions=NO_SESSIONS,
    joins=True,
)

LETTERED = Format(
    name="lettered",
    expected="YYYY-MM-DD HH:MM:SS[.FFF] [L] MESSAGE",
    examples=(b"2024/03/10 06:25:01 [E] order 18 failed", b"2024-03-10 06:25:02.123 [I] [4711] started"),
    header=headed(
        rb"\[?(?P<year>[0-9]{4})[-/](?P<month>[0-9]{2})[-/](?P<day>[0-9]{2})[T ]" + HMS + DECIMALS + rb"(?:" + ZONE
        + rb")?" + AFTER_TIME + rb"\[(?P<level>[TDIWEFC])\] (?P<message>.*)"
    ),
    levels=_LETTER,
    sessions=NO_SESSIONS,
    joins=True,
    general=True,
)  # fmt: skip

LEVEL_SYSLOG_TIME = Format(
    name="level_syslog_time",
    expected="LEVEL Mmm DD HH:MM:SS[.FFF] [[PID]:] MESSAGE",
    examples=(
        b"NOTICE    Mar 10 06:25:01.123 [4711]: Listening on port 8888",
        b"ERROR Mar 10 06:25:02 order 18 failed",
    ),
    header=headed(
        rb"\[?(?P<level>TRACE|DEBUG|INFO|CONNECT|NOTICE|WARN|WARNING|ERR|ERROR|CRIT|CRITICAL|FATAL|ALERT|EMERG)\]?:? +"
        + SYSLOG_TIME + DECIMALS + rb":? +(?:\[(?P<pid>[0-9]+)\]:? +)?(?P<message>.*)"
    ),
    levels={"CONNECT": "info"},
    sessions=NO_SESSIONS,
    joins=True,
    general=True,
)  # fmt: skip

PID_SYSLOG_TIME = Format(
    name="pid_syslog_time",
    expected="[PID] Mmm DD HH:MM:SS MESSAGE",
    examples=(b"[4711] Mar 10 06:25:01 Child connection from 10.0.0.7:50022",),
    header=headed(rb"\[(?P<pid>[0-9]+)\] +" + SYSLOG_TIME + DECIMALS + rb":? (?P<message>.*)"),
    sessions=NO_SESSIONS,
    joins=True,
    general=True,
)

DATED_THREAD = Format(
    name="dated_thread",
    expected="YYYY-MM-DD HH:MM:SS[.FFF] THREAD-ADDRESS LEVEL: MESSAGE",
    examples=(b"2024-03-10 06:25:01.123 7f1da7359500 Error: order 18 failed",),
    header=headed(YMD + rb"[T ]" + HMS + DECIMALS + rb" +(?P<thread>[0-9a-f]+) +" + LEVEL + rb"(?P<message>.*)"),
    sessions=NO_SESSIONS,
    joins=True,
    general=True,
)

STUNNEL = Format(
    name="stunnel",
    expected="YYYY.MM.DD HH:MM:SS LOGn[THREAD]: MESSAGE",
    examples=(b"2024.03.10 06:25:01 LOG3[17]: s_connect: connect 10.0.0.7:443: Connection refused (111)",),
    header=headed(
        rb"(?P<year>[0-9]{4})\.(?P<month>[0-9]{2})\.(?P<day>[0-9]{2}) " + HMS
        + rb" LOG(?P<level>[0-9]+)\[(?P<thread>[^\]]*)\]: (?P<message>.*)"
    ),
    levels={str(i): level for i, level in enumerate(SYSLOG_LEVELS)},
    sessions=NO_SESSIONS,
)  # fmt: skip

DATED_HOST = Format(
    name="dated_host",
    expected="YYYY-MM-DD HH:MM:SS[.FFF][ZONE] HOST LEVEL [COMPONENT:] MESSAGE",
    examples=(
        b"2024-03-10T06:25:01.123Z web-1 ERROR shop.orders: order 18 failed",
        b"2024-03-10 06:25:02 node3.example.org [WARN] queue is long",
    ),
    header=headed(
        rb"\[?(?P<year>[0-9]{4})[-/](?P<month>[0-9]{2})[-/](?P<day>[0-9]{2})[T ]" + HMS + DECIMALS + rb"(?: ?" + ZONE
        + rb")?" + AFTER_TIME
        # A name that ends in a number: a word without one may be a service. Numbered threads are not hosts either.
        + rb"(?:(?P<thread>(?:thread|pool|worker|executor|exec|task|main|nio|https?|job|shard|actor)-[a-z0-9-]+)"
        rb"|(?P<host>[a-z]+(?:-[a-z]+)*-?[0-9]+(?:-[0-9]+)*(?:\.[a-z0-9-]+)*)) +" + LEVEL + REST
    ),
    sessions=NO_SESSIONS,
    joins=True,
    general=True,
)  # fmt: skip

EPOCH_MS, EPOCH_US, EPOCH_NS = (
    _timed(
        f"epoch_{unit}", f"{expected} [LEVEL] [COMPONENT:] MESSAGE",
        tuple(number + rest for rest in (b" ERROR shop.orders: order 18 failed", b" [main] WARN queue is long")),
        rb"(?P<epoch>[0-9]{%d})" % len(number),
    )
    for unit, expected, number in (
        ("ms", "MILLISECONDS", b"1710051901123"),
        ("us", "MICROSECONDS", b"1710051901123456"),
        ("ns", "NANOSECONDS", b"1710051901123456789"),
    )
)  # fmt: skip
"""Numbers of 13, 16 and 19 digits: since 2001, and until 2286 where they are not in ns."""

TAI64N = Format(
    name="tai64n",
    expected="@TAI64N [LEVEL] [COMPONENT:] MESSAGE",
    examples=(
        b"@4000000065ed537f0756c6b0 tcpserver: status: 1/40",
        b"@4000000065ed53801b2e0a44 ERROR shop.orders: order 18 failed",
    ),
    header=headed(rb"@[0-9a-f]+" + MAYBE_LEVEL + REST),
    clocks=(rb"^@(?P<tai64n>[0-9a-f]+)",),
    sessions=NO_SESSIONS,
    joins=True,
    general=True,
)

CLOCK_ONLY = Format(
    name="clock_only",
    expected="[HH:MM:SS[.FFF]] [LEVEL] MESSAGE",
    examples=(
        b"[06:25:01.123] ERROR (4711): order 18 failed",
        b"06:25:02 [error] order 19 failed",
        b"[06:25:03 ERR] order 20 failed",
    ),
    header=headed(rb"\[?" + HMS + DECIMALS + rb"\]? +(?:" + ASIDE + rb")?" + LEVEL + rb"(?P<message>.*)"),
    levels={"ERR": "error", "INF": "info", "WRN": "warn", "DBG": "debug", "FTL": "fatal", "VRB": "trace"},
    sessions=NO_SESSIONS,
    joins=True,
    general=True,
)

CLOCK_PLAIN = Format(
    name="clock_plain",
    expected="HH:MM:SS[.FFF] [AM|PM] MESSAGE, or (HH:MM:SS) MESSAGE",
    examples=(
        b"06:25:01.123 | ERROR   | shop - order 18 failed",
        b"(06:25:02) INFO: order 19 placed",
        b"06:25:03 checkpoint completed",
        b"01:25:04 PM checkpoint completed",
    ),
    header=headed(rb"\(?" + HMS + DECIMALS + rb"(?:" + _HALF_DAY + rb":?)?\)?(?: \|| -)? +(?P<message>.*)"),
    sessions=NO_SESSIONS,
    joins=True,
    general=True,
)

CLOCK_THREAD = Format(
    name="clock_thread",
    expected="[HH:MM:SS] [THREAD/LEVEL]: MESSAGE",
    examples=(b"[06:25:01] [Server thread/ERROR]: order 18 failed",),
    header=headed(rb"\[" + HMS + DECIMALS + rb"\] \[(?P<component>[^\]/]+)/(?P<level>[A-Z]+)\]:? (?P<message>.*)"),
    sessions=NO_SESSIONS,
    joins=True,
)

PREFIXED = Format(
    name="prefixed",
    expected="PREFIX: YYYY-MM-DD HH:MM:SS[.FFF][ZONE] [LEVEL] MESSAGE",
    examples=(
        b"web-1  | 2024-03-10T06:25:01.123Z ERROR order 18 failed",
        b"shop: 2024-03-10 06:25:02 order 19 placed",
        b"pid=4711 2024-03-10 06:25:03 [WARN] queue is long",
        b"raft2024/03/10 06:25:04 INFO: node 17 is a follower",
    ),
    header=headed(
        rb"(?: +|[A-Za-z]+=[^ ]+ +|[A-Za-z]+"
        rb"|(?P<component>[A-Za-z_][A-Za-z0-9_./-]*)(?:\[(?P<pid>[0-9]+)\])?(?: +\| ?|: ?))\[?"
        rb"(?P<year>[0-9]{4})[-/.](?P<month>[0-9]{2})[-/.](?P<day>[0-9]{2})[T ]" + HMS + DECIMALS + rb"(?: ?" + ZONE
        + rb")?" + MAYBE_LEVEL + rb"(?P<message>.*)"
    ),
    sessions=NO_SESSIONS,
    joins=True,
    general=True,
)  # fmt: skip

PRIORITY = Format(
    name="priority",
    expected="<PRI>[PROGRAM[PID]:] MESSAGE",
    examples=(b"<3>usb 1-1: device descriptor read error", b"<11>shop[4711]: order 18 failed"),
    header=headed(
        rb"<(?P<priority>[0-9]+)>(?:(?P<component>[A-Za-z_][A-Za-z0-9_./-]*)(?:\[(?P<pid>[0-9]+)\])?: )?(?P<message>.*)"
    ),
    sessions=NO_SESSIONS,
    general=True,
)
