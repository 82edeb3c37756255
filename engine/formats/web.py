"""Access logs of proxies, load balancers and application servers, each with the HTTP status in its template."""

from engine.formats.base import (
    FRACTION,
    HMS,
    MONTH_NAME,
    NO_KEY,
    NO_SESSIONS,
    QUOTED,
    RFC3339,
    SYSLOG_TIME,
    YMD,
    ZONE,
    Format,
    headed,
)  # fmt: skip
from engine.formats.general import AFTER_TIME, LEVEL
from engine.formats.http_status import METHODS

_DAY_MONTH_YEAR = rb"(?P<day>[0-9]{2})[/-]" + MONTH_NAME + rb"[/-](?P<year>[0-9]{4})"
_STATUS = rb"(?P<status>[0-9]{3})"
_REQUEST = QUOTED + rb" " + _STATUS
_PORT = rb":[0-9]+"
_SYSLOG_HEAD = (
    rb"(?:(?:<[0-9]+>)?(?:[0-9]+ )?(?:[A-Z][a-z]+ +[0-9]+ [0-9]+:[0-9]+:[0-9]+|[0-9]+-[0-9]+-[0-9]+T[^ ]+) "
    rb"(?P<host>[^ ]+) (?P<component>[^ :\[]+)(?:(?:\[(?P<pid>[0-9]+)\])?: | [^ ]+ [^ ]+ - ))?"
)
"""The syslog header before a proxy's line, whose own time is more exact."""

_HAPROXY = (
    _SYSLOG_HEAD + rb"(?P<client>[^ ]+)" + _PORT + rb" \[" + _DAY_MONTH_YEAR + rb":" + HMS
    + rb"\.(?P<millisecond>[0-9]{3})\] "
)  # fmt: skip
_CLIENT = {"none": NO_KEY, "client": (rb"(?:^|: )(?P<key>[^ ]+):[0-9]+ \[[0-9]+/[A-Z][a-z]+/",)}

HAPROXY_HTTP = Format(
    name="haproxy_http",
    expected="[SYSLOG HEADER ]CLIENT:PORT [DD/Mmm/YYYY:HH:MM:SS.FFF] FRONTEND BACKEND/SERVER TIMERS STATUS BYTES ...",
    examples=(
        b"10.0.0.7:45594 [10/Mar/2024:06:25:01.583] web-in shop/app1 0/0/1/3/4 200 116 - - ---- 1/1/0/0/0 0/0 "
        b'"GET / HTTP/1.1"',
        b"Mar 10 06:25:02 edge-1 haproxy[4711]: 10.0.0.7:45595 [10/Mar/2024:06:25:02.678] web-in shop/<NOSRV> "
        b'0/-1/-1/-1/0 503 217 - - SC-- 1/1/0/0/0 0/0 "GET /orders HTTP/1.1"',
    ),
    header=headed(
        _HAPROXY + rb"(?P<message>[^ ]+ [^ ]+ \+?-?[0-9]+/\+?-?[0-9]+/\+?-?[0-9]+/\+?-?[0-9]+/\+?-?[0-9]+ "
        + _STATUS + rb" .*)"
    ),
    sessions=_CLIENT,
)  # fmt: skip

HAPROXY_TCP = Format(
    name="haproxy_tcp",
    expected="[SYSLOG HEADER ]CLIENT:PORT [DD/Mmm/YYYY:HH:MM:SS.FFF] FRONTEND BACKEND/SERVER TIMERS BYTES STATE ...",
    examples=(
        b"10.0.0.7:33317 [10/Mar/2024:06:25:01.376] pg-in pg/db1 0/0/5007 212 -- 0/0/0/0/3 0/0",
        b"10.0.0.7:33318 [10/Mar/2024:06:25:02.376] pg-in/1: SSL handshake failure",
    ),
    header=headed(_HAPROXY + rb"(?P<message>.*)"),
    sessions=_CLIENT,
)

