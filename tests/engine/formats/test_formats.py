"""What every format promises, checked on its own examples; fields are pinned in golden_formats.json.

When a change is meant, run with `-k golden -rA` and copy what is printed.
"""

import json
import re
from dataclasses import asdict
from pathlib import Path

import pytest

from engine.docs.formats import PAGE, reference
from engine.formats.base import LEVEL_NAMES, LEVELS, SYSLOG_LEVELS
from engine.formats.registry import FORMATS
from engine.parsing.header import text_of
from engine.parsing.record_blocks import KINDS
from engine.steps.parse import BadLineError, ParseSettings

READ_NS = 1_780_000_000 * 10**9
GOLDEN = json.loads((Path(__file__).parent / "golden_formats.json").read_text("utf-8"))
EXAMPLES = [(name, i) for name, format in FORMATS.items() for i in range(len(format.examples))]
OVER_SEVERAL_LINES = {name for kind in KINDS.values() for name in kind.formats}
_WITH_WORDS_BEFORE = {"access_iso", "access_day_month", "request", "located"}
STRICT = [
    name
    for name, format in FORMATS.items()
    if format.header and name not in {"raw", "python_basic", "priority", *_WITH_WORDS_BEFORE}
]


def settings_of(name: str, **more: object) -> ParseSettings:
    return ParseSettings.model_validate({"format": name, **more})


@pytest.mark.parametrize(("name", "i"), EXAMPLES)
def test_golden_fields(name, i, parser_of):
    line = FORMATS[name].examples[i]
    fields = asdict(parser_of(settings_of(name)).take_apart(line, READ_NS))
    print(json.dumps({f"{name}/{i}": fields}))
    assert fields == GOLDEN[f"{name}/{i}"]


@pytest.mark.parametrize(("name", "i"), EXAMPLES)
def test_fields_are_read_back_from_the_line(name, i, parser_of):
    line = text_of(FORMATS[name].examples[i])
    fields = parser_of(settings_of(name)).take_apart(FORMATS[name].examples[i], READ_NS)
    if FORMATS[name].document is None:
        assert line.endswith(fields.message)
    for text in (fields.host, fields.component, str(fields.pid or ""), fields.session_key):
        assert text in line
    assert fields.level in LEVEL_NAMES


@pytest.mark.parametrize("name", FORMATS)
def test_line_ends_and_what_follows_are_no_header(name, parser_of):
    parser = parser_of(settings_of(name))
    for line in FORMATS[name].examples:
        plain = parser.take_apart(line, READ_NS)
        assert parser.take_apart(line + b"\r", READ_NS) == plain
        assert parser.take_apart(b"\xef\xbb\xbf\x1b[31m" + line + b"\x1b[0m", READ_NS) == plain
        assert parser.take_apart(b"\x00" * 50 + line, READ_NS) == plain
        if FORMATS[name].header is not None and name != "access_common":
            longer = parser.take_apart(line + b" junk \xff 7", READ_NS)
            assert longer.message == plain.message + " junk ÿ 7"
            assert (longer.time_ns, longer.host, longer.pid) == (plain.time_ns, plain.host, plain.pid)


@pytest.mark.parametrize("name", [name for name, format in FORMATS.items() if format.blocks])
@pytest.mark.parametrize("given", ["named", "auto"])
def test_records_over_several_lines_are_one(name, given, parser_of, batch_of):
    parser = parser_of(settings_of(name if given == "named" else given))
    for block in FORMATS[name].blocks:
        parsed = [parser.parse(batch_of(block.split(b"\n")[:-1])), parser.finish()]
        assert sum(map(len, filter(None, parsed))) == 1
        assert not any(some.good.bad for some in parsed if some)
        assert {parser.formats[number] for some in parsed if some for number in some.format().tolist()} == {name}


@pytest.mark.parametrize("name", STRICT)
def test_junk_before_a_header_is_refused(name, parser_of):
    parser = parser_of(settings_of(name))
    for line in FORMATS[name].examples:
        with pytest.raises(BadLineError, match="does not match format"):
            parser.take_apart(b"~junk~ ~" + line, READ_NS)


