"""Daemons, databases and devices that write a layout of their own, next to those of `engine.formats.programs`."""

from dataclasses import replace

from engine.formats.base import (
    CLOCK,
    DECIMALS,
    FRACTION,
    HMS,
    ISO,
    MONTH_NAME,
    NO_KEY,
    NO_SESSIONS,
    PID,
    RFC3339,
    SYSLOG_TIME,
    YMD,
    ZONE,
    Format,
    headed,
)
from engine.formats.multiline import DOTNET_CONSOLE
from engine.formats.programs import RUBY
from engine.formats.services import POSTGRESQL, POSTGRESQL_MORE

SLAPD = Format(
    name="slapd",
    expected="SECONDS[.NANOSECONDS] in hexadecimal digits [THREAD] MESSAGE",
    examples=(
        b"65ed537d.05d12f00 0x7f1da7359500 conn=1000 op=0 RESULT tag=97 err=49 qtime=0.000012 text=",
        b"65ed537e conn=1001 fd=12 ACCEPT from IP=10.0.0.7:50022 (IP=0.0.0.0:389)",
    ),
    header=headed(
        rb"[0-9a-f]+(?:\.[0-9a-f]+(?: (?P<thread>[0-9]+x[0-9a-f]+))?)? "
        rb"(?P<message>(?:conn=|slapd |daemon: |@\(|=> |<= |[a-z]+[a-z_]*: |connection_|send_ldap).*)"
    ),
    clocks=(rb"^(?P<epoch_hex>[56][0-9a-f]{7})(?:\.(?P<nanosecond_hex>[0-9a-f]{8}))? ",),
    timed=True,
    sessions={"none": NO_KEY, "connection": (rb" conn=(?P<key>[0-9]+) ",)},
    joins=True,
)
"""Seconds of the years 2012 to 2039, so that other words in hexadecimal digits are not times."""

NAGIOS = Format(
    name="nagios",
    expected="[SECONDS] KIND: FIELDS;STATE;FIELDS",
    examples=(
        b"[1710051901] SERVICE ALERT: web-1;HTTP;CRITICAL;HARD;3;connect to address 10.0.0.2: Connection refused",
        b"[1710051902] HOST NOTIFICATION: admin;web-1;UP;notify-host-by-email;PING OK",
        b"[1710051903] Warning: Return code of 255 for check of service 'HTTP' on host 'web-1' was out of bounds.",
    ),
    header=headed(
        rb"\[(?P<epoch_s>[0-9]{10})\] (?P<message>(?P<component>(?:[A-Z]+ )+[A-Z]+): (?:[^;]*;)*?"
        rb"(?P<level>OK|WARNING|CRITICAL|UNKNOWN|UP|DOWN|UNREACHABLE);.*|(?:(?:[A-Z]+ )+[A-Z]+|Warning|Error|Nagios"
        rb"|wproc|Auto-save|Caught|Successfully|qh|nerd|Local|LOG|Event).*)"
    ),
    levels={
        "OK": "info", "UP": "info", "CRITICAL": "error", "UNKNOWN": "warn", "DOWN": "error", "UNREACHABLE": "error",
    },
    sessions=NO_SESSIONS,
)  # fmt: skip

ZABBIX = Format(
    name="zabbix",
    expected="PID:YYYYMMDD:HHMMSS.FFF MESSAGE",
    examples=(b"  4711:20240310:062501.417 cannot connect to [[10.0.0.2]:10050]: Connection refused",),
    header=headed(rb" *" + PID + rb":(?P<yyyymmdd>[0-9]{8}):(?P<hhmmss>[0-9]{6})\." + FRACTION + rb" (?P<message>.*)"),
    sessions=NO_SESSIONS,
    joins=True,
)

