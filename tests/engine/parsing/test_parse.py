import random
from dataclasses import replace

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from connectors.base import DeadLetter
from engine.formats.base import LEVEL_NAMES
from engine.formats.masks import Mask
from engine.formats.registry import FORMATS
from engine.parsing.record_blocks import RecordBlocks
from engine.parsing.template_settings import TemplateSettings
from engine.records import NO_SESSION
from engine.steps.parse import Parser, ParseSettings, StateMismatchError
from tests.support.parsing import make_batch
from tests.support.sweep import sweep

NAMES = list(FORMATS)
MORE = {
    "json": (
        b'{"ts":1714564800.25,"msg":"user 17 logged in from 10.0.0.1","level":"WARN","user":"u-1"}',
        b'{"@timestamp":"2024-05-01T12:00:00.123456789+02:00","message":"disk 3 full\\nat 99 percent","user":7}',
        b'{"time":"2024-05-01T12:00:00Z","message":"disk 4 fine"}',
    ),
    "raw": (b"job 17 done in 3 s", b"job 18 failed: no space on /dev/sda1", b"job <*> <*>", b"<*> <*> 5"),
    "syslog": (
        b"Feb 29 10:00:00 h cron[1]: start 5",
        b"Dec  9 10:00:00 h cron: stop",
        b"<13>Jan 31 01:02:03 h hello 7",
    ),
    "bgl": (
        b"- 1121707236 2005.07.18 UNKNOWN_LOCATION 2005-07-18-10.20.36.871868 UNKNOWN_LOCATION NULL HARDWARE INFO",
    ),
}


def settings_of(name: str, **more: object) -> ParseSettings:
    fields = {"session": ("user", "ctx.id")} if name == "json" else {}
    return ParseSettings.model_validate({"format": name, "json_fields": fields, **more})


def stream(name: str, count: int, seed: int, mutated) -> list[bytes]:
    rng = random.Random(seed)
    base = [*FORMATS[name].examples, *MORE.get(name, ())]
    return [mutated(rng.choice(base), rng) for _ in range(count)]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("seed", range(sweep(1, 3)))
def test_every_line_gets_what_the_plain_way_gives_it(name, seed, mutated, parser_of, answers_of, plain_answers_of):
    count = sweep(300, 1500)
    lines = stream(name, count, seed, mutated)
    want = plain_answers_of(settings_of(name), lines)
    got = answers_of(parser_of(settings_of(name)), lines, cuts=range(0, count, 97))
    assert got.bad == want.bad
    if name == "json":  # escapes may hide a key's bytes, then only its hash is given
        got.good = [(*row[:4], b"") for row in got.good]
        want.good = [(*row[:4], b"") for row in want.good]
    assert got.good == want.good
    assert got.cluster == want.cluster
    records = RecordBlocks(name).join(make_batch(lines))
    assert len(want.good) > len(records) / 4
    assert set(want.texts) == {row[2] for row in got.good}


@pytest.mark.parametrize(
    "more",
    [
        {"templates": {"masks": [{"pattern": "0x[0-9a-f]+|[0-9]{4,}", "name": "X"}]}},
        {"templates": {"masks": []}},
        {"templates": {"similarity": 0.9, "depth": 6, "max_children": 3}},
        {"session_key": "(?P<key>[0-9]{2})"},
        {"session_key": "^(?P<key>[a-z]+)", "timezone": "America/New_York"},
        {"session_key": "none", "max_shapes": 5},
    ],
)
def test_settings_do_not_break_the_agreement(more, mutated, parser_of, answers_of, plain_answers_of):
    for name in ("hdfs", "syslog", "openstack"):
        lines = stream(name, 600, 5, mutated)
        want = plain_answers_of(settings_of(name, **more), lines)
        got = answers_of(parser_of(settings_of(name, **more)), lines, cuts=range(0, 600, 50))
        assert (got.good, got.cluster, got.bad) == (want.good, want.cluster, want.bad)


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(NAMES), st.lists(st.integers(0, 300), max_size=12), st.integers(0, 2**32))
def test_answers_do_not_depend_on_batches(mutated, parser_of, answers_of, name, cuts, seed):
    lines = stream(name, 300, seed, mutated)
    whole = answers_of(parser_of(settings_of(name)), lines)
    cut = answers_of(parser_of(settings_of(name)), lines, cuts)
    assert (whole.good, whole.cluster, whole.bad, whole.texts) == (cut.good, cut.cluster, cut.bad, cut.texts)


