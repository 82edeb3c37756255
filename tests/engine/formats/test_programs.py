"""Lines of common programs, proxies, platforms and devices, with formats detected: time, level, fields and status."""

from pathlib import Path

import pytest

from engine.parsing.template_rules import masked_message
from engine.steps.parse import ParseSettings
from models.classify.base import CLASSES, Lines
from models.classify.registry import build

READ_NS = 1_780_000_000 * 10**9
SECOND = 1_710_051_901  # 2024-03-10 06:25:01 UTC
AUTO = ParseSettings(format="auto")


@pytest.mark.parametrize(
    ("line", "format", "level", "host", "component", "pid", "message"),
    [
        (b"W, [2024-03-10T06:25:01.5 #7]  WARN -- shop: slow", "ruby", "warn", "", "shop", 7, "slow"),
        (b"2024-03-10 06:25:01.77 E | raft: lost leader", "capnslog", "error", "", "raft", None, "lost leader"),
        (b"2024-03-10T06:25:01.399Z general: notice: up", "tagged_iso", "info", "", "general", None, "up"),
        (b"10-Mar-2024 06:25:01.3 security: warning: no", "tagged_day_month", "warn", "", "security", None, "no"),
        (b"[1710051901] unbound[7:1] error: no", "tagged_epoch", "error", "", "unbound", 7, "no"),
        (b"1710051901.022 7 app shop ERROR:  no", "postgresql_epoch", "error", "", "", 7, "no"),
        (b"2024-03-10 06:25:01,3 fail2ban.jail  [7]: INFO  up", "fail2ban", "info", "", "fail2ban.jail", 7, "up"),
        (b"W [10/Mar/2024:07:25:01 +0100] no paper", "cups", "warn", "", "", None, "no paper"),
        (b"[10-Mar-2024 06:25:01 UTC] PHP Notice:  x", "php", "info", "", "", None, "x"),
        (b"Sun 2024-03-10 06:25:01 UTC h1 app[7]: up", "journal_full", "", "h1", "app", 7, "up"),
        (b"1710051901.123456 h1 app[7]: up", "journal_unix", "", "h1", "app", 7, "up"),
        (b"2024-03-10 06:25:01.12 Logon       no", "mssql", "", "", "Logon", None, "no"),
        (b"[2024-03-10T07:25:01.1+0100][warning][gc,alloc] x", "jvm_gc", "warn", "", "gc,alloc", None, "x"),
        (b"2024-03-10 06:25:01.123:WARN:oejs.Server:main: x", "jetty", "warn", "", "oejs.Server", None, "x"),
        (b"2024-03-10T06:25:01.1+0000 E STORAGE  [initandlisten] x", "mongodb_text", "error", "", "STORAGE", None, "x"),
        (b"2024-03-10T06:25:01.8Z\t1a-2b-3c-4d-5e\tWARN\tx", "aws_lambda", "warn", "", "", None, "x"),
        (b"Mar 10 2024 06:25:01 fw : %ASA-4-106023: Deny", "cisco", "warn", "", "ASA", None, "106023: Deny"),
        (b"<1>Mar 10 06:25:01 h1 app[7]: up", "syslog", "fatal", "h1", "app", 7, "up"),
        (b"49 <11>Mar 10 06:25:01 h1 app[7]: up", "syslog", "error", "h1", "app", 7, "up"),
        (b"Mar 10 06:25:01.125 h1 app[7]: up", "syslog", "", "h1", "app", 7, "up"),
        (b"Mar 10 06:25:01 Using 64-bits mode.", "syslog", "", "", "", None, "Using 64-bits mode."),
        (b"Mar 10 06:25:01 h1 app[7]: ERROR: no disk", "syslog", "error", "h1", "app", 7, "ERROR: no disk"),
        (b"1710051901: Error: Address in use", "epoch", "error", "", "", None, "Address in use"),
    ],
)  # fmt: skip
def test_time_and_fields(line, format, level, host, component, pid, message, parser_of, batch_of):
    parser = parser_of(AUTO)
    found = parser.take_apart(line, READ_NS)
    assert (found.format, found.level, found.host, found.component, found.pid, found.message) == (
        format, level, host, component, pid, message,
    )  # fmt: skip
    assert found.time_ns // 10**9 % 86_400 == SECOND % 86_400
    for _ in range(3):
        parsed = parser.parse(batch_of([line] * 3))
        assert {parser.formats[number] for number in parsed.rows.format.tolist()} == {format}
        assert parsed.good.time_ns.tolist() == [found.time_ns] * 3


