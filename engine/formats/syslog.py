"""Syslog and what rides on it: RFC 3164, RFC 5424, CEF, LEEF, klog, CRI."""

from engine.formats.base import (
    FRACTION,
    HMS,
    MONTH_NAME,
    NO_KEY,
    NO_SESSIONS,
    RFC3339,
    STREAMS,
    SYSLOG_TIME,
    YMD,
    ZONE,
    Format,
    headed,
)  # fmt: skip
from engine.formats.masks import Mask

_ELEMENTS = rb"(?:\[[^\]\\]*(?:\\[\x22\\\]]?+[^\]\\]*)*\])+"
_DATA = rb"(?:-|" + _ELEMENTS + rb")"
# Of RFC 3164, with a program's tag or without, or of RFC 5424, or with the time of the one and the rest of the other.
_OPTIONAL_HEAD = (
    rb"(?:(?:<(?P<priority>[0-9]+)>(?:[0-9]+ )?)?(?:" + MONTH_NAME + rb" +|(?P<year>[0-9]{4})-(?P<month>[0-9]{2})-)"
    rb"(?P<day>[0-9]{1,2})[ T]" + HMS + rb"(?:\." + FRACTION + rb")?(?:" + ZONE + rb")? (?:-|(?P<host>[^ ]+)) "
    rb"(?:[^ |]+ [^ |]+ [^ |]+ " + _DATA + rb" (?:\xef\xbb\xbf)?|[^ :|]+: ?)?)?"
)
_PIPED = rb"[^|\\]*(?:\\[|\\]?+[^|\\]*)*"
"""A field between two bars, of which one that belongs to it has a backslash before it."""
_SEVERITIES = {str(i): level for i, level in enumerate(["info"] * 4 + ["warn"] * 3 + ["error"] * 2 + ["fatal"] * 2)}
_SEVERITIES |= {"LOW": "info", "MEDIUM": "warn", "HIGH": "error", "VERY-HIGH": "fatal", "UNKNOWN": ""}

_CLOCK = HMS + rb"(?:\." + FRACTION + rb")?(?: ?(?:GMT|UTC)?" + ZONE + rb"| [A-Z]{2,5})?(?![0-9A-Za-z:.=])"
_WRITTEN = (
    rb"(?:(?P<epoch_s>[0-9]{10})(?P<millisecond>[0-9]{3})(?![0-9])|"
    + MONTH_NAME + rb" +(?P<day>[0-9]{1,2})(?: (?P<year>[0-9]{4}))? " + _CLOCK + rb")"
)  # fmt: skip
"""Milliseconds since the epoch, or `MMM dd [yyyy] HH:mm:ss[.SSS][ zzz]`.

Of zones by name UTC and GMT have one meaning; times with any other are taken to be in the source's own.
"""


def _clock(name: bytes, form: bytes = _WRITTEN) -> bytes:
    """A pattern for a time in the extension; with the name in front it is searched for faster."""
    return name + rb"=(?<![0-9A-Za-z]" + name + rb"=)" + form


SYSLOG = Format(
    name="syslog",
    expected="[<PRI>]Mmm dd HH:MM:SS HOST PROGRAM[PID]: MESSAGE",
    examples=(
        b"Jun 14 15:16:01 combo sshd(pam_unix)[19939]: authentication failure; logname= uid=0 euid=0 tty=NODEVssh",
        b"<34>Oct  1 22:14:15 mymachine su: 'su root' failed for lonvick on /dev/pts/8",
    ),
    header=headed(
        # Over TCP the number of octets may precede it (RFC 6587).
        rb"(?:(?:[0-9]+ )?<(?P<priority>[0-9]+)>)?" + SYSLOG_TIME + rb"(?:\." + FRACTION + rb")? +"
        # A host needs a program's tag behind it: otherwise the first word of the message would match as a host.
        rb"(?:(?:(?P<host>:*[^ :=\"]+(?::+[^ :=\"]+)*) )?(?:(?P<component>[^ :\[=\"]+)"
        rb"(?:\[(?P<pid>[0-9]+)\](?:: ?| )|: ?)|--+ ))?"
        rb"(?P<message>.*)"
    ),
    sessions={
        "none": NO_KEY,
        "host": (rb":[0-9]+:[0-9]+ (?P<key>[^ ]+) ",),
        "process": (rb":[0-9]+:[0-9]+ [^ ]+ (?P<key>[^ :\[]+\[[0-9]+\]):",),
    },
    masks=(
        Mask(pattern=r"^com\.apple\.[^ :]+: ", name="ACTIVITY"),
        Mask(pattern=r"\[[0-9]+-[0-9]+-[0-9]+_[0-9,.]+\]-[^ ,]+", name="FILE"),
        Mask(pattern=r"rhost=[^ ]+", name="RHOST"),
        # Queue ids of mail servers: in hexadecimal digits anywhere, in letters of both cases at the beginning.
        Mask(pattern=r"^[A-Za-z]*(?:[0-9]+[A-Za-z]+){2,}[0-9]*:", name="ID"),
        Mask(pattern=r"\b[A-F]*(?:[0-9]+[A-F]+){2,}[0-9]*\b", name="ID"),
    ),
    similarity=0.7,
    # journalctl indents the further lines of a message.
    joins=True,
)

