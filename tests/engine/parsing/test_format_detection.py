import contextlib
import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from engine.formats.base import LEVEL_NAMES
from engine.formats.letters import text_of
from engine.formats.registry import DETECTED, FORMATS
from engine.parsing.format_detection import FIRST_SAMPLE, NONE, UNKNOWN_AT, Preference
from engine.parsing.parsed_columns import SPANNED
from engine.parsing.record_blocks import RecordBlocks
from engine.steps.parse import BadLineError, ParseSettings, StateMismatchError
from tests.support.sweep import sweep

AUTO = ParseSettings(format="auto")
SYSTEMS = (
    "Android Apache BGL HDFS HPC Hadoop HealthApp Linux Mac OpenSSH OpenStack Proxifier Spark Thunderbird Windows "
    "Zookeeper"
).split()
SAME = {"Linux": "syslog", "Mac": "syslog", "OpenSSH": "syslog"}
READ_NS = 1_780_000_000 * 10**9
APART = 1000
"""Between the positions of two lines, as in files: of two lines that a record gives at one place, the second moves."""


@pytest.mark.parametrize("format", DETECTED, ids=lambda f: f.name)
def test_every_example_is_recognised_alone_and_in_a_stream(format, parser_of, batch_of):
    parser = parser_of(AUTO)
    for line in format.examples:
        assert parser.take_apart(line, READ_NS).format == format.name
    for _ in range(3):
        parsed = parser.parse(batch_of(format.examples * 50))
        assert {parser.formats[i] for i in parsed.rows.format.tolist()} == {format.name}


def mixed(seed: int, count: int, mutated) -> list[bytes]:
    rng = random.Random(seed)
    lines = [line for format in FORMATS.values() for line in format.examples]
    return [mutated(rng.choice(lines), rng) for _ in range(count)]


def found_by(parser, lines, cuts, batch_of) -> list[tuple[object, ...]]:
    out: list[tuple[object, ...]] = []
    start = 0
    for end in [*sorted(cuts), len(lines)]:
        batch = batch_of(lines[start:end], start)
        parsed = parser.parse(replace(batch, positions=batch.positions * APART))
        columns = (
            parsed.good.rows,
            parsed.good.time_ns,
            parsed.good.template,
            parsed.good.session,
            parsed.good.key_start,
            parsed.good.key_end,
        )
        positions = parsed.good.lines.positions.tolist()
        for row, *rest, a, b in zip(*(c.tolist() for c in columns), strict=True):
            out.append((positions[row], *rest, parsed.good.lines.data[a:b], parser.formats[parsed.rows.format[row]]))
        out += [(positions[row], "joined") for row in parsed.joined]
        out += [(letter.place, letter.reason) for letter in parsed.good.bad]
        start = end
    return sorted(out, key=str)


@settings(max_examples=sweep(6, 15), deadline=None)
@given(st.lists(st.integers(0, 700), max_size=10), st.integers(0, 2**32))
def test_what_is_recognised_does_not_depend_on_batches(mutated, parser_of, batch_of, cuts, seed):
    # A head without times has those of reading until a dated line is read.
    lines = [b"2024-03-10 06:25:01 INFO shop: order 17 placed", *mixed(seed, 700, mutated)]
    assert found_by(parser_of(AUTO), lines, (), batch_of) == found_by(parser_of(AUTO), lines, cuts, batch_of)


@pytest.mark.parametrize("shapes", [3, 50_000])
def test_batches_agree_with_single_lines(mutated, parser_of, batch_of, shapes):
    records = RecordBlocks("auto").join(batch_of(mixed(5, sweep(800, 3000), mutated)))
    lines = [records.line(row) for row in range(len(records))] * 2
    parser, alone = (parser_of(AUTO.model_copy(update={"max_shapes": shapes})) for _ in range(2))
    for start in range(0, len(lines), 100):
        part = batch_of(lines[start : start + 100])
        # Single lines are asked about under the preference of the batch's first line.
        left = alone._reader._preference.left()
        want = {}
        for row, line in enumerate(lines[start : start + min(100, left)]):
            with contextlib.suppress(BadLineError):  # a blank line, or one with a NUL byte
                want[row] = alone.take_apart(line, READ_NS)
        parsed = parser.parse(part)
        alone.parse(part)
        for row, fields in want.items():
            got = parser.formats[parsed.rows.format[row]], int(parsed.rows.time_ns[row])
            assert got == (fields.format, fields.time_ns), lines[start + row]


def test_digits_that_json_does_not_take_spoil_no_line_of_the_same_shape(parser_of, batch_of):
    line = b'{"@timestamp":"2024-03-10T06:25:01Z","message":"order placed","ecs.version":"1.6.0","process.pid":%s}'
    parser = parser_of(AUTO)
    for pids, names in (((b"017",) * 3, ["located"] * 3), ((b"17", b"017"), ["ecs", "located"])):
        parsed = parser.parse(batch_of([line % pid for pid in pids]))
        assert [parser.formats[number] for number in parsed.rows.format.tolist()] == names


@pytest.mark.parametrize("format", [f for f in DETECTED if f.document], ids=lambda f: f.name)
def test_a_document_with_a_nul_is_of_no_format(format, parser_of, batch_of):
    parser = parser_of(AUTO)
    for whole in format.examples:
        line = whole[:-30] + b"\0" + whole[-30:]
        parsed = parser.parse(batch_of([line]))
        assert parser.formats[int(parsed.rows.format[0])] == parser.take_apart(line, READ_NS).format == "unknown"


