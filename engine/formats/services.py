"""Servers, databases and what the common logging libraries write by default."""

from engine.formats.base import CLOCK, FRACTION, HMS, MONTH_NAME, NO_KEY, NO_SESSIONS, QUOTED, YMD, ZONE, Format, headed

_ACCESS = (
    rb"(?:(?P<component>[^ :]+):[0-9]+ )?(?P<host>[^ ]+) [^ ]+ [^ ]+ \[(?P<day>[0-9]{2})/" + MONTH_NAME
    + rb"/(?P<year>[0-9]{4}):" + HMS + rb" (?P<zone_sign>[-+])(?P<zone_hhmm>[0-9]{4})\] "
)  # fmt: skip
# Squid writes status 0 where the client closed the connection.
_REQUEST = QUOTED + rb" (?P<status>[0-9]{1,3}) (?:[0-9]+|-)"

_CLIENT = {"none": NO_KEY, "client": (rb"^(?:[^ :]+:[0-9]+ )??(?P<key>[^ ]+) [^ ]+ [^ ]+ \[[0-9]+/",)}
_DASHED = YMD + rb"[ T]" + HMS + rb"[,.]" + FRACTION

ACCESS_COMBINED = Format(
    name="access_combined",
    expected='[SITE:PORT ]CLIENT IDENT USER [DD/Mmm/YYYY:HH:MM:SS +ZONE] "REQUEST" STATUS BYTES "REFERRER" "AGENT"',
    examples=(
        b'127.0.0.1 - frank [10/Oct/2000:13:55:36 -0700] "GET /apache_pb.gif HTTP/1.0" 200 2326 '
        b'"http://www.example.com/start.html" "Mozilla/4.08 [en] (Win98; I ;Nav)"',
        b'www.example.com:443 10.0.0.7 - - [10/Mar/2024:06:25:02 +0000] "GET /index.html HTTP/1.1" 200 1024 "-" '
        b'"curl/7.81.0"',
    ),
    header=headed(_ACCESS + rb"(?P<message>" + _REQUEST + rb" " + QUOTED + rb" " + QUOTED + rb".*)"),
    sessions=_CLIENT,
)

ACCESS_COMMON = Format(
    name="access_common",
    expected='[SITE:PORT ]CLIENT IDENT USER [DD/Mmm/YYYY:HH:MM:SS +ZONE] "REQUEST" STATUS BYTES',
    examples=(b'10.0.0.7 - - [10/Oct/2000:13:55:36 -0700] "GET /apache_pb.gif HTTP/1.0" 404 -',),
    header=headed(_ACCESS + rb"(?P<message>" + _REQUEST + rb")$"),
    sessions=_CLIENT,
)

NGINX_ERROR = Format(
    name="nginx_error",
    expected="YYYY/MM/DD HH:MM:SS [LEVEL] PID#TID: [*CONNECTION] MESSAGE",
    examples=(
        b"2024/03/10 06:25:01 [error] 1234#1234: *5 connect() failed (111: Connection refused) while connecting "
        b"to upstream, client: 10.0.0.7, server: example.com",
    ),
    header=headed(
        rb"(?P<year>[0-9]{4})/(?P<month>[0-9]{2})/(?P<day>[0-9]{2}) " + HMS + rb" \[(?P<level>[a-z]+)\] "
        rb"(?P<pid>[0-9]+)#[0-9]+: (?:\*[0-9]+ )?(?P<message>.*)"
    ),
    sessions={"none": NO_KEY, "client": (rb"client: (?P<key>[^ ,]+)",), "connection": (rb": \*(?P<key>[0-9]+) ",)},
    joins=True,
)

POSTGRESQL_MORE = rb"(?P<more>DETAIL|HINT|CONTEXT|STATEMENT|QUERY|LOCATION):"
"""What PostgreSQL writes about a message in lines of their own, right behind it."""

