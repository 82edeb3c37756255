"""Formats whose lines are documents: JSON in its dialects, logfmt, Windows event XML."""

import html
import re
from typing import Any

from engine.formats.base import STREAMS, SYSLOG_LEVELS, DocumentLayout, Format
from engine.formats.json_fields import JsonFields, parse_journal_object, parse_object
from engine.formats.letters import text_of

_PAIR = re.compile(r'([^\s="]+)(?:=("(?:[^"\\]|\\.)*"|[^\s"]*))?(?:\s+|$)')
_LOGFMT_MARKS = ("time", "ts", "t", "timestamp", "level", "lvl", "severity", "method", "msg")
_PRIORITY = re.compile(r"<([0-9]{1,3})>")
_ESCAPE = re.compile(r"\\(.)")
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r"}


def parse_logfmt(line: bytes) -> dict[str, Any] | str:
    """Pairs `key=value` or `key="quoted value"`, and keys alone behind the first pair, which are true.

    Returns:
        The pairs, or the reason why the line has none.
    """
    text = text_of(line).strip()
    found: dict[str, Any] = {}
    if priority := _PRIORITY.match(text):
        found["priority"] = priority[1]
        text = text[priority.end() :]
    if "=" not in text.partition(" ")[0]:
        return "does not begin with key=value"
    at = 0
    while at < len(text):
        pair = _PAIR.match(text, at)
        if pair is None:
            return f"is not a row of key=value from character {at} on"
        value = pair[2]
        if value is not None and value.startswith('"'):
            value = _ESCAPE.sub(lambda m: _ESCAPED.get(m[1], m[1]), value[1:-1])
        found.setdefault(pair[1], True if value is None else value)
        at = pair.end()
    return found


_XML_FIELDS = {
    "provider": re.compile(r"<Provider[^<>]*\bName=['\"]([^'\"]*)['\"]"),
    "level": re.compile(r"<Level>([^<]*)</Level>"),
    "time": re.compile(r"<TimeCreated[^<>]*\bSystemTime=['\"]([^'\"]*)['\"]"),
    "computer": re.compile(r"<Computer>([^<]*)</Computer>"),
    "pid": re.compile(r"<Execution[^<>]*\bProcessID=['\"]([0-9]*)['\"]"),
    "message": re.compile(r"<Message>([^<]*)</Message>"),
}
_XML_EVENT = re.compile(r"<EventID[^<>]*>([^<]*)</EventID>")
_XML_DATA = re.compile(r"<Data(?:\s+Name=['\"]([^'\"]*)['\"])?\s*>([^<]*)</Data>")


def parse_event_xml(line: bytes) -> dict[str, Any] | str:
    """The fields of one rendered or unrendered Windows event.

    Read by patterns, not by an XML parser: an event is flat, and log lines must not reach entities. No pattern
    looks beyond the next `<`, so that the cost is linear in the length of the line.
    """
    text = text_of(line).strip()
    if not text.startswith("<Event ") and not text.startswith("<Event>"):
        return "is no <Event> element"
    found = {name: html.unescape(m[1]) for name, pattern in _XML_FIELDS.items() if (m := pattern.search(text))}
    if "message" not in found and (event := _XML_EVENT.search(text)):
        data = (f"{m[1]}={m[2]}" if m[1] else m[2] for m in _XML_DATA.finditer(text))
        found["message"] = html.unescape(" ".join([f"EventID {event[1]}", *data]))
    return found


JSON = Format(
    name="json",
    expected="one JSON object a line",
    examples=(
        b'{"time":"2024-05-01T12:00:00Z","level":"info","message":"user 17 logged in"}',
        b'{"level":50,"time":1710051901123,"pid":4711,"hostname":"web-1","msg":"order 18 failed"}',
        b'{"@t":"2024-03-10T06:25:02.4560000Z","@mt":"Order {Id} placed","@l":"Warning","Id":17}',
        b'{"time":"2024-03-10T06:25:03+01:00","remote":"10.0.0.7","request":"GET /pay HTTP/1.1","status":"502"}',
        b'{"level":"info","ts":1710051904.327,"logger":"http.log.access","msg":"handled request","status":502}',
    ),
    document=DocumentLayout(parse_object, JsonFields(), composes=True),
    levels={
        "10": "trace", "20": "debug", "30": "info", "40": "warn", "50": "error", "60": "fatal", "LOG": "info",
        "100": "debug", "200": "info", "250": "info", "300": "warn", "400": "error", "500": "fatal", "550": "fatal",
        "600": "fatal", "LOW": "info", "MEDIUM": "warn", "HIGH": "error",
    } | {str(i): level for i, level in enumerate(SYSLOG_LEVELS)},
)  # fmt: skip

