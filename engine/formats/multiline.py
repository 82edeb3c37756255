"""Formats whose records are written over several lines; `engine.parsing.record_blocks` makes one line of each."""

from engine.formats.base import FRACTION, HMS, MONTH_NAME, NO_KEY, NO_SESSIONS, YMD, ZONE, Format, headed

_YEAR_FIRST = rb"(?P<year>[0-9]{4})/(?P<month>[0-9]{2})/(?P<day>[0-9]{2}) " + HMS

JAVA_LOGGING = Format(
    name="java_logging",
    expected="Mmm D, YYYY H:MM:SS AM|PM CLASS METHOD<LINE END>LEVEL: MESSAGE",
    examples=(
        b"Mar 10, 2024 6:25:01 AM com.example.shop.Orders place INFO: order 17 placed",
        b"Mar 10, 2024 6:25:02 PM com.example.shop.Orders place SEVERE: order 18 failed",
    ),
    blocks=(b"Mar 10, 2024 6:25:01 AM com.example.shop.Orders place\nWARNING: disk is nearly full\n",),
    header=headed(
        MONTH_NAME + rb" +(?P<day>[0-9]{1,2}), (?P<year>[0-9]{4}) (?P<hour>[0-9]{1,2}):(?P<minute>[0-9]{2}):"
        rb"(?P<second>[0-9]{2})(?: |\xe2\x80\xaf)(?P<half_day>AM|PM) (?P<component>[^ ]+(?: [^ :]+)?) "
        rb"(?P<level>[^ :]+): (?P<message>.*)"
    ),
    levels={
        "CONFIG": "debug", "FINER": "trace", "SCHWERWIEGEND": "error", "WARNUNG": "warn", "KONFIGURATION": "debug",
        "FEIN": "debug", "GRAVE": "error", "AVERTISSEMENT": "warn", "INFOS": "info", "ADVERTENCIA": "warn",
        "AVVERTENZA": "warn", "INFORMAZIONI": "info",
    },
    sessions=NO_SESSIONS,
    joins=True,
)  # fmt: skip

SAMBA = Format(
    name="samba",
    expected="[YYYY/MM/DD HH:MM:SS[.FFFFFF], LEVEL] FILE:LINE(FUNCTION)<LINE END>  MESSAGE",
    examples=(
        b"[2024/03/10 06:25:01.539151,  0] ../../source3/smbd/server.c:1741(main) smbd version 4.17.12 started.",
        b"[2024/03/10 06:25:02,  1, pid=4711] ../../source3/lib/util.c:12(run) cannot reach the domain controller",
    ),
    blocks=(b"[2024/03/10 06:25:01.539151,  1] ../../source3/smbd/server.c:1741(main)\n  Connection refused\n",),
    header=headed(
        rb"\[" + _YEAR_FIRST + rb"(?:\." + FRACTION + rb")?, +(?P<level>[0-9]+)(?:, [^\]]*)?\] "
        rb"(?P<component>[^ (]+\([^ )]*\)) (?P<message>.*)"
    ),
    levels={"0": "error", "1": "warn", "2": "info", "3": "info", "10": "trace"}
    | {str(i): "debug" for i in range(4, 10)},
    sessions=NO_SESSIONS,
    joins=True,
)  # fmt: skip

DOTNET_CONSOLE = Format(
    name="dotnet_console",
    expected="LEVEL: CATEGORY[EVENT]<LINE END>      MESSAGE",
    examples=(b"fail: Shop.Orders[13] order 18 failed", b"info: Microsoft.Hosting.Lifetime[14] Now listening on :5000"),
    blocks=(b"warn: Shop.Stock[0]\n      stock is low\n",),
    header=headed(rb"(?P<level>trce|dbug|info|warn|fail|crit): (?P<component>[^ \[]+)\[[0-9]+\] ?(?P<message>.*)"),
    levels={"TRCE": "trace", "DBUG": "debug", "FAIL": "error"},
    sessions=NO_SESSIONS,
    joins=True,
)