@pytest.mark.parametrize("name", ["hdfs", "openstack", "raw"])
def test_a_restored_parser_goes_on_as_if_nothing_had_happened(name, mutated, parser_of, answers_of):
    lines = stream(name, 80, 3, mutated)
    whole = answers_of(parser_of(settings_of(name)), lines)
    for split in range(0, 81, sweep(3, 1)):
        first = parser_of(settings_of(name))
        a = answers_of(first, lines[:split])
        second = parser_of(settings_of(name), first.snapshot())
        b = answers_of(second, lines[split:], first=split)
        assert a.good + b.good == whole.good
        assert a.cluster + b.cluster == whole.cluster
        assert a.bad + b.bad == whole.bad
        # A restored parser announces all it knows with its first batch, old wordings included.
        if split < 80:
            assert b.texts == whole.texts


def test_snapshots_are_plain_and_cost_nothing_while_nothing_changes(parser_of, batch_of):
    parser = parser_of(settings_of("hdfs"))
    assert orjson.loads(parser.snapshot())["born"] == []
    parser.parse(batch_of(FORMATS["hdfs"].examples))
    saved = parser.snapshot()
    parser.parse(batch_of(FORMATS["hdfs"].examples))
    assert parser.snapshot() is saved
    assert len(orjson.loads(saved)["now"]) == 2
    with pytest.raises(StateMismatchError, match="other template settings"):
        parser_of(settings_of("hdfs", templates={"similarity": 0.5}), saved)


def test_columns_of_a_known_line(parser_of, batch_of):
    parsed = parser_of(settings_of("hdfs")).parse(batch_of([FORMATS["hdfs"].examples[0], b"", b"nonsense 12"]))
    assert parsed.good.rows.tolist() == [0]
    assert (parsed.good.rows.dtype, parsed.good.time_ns.dtype, parsed.good.key_start.dtype) == (
        np.int32,
        np.int64,
        np.int32,
    )
    assert parsed.good.time_ns.tolist() == [1_226_262_975 * 10**9]
    assert parsed.good.lines.data[parsed.good.key_start[0] : parsed.good.key_end[0]] == b"blk_38865049064139660"
    assert list(parsed.good.templates.values()) == ["PacketResponder <NUM> for block <BLK> terminating"]
    assert [(b.place, b.raw, b.raw_bytes) for b in parsed.good.bad] == [("p:1", b"", 0), ("p:2", b"nonsense 12", 11)]


@pytest.mark.parametrize(
    ("name", "line", "reason"),
    [
        ("hdfs", b"", "empty line"),
        ("hdfs", b" \t\r", "empty line"),
        ("hdfs", b"081109 203615 148 INFO dfs.A: a\x00b", "NUL byte at byte 31"),
        ("hdfs", b"81109 203615 148 INFO dfs.A: a", "does not match format hdfs: expected 'YYMMDD HHMMSS"),
        ("hdfs", b"081399 203615 148 INFO dfs.A: a", "no date 2008-13-99"),
        ("hdfs", b"700101 000000 148 INFO dfs.A: a", "1970-01-01T00:00:00Z is before 1990-01-01"),
        ("iotdb", b"2999-10-27 20:56:49,008 [main] INFO  a:1 - b", "time 2999-10-27T20:56:49Z is more than 86400 s"),
        ("json", b"[1]", "is JSON, but list instead of an object"),
        ("json", b"{", "is not JSON"),
        ("gelf", b'{"version":"1.1","timestamp":1714564800}', "has no message: looked in short_message"),
        ("gelf", b'{"short_message":"a"}', "has no time: looked in timestamp, found none"),
        ("gelf", b'{"short_message":"a","timestamp":"soon"}', "cannot read 'soon'"),
    ],
)
def test_a_bad_line_says_why_and_touches_no_other(name, line, reason, parser_of, answers_of):
    good = list(FORMATS[name].examples) * 2
    got = answers_of(parser_of(settings_of(name)), [*good, line, line, *good])
    assert [place for place, _ in got.bad] == [f"p:{len(good)}", f"p:{len(good) + 1}"]
    assert all(reason in found for _, found in got.bad)
    again = answers_of(parser_of(settings_of(name)), good + good)
    assert [row[1:] for row in got.good] == [row[1:] for row in again.good]