POSTGRESQL = Format(
    name="postgresql",
    expected="YYYY-MM-DD HH:MM:SS[.FFF] ZONE [PID] [USER@DATABASE] LEVEL:  MESSAGE",
    examples=(
        b"2024-03-10 06:25:01.123 UTC [4711] LOG:  database system is ready to accept connections",
        b'2024-03-10 06:25:02.456 GMT [4712] app@shop ERROR:  relation "orders" does not exist at character 15',
    ),
    header=headed(
        YMD + rb" " + HMS + rb"(?:\." + FRACTION + rb")? (?:(?P<utc>UTC|GMT)|[A-Z]+) \[(?P<pid>[0-9]+)"
        rb"(?:-[0-9]+)?\]:? (?:(?P<component>@?+[^ @]*@[^ ]*) )?(?P<level>[A-Z]+[0-9]*):  ?(?P<message>.*)"
    ),
    levels={"LOG": "info", "STATEMENT": "info", "DETAIL": "info", "HINT": "info", "CONTEXT": "info"}
    | {f"DEBUG{i}": "debug" for i in range(1, 6)},
    sessions={"none": NO_KEY, "process": (rb" \[(?P<key>[0-9]+)(?:-[0-9]+)?\]",)},
    follows=headed(rb"[^ ]+ [^ ]+ [^ ]+ \[(?P<same>[0-9]+)(?:-[0-9]+)?\]:? (?:[^ :]+ )?(?:" + POSTGRESQL_MORE + rb")?"),
    joins=True,
)

POSTGRESQL_RDS = Format(
    name="postgresql_rds",
    expected="YYYY-MM-DD HH:MM:SS ZONE:CLIENT(PORT):USER@DATABASE:[PID]:LEVEL:  MESSAGE",
    examples=(
        b'2024-03-10 06:25:01 UTC:10.0.0.5(52344):app@shop:[4711]:ERROR:  relation "orders" does not exist',
        b"2024-03-10 06:25:02 UTC::@:[604]:LOG:  checkpoint starting: time",
    ),
    header=headed(
        YMD + rb" " + HMS + rb"(?:\." + FRACTION + rb")? (?:(?P<utc>UTC|GMT)|[A-Z]+):(?P<host>[^ ()]*)(?:\([0-9]+\))?:"
        rb"(?P<component>[^ :@]*@[^ :]*):\[(?P<pid>[0-9]+)\]:(?P<level>[A-Z]+[0-9]*):  ?(?P<message>.*)"
    ),
    levels=POSTGRESQL.levels,
    sessions={"none": NO_KEY, "process": (rb":\[(?P<key>[0-9]+)\]:",)},
    follows=headed(rb"[^ ]+ [^ ]+ [^ \[]*\[(?P<same>[0-9]+)\]:(?:" + POSTGRESQL_MORE + rb")?"),
    joins=True,
)

MYSQL = Format(
    name="mysql",
    expected="YYYY-MM-DDTHH:MM:SS[.FFFFFFZ] THREAD [LEVEL] [CODE] [SUBSYSTEM] MESSAGE",
    examples=(
        b"2024-03-10T06:25:01.123456Z 0 [System] [MY-010931] [Server] /usr/sbin/mysqld: ready for connections.",
        b"2016-03-10T06:25:01.123456Z 7 [Warning] Aborted connection 7 to db: 'shop' user: 'app' host: 'web-1'",
        b"2024-03-10  6:25:01 0 [Note] InnoDB: Buffer pool(s) load completed at 240310  6:25:01",
    ),
    header=headed(
        YMD + rb"[T ] ?(?P<hour>[0-9]{1,2}):(?P<minute>[0-9]{2}):(?P<second>[0-9]{2})(?:\." + FRACTION + rb")?"
        rb"(?:" + ZONE + rb")? (?P<pid>[0-9]+) \[(?P<level>[A-Za-z]+)\] "
        rb"(?:\[MY-[0-9]+\] )?(?:\[(?P<component>[A-Za-z]+)\] )?(?P<message>.*)"
    ),
    levels={"NOTE": "info", "SYSTEM": "info"},
    # InnoDB's report on a deadlock has several headers, and lines without one.
    follows=headed(rb"(?P<same>[0-9-]+[T ] ?[^ ]+ [0-9]+ \[[A-Za-z]+\] InnoDB: )(?:(?P<more>\*\*\* |\s*$))?"),
    keeps=True,
    joins=True,
    sessions={"none": NO_KEY, "thread": (rb" (?P<key>[0-9]+) \[[A-Za-z]+\] ",)},
)

