"""Runtimes, cloud platforms, databases and network devices that write a layout of their own."""

from engine.formats.base import (
    FRACTION,
    HMS,
    ISO,
    MONTH_NAME,
    NO_KEY,
    NO_SESSIONS,
    RFC3339,
    SYSLOG_LEVELS,
    YMD,
    Format,
    headed,
)

MSSQL = Format(
    name="mssql",
    expected="YYYY-MM-DD HH:MM:SS.FF PROCESS      MESSAGE",
    examples=(
        b"2024-03-10 06:25:01.12 spid7s      Starting up database 'shop'.",
        b"2024-03-10 06:25:02.12 Logon       Error: 18456, Severity: 14, State: 8.",
    ),
    header=headed(
        YMD + rb" " + HMS + rb"\." + FRACTION + rb" (?P<component>spid[0-9]+s?|Logon|Server|Backup) +(?P<message>.*)"
    ),
    sessions=NO_SESSIONS,
    joins=True,
)

JVM_GC = Format(
    name="jvm_gc",
    expected="[YYYY-MM-DDTHH:MM:SS.FFFZONE][UPTIMEs][LEVEL][TAGS] MESSAGE",
    examples=(
        b"[2024-03-10T07:25:01.123+0100][info][gc] GC(7) Pause Full (G1 Compaction Pause) 253M->250M(254M) 1203.523ms",
        b"[2024-03-10T07:25:02.123+0100][2.301s][warning][gc,alloc] http-1: Retried waiting for GCLocker too often",
        b"[0.337s][info][gc           ] GC(0) Pause Young (G1 Evacuation Pause) 25M->4M(254M) 3.523ms",
    ),
    header=headed(
        rb"(?:\[" + ISO + rb"\])?(?:\[[0-9]+(?:[.,][0-9]+)?(?:ns|ms|s)\])*"
        rb"\[(?P<level>trace|debug|info|warning|error) *\]\[(?P<component>[^ \]]+) *\] (?P<message>.*)"
    ),
    sessions=NO_SESSIONS,
)

OTLP = Format(
    name="otlp",
    expected="[TIME]<TAB>LEVEL<TAB>HOST<TAB>SERVICE<TAB>TRACE<TAB>SPAN<TAB>{ATTRIBUTES}<TAB>BODY",
    examples=(
        b"2024-03-10T06:25:01.123456789Z\tERROR\tweb-1\tshop\t5b8efff798038103d269b633813fc60c\teee19b7ec3c1b174\t"
        b'{"resource":{"service.name":"shop"},"attributes":{"order":18}}\torder 18 failed',
        b'2024-03-10T06:25:02.123456789Z\t\t\t\t\t\t{"attributes":{"log.file.name":"app.log"}}\torder 17 placed',
        b"\tINFO\t\tshop\t\t\t{}\tstarted",
    ),
    header=headed(
        rb"(?:" + RFC3339 + rb")?\t(?P<level>[^\t]*)\t(?P<host>[^\t]*)\t(?P<component>[^\t]*)\t"
        rb"[0-9a-f]*\t[0-9a-f]*\t\{[^\t]*\}\t(?P<message>.*)"
    ),
    sessions={
        "none": NO_KEY,
        "trace": (rb"\t(?P<key>[0-9a-f]+)\t[0-9a-f]*\t\{",),
    },
)
"""A record of OTLP as the Kafka source writes it, see `connectors.packed.otlp_render`."""

_REQUEST_ID = rb"[0-9a-f]+-[0-9a-f]+-[0-9a-f]+-[0-9a-f]+-[0-9a-f]+"