MYSQL_OLD = Format(
    name="mysql_old",
    expected="YYMMDD H:MM:SS [[LEVEL]] MESSAGE",
    examples=(
        b"240310  6:25:01 [ERROR] Can't start server: Bind on TCP/IP port: Address already in use",
        b"240310 06:25:02 mysqld_safe Starting mysqld daemon with databases from /var/lib/mysql",
    ),
    header=headed(
        rb"[\[(<]?(?P<yymmdd>[0-9]{6}) +" + CLOCK + rb"[\])>]?[:|]? +(?:\[(?P<level>Note|Warning|ERROR)\] )?"
        rb"(?P<message>.*)"
    ),
    levels={"NOTE": "info"},
    sessions=NO_SESSIONS,
    joins=True,
)

COCKROACHDB = Format(
    name="cockroachdb",
    expected="LYYMMDD HH:MM:SS.FFFFFF GOROUTINE FILE:LINE ... MESSAGE",
    examples=(b"E240310 06:25:01.123456 123 server/server.go:12 [n1] 42  failed to serve connection",),
    header=headed(
        rb"(?P<level>[IWEF])(?P<yymmdd>[0-9]{6}) " + HMS + rb"\." + FRACTION + rb" [0-9]+ "
        rb"(?:[0-9]+@)?(?P<component>[^ :]+:[0-9]+) (?P<message>.*)"
    ),
    levels={"I": "info", "W": "warn", "E": "error", "F": "fatal"},
    sessions=NO_SESSIONS,
    joins=True,
)

DB2 = Format(
    name="db2",
    expected="YYYY-MM-DD-HH.MM.SS.FFFFFF+MINUTES RECORD LEVEL: LEVEL ... MESSAGE : ...",
    examples=(
        b"2024-03-10-06.25.01.123456+000 I1234E456 LEVEL: Error PID : 4711 TID : 1 PROC : db2 MESSAGE : no memory",
    ),
    blocks=(b"2024-03-10-06.25.01.123456+060 I1E4         LEVEL: Warning\nPID     : 4711\nMESSAGE : slow\n",),
    header=headed(
        YMD + rb"-(?P<hour>[0-9]{2})\.(?P<minute>[0-9]{2})\.(?P<second>[0-9]{2})\." + FRACTION
        + rb"(?P<zone_sign>[-+])(?P<zone_minute>[0-9]{3}) [^ ]+ +LEVEL: (?P<level>[A-Za-z]+)(?P<message>.*)"
    ),
    levels={"EVENT": "info", "IMPORTANT": "warn"},
    sessions=NO_SESSIONS,
    joins=True,
)  # fmt: skip

ERLANG_REPORT = Format(
    name="erlang_report",
    expected="=KIND REPORT==== DD-Mmm-YYYY::HH:MM:SS[.FFFFFF] === MESSAGE",
    examples=(
        b"=ERROR REPORT==== 10-Mar-2024::06:25:01 === closing AMQP connection <0.674.0>: {timeout,frame_header}",
    ),
    blocks=(b"=CRASH REPORT==== 10-Mar-2024::06:25:01.417123 ===\n  crasher:\n    pid: <0.234.0>\n",),
    header=headed(
        rb"=(?P<level>[A-Z]+) REPORT==+ (?P<day>[0-9]{1,2})-" + MONTH_NAME + rb"-(?P<year>[0-9]{4})::" + HMS
        + DECIMALS + rb" ===(?: (?P<message>.*))?$"
    ),
    levels={"CRASH": "error", "SUPERVISOR": "error", "PROGRESS": "info"},
    sessions=NO_SESSIONS,
    joins=True,
)  # fmt: skip