SQUID = Format(
    name="squid",
    expected="SECONDS.FFF ELAPSED CLIENT RESULT/STATUS BYTES METHOD URL USER HIERARCHY/PEER TYPE",
    examples=(
        b"1710051901.123    215 10.0.0.7 TCP_MISS/200 4512 GET http://shop.example/a - HIER_DIRECT/10.0.0.9 text/html",
        b"1710051902.456      0 10.0.0.7 TCP_DENIED/403 3431 CONNECT db.example:443 - HIER_NONE/- text/html",
    ),
    header=headed(
        rb"(?P<epoch_s>[0-9]{9,10})\.(?P<millisecond>[0-9]{3}) +[0-9]+ (?P<host>[^ ]+) "
        rb"(?P<message>[A-Z_]+/" + _STATUS + rb" .*)"
    ),
    sessions={"none": NO_KEY, "client": (rb"^[0-9]+\.[0-9]+ +[0-9]+ (?P<key>[^ ]+) ",)},
)

_BALANCED = (
    YMD + rb"T" + HMS + rb"\." + FRACTION + rb"(?P<utc>Z) (?P<component>[^ ]+) (?P<host>[^ ]+)" + _PORT
    + rb" [^ ]+ -?[0-9]+(?:\.[0-9]+)? -?[0-9]+(?:\.[0-9]+)? -?[0-9]+(?:\.[0-9]+)? (?P<message>"
    + _STATUS + rb" (?:[0-9]+|-) [0-9]+ [0-9]+ " + QUOTED + rb".*)"
)  # fmt: skip

AWS_ALB = Format(
    name="aws_alb",
    expected='TYPE YYYY-MM-DDTHH:MM:SS.FFFFFFZ BALANCER CLIENT:PORT TARGET TIMES STATUS STATUS ... "REQUEST" ...',
    examples=(
        b"h2 2024-03-10T06:25:01.431832Z app/shop-lb/50dc6c495c0c9188 10.0.0.7:13624 10.0.1.9:8000 0.000 0.177 0.000 "
        b'200 200 961 2071 "GET https://shop.example:443/ HTTP/2.0" "curl/8.5" TLS_AES_128_GCM_SHA256 TLSv1.3',
        b"https 2024-03-10T06:25:02.431832Z app/shop-lb/50dc6c495c0c9188 10.0.0.7:13625 - -1 -1 -1 502 - 172 370 "
        b'"GET https://shop.example:443/pay HTTP/1.1" "curl/8.5" - -',
    ),
    header=headed(rb"[a-z]+[0-9]* " + _BALANCED),
    sessions=NO_SESSIONS,
)

AWS_ELB = Format(
    name="aws_elb",
    expected='YYYY-MM-DDTHH:MM:SS.FFFFFFZ BALANCER CLIENT:PORT BACKEND TIMES STATUS STATUS BYTES BYTES "REQUEST" ...',
    examples=(
        b"2024-03-10T06:25:01.431832Z shop-lb 10.0.0.7:2817 10.0.1.9:80 0.000073 0.001048 0.000057 200 200 0 29 "
        b'"GET http://shop.example:80/ HTTP/1.1" "curl/8.5" - -',
    ),
    header=headed(_BALANCED),
    sessions=NO_SESSIONS,
)

CLOUDFRONT = Format(
    name="cloudfront",
    expected="YYYY-MM-DD<TAB>HH:MM:SS<TAB>EDGE<TAB>BYTES<TAB>CLIENT<TAB>METHOD<TAB>HOST<TAB>PATH<TAB>STATUS<TAB>...",
    examples=(
        b"2024-03-10\t06:25:01\tFRA56-C1\t1045\t10.0.0.7\tGET\td111111abcdef8.cloudfront.net\t/index.html\t200\t-\t"
        b"curl/8.5\t-\t-\tHit",
    ),
    header=headed(
        YMD + rb"\t" + HMS + rb"\t[^\t]+\t[0-9]+\t(?P<host>[^\t]+)\t(?P<message>[A-Z]+\t[^\t]+\t[^\t]+\t"
        + _STATUS + rb"\t.*)"
    ),
    sessions=NO_SESSIONS,
)  # fmt: skip