AWS_LAMBDA = Format(
    name="aws_lambda",
    expected="YYYY-MM-DDTHH:MM:SS.FFFZ<TAB>REQUEST<TAB>LEVEL<TAB>MESSAGE",
    examples=(
        b"2024-03-10T06:25:01.854Z\t533dca35-3ef3-4824-8632-ea4846bcd532\tINFO\torder 17 placed",
        b"2024-03-10T06:25:02.854Z\t533dca35-3ef3-4824-8632-ea4846bcd532\tERROR\tInvoke Error\t{}",
    ),
    header=headed(ISO + rb"\t(?:" + _REQUEST_ID + rb"|undefined)\t(?P<level>[A-Z]+)\t(?P<message>.*)"),
    sessions={"none": NO_KEY, "request": (rb"\t(?P<key>[0-9a-f]+-[0-9a-f-]+)\t",)},
    joins=True,
)

AWS_LAMBDA_REPORT = Format(
    name="aws_lambda_report",
    expected="START|END|REPORT RequestId: REQUEST ...",
    examples=(
        b"START RequestId: 533dca35-3ef3-4824-8632-ea4846bcd532 Version: $LATEST",
        b"REPORT RequestId: 533dca35-3ef3-4824-8632-ea4846bcd532\tDuration: 2642.34 ms\tBilled Duration: 2643 ms",
    ),
    header=headed(rb"(?P<message>(?:START|END|REPORT|INIT_START) (?:RequestId|Runtime Version): .*)"),
    sessions={"none": NO_KEY, "request": (rb"RequestId: (?P<key>[0-9a-f-]+)",)},
)

JETTY = Format(
    name="jetty",
    expected="YYYY-MM-DD HH:MM:SS.FFF:LEVEL:COMPONENT:THREAD: MESSAGE",
    examples=(b"2024-03-10 06:25:01.123:INFO:oejs.Server:main: Started Server in 3210ms",),
    header=headed(
        YMD
        + rb" "
        + HMS
        + rb"\."
        + FRACTION
        + rb" ?:(?P<level>[A-Z]+) ?:(?P<component>[^ :]+) ?:[^:]*: (?P<message>.*)"
    ),
    sessions=NO_SESSIONS,
    joins=True,
)

MONGODB_TEXT = Format(
    name="mongodb_text",
    expected="YYYY-MM-DDTHH:MM:SS.FFFZONE L COMPONENT [CONTEXT] MESSAGE",
    examples=(
        b"2024-03-10T06:25:01.123+0000 I NETWORK  [conn17] end connection 10.0.0.7:50022 (3 connections now open)",
    ),
    header=headed(
        RFC3339 + rb" (?P<level>[DEFIW])[0-9]* (?P<component>[A-Z]+|-) +\[(?P<thread>[^\]]+)\] (?P<message>.*)"
    ),
    levels={"D": "debug", "E": "error", "F": "fatal", "I": "info", "W": "warn"},
    sessions=NO_SESSIONS,
)

CISCO_RELAYED = Format(
    name="cisco_relayed",
    expected="[<PRI>]Mmm dd HH:MM:SS HOST [N: ][*Mmm dd HH:MM:SS.FFF: ]%FACILITY-SEVERITY-MNEMONIC: MESSAGE",
    examples=(
        b"Mar 10 06:25:01 10.0.0.1 117: *Mar 10 06:25:00.417: %LINEPROTO-3-UPDOWN: Interface Gi0/1 is down",
        b"Mar 10 06:25:02 fw-1 %ASA-4-733100: [ Scanning] drop rate-1 exceeded.",
    ),
    header=headed(
        rb"(?:<[0-9]+>)?" + MONTH_NAME + rb" +(?P<day>[0-9]{1,2}) (?:(?P<year>[0-9]{4}) )?" + HMS
        + rb" (?P<host>[^ %]+) (?:[A-Za-z0-9_-]+: )*(?:[*.]?[A-Z][a-z]+ +[0-9]+ [0-9:.]+(?: [A-Z]+)?: )?%"
        rb"(?P<component>[A-Z][A-Z0-9_]*(?:-[A-Z_]+)*)-(?P<level>[0-9]+)-(?P<message>[A-Z0-9_]+ ?: .*)"
    ),
    levels={str(i): level for i, level in enumerate(SYSLOG_LEVELS)},
    sessions=NO_SESSIONS,
)  # fmt: skip