@pytest.mark.parametrize("name", FORMATS)
def test_a_header_cut_anywhere_never_raises_anything_else(name, parser_of, batch_of):
    parser = parser_of(settings_of(name))
    cuts = [line[:end] for line in FORMATS[name].examples for end in range(len(line))]
    for _ in range(2):
        parsed = parser.parse(batch_of(cuts))
        found = len(parsed) + len(parsed.good.bad) + len(parsed.joined) + len(parsed.pieces)
        # Lines of records over several lines become one.
        assert found == len(cuts) or (name in OVER_SEVERAL_LINES and found <= len(cuts))
    if name in STRICT and not FORMATS[name].keeps and name not in OVER_SEVERAL_LINES:
        assert len(parsed.good.bad) >= len(FORMATS[name].examples) * 8


@pytest.mark.parametrize("name", FORMATS)
def test_a_wrong_year_is_refused(name, parser_of):
    parser = parser_of(settings_of(name))
    header = FORMATS[name].header
    groups = ({"year", "yyyymmdd"} & set(header.groupindex)) if header is not None else set()
    for line in FORMATS[name].examples if groups else ():
        match = header.match(line)
        if (start := max(match.start(group) for group in groups)) < 0:
            continue
        for year, reason in ((b"0001", "before 1990"), (b"2999", "after it was read")):
            with pytest.raises(BadLineError, match=reason):
                parser.take_apart(line[:start] + year + line[start + 4 :], READ_NS)


@pytest.mark.parametrize(
    ("record", "name"),
    [(b"CEF:0|V|Fire|2|9|Blocked|7|src=1.2.3.4", "cef"), (b"LEEF:1.0|V|Fire|2|9|src=1.2.3.4", "leef")],
)
@pytest.mark.parametrize(
    "head",
    [
        b"Mar 10 06:25:01 fw-1 ",
        b"<134>Mar 10 06:25:01 fw-1 ",
        b"Mar 10 06:25:01 fw-1 agent[77]: ",
        b"2024-03-10T06:25:01Z fw-1 ",
        b"2024-03-10T07:25:01+01:00 fw-1 agent: ",
        b"<134>1 2024-03-10T06:25:01.000Z fw-1 agent 77 ID47 - ",
        b'<134>1 2024-03-10T06:25:01Z fw-1 - - - [a@1 b="c \\] d"][e@1] \xef\xbb\xbf',
    ],
)
def test_events_behind_a_syslog_header_are_told_from_syslog(head, record, name, parser_of, batch_of):
    parser = parser_of(settings_of("auto"))
    line, read_ns = head + record, 1_712_000_000 * 10**9
    found = parser.take_apart(line, read_ns)
    assert (found.format, found.host, found.time_ns) == (name, "fw-1", 1_710_051_901 * 10**9)
    assert (found.component, found.message.startswith(("Blocked|7|", "9|src"))) == ("Fire", True)
    for _ in range(3):
        parsed = parser.parse(batch_of([line], read_ns=read_ns))
        assert parser.formats[parsed.rows.format[0]] == name
        assert parsed.good.time_ns.tolist() == [found.time_ns]


@pytest.mark.parametrize(
    ("line", "format", "fields"),
    [
        (b"<30>Mar 10 06:25:01 dockerd[99]: up", "syslog", ("", "dockerd", 99, "up", "info")),
        (b"Mar 10 06:25:01 fe80::1 sshd[7]: up", "syslog", ("fe80::1", "sshd", 7, "up", "")),
        (b"<165>1 - - - - - - up", "syslog5424", ("", "", None, "up", "info")),
        (b"<11>1 2024-03-10T06:25:01Z h - 7 - - \xef\xbb\xbfup", "syslog5424", ("h", "", 7, "up", "error")),
        (
            b'{"__REALTIME_TIMESTAMP":"1710051901123456","MESSAGE":[72,105,255],"PRIORITY":"3","_PID":"7"}',
            "journald",
            ("", "", 7, "Hi\\xff", "error"),
        ),
        (b'{"__REALTIME_TIMESTAMP":"1710051901123456","MESSAGE":null}', "journald", ("", "", None, "", "")),
        (
            b'{"Timestamp":"1710051901123456789","SeverityText":"WARN","Body":{"stringValue":"up"}}',
            "otel",
            ("", "", None, "up", "warn"),
        ),
    ],
)
def test_fields_that_are_left_out_or_spelt_otherwise(line, format, fields, parser_of):
    found = parser_of(settings_of("auto")).take_apart(line, READ_NS)
    assert found.format == format
    assert (found.host, found.component, found.pid, found.message, found.level) == fields


