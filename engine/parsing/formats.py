"""Log formats as data: how a line of each begins, when it was written, and what it belongs to.

A format is one entry of `FORMATS`. Its header is a pattern for the whole line with named groups:

- time: the groups of `engine.parsing.timestamps.DIGIT_GROUPS`, and `month_name`; none of them means that
  a line's time is when it was read;
- `level`, `priority` (of syslog), `host`, `component`, `pid`, `label`: optional;
- `message`: what templates are mined from, to the end of the line.

Time groups say exactly how many digits they take; everything else must be blind to digits (see
`engine.parsing.digit_blind`; checked when a parser is built). Session rules are searched in the whole
line; the group `key` is the session key.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Format:
    """One log format.

    Attributes:
        name: As the settings name it.
        expected: The line's layout in words, for dead letters.
        examples: Lines that a parser of this format must take.
        header: See the module; None where lines are JSON documents.
        sessions: Session rules by name, each a row of patterns of which the first that is found
            gives the key. The first rule is the default.
        normal_label: The value of `label` on normal lines, in data sets that carry one.
        unlabelled_is_anomalous: What a line without `label` is in such data sets.
    """

    name: str
    expected: str
    examples: tuple[bytes, ...]
    header: re.Pattern[bytes] | None
    sessions: Mapping[str, tuple[bytes, ...]] = field(default_factory=dict)
    normal_label: bytes | None = None
    unlabelled_is_anomalous: bool = False


LEVELS: Mapping[str, str] = {
    "TRACE": "trace",
    "DEBUG": "debug",
    "INFO": "info",
    "INFORMATION": "info",
    "NOTICE": "info",
    "AUDIT": "info",
    "WARN": "warn",
    "WARNING": "warn",
    "ERROR": "error",
    "ERR": "error",
    "FAILURE": "error",
    "SEVERE": "error",
    "FATAL": "fatal",
    "CRITICAL": "fatal",
    "CRIT": "fatal",
    "ALERT": "fatal",
    "EMERG": "fatal",
}
"""Spellings of levels (upper case) → the six of OpenTelemetry's log data model."""

SYSLOG_LEVELS = ("fatal", "fatal", "fatal", "error", "warn", "info", "info", "debug")
"""Severity 0..7 of RFC 5424 → level."""

NO_KEY: tuple[bytes, ...] = ()

_HDFS = Format(
    name="hdfs",
    expected="YYMMDD HHMMSS PID LEVEL COMPONENT: MESSAGE",
    examples=(
        b"081109 203615 148 INFO dfs.DataNode$PacketResponder: "
        b"PacketResponder 1 for block blk_38865049064139660 terminating",
        b"081109 204005 35 INFO dfs.FSNamesystem: BLOCK* NameSystem.addStoredBlock: blockMap updated: "
        b"10.251.73.220:50010 is added to blk_-7128370237687728475 size 67108864",
    ),
    header=re.compile(
        rb"(?P<yymmdd>[0-9]{6}) (?P<hhmmss>[0-9]{6}) (?P<pid>[0-9]+) (?P<level>[A-Z]+) "
        rb"(?P<component>[^ :]+): (?P<message>.*)"
    ),
    sessions={"block": (rb"(?P<key>blk_-?[0-9]+)",), "none": NO_KEY},
)

_BGL = Format(
    name="bgl",
    expected="LABEL EPOCH YYYY.MM.DD NODE YYYY-MM-DD-HH.MM.SS.FFFFFF NODE TYPE COMPONENT LEVEL MESSAGE",
    examples=(
        b"- 1117838570 2005.06.03 R02-M1-N0-C:J12-U11 2005-06-03-15.42.50.675872 R02-M1-N0-C:J12-U11 "
        b"RAS KERNEL INFO instruction cache parity error corrected",
        b"KERNDTLB 1118536327 2005.06.11 R30-M0-N9-C:J16-U01 2005-06-11-17.32.07.581048 R30-M0-N9-C:J16-U01 "
        b"RAS KERNEL FATAL data TLB error interrupt",
    ),
    # The epoch is UTC and the written-out time local to the machine: seconds come from the first,
    # the fraction from the second.
    header=re.compile(
        rb"(?P<label>[-A-Z_]+) (?P<epoch_s>[0-9]{9,10}) [0-9]+\.[0-9]+\.[0-9]+ (?P<host>[^ ]+) "
        rb"[0-9]+-[0-9]+-[0-9]+-[0-9]+\.[0-9]+\.[0-9]+\.(?P<fraction>[0-9]{1,9}) (?:[^ ]+ )?"
        rb"(?P<type>[A-Z]+) (?P<component>[A-Z]+) (?P<level>[A-Z]+)(?: (?P<message>.*))?$"
    ),
    sessions={
        "none": NO_KEY,
        "node": (rb"^[-A-Z_]+ [0-9]+ [0-9]+\.[0-9]+\.[0-9]+ (?P<key>[^ ]+) ",),
    },
    normal_label=b"-",
)