PHP_SLOW = Format(
    name="php_slow",
    expected="[DD-Mmm-YYYY HH:MM:SS]  [pool NAME] pid PID<LINE END>script_filename = FILE<LINE END>FRAMES",
    examples=(
        b"[10-Mar-2024 06:25:01]  [pool www] pid 4711 script_filename = /srv/pay.php [0x00007ff5dee130a0] sleep() "
        b"/srv/pay.php:17",
    ),
    blocks=(
        b"[10-Mar-2024 06:25:01]  [pool www] pid 4711\nscript_filename = /srv/pay.php\n"
        b"[0x00007ff5dee130a0] sleep() /srv/pay.php:17\n",
    ),
    header=headed(
        rb"\[(?P<day>[0-9]{2})-" + MONTH_NAME + rb"-(?P<year>[0-9]{4}) " + HMS + rb"\] +\[pool (?P<component>[^\]]+)\] "
        rb"pid (?P<pid>[0-9]+) (?P<message>script_filename = .*)"
    ),
    sessions=NO_SESSIONS,
    joins=True,
)  # fmt: skip

_USER_AT_HOST = (
    rb"# User@Host: [^ ]+ @ +(?:[^ \[]+ +)?\[(?P<host>[^\]]*)\](?: +Id: +(?P<pid>[0-9]+))? *(?P<message>#.*)"
)

MYSQL_SLOW = Format(
    name="mysql_slow",
    expected="# Time: YYYY-MM-DDTHH:MM:SS.FFFFFFZ<LINE END># User@Host: ...<LINE END># Query_time: ...<LINE END>SQL",
    examples=(
        b"# Time: 2024-03-10T06:25:01.389753Z # User@Host: app[app] @ web-1 [10.0.0.7]  Id:    17 # Query_time: 3.1185 "
        b" Lock_time: 0.000001 Rows_sent: 17  Rows_examined: 9999 SET timestamp=1710051901; SELECT id FROM orders;",
    ),
    blocks=(
        b"# Time: 2024-03-10T06:25:01.389753Z\n# User@Host: app[app] @  [10.0.0.7]  Id:    17\n"
        b"# Query_time: 3.118553  Lock_time: 0.000001 Rows_sent: 17  Rows_examined: 9999\nSET timestamp=1710051901;\n"
        b"SELECT id\n  FROM orders;\n",
    ),
    header=headed(rb"# Time: " + YMD + rb"T" + HMS + rb"(?:\." + FRACTION + rb")?" + ZONE + rb" " + _USER_AT_HOST),
    # Only the query differs behind the row of measurements.
    similarity=0.8,
    sessions=NO_SESSIONS,
)

MYSQL_SLOW_OLD = Format(
    name="mysql_slow_old",
    expected="[# Time: YYMMDD HH:MM:SS<LINE END>]# User@Host: ...<LINE END># Query_time: ...<LINE END>SQL",
    examples=(
        b"# Time: 240310  6:25:01 # User@Host: app[app] @ localhost [] # Thread_id: 17  Schema: shop  QC_hit: No "
        b"# Query_time: 3.1  Lock_time: 0.1  Rows_sent: 1  Rows_examined: 9 SET timestamp=1710051901; SELECT 1;",
        b"# User@Host: app[app] @  [10.0.0.7] # Query_time: 3  Lock_time: 0  Rows_sent: 1  Rows_examined: 9 SELECT 1;",
    ),
    header=headed(rb"(?:# Time: [0-9]+ +[0-9]+:[0-9]+:[0-9]+ )?" + _USER_AT_HOST),
    clocks=(rb"SET timestamp=(?P<epoch_s>[0-9]{10})(?:\.[0-9]+)?;",),
    similarity=0.8,
    sessions=NO_SESSIONS,
)

_COMMAND = (
    rb"(?P<pid>[0-9]+) (?P<message>(?:Connect|Query|Quit|Init DB|Prepare|Execute|Close stmt|Reset stmt|Change user"
    rb"|Statistics|Field List|Ping|Shutdown|Create DB|Drop DB|Refresh|Processlist|Kill|Debug|Binlog Dump|Fetch)\t?.*)"
)

MYSQL_GENERAL = Format(
    name="mysql_general",
    expected="YYYY-MM-DDTHH:MM:SS.FFFFFFZ<TAB>ID COMMAND<TAB>ARGUMENT",
    examples=(b"2024-03-10T06:25:01.123456Z\t   17 Query\tselect id from orders",),
    header=headed(YMD + rb"T" + HMS + rb"\." + FRACTION + ZONE + rb"\t *" + _COMMAND),
    sessions={"none": NO_KEY, "thread": (rb"\t *(?P<key>[0-9]+) ",)},
    keeps=True,
    joins=True,
)