def test_seconds_with_a_fraction_are_good_to_a_microsecond(parser_of):
    line = b'{"ts":1710051901.123457,"msg":"up"}'
    assert parser_of(settings_of("json")).take_apart(line, READ_NS).time_ns == 1_710_051_901_123_457_000


OWN_S = 1_710_051_901  # 2024-03-10T06:25:01Z


@pytest.mark.parametrize(
    ("extension", "ms"),
    [
        ("rt=1710051901123", 123),
        ("src=1.2.3.4 rt=1710051901123 end=1710051999123", 123),
        ("start=1710051800000 rt=1710051901000", 0),
        ("end=1710051999000 start=1710051901000 msg=x", 0),
        ("end=Mar 10 2024 15:25:01 src=1.2.3.4", 0),
        ("rt=Mar 10 2024 06:25:01.5 UTC", 500),
        ("rt=Mar 10 06:25:01 GMT", 0),
        ("rt=Mar 10 07:25:01 GMT+01:00 act=deny", 0),
        ("rt=Mar 10 2024 02:25:01 -0400", 0),
        ("rt=Mar 10 2024 15:25:01 JST src=1.2.3.4", 0),
        ("sort=1710051901123 msg=started", None),
        ("rt=soon", None),
        ("rt=17100519011234", None),
    ],
)
def test_cef_has_a_time_of_its_own(extension, ms, parser_of, batch_of):
    _has_time(parser_of(settings_of("cef", timezone="Asia/Tokyo")), f"CEF:0|V|F|2|9|Deny|7|{extension}", ms, batch_of)


@pytest.mark.parametrize(
    ("attributes", "ms"),
    [
        ("1.0|V|F|2|9|src=1.2.3.4\tdevTime=1710051901123\tsev=5", 123),
        ("1.0|V|F|2|9|devTime=Mar 10 2024 15:25:01\tsev=5", 0),
        ("2.0|V|F|2|9|^|devTime=Mar 10 2024 06:25:01.250 UTC^sev=5", 250),
        ("1.0|V|F|2|9|devTimeFormat=yyyy-MM-dd HH:mm:ss\tdevTime=2024-03-10 15:25:01", 0),
        ("1.0|V|F|2|9|devTimeFormat=dd.MM.yyyy HH:mm\tdevTime=10.03.2024 15:25", None),
    ],
)
def test_leef_has_a_time_of_its_own(attributes, ms, parser_of, batch_of):
    _has_time(parser_of(settings_of("leef", timezone="Asia/Tokyo")), f"LEEF:{attributes}", ms, batch_of)


def _has_time(parser, line, ms, batch_of):
    read_ns = (OWN_S + 86_400) * 10**9
    want = read_ns if ms is None else OWN_S * 10**9 + ms * 10**6
    assert parser.take_apart(line.encode(), read_ns).time_ns == want
    for _ in range(3):
        assert parser.parse(batch_of([line.encode()] * 3, read_ns=read_ns)).good.time_ns.tolist() == [want] * 3
    behind = b"<134>1 2024-03-10T01:00:00Z fw-1 agent 77 ID47 - " + line.encode()
    assert parser.take_apart(behind, read_ns).time_ns == (OWN_S - 19_501) * 10**9


def test_a_time_of_its_own_that_cannot_be_used_is_refused(parser_of):
    with pytest.raises(BadLineError, match="more than 86400 s after it was read"):
        parser_of(settings_of("cef")).take_apart(b"CEF:0|V|Fire|2|9|Blocked|7|rt=9999999999999", READ_NS)
    with pytest.raises(BadLineError, match="no date 2024-02-31"):
        parser_of(settings_of("cef")).take_apart(b"CEF:0|V|Fire|2|9|Blocked|7|rt=Feb 31 2024 01:00:00", READ_NS)


def test_a_bar_within_a_field_of_cef_ends_nothing(parser_of):
    found = parser_of(settings_of("cef")).take_apart(b"CEF:0|V|a\\|b|2|9|x \\| y|9|msg=z", READ_NS)
    assert (found.component, found.level, found.message) == ("a\\|b", "fatal", "x \\| y|9|msg=z")