def test_fields_are_where_single_lines_have_them(mutated, parser_of, batch_of):
    lines = [line for line in mixed(7, 2000, mutated) if b"\x1b" not in line and b"\0" not in line]
    parser = parser_of(AUTO)
    for _ in range(3):
        parsed = parser.parse(batch_of(lines))
        found = parsed.rows
        for row in parsed.good.rows.tolist():
            fields = found.fields.get(row)
            want = parsed.reader.take_apart_as(
                int(found.format[row]), parsed.good.lines.line(row).removesuffix(b"\r"), READ_NS
            )
            if fields is not None:
                assert fields == want
                continue
            texts = [text_of(parsed.good.lines.data[a:b]) for a, b in found.spans[row].tolist()]
            assert SPANNED == ("message", "host", "component", "pid", "thread")
            assert texts[:3] == [want.message, want.host, want.component]
            assert want.pid is None or int(texts[3]) == want.pid
            assert texts[4] == want.thread
            assert LEVEL_NAMES[found.level[row]] == want.level


def test_what_no_format_takes_goes_out_whole(parser_of, batch_of):
    lines = [b"no format at all", b"\xff\xfe \x00 nul", b"x" * 1_000_000, b"caf\xe9"]
    parser = parser_of(AUTO)
    parsed = parser.parse(batch_of(lines))
    assert len(parsed) == 4
    assert {parser.formats[i] for i in parsed.rows.format.tolist()} == {"unknown"}
    assert parser.take_apart(lines[1], READ_NS).message == "ÿþ \x00 nul"
    assert parser.take_apart(lines[2], READ_NS).message == "x" * 1_000_000


@settings(max_examples=sweep(60, 300), deadline=None)
@given(st.lists(st.binary(max_size=60).map(lambda b: b.replace(b"\n", b"")), max_size=20), st.booleans())
@example([b"__REALTIME_TIMESTAMP=", b"x"], False)
def test_arbitrary_bytes_never_raise(parser_of, batch_of, lines, headed):
    if headed:
        lines = [FORMATS["syslog"].examples[0] + line for line in lines]
    entries = any(line.startswith((b"__CURSOR=", b"__REALTIME_TIMESTAMP=")) for line in lines)
    parser = parser_of(AUTO)
    parsed = parser.parse(batch_of(lines))
    # An entry of the journal takes several lines, and may still be open.
    assert entries or len(parsed) + len(parsed.good.bad) + len(parsed.joined) + len(parsed.pieces) == len(lines)
    assert all(letter.reason == "empty line" for letter in parsed.good.bad)
    parser.finish()


def test_nul_bytes_in_front_of_a_line_are_no_part_of_it(parser_of, batch_of):
    line = FORMATS["python"].examples[0]
    parsed = parser_of(AUTO).parse(batch_of([b"\x00" * 4096 + line, b"\x00\x00", line]))
    assert parsed.good.lines.data.split(b"\n")[:3] == [line, b"\x00\x00", line]
    assert len(parsed) == 3


def test_a_restored_detector_goes_on(mutated, parser_of, batch_of):
    lines = mixed(9, 500, mutated)
    whole = found_by(parser_of(AUTO), lines, (), batch_of)
    for split in (1, FIRST_SAMPLE - 1, FIRST_SAMPLE, 300):
        first = parser_of(AUTO)
        a = first.parse(batch_of(lines[:split]))
        second = parser_of(AUTO, first.snapshot())
        b = second.parse(batch_of(lines[split:], split))
        templates = [row[2] for row in sorted((r for r in whole if len(r) == 6), key=lambda r: r[0])]
        assert a.good.template.tolist() + b.good.template.tolist() == templates
    with pytest.raises(StateMismatchError, match="detected"):
        parser_of(ParseSettings(format="hdfs"), first.snapshot())
    with pytest.raises(StateMismatchError, match="one given format"):
        parser_of(AUTO, parser_of(ParseSettings(format="hdfs")).snapshot())


def test_a_preference_is_decided_by_whole_samples_and_followed():
    preference = Preference()
    assert preference.format == NONE
    preference.count(np.full(FIRST_SAMPLE - 1, 3, np.int16))
    assert preference.format == NONE
    preference.count(np.array([UNKNOWN_AT], np.int16))
    assert (preference.format, preference.left()) == (3, 2 * FIRST_SAMPLE)
    again = Preference(preference.snapshot())
    again.count(np.full(FIRST_SAMPLE, 4, np.int16))
    again = Preference(again.snapshot())
    again.count(np.full(FIRST_SAMPLE, 5, np.int16))
    assert again.format == NONE


@pytest.mark.parametrize("system", SYSTEMS)
def test_every_line_of_loghub_is_recognised(system, corpus, parser_of, batch_of):
    lines = corpus(system)
    parser = parser_of(AUTO)
    parsed = parser.parse(batch_of(lines))
    assert {parser.formats[i] for i in parsed.rows.format.tolist()} == {SAME.get(system, system.lower())}


def test_injured_real_lines_never_raise(corpus, mutated, parser_of, batch_of):
    rng = random.Random(13)
    lines = [line for system in SYSTEMS for line in corpus(system)]
    parser, blocks = parser_of(AUTO), RecordBlocks("auto")
    for start in range(0, sweep(16_000, 100_000), 4000):
        part = batch_of([mutated(rng.choice(lines), rng) for _ in range(4000)], start)
        parsed = parser.parse(part)
        records = blocks.join(part)
        assert len(parsed) + len(parsed.good.bad) + len(parsed.joined) + len(parsed.pieces) == len(records)
        assert all(letter.reason == "empty line" for letter in parsed.good.bad)