SYSLOG_5424 = Format(
    name="syslog5424",
    expected="<PRI>1 YYYY-MM-DDTHH:MM:SS[.FFF]ZONE HOST APP PID MSGID [DATA] MESSAGE",
    examples=(
        b"<34>1 2003-10-11T22:14:15.003Z mymachine.example.com su - ID47 - 'su root' failed for lonvick on /dev/pts/8",
        b'<165>1 2003-08-24T05:14:15.000003-07:00 192.0.2.1 myproc 8710 - [exampleSDID@32473 iut="3"] link eth0 is up',
    ),
    header=headed(
        rb"(?:[0-9]+ )?<(?P<priority>[0-9]+)>[0-9]+ (?:"
        + RFC3339
        + rb"|-) (?:-|(?P<host>[^ ]+)) (?:-|(?P<component>[^ ]+)) "
        rb"(?:(?P<pid>[0-9]+)|[^ ]+) [^ ]+ (?:-(?: |$)|" + _ELEMENTS + rb" )?(?:\xef\xbb\xbf)?(?P<message>.*)$"
    ),
    sessions={"none": NO_KEY, "host": (rb"^<[0-9]+>[0-9]+ [^ ]+ (?P<key>[^ ]+) ",)},
)

RSYSLOG = Format(
    name="rsyslog",
    expected="YYYY-MM-DDTHH:MM:SS[.FFFFFF]ZONE HOST PROGRAM[PID]: MESSAGE",
    examples=(
        b"2024-03-10T06:25:01.123456+01:00 web-1 CRON[4711]: (root) CMD (test -x /usr/sbin/anacron)",
        b"2024-03-10T06:25:02+0100 web-1 systemd[1]: Started Session 7 of user root.",
    ),
    header=headed(
        rb"(?:<(?P<priority>[0-9]+)>)?"
        + RFC3339
        + rb" (?P<host>[^ )]+) (?P<component>[^ :\[]+)(?:\[(?P<pid>[0-9]+)\])?: ?(?P<message>.*)"
    ),
    sessions={"none": NO_KEY, "host": (rb"^[^ ]+ (?P<key>[^ ]+) ",)},
)

CEF = Format(
    name="cef",
    expected="[SYSLOG HEADER ]CEF:N|VENDOR|PRODUCT|VERSION|EVENT|NAME|SEVERITY|EXTENSION",
    examples=(
        b"Sep 19 08:26:10 host CEF:0|Security|threatmanager|1.0|100|worm successfully stopped|10|"
        b"src=10.0.0.1 dst=2.1.2.2 spt=1232",
        b"CEF:0|Trend Micro|Deep Security Agent|50.0|4000000|Eicar_test_file|6|cn1=1 cn1Label=Host ID dvchost=hostname",
        b"<134>1 2024-03-10T06:25:01.123Z fw-1 gateway 4711 ID47 - "
        b"CEF:0|Vendor|Firewall|2.1|deny|Blocked a \\| b|7|src=10.0.0.7",
        b"CEF:0|Vendor|Firewall|2.1|deny|Blocked|7|src=10.0.0.7 rt=1710051901123",
        b"CEF:0|Vendor|Firewall|2.1|deny|Blocked|7|rt=Mar 10 2024 07:25:01.123 GMT+01:00 src=10.0.0.7",
    ),
    header=headed(
        _OPTIONAL_HEAD + rb"CEF: ?[0-9]+\|" + _PIPED + rb"\|(?P<component>" + _PIPED + rb")\|" + _PIPED + rb"\|"
        rb"(?P<event>" + _PIPED + rb")\|(?P<message>" + _PIPED + rb"\|(?P<level>[^|]*)\|.*)"
    ),
    clocks=(_clock(b"rt"), _clock(b"start"), _clock(b"end")),
    levels=_SEVERITIES,
    sessions={"none": NO_KEY, "source": (rb"[| ]src=(?P<key>[^ ]+)",)},
)