KAFKA = Format(
    name="kafka",
    expected="[YYYY-MM-DD HH:MM:SS,FFF] LEVEL MESSAGE (COMPONENT)",
    examples=(
        b"[2024-03-10 06:25:01,123] INFO [GroupCoordinator 0]: Preparing to rebalance group g in state Empty "
        b"(kafka.coordinator.group.GroupCoordinator)",
    ),
    header=headed(rb"\[" + YMD + rb" " + HMS + rb"," + FRACTION + rb"\] (?P<level>[A-Z]+) +(?P<message>.*)"),
    sessions=NO_SESSIONS,
    joins=True,
)

REDIS = Format(
    name="redis",
    expected="PID:ROLE DD Mmm YYYY HH:MM:SS.FFF LEVEL MESSAGE",
    examples=(
        b"1:M 10 Mar 2024 06:25:01.123 * Ready to accept connections tcp",
        b"23:C 10 Mar 2024 06:25:02.456 # Failed opening the temp RDB file temp-23.rdb for saving: Permission denied",
    ),
    header=headed(
        rb"(?P<pid>[0-9]+):(?P<component>[A-Z]) (?P<day>[0-9]{2}) "
        + MONTH_NAME
        + rb" (?P<year>[0-9]{4}) "
        + HMS
        + rb"\."
        + FRACTION
        + rb" (?P<level>[-.*#]) (?P<message>.*)"
    ),
    levels={".": "debug", "-": "info", "*": "info", "#": "warn"},
    sessions=NO_SESSIONS,
)

IOTDB = Format(
    name="iotdb",
    expected="[- ]YYYY-MM-DD HH:MM:SS,FFF [THREAD] LEVEL COMPONENT:LINE - MESSAGE",
    examples=(
        b"2023-10-27 20:56:49,008 [main] INFO  o.a.i.c.c.ConfigNodeDescriptor:105 - Start to read config file",
        b"- 2023-10-27 20:56:49,024 [main] INFO  o.a.i.c.s.ConfigNode:99 - IoTDB-ConfigNode environment variables: ",
    ),
    header=headed(
        rb"(?:(?P<label>-) )?" + YMD + rb" " + HMS + rb"," + FRACTION + rb" "
        rb"\[(?P<thread>.*?)\] (?P<level>[A-Z]+) +(?P<component>[^ :]+:[0-9]+) - (?P<message>.*)"
    ),
    sessions={"none": NO_KEY, "thread": (rb",[0-9]+ \[(?P<key>[^\[\]]+)\] ",)},
    normal_label=b"-",
    unlabelled_is_anomalous=True,
    joins=True,
)

LOG4J = Format(
    name="log4j",
    expected="YYYY-MM-DD HH:MM:SS,FFF [THREAD] LEVEL COMPONENT - MESSAGE",
    examples=(
        b"2024-03-10 06:25:01,123 [main] INFO  com.example.shop.Application - Started Application in 3.2 seconds",
        b"2024-03-10 06:25:02.456 [http-nio-8080-exec-7] ERROR c.e.shop.OrderController - order 17 failed",
    ),
    header=headed(
        _DASHED + rb" +\[(?P<thread>.*?)\] +(?P<level>[A-Z]+) +(?P<component>[^ ]+) +-(?: (?P<message>.*))?$"
    ),
    sessions={"none": NO_KEY, "thread": (rb"[,.][0-9]+ +\[(?P<key>[^\[\]]+)\] ",)},
    joins=True,
)

LOGBACK = Format(
    name="logback",
    expected="HH:MM:SS.FFF [THREAD] LEVEL COMPONENT - MESSAGE",
    examples=(b"06:25:01.123 [main] DEBUG com.example.shop.Application -- Running with Spring Boot",),
    header=headed(
        HMS + rb"[,.]" + FRACTION + rb" +\[(?P<thread>.*?)\] +(?P<level>[A-Z]+) +(?P<component>[^ ]+) +--?"
        rb"(?: (?P<message>.*))?$"
    ),
    sessions={"none": NO_KEY, "thread": (rb"[,.][0-9]+ +\[(?P<key>[^\[\]]+)\] ",)},
    joins=True,
)

SPRING = Format(
    name="spring",
    expected="YYYY-MM-DDTHH:MM:SS.FFFZONE LEVEL PID --- [THREAD] COMPONENT : MESSAGE",
    examples=(
        b"2024-03-10T06:25:01.123+01:00  INFO 4711 --- [           main] c.e.shop.Application : "
        b"Started Application in 3.2 seconds",
        b"2024-03-10 06:25:02.456  WARN 4711 --- [nio-8080-exec-7] c.e.shop.OrderController : slow order 17",
    ),
    header=headed(
        _DASHED + rb"(?:" + ZONE + rb")? +(?P<level>[A-Z]+) (?P<pid>[0-9]+) --- (?:\[[^\]]*\] )?"
        rb"\[(?P<thread>[^\]]*)\] (?P<component>[^ ]+) *: (?P<message>.*)"
    ),
    sessions={"none": NO_KEY, "thread": (rb" --- \[ *(?P<key>[^\] ]+)\] ",)},
    joins=True,
)