POSTGRESQL_PREFIX = Format(
    name="postgresql_prefix",
    expected="YYYY-MM-DD HH:MM:SS[.FFF] ZONE PREFIX LEVEL:  MESSAGE",
    examples=(
        b'2024-03-10 06:25:01.417 UTC [4711]: [3-1] user=app,db=shop,client=10.0.0.7 ERROR:  no table "x"',
        b"2024-03-10 06:25:02 UTC app@shop 4711 10.0.0.7(50022) WARNING:  there is no transaction in progress",
    ),
    header=headed(
        YMD + rb" " + HMS + rb"(?:\." + FRACTION + rb")? (?:(?P<utc>UTC|GMT)|[A-Z]+) (?:\[" + PID
        + rb"(?:-[0-9]+)?\]:? )?(?:[^ ]+ ){0,7}?"
        rb"(?P<level>LOG|FATAL|ERROR|WARNING|PANIC|NOTICE|INFO|DEBUG[0-9]*|DETAIL|HINT|CONTEXT|STATEMENT|QUERY"
        rb"|LOCATION):  (?P<message>.*)"
    ),
    levels={**POSTGRESQL.levels, "QUERY": "info", "LOCATION": "info"},
    follows=headed(rb"(?P<same>[^ ]+ [^ ]+) (?:[^ ]+ ){0,9}?(?:" + POSTGRESQL_MORE + rb"  )?"),
    sessions={"none": NO_KEY, "process": (rb" \[(?P<key>[0-9]+)(?:-[0-9]+)?\]",)},
    joins=True,
)  # fmt: skip

PGBOUNCER = Format(
    name="pgbouncer",
    expected="YYYY-MM-DD HH:MM:SS.FFF ZONE [PID] LEVEL MESSAGE",
    examples=(
        b"2024-03-10 06:25:01.417 UTC [4711] WARNING C-0x55d1c0: shop/app@10.0.0.7:50022 server conn crashed?",
        b"2024-03-10 06:25:02.417 UTC [4711] LOG stats: 3 xacts/s, 9 queries/s, in 1012 B/s",
    ),
    header=headed(
        YMD
        + rb" "
        + HMS
        + rb"\."
        + FRACTION
        + rb" (?:(?P<utc>UTC|GMT)|[A-Z]+) \["
        + PID
        + rb"\] (?P<level>LOG|WARNING|ERROR|FATAL|DEBUG|NOISE) (?P<message>.*)"
    ),
    levels={"LOG": "info", "NOISE": "trace"},
    sessions=NO_SESSIONS,
)

REDIS_OLD = Format(
    name="redis_old",
    expected="[PID] DD Mmm HH:MM:SS[.FFF] SYMBOL MESSAGE",
    examples=(b"[4711] 10 Mar 06:25:01.417 # Can't save in background: fork: Cannot allocate memory",),
    header=headed(
        rb"\["
        + PID
        + rb"\] (?P<day>[0-9]{1,2}) "
        + MONTH_NAME
        + rb" "
        + HMS
        + DECIMALS
        + rb" (?P<level>[-.*#]) (?P<message>.*)"
    ),
    levels={".": "debug", "-": "info", "*": "info", "#": "warn"},
    sessions=NO_SESSIONS,
)

PASSENGER = Format(
    name="passenger",
    expected="[ L YYYY-MM-DD HH:MM:SS.FFFF PID/THREAD FILE:LINE ]: MESSAGE",
    examples=(b"[ E 2024-03-10 06:25:01.4170 4711/T1 age/Cor/App/Implementation.cpp:221 ]: Could not spawn process",),
    header=headed(
        rb"\[ (?P<level>[CEWNID]) "
        + YMD
        + rb" "
        + HMS
        + rb"\."
        + FRACTION
        + rb" "
        + PID
        + rb"/(?P<thread>[^ ]+) (?P<component>[^ ]+) \]: (?P<message>.*)"
    ),
    levels={"C": "fatal", "E": "error", "W": "warn", "N": "info", "I": "info", "D": "debug"},
    sessions=NO_SESSIONS,
    joins=True,
)

RUBY_REQUEST = replace(
    RUBY,
    name="ruby_request",
    expected="L, [YYYY-MM-DDTHH:MM:SS.FFFFFF #PID] LEVEL -- PROGRAM: [REQUEST] Completed STATUS REASON in DURATION",
    examples=(
        b"I, [2024-03-10T06:25:01.501000 #4711]  INFO -- : [8e2c1d7e] Completed 500 Internal Server Error in 84ms",
    ),
    header=headed(
        rb"[A-Z], \[" + YMD + rb"T" + HMS + rb"\." + FRACTION + rb" #" + PID + rb"\] +(?P<level>[A-Z]+) -- "
        rb"(?P<component>[^ :]*): (?P<message>(?:\[[^\]]*\] )*Completed (?P<status>[0-9]{3}) .*)"
    ),
)