@pytest.mark.parametrize("name", ["syslog", "android", "klog", "proxifier"])
def test_new_year_belongs_to_two_years(name, parser_of, batch_of):
    line = FORMATS[name].examples[0]
    old = {"syslog": (b"Jun 14", b"Dec 31"), "android": (b"03-17", b"12-31"), "klog": (b"0314", b"1231")}
    old["proxifier"] = (b"10.30", b"12.31")
    december = line.replace(*old[name])
    read_ns = 1_767_225_600 * 10**9 + 5  # 2026-01-01
    parser = parser_of(settings_of(name))
    for _ in range(3):
        parsed = parser.parse(batch_of([december, line], read_ns=read_ns))
        assert [time_ns // 10**9 < 1_767_225_600 for time_ns in parsed.good.time_ns.tolist()] == [True, True]
        assert parsed.good.time_ns[0] > parsed.good.time_ns[1] > 1_735_689_600 * 10**9
        assert parsed.good.time_ns[0] == parser.take_apart(december, read_ns).time_ns


@pytest.mark.parametrize(
    ("line", "seconds"),
    [
        (b"2024-03-10T06:25:02Z h p: a", 0),
        (b"2024-03-10T06:25:02+01:00 h p: a", -3600),
        (b"2024-03-10T06:25:02-0730 h p: a", 27_000),
    ],
)
def test_zones_count_alone_and_in_batches(line, seconds, parser_of, batch_of):
    parser = parser_of(settings_of("rsyslog", timezone="Asia/Tokyo"))
    want = (1_710_051_902 + seconds) * 10**9
    assert parser.take_apart(line, READ_NS).time_ns == want
    for _ in range(3):
        assert parser.parse(batch_of([line] * 3)).good.time_ns.tolist() == [want] * 3
    with pytest.raises(BadLineError, match="no zone"):
        parser.take_apart(re.sub(rb"(?:Z|[+-][0-9:]+) ", b"+99:00 ", line, count=1), READ_NS)


def test_halves_of_the_day_and_dates_left_out(parser_of, batch_of):
    csv = b"Error,3/10/2024 %s,Disk,7,None,x"
    parser = parser_of(settings_of("windows_csv"))
    for text, hour in ((b"12:00:00 AM", 0), (b"1:00:00 AM", 1), (b"12:00:00 PM", 12), (b"11:00:00 PM", 23)):
        for _ in range(3):
            assert parser.parse(batch_of([csv % text])).good.time_ns.tolist() == [(1_710_028_800 + hour * 3600) * 10**9]
    with pytest.raises(BadLineError, match="before or after noon"):
        parser.take_apart(csv % b"13:00:00 PM", READ_NS)
    parser = parser_of(settings_of("clock_plain"))
    for text, hour in ((b"12:30:00 AM", 0), (b"(01:30:00 PM)", 13), (b"01:30:00.5 PM:", 13), (b"01:30:00 AMD", 1)):
        for _ in range(3):
            found = int(parser.parse(batch_of([text + b" order 18 placed"])).good.time_ns[0])
            assert found // 10**9 % 86_400 == hour * 3600 + 1800
    for zone in ("UTC", "America/New_York"):
        parser = parser_of(settings_of("logback", timezone=zone))
        lines = [f"{hour:02d}:30:00.000 [main] INFO a.B - x".encode() for hour in range(24)] * 2
        for _ in range(3):
            found = parser.parse(batch_of(lines)).good.time_ns.tolist()
        assert found == [parser.take_apart(line, READ_NS).time_ns for line in lines]
        assert all(READ_NS - 23 * 3600 * 10**9 <= time_ns <= READ_NS + 3600 * 10**9 for time_ns in found)


def test_levels_are_those_of_opentelemetry():
    words = {level for format in FORMATS.values() for level in format.levels.values()}
    assert words | set(LEVELS.values()) | set(SYSLOG_LEVELS) == set(LEVEL_NAMES)


def test_the_page_of_formats_is_what_the_registry_says():
    assert PAGE.read_text("utf-8") == reference(), "run `python -m engine.docs.formats` and commit docs/formats.md"