GELF = Format(
    name="gelf",
    expected="one JSON object a line in the Graylog Extended Log Format",
    examples=(
        b'{"version":"1.1","host":"web-1","short_message":"backend down","timestamp":1710051901.123,"level":3,'
        b'"_service":"shop","_process_id":4711}',
    ),
    document=DocumentLayout(
        parse_object,
        JsonFields(
            time=("timestamp",),
            message=("short_message",),
            level=("level",),
            host=("host",),
            component=("_logger", "_service", "_container_name", "facility"),
            pid=("_process_id", "_pid"),
        ),
        marks=(("short_message",), ("version",), ("host",)),
    ),
    levels={str(i): level for i, level in enumerate(SYSLOG_LEVELS)},
)

W3C = Format(
    name="w3c",
    expected="rows below a line #Fields: (W3C) or #fields (Zeek), as one JSON object each",
    examples=(
        b'{"#table":"w3c","time":"2024-03-10T06:25:01Z","c-ip":"10.0.0.7","cs-method":"GET","cs-uri-stem":"/shop",'
        b'"sc-status":"404"}',
    ),
    blocks=(
        b"#Fields: date time c-ip cs-method cs-uri-stem sc-status\n2024-03-10 06:25:01 10.0.0.7 GET /shop 404\n",
        b"#fields\tts\tuid\tid.orig_h\tproto\tconn_state\n1710051901.123456\tCabc1\t10.0.0.7\ttcp\tS0\n",
    ),
    document=DocumentLayout(
        parse_object,
        JsonFields(
            time=("time", "ts", "date-time"), message=("message", "msg"), level=("level",),
            host=("s-computername", "s-ip", "host", "hostname"), component=("s-sitename", "service"),
        ),
        marks=(("#table",),),
        composes=True,
    ),
)  # fmt: skip

MONGODB = Format(
    name="mongodb",
    expected="one JSON object a line as MongoDB 4.4 and later write it",
    examples=(
        b'{"t":{"$date":"2024-03-10T06:25:01.180+00:00"},"s":"I","c":"NETWORK","id":22943,"ctx":"listener",'
        b'"msg":"Connection accepted","attr":{"remote":"127.0.0.1:37180","connectionId":1}}',
    ),
    document=DocumentLayout(
        parse_object,
        JsonFields(time=("t.$date",), message=("msg",), level=("s",), host=(), component=("c",), pid=()),
        marks=(("t.$date",), ("s",), ("msg",)),
    ),
    levels={"I": "info", "W": "warn", "E": "error", "F": "fatal", "D": "debug"}
    | {f"D{i}": "debug" for i in range(1, 6)},
)

NEXTCLOUD = Format(
    name="nextcloud",
    expected="one JSON object a line as Nextcloud and ownCloud write it",
    examples=(
        b'{"reqId":"8e2c1d7e","level":3,"time":"2024-03-10T06:25:01+00:00","remoteAddr":"10.0.0.7","user":"alice",'
        b'"app":"files","method":"GET","url":"/x","message":"cannot read file"}',
    ),
    document=DocumentLayout(
        parse_object,
        JsonFields(time=("time",), message=("message",), level=("level",), host=(), component=("app",), pid=()),
        marks=(("reqId",), ("remoteAddr",), ("app",)),
    ),
    levels={"0": "debug", "1": "info", "2": "warn", "3": "error", "4": "fatal"},
)

ECS = Format(
    name="ecs",
    expected="one JSON object a line in the Elastic Common Schema",
    examples=(
        b'{"@timestamp":"2024-03-10T06:25:01.123Z","log.level":"INFO","message":"order 17 placed",'
        b'"ecs.version":"1.6.0","service.name":"shop","process.pid":4711,"log.logger":"shop.orders"}',
        b'{"@timestamp":"2024-03-10T06:25:02.456Z","ecs":{"version":"8.11"},"log":{"level":"error"},'
        b'"message":"order 18 failed","host":{"name":"web-1"}}',
    ),
    document=DocumentLayout(
        parse_object,
        JsonFields(
            time=("@timestamp",),
            message=("message",),
            level=("log.level",),
            host=("host.name", "host.hostname"),
            component=("log.logger", "service.name"),
            pid=("process.pid",),
        ),
        marks=(("@timestamp",), ("ecs.version", "log.level", "ecs")),
    ),
)