_OPENSTACK = Format(
    name="openstack",
    expected="[FILE ]YYYY-MM-DD HH:MM:SS.FFF PID LEVEL COMPONENT [REQUEST] MESSAGE",
    examples=(
        b"nova-compute.log.1.2017-05-16_13:55:31 2017-05-16 00:00:10.302 2931 INFO nova.virt.libvirt.driver [-] "
        b"[instance: b9000564-fe1a-409b-b8cc-1e88b294cd1d] Instance spawned successfully.",
        b"2017-05-16 00:00:00.008 25746 INFO nova.osapi_compute.wsgi.server "
        b"[req-38101a0b-2096-447d-96ea-a692162415ae 113d3a99c3da401fbd62cc2caa5b96d2 "
        b"54fadb412c4e40cdbaed9335e4c35a9e - - -] "
        b'10.11.10.1 "GET /v2/54fadb412c4e40cdbaed9335e4c35a9e/servers/detail HTTP/1.1" status: 200 len: 1893',
    ),
    header=re.compile(
        rb"(?:[a-z][^ ]* )?(?P<year>[0-9]{4})-(?P<month>[0-9]{2})-(?P<day>[0-9]{2}) "
        rb"(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2}):(?P<second>[0-9]{2})\.(?P<fraction>[0-9]{1,9}) "
        rb"(?P<pid>[0-9]+) (?P<level>[A-Z]+) (?P<component>[^ ]+) (?:\[(?P<request>[^\]]*)\] )?(?P<message>.*)"
    ),
    sessions={
        "instance": (
            rb"\[instance: (?P<key>[0-9a-f-]+)\]",
            rb"/servers/(?P<key>[0-9a-f]+-[0-9a-f]+-[0-9a-f]+-[0-9a-f]+-[0-9a-f]+)",
            rb"\[(?P<key>req-[0-9a-f-]+)[ \]]",
        ),
        "request": (rb"\[(?P<key>req-[0-9a-f-]+)[ \]]",),
        "none": NO_KEY,
    },
)

_IOTDB = Format(
    name="iotdb",
    expected="[- ]YYYY-MM-DD HH:MM:SS,FFF [THREAD] LEVEL COMPONENT - MESSAGE",
    examples=(
        b"2023-10-27 20:56:49,008 [main] INFO  o.a.i.c.c.ConfigNodeDescriptor:105 - Start to read config file",
        b"- 2023-10-27 20:56:49,024 [main] INFO  o.a.i.c.s.ConfigNode:99 - IoTDB-ConfigNode environment variables: ",
    ),
    header=re.compile(
        rb"(?:(?P<label>-) )?(?P<year>[0-9]{4})-(?P<month>[0-9]{2})-(?P<day>[0-9]{2}) "
        rb"(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2}):(?P<second>[0-9]{2}),(?P<fraction>[0-9]{1,9}) "
        rb"\[(?P<thread>.*?)\] (?P<level>[A-Z]+) +(?P<component>[^ ]+) - (?P<message>.*)"
    ),
    sessions={
        "none": NO_KEY,
        "thread": (rb",[0-9]+ \[(?P<key>[^\]]+)\] ",),
    },
    normal_label=b"-",
    unlabelled_is_anomalous=True,
)

_SYSLOG = Format(
    name="syslog",
    expected="[<PRI>]Mmm dd HH:MM:SS HOST PROGRAM[PID]: MESSAGE",
    examples=(
        b"Jun 14 15:16:01 combo sshd(pam_unix)[19939]: authentication failure; logname= uid=0 euid=0 tty=NODEVssh",
        b"<34>Oct  1 22:14:15 mymachine su: 'su root' failed for lonvick on /dev/pts/8",
    ),
    header=re.compile(
        rb"(?:<(?P<priority>[0-9]+)>)?(?P<month_name>Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) +"
        rb"(?P<day>[0-9]{1,2}) (?P<hour>[0-9]{2}):(?P<minute>[0-9]{2}):(?P<second>[0-9]{2}) (?P<host>[^ ]+) "
        rb"(?:(?P<component>[^ :\[]+)(?:\[(?P<pid>[0-9]+)\])?: ?)?(?P<message>.*)"
    ),
    sessions={
        "none": NO_KEY,
        "host": (rb":[0-9]+:[0-9]+ (?P<key>[^ ]+) ",),
        "process": (rb":[0-9]+:[0-9]+ [^ ]+ (?P<key>[^ :\[]+\[[0-9]+\]):",),
    },
)

_JSON = Format(
    name="json",
    expected="one JSON object a line, with a time and a message",
    examples=(b'{"time":"2024-05-01T12:00:00Z","level":"info","message":"user 17 logged in"}',),
    header=None,
)

_RAW = Format(
    name="raw",
    expected="any text",
    examples=(b"something happened",),
    header=re.compile(rb"(?P<message>.+)"),
    sessions={"none": NO_KEY},
)

FORMATS: Mapping[str, Format] = {
    "hdfs": _HDFS,
    "bgl": _BGL,
    "openstack": _OPENSTACK,
    "iotdb": _IOTDB,
    "syslog": _SYSLOG,
    "json": _JSON,
    "raw": _RAW,
}


def find(name: str) -> Format:
    """The format of that name.

    Raises:
        ValueError: there is none; the message lists those there are.
    """
    if name not in FORMATS:
        raise ValueError(f"unknown format {name!r}: known are {', '.join(FORMATS)}")
    return FORMATS[name]