IIS = Format(
    name="iis",
    expected="YYYY-MM-DD HH:MM:SS SERVER METHOD PATH QUERY PORT USER CLIENT AGENT REFERRER STATUS SUBSTATUS WIN32 MS",
    examples=(
        b"2024-03-10 06:25:01 10.0.1.9 GET /shop - 443 - 10.0.0.7 Mozilla/5.0+(X11) - 200 0 0 44",
        b"2024-03-10 06:25:02 10.0.1.9 POST /pay id=7 443 - 10.0.0.7 curl/8.5 - 500 0 64 12044",
    ),
    header=headed(
        YMD + rb" " + HMS + rb" (?P<host>[0-9A-Fa-f:.]+) (?P<message>[A-Z]+ [^ ]+ [^ ]+ [0-9]+ [^ ]+ [^ ]+ [^ ]+ [^ ]+ "
        + _STATUS + rb" [0-9]+ [0-9]+ [0-9]+(?: .*)?)$"
    ),
    sessions=NO_SESSIONS,
)  # fmt: skip

ACCESS_PROXIED = Format(
    name="access_proxied",
    expected='CLIENT[, CLIENT...] ... [DD/Mmm/YYYY:HH:MM:SS +ZONE] "REQUEST" STATUS ...',
    examples=(
        b'10.0.0.7, 10.0.0.9 - - [10/Mar/2024:06:25:01 +0000] "GET /c HTTP/2.0" 502 552 "-" "curl/8.5" 83 5.004',
        b'10.0.0.7 - [10.0.0.9] - alice [10/Mar/2024:06:25:02 +0000] "GET /b HTTP/1.1" 200 612 "-" "curl/8.5" 83 0.004',
        b'- 10/Mar/2024:06:25:03 +0000 "GET /pay.php" 500',
    ),
    header=headed(
        rb"(?P<host>[A-Za-z0-9_.:-]+),? (?:[^ ]+ )*?\[?" + _DAY_MONTH_YEAR + rb":" + HMS + rb" " + ZONE + rb"\]? "
        rb"(?P<message>" + _REQUEST + rb"(?: .*)?)$"
    ),
    sessions=NO_SESSIONS,
)

ENVOY = Format(
    name="envoy",
    expected='[YYYY-MM-DDTHH:MM:SS.FFFZ] "REQUEST" STATUS FLAGS ...',
    examples=(
        b'[2024-03-10T06:25:01.123Z] "GET /api/orders HTTP/1.1" 503 UF 0 91 5 - "-" "curl/8.5" '
        b'"a7f0b0a4-0d1e-4f6e-9e0f-0a4d5f5c7a11" "shop.example" "10.0.1.9:8080"',
    ),
    header=headed(rb"\[" + YMD + rb"T" + HMS + rb"\." + FRACTION + ZONE + rb"\] (?P<message>" + _REQUEST + rb" .*)"),
    sessions=NO_SESSIONS,
)

UVICORN = Format(
    name="uvicorn",
    expected='LEVEL: CLIENT:PORT - "REQUEST" STATUS [REASON]',
    examples=(
        b'INFO:     10.0.0.7:57382 - "GET /boom HTTP/1.1" 500 Internal Server Error',
        b'INFO:     10.0.0.7:57383 - "GET /orders?page=2 HTTP/1.1" 200 OK',
    ),
    header=headed(
        rb"(?P<level>INFO|WARNING|ERROR): +(?P<host>[^ ]+)" + _PORT + rb" - (?P<message>" + _REQUEST + rb"(?: .*)?)$"
    ),
    sessions=NO_SESSIONS,
)

_WERKZEUG = (
    rb"(?:(?P<level>DEBUG|INFO|WARNING|ERROR|CRITICAL):(?P<component>werkzeug):)?(?P<host>[^ ]+) - - \["
    + _DAY_MONTH_YEAR + rb" " + HMS + rb"\] "
)  # fmt: skip