LINES_WITH_STATUS = [
    b'10.0.0.7:45594 [10/Mar/2024:06:25:01.583] in shop/a 0/0/1/3/4 %d 116 - - ---- 1/1/0/0/0 0/0 "GET / HTTP/1.1"',
    b"Mar 10 06:25:01 e haproxy[7]: 10.0.0.7:4 [10/Mar/2024:06:25:01.583] in shop/<NOSRV> 0/-1/-1/-1/+4 %d 0 - - SC--",
    b"1710051901.123    215 10.0.0.7 TCP_MISS/%d 4512 GET http://shop.example/a - HIER_DIRECT/10.0.0.9 text/html",
    b'https 2024-03-10T06:25:01.4Z app/lb/50dc 10.0.0.7:1 - -1 -1 -1 %d - 172 370 "GET https://a/ HTTP/1.1" "c" - -',
    b"2024-03-10\t06:25:01\tFRA56-C1\t1045\t10.0.0.7\tGET\td1.cloudfront.net\t/index.html\t%d\t-\tcurl\t-\t-\tHit",
    b"2024-03-10 06:25:01 10.0.1.9 GET /shop - 443 - 10.0.0.7 Mozilla/5.0+(X11) - %d 0 0 44",
    b'10.0.0.7, 10.0.0.9 - - [10/Mar/2024:06:25:01 +0000] "GET /c HTTP/2.0" %d 552 "-" "curl/8" 83 5.004',
    b'[2024-03-10T06:25:01.123Z] "GET /api HTTP/1.1" %d - 0 91 5 - "-" "curl" "1" "shop" "10.0.1.9:8080"',
    b'INFO:     10.0.0.7:57382 - "GET /boom HTTP/1.1" %d Reason Of It',
    b'INFO:werkzeug:10.0.0.7 - - [10/Mar/2024 06:25:01] "GET /boom HTTP/1.1" %d -',
    b'[10/Mar/2024 06:25:01] "GET /boom HTTP/1.1" %d 145',
    b'- 10/Mar/2024:06:25:01 +0000 "GET /pay.php" %d',
    b'{"time":"2024-03-10T06:25:01Z","remote":"10.0.0.7","request":"GET / HTTP/1.1","status":"%d","rt":"0.1"}',
    b'{"level":"info","ts":1710051901.3,"logger":"http.log.access","msg":"handled request","status":%d}',
    b'{"time":"2024-03-10T06:25:01Z","level":"info","msg":"","DownstreamStatus":%d,"RequestMethod":"GET"}',
    b'{"timestamp":"2024-03-10T06:25:01Z","httpRequest":{"requestMethod":"GET","status":%d},"severity":"INFO"}',
    b'time=2024-03-10T06:25:01+00:00 status=%d request="GET / HTTP/1.1" rt=0.000',
]


@pytest.mark.parametrize("form", LINES_WITH_STATUS)
def test_templates_name_the_status(form, parser_of, batch_of):
    """Codes of one kind share a template, other kinds have others, and a server's error is not normal."""
    parser = parser_of(AUTO)
    codes = [200, 503, 204, 401, 502, 500, 200, 503]
    texts: dict[int, str] = {}
    answers = []
    for _ in range(3):  # as unknown lines, as known shapes, and all together
        for code in codes:
            parsed = parser.parse(batch_of([form % code]))
            texts |= parsed.good.templates
            answers.append(texts[parsed.good.template.tolist()[0]])
    names = ["SUCCESS", "UNAVAILABLE", "SUCCESS", "DENIED", "UNAVAILABLE", "ERROR", "SUCCESS", "UNAVAILABLE"]
    assert [f"<{name}>" in text for name, text in zip(names * 3, answers, strict=True)] == [True] * len(answers)
    assert len(set(answers)) == len(set(names))


@pytest.mark.parametrize("form", LINES_WITH_STATUS)
def test_the_rules_class_a_request_by_its_status(form, parser_of, rules):
    found = []
    for code in (200, 503, 500, 401, 429):
        fields = parser_of(AUTO).take_apart(form % code, READ_NS)
        masked = masked_message(fields.format, fields.message)
        probabilities = rules.probabilities(Lines.of([masked]))
        found.append(CLASSES[int(probabilities.argmax())])
    assert found == ["normal", "system_failure", "system_failure", "security_anomaly", "performance_issue"]


@pytest.fixture(scope="module")
def rules():
    return build("rules", {}, cache=Path())