OTEL = Format(
    name="otel",
    expected="one JSON object a line in OpenTelemetry's log data model",
    examples=(
        b'{"timeUnixNano":"1710051901123456789","severityNumber":9,"severityText":"INFO",'
        b'"body":{"stringValue":"order 17 placed"},"resource":{"service.name":"shop","host.name":"web-1"}}',
        b'{"Timestamp":1710051902456000000,"SeverityText":"ERROR","Body":"order 18 failed",'
        b'"Resource":{"service.name":"shop"},"TraceId":"5b8efff798038103d269b633813fc60c"}',
    ),
    document=DocumentLayout(
        parse_object,
        JsonFields(
            time=("timeUnixNano", "observedTimeUnixNano", "Timestamp", "timestamp", "ObservedTimestamp"),
            message=("body.stringValue", "body", "Body.stringValue", "Body"),
            level=("severityText", "SeverityText", "severity_text", "severityNumber", "SeverityNumber"),
            host=("resource.host.name", "Resource.host.name"),
            component=("resource.service.name", "Resource.service.name"),
            session=(),
        ),
        composes=True,
        marks=(
            ("severityText", "SeverityText", "severity_text", "severityNumber", "SeverityNumber"),
            ("body", "Body"),
        ),
    ),
    levels={str(i + 1): ("trace", "debug", "info", "warn", "error", "fatal")[i // 4] for i in range(24)},
)

JOURNALD = Format(
    name="journald",
    expected="one JSON object a line as journalctl -o json writes it, or KEY=value lines of journalctl -o export",
    examples=(
        b'{"__REALTIME_TIMESTAMP":"1710051901123456","PRIORITY":"6","_HOSTNAME":"web-1","_PID":"4711",'
        b'"SYSLOG_IDENTIFIER":"sshd","MESSAGE":"Accepted publickey for root from 10.0.0.7 port 50022 ssh2"}',
    ),
    blocks=(
        b"__CURSOR=s=739ad463348b4ceca5a9e69c95a3c93f;i=4ece7;b=6c7c6013a26343b29e964691ff25d04c;t=4fd05d9a3aab6\n"
        b"__REALTIME_TIMESTAMP=1710051901123456\n_HOSTNAME=web-1\nPRIORITY=6\n_PID=4711\nSYSLOG_IDENTIFIER=sshd\n"
        b"MESSAGE=Accepted publickey for root from 10.0.0.7 port 50022 ssh2\n",
    ),
    document=DocumentLayout(
        parse_journal_object,
        JsonFields(
            time=("__REALTIME_TIMESTAMP", "_SOURCE_REALTIME_TIMESTAMP"),
            message=("MESSAGE",),
            level=("PRIORITY",),
            host=("_HOSTNAME",),
            component=("SYSLOG_IDENTIFIER", "_COMM", "_SYSTEMD_UNIT"),
            pid=("_PID", "SYSLOG_PID"),
        ),
        marks=(("__REALTIME_TIMESTAMP",), ("MESSAGE",)),
    ),
    levels={str(i): level for i, level in enumerate(SYSLOG_LEVELS)},
)

DOCKER = Format(
    name="docker",
    expected="one JSON object a line as Docker's json-file driver writes it",
    examples=(
        b'{"log":"starting the http server on port 8080\\n","stream":"stdout","time":"2024-03-10T06:25:01.123456789Z"}',
    ),
    document=DocumentLayout(
        parse_object,
        JsonFields(time=("time",), message=("log",), level=(), host=(), component=("stream",)),
        marks=(("log",), ("stream",), ("time",)),
    ),
    joins=True,
    streams=STREAMS,
)

LOGFMT = Format(
    name="logfmt",
    expected="key=value pairs, with a time or a level",
    examples=(
        b'time=2024-03-10T06:25:01Z level=info msg="order 17 placed" component=orders',
        b'ts=2024-03-10T06:25:02.456Z caller=main.go:77 level=error msg=failed err="connection refused"',
        b'time=2024-03-10T06:25:03+01:00 status=502 request="GET /pay HTTP/1.1" rt=0.001 us=502',
    ),
    document=DocumentLayout(
        parse_logfmt,
        JsonFields(component=("logger", "component", "caller", "service")),
        marks=(_LOGFMT_MARKS,),
        composes=True,
    ),
    # Numbers are those of a syslog priority before the pairs.
    levels={str(i): level for i, level in enumerate(SYSLOG_LEVELS * 24)},
)

WINDOWS_XML = Format(
    name="windows_xml",
    expected="one <Event> element a line",
    examples=(
        b"<Event xmlns='http://schemas.microsoft.com/win/2004/08/events/event'><System>"
        b"<Provider Name='Service Control Manager'/><EventID>7036</EventID><Level>4</Level>"
        b"<TimeCreated SystemTime='2024-03-10T06:25:01.1234567Z'/><Execution ProcessID='604' ThreadID='712'/>"
        b"<Computer>web-1</Computer></System><EventData><Data Name='param1'>Windows Update</Data>"
        b"<Data Name='param2'>stopped</Data></EventData></Event>",
    ),
    document=DocumentLayout(
        parse_event_xml,
        JsonFields(
            time=("time",), message=("message",), level=("level",), host=("computer",), component=("provider",),
            pid=("pid",),
        ),
    ),
    levels={"0": "info", "1": "fatal", "2": "error", "3": "warn", "4": "info", "5": "debug"},
)  # fmt: skip