def test_lines_that_the_source_refused_are_passed_on(parser_of, batch_of):
    refused = DeadLetter("p:7", "longer than 10 bytes", b"x", 11)
    parsed = parser_of(settings_of("raw")).parse(replace(batch_of([b"a", b""]), rejects=(refused,)))
    assert [letter.reason for letter in parsed.good.bad] == ["longer than 10 bytes", "empty line"]


def test_bytes_that_are_not_utf8_are_letters_of_windows_1252(parser_of):
    line = b"081109 203615 148 INFO dfs.A: caf\xe9 blk_1"
    fields = parser_of(settings_of("hdfs")).take_apart(line + b"\r", 1_780_000_000 * 10**9)
    assert (fields.message, fields.session_key, fields.pid) == ("café blk_1", "blk_1", 148)


def test_huge_lines_are_cut_for_their_template_only(parser_of, batch_of):
    line = b"081109 203615 148 INFO dfs.A: " + b"word 7 " * 200_000 + b"blk_9"
    parsed = parser_of(settings_of("hdfs", max_message_bytes=1000)).parse(batch_of([line, line]))
    assert len(parsed) == 2
    assert max(map(len, parsed.good.templates.values())) < 2000
    assert parsed.good.lines.data[parsed.good.key_start[1] : parsed.good.key_end[1]] == b"blk_9"


def test_templates_are_bounded(parser_of, batch_of):
    parser = parser_of(settings_of("raw", templates={"max_templates": 3}))
    parsed = parser.parse(batch_of([b"a", b"b b", b"c c c", b"d d d d", b"e e e e e", b"a"]))
    assert int(parsed.cluster.max()) == 3
    assert [parsed.good.templates[t] for t in parsed.good.template.tolist()] == ["a", "b b", "c c c", "<*>", "<*>", "a"]


@pytest.mark.parametrize("name", NAMES)
def test_every_format_takes_its_examples_apart(name, parser_of, batch_of):
    parser = parser_of(settings_of(name))
    examples = FORMATS[name].examples
    assert len(parser.parse(batch_of(examples))) == len(examples)
    for line in examples:
        fields = parser.take_apart(line, 1_780_000_000 * 10**9)
        assert fields.message


@pytest.mark.parametrize(
    ("name", "rule", "keys"),
    [
        ("openstack", "", ["b9000564-fe1a-409b-b8cc-1e88b294cd1d", "req-38101a0b-2096-447d-96ea-a692162415ae"]),
        ("bgl", "node", ["R02-M1-N0-C:J12-U11", "R30-M0-N9-C:J16-U01"]),
        ("iotdb", "thread", ["main", "main"]),
        ("syslog", "process", ["sshd(pam_unix)[19939]", ""]),
        ("syslog", "host", ["combo", "mymachine"]),
        ("hdfs", "none", ["", ""]),
        ("hdfs", r"INFO (?P<key>\S+):", ["dfs.DataNode$PacketResponder", "dfs.FSNamesystem"]),
    ],
)
def test_session_rules(name, rule, keys, parser_of, batch_of):
    parser = parser_of(settings_of(name, session_key=rule))
    for _ in range(3):
        parsed = parser.parse(batch_of(FORMATS[name].examples))
        found = zip(parsed.good.key_start.tolist(), parsed.good.key_end.tolist(), strict=True)
        assert [parsed.good.lines.data[a:b].decode() for a, b in found] == keys
        assert [s == NO_SESSION for s in parsed.good.session.tolist()] == [key == "" for key in keys]


def test_levels(parser_of):
    bgl = parser_of(settings_of("bgl"))
    lines = FORMATS["bgl"].examples
    assert [bgl.take_apart(line, 1_780_000_000 * 10**9).level for line in lines] == ["info", "fatal"]


def test_settings_that_cannot_work_are_refused():
    for wrong, reason in (
        ({"format": "hdsf"}, "known are otlp, hdfs"),
        ({"timezone": "Mars/Base"}, "IANA name"),
        ({"fromat": "hdfs"}, "Extra inputs"),
        ({"templates": {"masks": [{"pattern": "(", "name": "X"}]}}, "not a regular expression"),
        ({"format": "hdfs", "session_key": "blk_"}, "neither a rule of format hdfs"),
    ):
        with pytest.raises(ValidationError, match=reason):
            ParseSettings.model_validate(wrong)


