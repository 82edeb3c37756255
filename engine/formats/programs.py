"""Single programs that write a layout of their own."""

from engine.formats.base import (
    FRACTION,
    HMS,
    ISO,
    MONTH_NAME,
    NO_KEY,
    NO_SESSIONS,
    QUOTED,
    SYSLOG_TIME,
    YMD,
    ZONE,
    Format,
    headed,
)  # fmt: skip
from engine.formats.services import POSTGRESQL_MORE

_DAY_MONTH_YEAR = rb"(?P<day>[0-9]{2})-" + MONTH_NAME + rb"-(?P<year>[0-9]{4})"
_EPOCH = rb"(?P<epoch_s>[0-9]{9,10})"
_LETTER_LEVELS = {
    "T": "trace", "D": "debug", "I": "info", "N": "info", "W": "warn", "E": "error", "C": "fatal", "F": "fatal",
    "A": "fatal",
}  # fmt: skip

RUBY = Format(
    name="ruby",
    expected="L, [YYYY-MM-DDTHH:MM:SS.FFFFFF #PID] LEVEL -- PROGRAM: MESSAGE",
    examples=(
        b"I, [2024-03-10T06:25:01.123456 #4711]  INFO -- : order 17 placed",
        b"E, [2024-03-10T06:25:02.123456 #4711] ERROR -- shop: order 18 failed",
    ),
    header=headed(
        rb"[A-Z], \[" + YMD + rb"T" + HMS + rb"\." + FRACTION + rb" #(?P<pid>[0-9]+)\] +(?P<level>[A-Z]+) -- "
        rb"(?P<component>[^ :]*): (?P<message>.*)"
    ),
    levels={"ANY": "info", "UNKNOWN": "info"},
    sessions=NO_SESSIONS,
    keeps=True,
    joins=True,
)

CAPNSLOG = Format(
    name="capnslog",
    expected="YYYY-MM-DD HH:MM:SS.FFFFFF L | COMPONENT: MESSAGE",
    examples=(
        b"2024-03-10 06:25:01.769412 I | etcdmain: listening for peers on http://localhost:2380",
        b"2024-03-10 06:25:02.769412 E | etcdserver: publish error: etcdserver: request timed out",
    ),
    header=headed(
        YMD + rb" " + HMS + rb"\." + FRACTION + rb" (?P<level>[CDEINTW]) \| (?P<component>[^ :]+): (?P<message>.*)"
    ),
    levels=_LETTER_LEVELS,
    sessions=NO_SESSIONS,
)

_THREAD_LEVEL = (
    rb"(?P<component>[a-z][a-z_-]*)\[(?P<pid>[0-9]+):[0-9]+\] "
    rb"(?P<level>debug|info|notice|warning|error|fatal error): (?P<message>.*)"
)
"""`component[pid:thread] level: message`, as Unbound writes it."""
_NAMED_LEVEL = (
    rb"(?P<component>[A-Za-z0-9_/.-]+)(?:\[(?P<pid>[0-9]+)(?::[0-9]+)?\])?: "
    rb"(?P<level>trace|debug|info|notice|warn|warning|error|err|crit|critical|alert|emerg|fatal|panic)(?: [0-9]+)?: "
    rb"(?P<message>.*)"
)
"""`component[pid:thread]: level: message`, as BIND and others write it."""

TAGGED_ISO = Format(
    name="tagged_iso",
    expected="YYYY-MM-DDTHH:MM:SS[.FFF][ZONE] COMPONENT[PID]: LEVEL: MESSAGE",
    examples=(
        b"2024-03-10T06:25:01.399Z zoneload: error: zone example.org/IN: not loaded due to errors.",
        b"2024-03-10 06:25:02 worker[4711]: warning: queue is long",
    ),
    header=headed(rb"\[?" + ISO + rb"\]? " + _NAMED_LEVEL),
    sessions=NO_SESSIONS,
    joins=True,
)

TAGGED_DAY_MONTH = Format(
    name="tagged_day_month",
    expected="DD-Mmm-YYYY HH:MM:SS.FFF COMPONENT: LEVEL: MESSAGE",
    examples=(b"10-Mar-2024 06:25:01.399 security: info: client @0x7f7c514ea098 10.0.0.7#51282: query denied",),
    header=headed(_DAY_MONTH_YEAR + rb" " + HMS + rb"(?:\." + FRACTION + rb")? " + _NAMED_LEVEL),
    sessions=NO_SESSIONS,
)

LOGFMT_SYSLOG = Format(
    name="logfmt_syslog",
    expected='Mmm dd HH:MM:SS msg="MESSAGE" ... prio="LEVEL" ... ts="SECONDS.FFF" ...',
    examples=(
        b'Mar 10 06:25:01 msg="Unable to open file" subsystem="config" level="0" prio="Notice" tid="0" '
        b'ts="1710051901.764" name="/etc/powerdns/hosts"',
    ),
    header=headed(
        rb"[A-Z][a-z]+ +[0-9]+ [0-9]+:[0-9]+:[0-9]+ (?P<message>msg=" + QUOTED + rb" (?:[a-z]+=" + QUOTED
        + rb" )*?prio=\"(?P<level>[A-Za-z]+)\" (?:[a-z]+=" + QUOTED + rb" )*?ts=\"" + _EPOCH
        + rb"\.(?P<millisecond>[0-9]{3})\".*)"
    ),
    sessions=NO_SESSIONS,
)  # fmt: skip