RAILS_STARTED = Format(
    name="rails_started",
    expected='Started METHOD "PATH" for CLIENT at YYYY-MM-DD HH:MM:SS ZONE',
    examples=(b'Started GET "/orders" for 10.0.0.7 at 2024-03-10 06:25:01 +0000',),
    header=headed(
        rb'(?P<message>Started [A-Z]+ "[^"]*" for (?P<host>[^ ]+) at '
        + YMD
        + rb" "
        + HMS
        + rb" "
        + ZONE
        + rb"(?: .*)?)$"
    ),
    sessions=NO_SESSIONS,
)

RAILS_COMPLETED = Format(
    name="rails_completed",
    expected="[[REQUEST]] Completed STATUS REASON in DURATION",
    examples=(b"Completed 500 Internal Server Error in 84ms (ActiveRecord: 1.2ms)",),
    header=headed(rb"(?P<message>(?:\[[^\]]*\] )*Completed (?P<status>[0-9]{3}) [A-Z].*)"),
    sessions=NO_SESSIONS,
)

HEROKU_ROUTER = Format(
    name="heroku_router",
    expected="YYYY-MM-DDTHH:MM:SS.FFFFFFZONE heroku[router]: at=LEVEL ... status=STATUS ...",
    examples=(
        b'2024-03-10T06:25:01.417123+00:00 heroku[router]: at=error code=H12 desc="Request timeout" method=GET '
        b'path="/x" host=shop.example.org dyno=web.1 connect=1ms service=30000ms status=503 bytes=0 protocol=https',
    ),
    header=headed(
        RFC3339 + rb" (?P<component>heroku)\[router\]: (?P<message>at=(?P<level>[a-z]+) .*?status=(?P<status>[0-9]{3})"
        rb"(?: .*)?)$"
    ),
    sessions=NO_SESSIONS,
)

DOTNET_CONSOLE_TIMED = replace(
    DOTNET_CONSOLE,
    name="dotnet_console_timed",
    expected="YYYY-MM-DD HH:MM:SS[.FFF][ZONE] LEVEL: CATEGORY[EVENT]<LINE END>      MESSAGE",
    examples=(b"2024-03-10 06:25:01 fail: Shop.Orders[13] order 18 failed",),
    blocks=(b"2024-03-10T06:25:01.417Z warn: Shop.Stock[0]\n      stock is low\n",),
    header=headed(
        rb"\[?" + ISO + rb"\]? (?P<level>trce|dbug|info|warn|fail|crit): (?P<component>[^ \[]+)\[[0-9]+\] ?"
        rb"(?P<message>.*)"
    ),
)

WEBSPHERE = Format(
    name="websphere",
    expected="[M/D/YY H:MM:SS:FFF ZONE] THREAD COMPONENT L MESSAGE",
    examples=(b"[3/10/24 6:25:01:417 UTC] 00000001 SystemErr     E   java.lang.NullPointerException",),
    header=headed(
        rb"\[[0-9]+/[0-9]+/[0-9]+,? [0-9]+:[0-9]+:[0-9]+:[0-9]+(?: [A-Z]+)?\] (?P<thread>[0-9a-f]+) "
        rb"(?P<component>[^ ]+) +(?P<level>[FEWAICDOR]) +(?P<message>.*)"
    ),
    levels={"F": "fatal", "E": "error", "W": "warn", "A": "info", "I": "info", "C": "info", "D": "debug", "O": "info",
            "R": "error"},
    clocks=(
        rb"^\[(?P<month>[0-9]{1,2})/(?P<day>[0-9]{1,2})/(?P<yy>[0-9]{2}),? " + CLOCK + rb":(?P<fraction>[0-9]{3})"
        rb"(?: (?:(?P<utc>UTC|GMT)|[A-Z]+))?\]",
        rb"^\[(?P<day>[0-9]{1,2})/(?P<month>[0-9]{1,2})/(?P<yy>[0-9]{2}),? " + CLOCK + rb":(?P<fraction>[0-9]{3})"
        rb"(?: (?:(?P<utc>UTC|GMT)|[A-Z]+))?\]",
    ),
    timed=True,
    sessions=NO_SESSIONS,
    joins=True,
)  # fmt: skip