PYTHON = Format(
    name="python",
    expected="YYYY-MM-DD HH:MM:SS,FFF - COMPONENT - LEVEL - MESSAGE",
    examples=(b"2024-03-10 06:25:01,123 - shop.orders - WARNING - order 17 took 3.2 s",),
    header=headed(
        YMD + rb" " + HMS + rb"," + FRACTION + rb" - (?P<component>[^ ]+) - (?P<level>[A-Z]+) - (?P<message>.*)"
    ),
    sessions=NO_SESSIONS,
    joins=True,
)

PYTHON_BASIC = Format(
    name="python_basic",
    expected="LEVEL:COMPONENT:MESSAGE",
    examples=(b"WARNING:root:order 17 took 3.2 s", b"ERROR:shop.orders:order 18 failed"),
    header=headed(rb"(?P<level>DEBUG|INFO|WARNING|ERROR|CRITICAL):(?P<component>[A-Za-z_][^ :]*):(?P<message>.*)"),
    sessions=NO_SESSIONS,
    joins=True,
)

_EVENT_LEVEL = (
    rb"(?P<level>Information|Warning|Error|Critical|Verbose|Audit Success|Audit Failure|Informationen|Warnung|Fehler"
    rb"|Kritisch|Avertissement|Erreur|Critique),"
)
_EVENT_REST = rb",(?P<component>[^,]*),(?P<event>[0-9]+),(?:[^,\x22]*,)?(?P<message>.*)"
_EVENT_LEVELS = {
    "AUDIT SUCCESS": "info", "AUDIT FAILURE": "warn", "INFORMATIONEN": "info", "WARNUNG": "warn", "FEHLER": "error",
    "KRITISCH": "fatal", "AVERTISSEMENT": "warn", "ERREUR": "error", "CRITIQUE": "fatal",
}  # fmt: skip

WINDOWS_CSV = Format(
    name="windows_csv",
    expected='LEVEL,MM/DD/YYYY HH:MM:SS AM|PM,SOURCE,EVENT ID,CATEGORY,"MESSAGE"',
    examples=(
        b"Information,3/10/2024 6:25:01 AM,Service Control Manager,7036,None,"
        b'"The Windows Update service entered the stopped state."',
    ),
    blocks=(b'Error,3/10/2024 6:25:01 PM,disk,7,None,"The device has a bad block.\nIt was taken offline."\n',),
    header=headed(
        _EVENT_LEVEL + rb"(?P<month>[0-9]{1,2})/(?P<day>[0-9]{1,2})/(?P<year>[0-9]{4}) " + CLOCK
        + rb"(?: (?P<half_day>AM|PM))?" + _EVENT_REST
    ),
    levels=_EVENT_LEVELS,
    sessions=NO_SESSIONS,
)  # fmt: skip

WINDOWS_CSV_DAY_FIRST = Format(
    name="windows_csv_day_first",
    expected='LEVEL,DD/MM/YYYY HH:MM:SS,SOURCE,EVENT ID,CATEGORY,"MESSAGE"',
    examples=(
        b'Information,10.03.2024 06:25:01,EventLog,6005,None,"Der Ereignisprotokolldienst wurde gestartet."',
        b'Error,10/03/2024 06:25:02,disk,7,None,"The device has a bad block."',
    ),
    # Where people put the month first, Windows writes AM and PM.
    header=headed(
        _EVENT_LEVEL + rb"(?P<day>[0-9]{1,2})[./-](?P<month>[0-9]{1,2})[./-](?P<year>[0-9]{4}) " + CLOCK
        + _EVENT_REST
    ),
    levels=_EVENT_LEVELS,
    sessions=NO_SESSIONS,
)  # fmt: skip

RAW = Format(
    name="raw",
    expected="any text",
    examples=(b"something happened",),
    header=headed(rb"(?P<message>.+)"),
    sessions=NO_SESSIONS,
)