TAGGED_SYSLOG = Format(
    name="tagged_syslog",
    expected="Mmm dd HH:MM:SS COMPONENT[PID:THREAD]: LEVEL: MESSAGE",
    examples=(b"Mar 10 06:25:01 unbound[4711:0] info: start of service (unbound 1.17.1).",),
    header=headed(SYSLOG_TIME + rb" " + _THREAD_LEVEL),
    levels={"FATAL ERROR": "fatal"},
    sessions=NO_SESSIONS,
)

TAGGED_EPOCH = Format(
    name="tagged_epoch",
    expected="[SECONDS] COMPONENT[PID:THREAD] LEVEL: MESSAGE",
    examples=(b"[1710051901] unbound[4711:0] info: start of service (unbound 1.17.1).",),
    header=headed(rb"\[" + _EPOCH + rb"\] " + _THREAD_LEVEL),
    levels={"FATAL ERROR": "fatal"},
    sessions=NO_SESSIONS,
)

POSTGRESQL_EPOCH = Format(
    name="postgresql_epoch",
    expected="SECONDS.FFF PID [USER] [DATABASE] LEVEL:  MESSAGE",
    examples=(
        b"1710051901.022 4711 app shop LOG:  connection authorized: user=app database=shop",
        b'1710051902.147 4712 app shop FATAL:  password authentication failed for user "app"',
    ),
    header=headed(
        _EPOCH + rb"\.(?P<millisecond>[0-9]{3}) \[?(?P<pid>[0-9]+)\]? (?:[^ :]+ (?:[^ :]+ )?)?"
        rb"(?P<level>LOG|FATAL|ERROR|WARNING|PANIC|NOTICE|INFO|DEBUG[0-9]*|DETAIL|HINT|CONTEXT|STATEMENT|QUERY):  "
        rb"(?P<message>.*)"
    ),
    levels={"LOG": "info", "STATEMENT": "info", "DETAIL": "info", "HINT": "info", "CONTEXT": "info", "QUERY": "info"}
    | {f"DEBUG{i}": "debug" for i in range(1, 6)},
    sessions={"none": NO_KEY, "process": (rb"^[0-9]+\.[0-9]+ \[?(?P<key>[0-9]+)\]? ",)},
    follows=headed(rb"[0-9.]+ \[?(?P<same>[0-9]+)\]? (?:[^ :]+ (?:[^ :]+ )?)?(?:" + POSTGRESQL_MORE + rb")?"),
    joins=True,
)

FAIL2BAN = Format(
    name="fail2ban",
    expected="YYYY-MM-DD HH:MM:SS,FFF COMPONENT [PID]: LEVEL MESSAGE",
    examples=(
        b"2024-03-10 06:25:01,340 fail2ban.filter         [4711]: INFO    [sshd] Found 10.0.0.7 - 2024-03-10 06:25:01",
        b"2024-03-10 06:25:02,054 fail2ban.transmitter    [4711]: ERROR   Command ['set'] has failed.",
    ),
    header=headed(
        YMD + rb" " + HMS + rb"," + FRACTION + rb" (?P<component>[A-Za-z0-9_.]+) +\[(?P<pid>[0-9]+)\]: "
        rb"(?P<level>[A-Z]+) +(?P<message>.*)"
    ),
    sessions=NO_SESSIONS,
    joins=True,
)

HAPROXY_STDERR = Format(
    name="haproxy_stderr",
    expected="[LEVEL] (PID) : MESSAGE",
    examples=(
        b"[ALERT]    (4711) : backend 'shop' has no server available!",
        b'[WARNING]  (4711) : Server shop/app1 is DOWN, reason: Layer4 connection problem, info: "Connection refused"',
    ),
    header=headed(
        rb"\[(?P<level>DEBUG|INFO|NOTICE|WARNING|ALERT|EMERG)\] +(?:[0-9]+/[0-9]+ )?\((?P<pid>[0-9]+)\) : "
        rb"(?P<message>.*)"
    ),
    sessions=NO_SESSIONS,
)

CUPS = Format(
    name="cups",
    expected="L [DD/Mmm/YYYY:HH:MM:SS ZONE] MESSAGE",
    examples=(
        b"E [10/Mar/2024:06:25:01 +0000] [Job 17] Stopping job because the scheduler could not execute a filter.",
        b"I [10/Mar/2024:07:25:02 +0100] Remote access is disabled.",
    ),
    header=headed(
        rb"(?P<level>[ACDEINTWXd]) \[(?P<day>[0-9]{2})/" + MONTH_NAME + rb"/(?P<year>[0-9]{4}):" + HMS + rb" " + ZONE
        + rb"\] (?P<message>.*)"
    ),
    levels={**_LETTER_LEVELS, "X": "fatal"},
    sessions=NO_SESSIONS,
)  # fmt: skip