def test_masks_that_count_digits_are_exact_but_slow():
    rules = TemplateSettings(masks=(Mask(pattern="[0-9]{4}", name="YEAR"), Mask(pattern="[0-9]+", name="NUM")))
    parser = Parser(ParseSettings(format="raw", templates=rules), lambda _, position: str(position))
    assert "depends on digits: it counts characters" in (parser.why_slow or "")


def test_injured_lines_never_raise(mutated, parser_of, batch_of):
    for name in NAMES:
        lines = stream(name, 400, 11, mutated)
        parser = parser_of(settings_of(name))
        for start in range(0, len(lines), 2048):
            batch = batch_of(lines[start : start + 2048])
            parsed = parser.parse(batch)
            records = RecordBlocks(name).join(batch)
            assert len(parsed) + len(parsed.good.bad) + len(parsed.joined) + len(parsed.pieces) == len(records)


def test_what_was_found_outlives_later_batches(parser_of, batch_of):
    parser = parser_of(settings_of("auto", max_shapes=1))
    first = [b"<%d>Jun 14 15:16:01 combo sshd[%d]: Failed password for root from 10.0.0.%d port 4711" % (n, n, n)
             for n in (11, 4)]  # fmt: skip
    parsed = parser.parse(batch_of(first))
    for i in range(5):
        parser.parse(batch_of([b'{"time":"2026-05-01T00:00:00Z","msg":"up %d"}' % i, b"Jun 14 15:16:01 web-%d up" % i]))
    assert [LEVEL_NAMES[code] for code in parsed.level()] == ["error", "warn"]
    assert {parsed.formats[number].name for number in parsed.format()} == {"syslog"}
    assert (parsed.texts("host"), parsed.texts("pid")) == ([b"combo"] * 2, [b"11", b"4"])
    assert parsed.masked(1) == "Failed password for root from <IP> port <NUM>"
    assert parsed.values(1) == [("IP", "10.0.0.4"), ("NUM", "4711")]


def test_values_are_what_the_masks_replaced(parser_of, batch_of):
    lines = [
        b'10.0.0.7 - - [10/Oct/2000:13:55:36 -0700] "GET /a/17 HTTP/1.0" 503 2326 "-" "curl/7.81.0"',
        b'10.0.0.7 - - [10/Oct/2000:13:55:36 -0700] "GET / HTTP/1.0" 404 -',
        b'{"time":"2026-05-01T00:00:00Z","msg":"took 1.25 s for blk_-17","logger":"disk"}',
    ]
    parsed = parser_of(settings_of("auto")).parse(batch_of(lines))
    numbers = ("NUM", "17"), ("NUM", "1"), ("NUM", "0"), ("UNAVAILABLE", "503"), ("NUM", "2326"), ("NUM", "7")
    assert parsed.values(0) == [*numbers, ("NUM", "81"), ("NUM", "0")]
    assert parsed.values(1) == [("NUM", "1"), ("NUM", "0"), ("MISSING", "404")]
    assert parsed.values(2) == [("NUM", "1"), ("NUM", "25"), ("BLK", "blk_-17")]
    assert parsed.texts("component") == [b"", b"", "disk"]


def test_bytes_that_are_no_text_do_not_shorten_what_a_template_is_mined_from(parser_of, batch_of):
    line = b"2024-03-10 06:25:01,123 INFO app: " + b"\xff" * 20 + b" started" * 20
    parsed = parser_of(ParseSettings(format="levelled", max_message_bytes=100)).parse(batch_of([line]))
    (text,) = parsed.good.templates.values()
    assert text == line[:100].partition(b"INFO ")[2].decode("cp1252")


def test_templates_of_long_lines_are_mined_from_their_first_bytes(parser_of, batch_of):
    lines = [b"2024-03-10 06:25:01,123 INFO app: started " + b"x y " * size for size in (5, 30, 40)]
    parser = parser_of(ParseSettings(format="levelled", max_message_bytes=100))
    for _ in range(2):
        parsed = parser.parse(batch_of(lines))
        assert len(set(parsed.good.template.tolist())) == 2
        assert parsed.good.template[1] == parsed.good.template[2]
        assert [parsed.fields(row).message for row in range(3)] == [
            line.partition(b"INFO ")[2].decode() for line in lines
        ]