WERKZEUG_ERROR = Format(
    name="werkzeug_error",
    expected="[LEVEL:werkzeug:]CLIENT - - [DD/Mmm/YYYY HH:MM:SS] MESSAGE",
    examples=(b"ERROR:werkzeug:10.0.0.7 - - [10/Mar/2024 06:25:01] code 400, message Bad request syntax",),
    header=headed(_WERKZEUG + rb"(?P<message>.*)"),
    sessions=NO_SESSIONS,
)  # fmt: skip

WERKZEUG = Format(
    name="werkzeug",
    expected='[LEVEL:werkzeug:]CLIENT - - [DD/Mmm/YYYY HH:MM:SS] "REQUEST" STATUS -',
    examples=(
        b'INFO:werkzeug:10.0.0.7 - - [10/Mar/2024 06:25:01] "GET /boom HTTP/1.1" 500 -',
        b'10.0.0.7 - - [10/Mar/2024 06:25:02] "GET / HTTP/1.1" 200 -',
    ),
    header=headed(_WERKZEUG + rb"(?P<message>" + _REQUEST + rb"(?: .*)?)$"),
    sessions=NO_SESSIONS,
)  # fmt: skip

DJANGO = Format(
    name="django",
    expected='[DD/Mmm/YYYY HH:MM:SS] "REQUEST" STATUS BYTES',
    examples=(b'[10/Mar/2024 06:25:01] "GET /boom HTTP/1.1" 500 145',),
    header=headed(rb"\[" + _DAY_MONTH_YEAR + rb" " + HMS + rb"\] (?P<message>" + _REQUEST + rb" [0-9]+(?: .*)?)$"),
    sessions=NO_SESSIONS,
)

VPC_FLOW = Format(
    name="vpc_flow",
    expected="VERSION ACCOUNT INTERFACE SOURCE TARGET PORT PORT PROTOCOL PACKETS BYTES START END ACTION STATUS",
    examples=(
        b"2 111122223333 eni-0a1b2c3d 10.0.0.7 10.0.1.9 443 49152 6 20 4249 1710051901 1710051961 ACCEPT OK",
        b"2 111122223333 eni-0a1b2c3d - - - - - - - 1710051961 1710052021 - NODATA",
    ),
    header=headed(
        rb"[0-9]+ (?:[0-9]+|unknown) (?P<host>eni-[^ ]+) (?:[^ ]+ )(?:[^ ]+ )(?:[0-9]+|-) (?:[0-9]+|-) (?:[0-9]+|-) "
        rb"(?:[0-9]+|-) (?:[0-9]+|-) (?P<epoch_s>[0-9]{9,10}) [0-9]+ (?P<message>(?:ACCEPT|REJECT|-) .*)"
    ),
    sessions=NO_SESSIONS,
)

_WORDS = rb"(?:[^ \t]+[ \t]+){0,6}?"
_ISO = rb"(?P<year>[0-9]{4})[-/](?P<month>[0-9]{2})[-/](?P<day>[0-9]{2})(?:T| -? ?)" + HMS
_ISO += rb"(?:[.,]" + FRACTION + rb")?"
_METHOD = rb"(?:" + METHODS.encode() + rb")"
_GAP = rb"[ \t\])>:|,]*"
_LEVEL = LEVEL.replace(_GAP, _GAP + rb"+")
_GAP_OR_LEVEL = AFTER_TIME.replace(rb"[ \t:,|]*", rb"[ \t:,|]*+") + rb"(?:" + _LEVEL + rb")?"
"""As in `engine.formats.general`, but giving nothing back, since what follows may be anywhere behind it."""

_ANSWER = (
    rb"(?P<message>.*?(?:\""
    + _METHOD
    + rb" [^\"]*\" |"
    + _METHOD
    + rb" [^ \"]+ (?:HTTP/[0-9.]+ |=> |for [^ ]+, )?|\|"
    + _METHOD
    + rb"\|[^|]*\|"
    rb"|(?<![0-9A-Za-z-])[Ss]tatus\"?[=:] ?\"?)" + _STATUS + rb"(?:[ \t,;|}\"].*)?)$"
)
"""A message with the request and then the status, or with `status=`."""

