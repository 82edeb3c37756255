"""Layouts that many programs write in their own variations, and that name no program.

They come after the formats that describe a line exactly, and detection never tries them first
(`Format.general`). They find the time, the level and, if a dotted name follows it, the component.
"""

from engine.formats.base import CLOCK, DECIMALS, HMS, MONTH_NAME, NO_KEY, NO_SESSIONS, ZONE, Format, headed
from engine.formats.masks import Mask

_DATE = rb"(?P<year>[0-9]{4})[-/.](?P<month>[0-9]{2})[-/.](?P<day>[0-9]{2})(?:T| +)" + HMS
_CLOCK = CLOCK + rb"(?: (?P<half_day>AM|PM))?"
_GAP = rb"[ \t:,|]*(?:-+ +)?"
AFTER_TIME = rb"(?:[\])>\t :|]|, )" + _GAP
# A number with a sign may begin the message, too: behind a space it is a zone only if something else shows it.
_ISO = rb"[\[(<]?" + _DATE + DECIMALS + rb"(?:" + ZONE + rb")?" + AFTER_TIME
_ISO_SPACED = rb"[\[(<]?" + _DATE + DECIMALS + rb"(?: ?" + ZONE + rb")?" + AFTER_TIME
_ISO_ZONED = rb"[\[(<]?" + _DATE + DECIMALS + rb" " + ZONE + AFTER_TIME

# Words in capitals are levels at any place; others may be the first of the message, so a mark has to follow.
# It belongs to the group, and `level_of` strips it: a look-ahead, which could leave it out, is not blind to ids.
LEVEL = (
    rb"[\[(<]?(?:[a-z_-]+\.)?(?P<level>(?:TRACE|DEBUG|INFO|NOTICE|WARN|WARNING|ERR|ERROR|SEVERE|FATAL|CRIT|CRITICAL"
    rb"|ALERT|EMERG|PANIC|TRC|DBG|DBUG|INF|WRN|EROR|FTL)[ \t\])>:|,/]|(?:[Tt]race|[Dd]ebug|[Ii]nfo|[Nn]otice|[Ww]arn"
    rb"|[Ww]arning|[Ee]rr|[Ee]rror|[Ff]atal|[Cc]rit|[Cc]ritical|[Pp]anic) *[\])>:|\t,/])(?:[A-Za-z0-9_-]+[\])])?"
    rb"[ \t\])>:|,]*(?:-+ +)?"
)
ASIDE = rb"(?:\[[^\]]*\]|\([^)]*\)|\{[^}]*\})" + _GAP
"""A thread, a process or a place in the code, between time and level or between level and component."""
REST = (
    rb"(?:(?:" + ASIDE + rb")?[\[(]?(?P<component>(?:[A-Za-z0-9_$-]+(?:\.|::))+[A-Za-z_$]+)"
    rb" *(?:[\])]:?|:| -+) +)?(?P<message>.*)"
)
MAYBE_LEVEL = AFTER_TIME + rb"(?:(?:" + ASIDE + rb")?(?:" + ASIDE + rb")?" + LEVEL + rb")?"

LEVELLED = Format(
    name="levelled",
    expected="YYYY-MM-DD HH:MM:SS[.FFF][ZONE] [THREAD] LEVEL [COMPONENT:] MESSAGE",
    examples=(
        b"2024-03-10 06:25:01,123 INFO shop.orders: order 17 placed",
        b"[2024-03-10 06:25:02 +0000] [7] [ERROR] Worker 12 was sent SIGKILL",
        b"2024-03-10T06:25:03.456Z  WARN shop::server: slow request took=3.2s",
        b"[2024-03-10T06:25:04,789][INFO ][o.e.n.Node               ] [node-1] started",
    ),
    header=headed(_ISO_SPACED + rb"(?:" + ASIDE + rb")?(?:" + ASIDE + rb")?" + LEVEL + REST),
    sessions=NO_SESSIONS,
    joins=True,
    general=True,
)

LEVEL_FIRST = Format(
    name="level_first",
    expected="LEVEL YYYY-MM-DD HH:MM:SS[.FFF][ZONE] [COMPONENT:] MESSAGE",
    examples=(
        b"INFO  [2024-03-10 06:25:01,123] com.example.shop.Application: Started in 3.2 seconds",
        b"[ERROR] 2024-03-10T06:25:02.456Z 5e6f2a10-1111-4222-8333-944445555666 Task timed out after 3 seconds",
        b"   INFO 2024-03-10 06:25:03.456 [  main ] Starting up with pid 4711",
    ),
    header=headed(rb" *" + LEVEL + _ISO + REST),
    sessions=NO_SESSIONS,
    joins=True,
    general=True,
)

DATED_ZONE = Format(
    name="dated_zone",
    expected="YYYY-MM-DD HH:MM:SS[.FFF] ZONE MESSAGE",
    examples=(
        b"2024-03-10 07:25:01 +0100 order 17 placed",
        b"2024-03-10 06:25:02.456 UTC shop.orders: order 18 placed",
    ),
    header=headed(_ISO_ZONED + REST),
    sessions=NO_SESSIONS,
    joins=True,
    general=True,
)