PHP = Format(
    name="php",
    expected="[DD-Mmm-YYYY HH:MM:SS ZONE] PHP LEVEL:  MESSAGE",
    examples=(
        b"[10-Mar-2024 06:25:01 UTC] PHP Warning:  Undefined variable $total in /srv/shop/pay.php on line 17",
        b"[10-Mar-2024 06:25:02 UTC] PHP Fatal error:  Uncaught Exception: no stock in /srv/shop/pay.php:1",
    ),
    header=headed(
        rb"\[" + _DAY_MONTH_YEAR + rb" " + HMS + rb"(?: (?:(?P<utc>UTC|GMT)|[A-Z][A-Za-z_/+-]*))?\] PHP "
        rb"(?P<level>Fatal error|Parse error|Warning|Notice|Deprecated|Recoverable fatal error|Core error|Compile error"
        rb"|Catchable fatal error|Strict Standards): +(?P<message>.*)"
    ),
    levels={
        "FATAL ERROR": "fatal", "PARSE ERROR": "error", "RECOVERABLE FATAL ERROR": "error", "CORE ERROR": "fatal",
        "COMPILE ERROR": "fatal", "CATCHABLE FATAL ERROR": "error", "DEPRECATED": "info", "STRICT STANDARDS": "info",
    },
    sessions=NO_SESSIONS,
    joins=True,
)  # fmt: skip

JOURNAL_FULL = Format(
    name="journal_full",
    expected="Day YYYY-MM-DD HH:MM:SS[.FFFFFF] ZONE HOST PROGRAM[PID]: MESSAGE",
    examples=(
        b"Sun 2024-03-10 06:25:01 UTC web-1 sshd[4711]: Accepted publickey for root from 10.0.0.7 port 50022 ssh2",
    ),
    header=headed(
        rb"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) " + YMD + rb" " + HMS + rb"(?:\." + FRACTION
        + rb")? (?:(?P<utc>UTC|GMT)|[A-Z]+|[+-][0-9]+) (?P<host>[^ ]+) "
        rb"(?P<component>[^ :\[]+)(?:\[(?P<pid>[0-9]+)\])?: (?P<message>.*)"
    ),
    sessions={"none": NO_KEY, "host": (rb"^[A-Z][a-z]+ [0-9]+-[0-9]+-[0-9]+ [^ ]+ [^ ]+ (?P<key>[^ ]+) ",)},
    joins=True,
)  # fmt: skip

JOURNAL_UNIX = Format(
    name="journal_unix",
    expected="SECONDS.FFFFFF HOST PROGRAM[PID]: MESSAGE",
    examples=(b"1710051901.123456 web-1 sshd[4711]: Accepted publickey for root from 10.0.0.7 port 50022 ssh2",),
    header=headed(
        _EPOCH
        + rb"\."
        + FRACTION
        + rb" (?P<host>[^ :|-]+(?:[:|-]+[^ :|-]+)*) (?P<component>[^ :\[]+)(?:\[(?P<pid>[0-9]+)\])?: "
        rb"(?P<message>.*)"
    ),
    sessions={"none": NO_KEY, "host": (rb"^[0-9]+\.[0-9]+ (?P<key>[^ ]+) ",)},
    joins=True,
)

EPOCH = Format(
    name="epoch",
    expected="SECONDS[.FFFFFF] MESSAGE",
    examples=(
        b"1710051901: mosquitto version 2.0.11 starting",
        b"1710051902.123456\tCabc1\t10.0.0.7\t5353\t10.0.1.9\t53\tudp\tdns\t0.004\t45\t90\tSF",
        b"[1710051903.123] WARNING: queue is long",
    ),
    header=headed(
        rb"[\[(]?(?P<epoch_s>[0-9]{10})(?:[.,]" + FRACTION + rb")?[\])]?:?[ \t]+"
        rb"(?:\[?(?P<level>DEBUG|INFO|NOTICE|WARNING|WARN|ERROR|FATAL|CRITICAL|Debug|Info|Notice|Warning|Error|Fatal"
        rb"|debug|info|notice|warning|error|fatal)(?:\]:?|:) +)?(?P<message>.*)"
    ),
    sessions=NO_SESSIONS,
    joins=True,
    general=True,
)

LEVEL_ONLY = Format(
    name="level_only",
    expected="LEVEL: MESSAGE",
    examples=(b"WARNING:  StatReload detected changes", b"ERROR: order 18 failed"),
    header=headed(rb"(?P<level>TRACE|DEBUG|INFO|NOTICE|WARNING|WARN|ERROR|FATAL|CRITICAL|SEVERE): +(?P<message>.*)"),
    sessions=NO_SESSIONS,
    joins=True,
    general=True,
)