CISCO_TIMELESS = Format(
    name="cisco_timeless",
    expected="[<PRI>][N: ][UPTIME: ]%FACILITY-SEVERITY-MNEMONIC: MESSAGE",
    examples=(
        b"%ASA-6-302013: Built outbound TCP connection 17 for outside:10.0.0.7/443",
        b"<188>45: 1d02h: %OSPF-4-ERRRCV: Received invalid packet: mismatch area ID",
    ),
    header=headed(
        rb"(?:<[0-9]+>)?(?:[0-9a-z:.]+: )*%(?P<component>[A-Z][A-Z0-9_]*(?:-[A-Z_]+)*)-(?P<level>[0-9]+)-"
        rb"(?P<message>[A-Z0-9_]+ ?: .*)"
    ),
    levels={str(i): level for i, level in enumerate(SYSLOG_LEVELS)},
    sessions=NO_SESSIONS,
)

CISCO = Format(
    name="cisco",
    expected="[<PRI>][N: ][HOST: ]Mmm DD [YYYY ]HH:MM:SS[.FFF][ ZONE][ HOST]: %FACILITY-SEVERITY-MNEMONIC: MESSAGE",
    examples=(
        b"<187>117: *Mar 10 06:25:01.123: %LINK-3-UPDOWN: Interface GigabitEthernet0/1, changed state to down",
        b"Mar 10 06:25:02.123 UTC: %SYS-5-CONFIG_I: Configured from console by vty0 (10.0.0.7)",
        b"Mar 10 2024 06:25:03 fw-1 : %ASA-6-302013: Built outbound TCP connection 17 for outside:10.0.0.7/443",
    ),
    header=headed(
        rb"(?:<(?P<priority>[0-9]+)>)?(?:[0-9]+: )?(?:(?P<host>[^ :]+):(?: |(?=[A-Z])))?(?:[0-9]+: )?[*.]?" + MONTH_NAME
        + rb" +(?P<day>[0-9]{1,2}) (?:(?P<year>[0-9]{4}) )?" + HMS + rb"(?:\." + FRACTION
        + rb")?(?: (?:(?P<utc>UTC|GMT)|[A-Z]+))?(?: [^ ]+)? ?: (?:[a-z_]+\[[0-9]+\]: )?%"
        rb"(?P<component>[A-Z][A-Z0-9_]*(?:-[A-Z_]+)*)-(?P<level>[0-9]+)-(?P<message>[A-Z0-9_]+ ?: .*)"
    ),
    levels={str(i): level for i, level in enumerate(SYSLOG_LEVELS)},
    sessions=NO_SESSIONS,
)  # fmt: skip

FORTINET = Format(
    name="fortinet",
    expected="[<PRI>]date=YYYY-MM-DD time=HH:MM:SS devname=NAME ... level=LEVEL ...",
    examples=(
        b'<189>date=2024-03-10 time=06:25:01 devname="fw-1" devid="FG100" logid="0000000013" type="traffic" '
        b'level="notice" srcip=10.0.0.7 dstip=10.0.1.9 action="deny"',
    ),
    header=headed(
        rb"(?:<(?P<priority>[0-9]+)>)?date=" + YMD + rb" time=" + HMS + rb" (?:devname=\"?(?P<host>[^ \"]+)\"? )?"
        rb"(?P<message>(?:devid=[^ ]+ )?(?:eventtime=[0-9]+ )?(?:tz=\"?(?P<zone_sign>[-+])(?P<zone_hhmm>[0-9]{4})\"? )?"
        rb"(?:.*? level=\"?(?P<level>[^ \"]+)\"?(?: .*)?$|.*))"
    ),
    levels={"INFORMATION": "info"},
    sessions=NO_SESSIONS,
)