ACCESS_ISO = Format(
    name="access_iso",
    expected='[WORDS] YYYY-MM-DD HH:MM:SS[.FFF][ZONE] [LEVEL] ... "REQUEST" STATUS ..., or with status=STATUS',
    examples=(
        b'2024-03-10 06:25:01,123 INFO shop.access: 10.0.0.7 "GET /orders HTTP/1.1" 502 17',
        b"2024-03-10T06:25:02.417Z INFO request finished method=GET path=/orders status=404 took=3ms",
    ),
    header=headed(_WORDS + rb"[\[(]?" + _ISO + rb"(?: ?" + ZONE + rb")?" + _GAP_OR_LEVEL + _ANSWER),
    sessions=NO_SESSIONS,
    joins=True,
    general=True,
)

_BARRED = rb" *+(?P<message>\| *" + _STATUS + rb" *\|.*)"

ACCESS_BARRED = Format(
    name="access_barred",
    expected="[[WORD]] YYYY/MM/DD - HH:MM:SS | STATUS | ...",
    examples=(b'[GIN] 2024/03/10 - 06:25:03 | 502 |    3.2ms |      10.0.0.7 | GET      "/orders"',),
    header=headed(rb"(?:\[[A-Za-z-]+\] )?" + _ISO + rb"(?: ?" + ZONE + rb")?" + _BARRED),
    sessions=NO_SESSIONS,
    joins=True,
)

ACCESS_BARRED_CLOCK = Format(
    name="access_barred_clock",
    expected="HH:MM:SS | STATUS | ...",
    examples=(b"06:25:03 | 502 | 3.2ms | 10.0.0.7 | GET | /orders | -",),
    header=headed(rb"\[?" + HMS + rb"\]?" + _BARRED),
    sessions=NO_SESSIONS,
    joins=True,
)

ACCESS_LEVEL_FIRST = Format(
    name="access_level_first",
    expected='LEVEL [WORDS] YYYY-MM-DD HH:MM:SS[.FFF][ZONE] ... "REQUEST" STATUS ...',
    examples=(b"[notice] 2024-03-10T06:25:01.417123Z couch@web-1 8e2c1d7e2f localhost 10.0.0.7 admin GET /x 404 ok 1",),
    header=headed(_LEVEL + _WORDS + rb"[\[(]?" + _ISO + rb"(?: ?" + ZONE + rb")?\]? " + _ANSWER),
    sessions=NO_SESSIONS,
    joins=True,
    general=True,
)

ACCESS_DAY_MONTH = Format(
    name="access_day_month",
    expected='[WORDS] DD/Mmm/YYYY:HH:MM:SS[.FFF][ ZONE] [LEVEL] ... "REQUEST" STATUS ...',
    examples=(
        b"79a59df900b949e5 shop-logs [10/Mar/2024:06:25:01 +0000] 10.0.0.7 79a59df9 3E57427F3 REST.GET.OBJECT key "
        b'"GET /shop-logs?versioning HTTP/1.1" 403 AccessDenied 113 - 7 - "-" "S3Console/0.4" -',
    ),
    header=headed(
        _WORDS + rb"\[?" + _DAY_MONTH_YEAR + rb"[: ]" + HMS + rb"(?:[.,]" + FRACTION + rb")?(?: " + ZONE + rb")?"
        + _GAP_OR_LEVEL + _ANSWER
    ),
    sessions=NO_SESSIONS,
    joins=True,
    general=True,
)  # fmt: skip