LEEF = Format(
    name="leef",
    expected="[SYSLOG HEADER ]LEEF:N|VENDOR|PRODUCT|VERSION|EVENT|ATTRIBUTES",
    examples=(
        b"Jan 18 11:07:53 192.168.1.1 LEEF:1.0|Microsoft|MSExchange|2007|7732|"
        b"src=7.5.6.6\tdst=172.50.123.1\tsev=5\tcat=anomaly",
        b"LEEF:2.0|Lancope|StealthWatch|1.0|41|^|src=10.0.1.8^dst=10.0.0.5^sev=5",
        b"<13>1 2024-03-10T06:25:01+01:00 sensor-2 - - - - LEEF:1.0|Lancope|StealthWatch|1.0|41|src=10.0.1.8\tsev=5",
        b"LEEF:1.0|Lancope|StealthWatch|1.0|41|src=10.0.1.8\tdevTime=Mar 10 2024 06:25:01\tsev=5",
    ),
    header=headed(
        _OPTIONAL_HEAD + rb"LEEF: ?[0-9]+\.[0-9]+\|[^|]*\|(?P<component>[^|]*)\|[^|]*\|"
        rb"(?P<message>(?:.*?[|\t^]sev=(?P<level>[0-9]+)(?:[^0-9a-fA-F-].*)?$|.*))"
    ),
    levels=_SEVERITIES,
    clocks=(_clock(b"devTime"), _clock(b"devTime", YMD + rb"[T ]" + _CLOCK)),
    sessions={"none": NO_KEY, "source": (rb"[|\t^]src=(?P<key>[^\t^]+)",)},
)

KLOG = Format(
    name="klog",
    expected="LMMDD HH:MM:SS.FFFFFF PID FILE:LINE] MESSAGE",
    examples=(
        b"I0314 09:30:12.345678    1234 controller.go:132] Syncing deployment default/web",
        b'E0314 09:30:13.000001       1 reflector.go:147] "Failed to watch" err="connection refused" type="*v1.Pod"',
    ),
    header=headed(
        rb"(?P<level>[IWEF])(?P<mmdd>[0-9]{4}) " + HMS + rb"\." + FRACTION + rb" +(?P<pid>[0-9]+) "
        rb"(?P<component>[^ \]]+)\] (?P<message>.*)"
    ),
    levels={"I": "info", "W": "warn", "E": "error", "F": "fatal"},
    sessions=NO_SESSIONS,
    joins=True,
)

CRI = Format(
    name="cri",
    expected="YYYY-MM-DDTHH:MM:SS.FFFFFFFFFZONE stdout|stderr F|P MESSAGE",
    examples=(
        b"2016-10-06T00:17:09.669794202Z stdout F starting the http server on port 8080",
        b"2016-10-06T00:17:10.113242941+02:00 stderr F no route to host",
    ),
    blocks=(
        b"2016-10-06T00:17:11.205317442Z stdout P a long line that the runtime \n"
        b"2016-10-06T00:17:11.205317981Z stdout F wrote in two pieces\n",
    ),
    header=headed(RFC3339 + rb" (?P<component>stdout|stderr) (?:F|(?P<piece>P)) (?P<message>.*)"),
    sessions=NO_SESSIONS,
    joins=True,
    streams=STREAMS,
)