MYSQL_GENERAL_OLD = Format(
    name="mysql_general_old",
    expected="YYMMDD HH:MM:SS<TAB>ID COMMAND<TAB>ARGUMENT, and lines without time",
    examples=(b"240310  6:25:01\t    17 Query\tselect id from orders",),
    blocks=(b"240310  6:25:01\t    17 Query\tselect 1,\n  2\n",),
    header=headed(
        rb"(?P<yymmdd>[0-9]{6}) +(?P<hour>[0-9]{1,2}):(?P<minute>[0-9]{2}):(?P<second>[0-9]{2})\t *" + _COMMAND
    ),
    sessions={"none": NO_KEY, "thread": (rb"\t *(?P<key>[0-9]+) ",)},
    keeps=True,
    joins=True,
)

RABBITMQ = Format(
    name="rabbitmq",
    expected="YYYY-MM-DD HH:MM:SS.FFFFFF[ZONE] [LEVEL] <PROCESS> MESSAGE",
    examples=(
        b"2024-03-10 06:25:01.022104+00:00 [error] <0.674.0> closing AMQP connection <0.674.0> (10.0.0.7:1)",
        b"2024-03-10 06:25:02.123 [info] <0.8.0> Server startup complete; 3 plugins started.",
    ),
    blocks=(
        b"2024-03-10 06:25:01.022104+00:00 [error] <0.674.0> closing AMQP connection <0.674.0>:\n"
        b'2024-03-10 06:25:01.022104+00:00 [error] <0.674.0> {bad_header,<<"GET / HT">>}\n',
    ),
    header=headed(
        YMD + rb" " + HMS + rb"\." + FRACTION + rb"(?:" + ZONE + rb")? "
        rb"\[(?P<level>debug|info|notice|warning|error|critical|alert|emergency)\] "
        rb"<[0-9]+\.[0-9]+\.[0-9]+> (?P<message>.*)"
    ),
    follows=headed(rb"(?P<same>[^ ]+ [^ ]+ \[[a-z]+\] <[0-9.]+> )"),
    sessions={"none": NO_KEY, "process": (rb"\] <(?P<key>[0-9.]+)> ",)},
    keeps=True,
    joins=True,
)

_CSV = rb'(?:"[^"]*(?:""[^"]*)*")?'

POSTGRESQL_CSV = Format(
    name="postgresql_csv",
    expected='YYYY-MM-DD HH:MM:SS.FFF ZONE,"USER","DATABASE",PID,"CLIENT",...,LEVEL,SQLSTATE,"MESSAGE",...',
    examples=(
        b'2024-03-10 07:25:01.123 +01,"app","shop",4711,"10.0.0.7:50022",65ed5a1d.1267,3,"SELECT",'
        b'2024-03-10 07:25:00 +01,3/8,0,ERROR,42P01,"relation ""orders"" does not exist",,,,,,"SELECT 1",15,,"psql"',
        b'2024-03-10 06:25:02.123 UTC,,,604,,65ed5a1d.25c,1,,2024-03-10 06:25:00 UTC,,0,LOG,00000,"checkpoint",',
    ),
    blocks=(
        b'2024-03-10 06:25:01.123 UTC,"app","shop",4711,"[local]",65ed5a1d.1267,3,"SELECT",2024-03-10 06:25:00 UTC,'
        b'3/8,0,ERROR,42P01,"relation ""orders"" does not exist",,,,,,"SELECT id\n  FROM orders",15,,"psql"\n',
    ),
    header=headed(
        YMD + rb" " + HMS + rb"\." + FRACTION + rb" (?:" + ZONE + rb"|[A-Z]+)," + _CSV + rb"," + _CSV
        + rb",(?P<pid>[0-9]*)," + _CSV + rb",[^,]*,[0-9]*," + _CSV + rb",[^,]*,[^,]*,[0-9]*,(?P<level>[A-Z]+[0-9]*),"
        rb"[^,]*,(?P<message>.*)"
    ),
    levels={"LOG": "info"} | {f"DEBUG{i}": "debug" for i in range(1, 6)},
    sessions={"none": NO_KEY, "process": (rb'^[^,]*,(?:"[^"]*")?,(?:"[^"]*")?,(?P<key>[0-9]+),',)},
)  # fmt: skip