ACCESS_SYSLOG = Format(
    name="access_syslog",
    expected='[<PRI>]Mmm dd HH:MM:SS HOST PROGRAM[PID]: ... "REQUEST" STATUS ...',
    examples=(b'Mar 10 06:25:01 web-1 shop[4711]: 10.0.0.7 - - "GET /orders HTTP/1.1" 502 17',),
    header=headed(
        rb"(?:<(?P<priority>[0-9]+)>)?" + SYSLOG_TIME + rb"(?:\." + FRACTION + rb")? (?P<host>[^ :=\"]+) "
        rb"(?P<component>[^ :\[=\"]+)(?:\[(?P<pid>[0-9]+)\])?: (?P<message>.*?\"" + _METHOD + rb" [^\"]*\" " + _STATUS
        + rb"(?: .*)?)$"
    ),
    sessions=NO_SESSIONS,
    joins=True,
)  # fmt: skip

ACCESS_RSYSLOG = Format(
    name="access_rsyslog",
    expected='YYYY-MM-DDTHH:MM:SS[.FFF]ZONE HOST PROGRAM[PID]: ... "REQUEST" STATUS ..., or with status=STATUS',
    examples=(
        b'2024-03-10T06:25:01.123456+01:00 web-1 shop[4711]: 10.0.0.7 - - "GET /orders HTTP/1.1" 502 17',
        b"2024-03-10T06:25:02+00:00 web-1 shop[4711]: upstream answered status=500 for order 18",
    ),
    # A host, unlike a level, is not all capitals.
    header=headed(
        rb"(?:<(?P<priority>[0-9]+)>)?" + RFC3339 + rb" (?P<host>[^ a-z)]*[a-z][^ )]*|[0-9]+\.[0-9.]+) "
        rb"(?P<component>[^ :\[=\"]+)\[(?P<pid>[0-9]+)\]: " + _ANSWER
    ),
    sessions=NO_SESSIONS,
    joins=True,
)  # fmt: skip
"""Other lines of such files are `rsyslog`; without this one, `access_iso` would leave their host in the message."""

ACCESS_RSYSLOG_PLAIN = Format(
    name="access_rsyslog_plain",
    expected='YYYY-MM-DDTHH:MM:SS[.FFF]ZONE HOST PROGRAM: ... "REQUEST" STATUS ..., or with status=STATUS',
    examples=(
        b"2024-03-10T06:25:02.123456+00:00 web-1 shop: upstream answered status=500 for order 18",
        b'2024-03-10T06:25:03+00:00 10.0.0.7 nginx: 10.0.0.9 - - "GET /orders HTTP/1.1" 502 17',
    ),
    # Without a number of a process, only a name that no logger or level has is a host.
    header=headed(
        rb"(?:<(?P<priority>[0-9]+)>)?" + RFC3339
        + rb" (?P<host>[a-z]+(?:[-.][a-z0-9.-]*|[0-9]+(?:[a-z.-][a-z0-9.-]*)?)|[0-9]+\.[0-9.]+) "
        rb"(?P<component>[A-Za-z][A-Za-z0-9_/-]*): " + _ANSWER
    ),
    sessions=NO_SESSIONS,
    joins=True,
)  # fmt: skip

REQUEST_FIELDS = Format(
    name="request_fields",
    expected="[TAG] ... status=STATUS ..., without a time",
    examples=(b"[0f3a2b1c] method=POST path=/orders controller=OrdersController status=401 duration=3.1",),
    header=headed(rb"(?P<message>\[[^\]]+\] .*?(?<![0-9A-Za-z-])status=" + _STATUS + rb"(?: .*)?)$"),
    sessions=NO_SESSIONS,
    joins=True,
    general=True,
)

REQUEST = Format(
    name="request",
    expected='METHOD PATH STATUS ..., or ... "REQUEST" STATUS ..., without a time',
    examples=(
        b"GET /orders 500 12.345 ms - 21",
        b"INFO:     ('10.0.0.7', 51422) - \"WebSocket /ws\" 403",
    ),
    header=headed(
        rb"(?:(?P<level>DEBUG|INFO|WARNING|ERROR): ++)?(?P<message>(?:" + _METHOD + rb" [^ \"]+ |.*?\"(?:" + _METHOD
        + rb"|WebSocket) [^\"]*\" )" + _STATUS + rb"(?: .*)?)$"
    ),
    sessions=NO_SESSIONS,
    general=True,
)  # fmt: skip