DATED = Format(
    name="dated",
    expected="YYYY-MM-DD HH:MM:SS[.FFF][ZONE] MESSAGE",
    examples=(
        b"2024/03/10 06:25:01 main.go:12: listening on :8080",
        b"[2024-03-10T07:25:02.456+01:00] order 17 placed",
    ),
    header=headed(_ISO + REST),
    sessions=NO_SESSIONS,
    joins=True,
    general=True,
)

_DAY_MONTH = rb"\[?(?P<day>[0-9]{2})[-/ ]" + MONTH_NAME + rb"[-/ ](?P<year>[0-9]{4})[: ]" + HMS + DECIMALS

DAY_MONTH_ZONE = Format(
    name="day_month_zone",
    expected="[DD/Mmm/YYYY:HH:MM:SS ZONE] [LEVEL] [COMPONENT:] MESSAGE",
    examples=(b"[10/Mar/2024:07:25:01 +0100] worker 7 stopped", b"10-Mar-2024 06:25:02 UTC ERROR: relation missing"),
    header=headed(_DAY_MONTH + rb" " + ZONE + MAYBE_LEVEL + REST),
    sessions=NO_SESSIONS,
    joins=True,
    general=True,
)

DAY_MONTH = Format(
    name="day_month",
    expected="DD-Mmm-YYYY HH:MM:SS[.FFF] [LEVEL] [COMPONENT:] MESSAGE",
    examples=(
        b"10-Mar-2024 06:25:01.123 INFO [main] org.apache.catalina.startup.Catalina.start Server startup in 3210 ms",
        b"10/Mar/2024 06:25:02 worker 7 stopped",
    ),
    header=headed(_DAY_MONTH + MAYBE_LEVEL + REST),
    sessions=NO_SESSIONS,
    joins=True,
    general=True,
)

MONTH_DAY = Format(
    name="month_day",
    expected="Mmm DD[,] YYYY HH:MM:SS[.FFF] [AM|PM] [LEVEL] [COMPONENT:] MESSAGE",
    examples=(
        b"Mar 10 2024 06:25:01 [ERROR] worker 7 stopped",
        b"Mar 10, 2024 6:25:02 PM shop started in 3.2 s",
    ),
    header=headed(
        rb"\[?" + MONTH_NAME + rb" +(?P<day>[0-9]{1,2}),? (?P<year>[0-9]{4}) " + _CLOCK + DECIMALS
        + MAYBE_LEVEL + REST
    ),
    sessions=NO_SESSIONS,
    joins=True,
    general=True,
)  # fmt: skip

CTIME = Format(
    name="ctime",
    expected="[Day Mmm DD HH:MM:SS YYYY] [LEVEL] MESSAGE",
    examples=(
        b"[Sun Mar 10 06:25:01 2024] usb 1-1: new high-speed USB device number 2",
        b"Sun Mar 10 06:25:02 2024 daemon.err dnsmasq: failed to load names",
    ),
    header=headed(
        rb"\[?(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) " + MONTH_NAME + rb" +(?P<day>[0-9]{1,2}) " + HMS
        + rb" (?P<year>[0-9]{4})" + MAYBE_LEVEL + REST
    ),
    sessions=NO_SESSIONS,
    joins=True,
    general=True,
)  # fmt: skip

DMESG = Format(
    name="dmesg",
    expected="[SECONDS SINCE BOOT] MESSAGE",
    examples=(b"[    1.234567] usb 1-1: new high-speed USB device number 2 using xhci_hcd",),
    header=headed(rb"(?:<(?P<priority>[0-9]+)>)?\[ *[0-9]+\.[0-9]+\] (?P<message>.*)"),
    sessions=NO_SESSIONS,
    general=True,
)

AUDITD = Format(
    name="auditd",
    expected="[node=HOST ]type=TYPE msg=audit(SECONDS.FFF:EVENT): FIELDS",
    examples=(
        b"type=SYSCALL msg=audit(1710051901.123:24287): arch=c000003e syscall=2 success=no exit=-13 pid=3538 "
        b'uid=1000 comm="cat" exe="/bin/cat" key="sshd_config"',
        b"type=PROCTITLE msg=audit(1710051901.123:24287): proctitle=636174002F6574632F736861646F77",
        b"node=web-1 type=USER_LOGIN msg=audit(1710051902.456:24288): pid=3540 uid=0 res=failed",
    ),
    header=headed(
        rb"(?:node=(?P<host>[^ ]+) )?type=(?P<component>[^ ]+) msg=audit\((?P<epoch_s>[0-9]{9,10})\."
        rb"(?P<millisecond>[0-9]{3}):[0-9]+\): ?(?P<message>.*)"
    ),
    sessions={"none": NO_KEY, "event": (rb":(?P<key>[0-9]+)\): ?",)},
    # The command of a process has any number of words; its program stays in `comm` and `exe`.
    masks=(Mask(pattern=r"\b(?:proctitle|cmd)=(?:\"[^\"]*\"|[^ ]+)", name="COMMAND"),),
)