_SEVERITY_PROGRAM = (
    rb"(?:[a-z]+[0-9]*\.)?(?P<level>emerg|alert|crit|err|error|warning|warn|notice|info|debug) "
    rb"(?P<component>[^ :\[=\"]+)(?:\[" + PID + rb"\])?: (?P<message>.*)"
)
"""What both forms of syslog have behind the host where the severity is written."""

SYSLOG_SEVERITY = Format(
    name="syslog_severity",
    expected="TIME HOST [FACILITY.]SEVERITY PROGRAM[PID]: MESSAGE",
    examples=(
        b"Mar 10 06:25:01 bigip1 err tmm1[4711]: 01010028:3: No members available for pool /Common/web",
        b"Mar 10 06:25:02 web-1 daemon.warning shop[4711]: slow",
    ),
    header=headed(rb"(?:<[0-9]+>)?" + SYSLOG_TIME + DECIMALS + rb" +(?P<host>[^ :=\"]+) " + _SEVERITY_PROGRAM),
    sessions=NO_SESSIONS,
    joins=True,
)

SYSLOG_LEVEL = Format(
    name="syslog_level",
    expected="[<PRI>]Mmm dd HH:MM:SS [HOST] LEVEL: MESSAGE",
    examples=(b"Mar 10 06:25:01 error: order 18 failed", b"Mar 10 06:25:02.417 web-1 WARNING: slow"),
    header=headed(
        rb"(?:<[0-9]+>)?" + SYSLOG_TIME + DECIMALS + rb" +(?:(?P<host>[^ :=\"\[\]]+) )?"
        rb"(?P<level>[Ee]rror|ERROR|[Ww]arning|WARNING|[Ww]arn|WARN|[Nn]otice|NOTICE|[Ii]nfo|INFO|[Dd]ebug|DEBUG|[Ff]atal"
        rb"|FATAL|[Cc]ritical|CRITICAL|[Aa]lert|ALERT|[Pp]anic|[Ee]merg): +(?P<message>.*)"
    ),
    sessions=NO_SESSIONS,
    joins=True,
)

RSYSLOG_SEVERITY = replace(
    SYSLOG_SEVERITY,
    name="rsyslog_severity",
    expected="YYYY-MM-DDTHH:MM:SS[.FFF]ZONE HOST [FACILITY.]SEVERITY PROGRAM[PID]: MESSAGE",
    examples=(b"2024-03-10T06:25:01+00:00 web-1 daemon.err shop[4711]: order 18 failed",),
    header=headed(RFC3339 + rb" (?P<host>[^ :=\"]+) " + _SEVERITY_PROGRAM),
)

COUCHBASE = Format(
    name="couchbase",
    expected="[COMPONENT:LEVEL,YYYY-MM-DDTHH:MM:SS.FFFZONE,NODE:PROCESS:PLACE]MESSAGE",
    examples=(b"[ns_server:error,2024-03-10T06:25:01.417Z,ns_1@web-1:menelaus_web:loop:17]Server error",),
    header=headed(
        rb"\[(?P<component>[a-z_]+):(?P<level>[a-z]+)," + RFC3339 + rb",(?P<host>[^:,\]]+)(?::[^\]]*)?\](?P<message>.*)"
    ),
    sessions=NO_SESSIONS,
    joins=True,
)
