"""Ids that never come again are put as one byte in skeletons, and nothing that is read changes by it."""

import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.formats.hex_ids import HEX, UUID, find_ids
from engine.formats.id_invariance import why_not_id_blind
from engine.formats.masks import DEFAULT_MASKS, Masker
from engine.formats.registry import FORMATS
from engine.parsing.format_router import template_rules
from engine.parsing.skeleton import PAD, digit_flags, padded, skeletons
from engine.steps.parse import ParseSettings

BLIND = ("hdfs", "openstack", "iotdb", "syslog", "syslog5424", "rsyslog", "hadoop", "spark", "log4j", "python", "raw")

_APART = r"(?:(?<=[ \[({<\"'=/|>])|(?<=[g-z]-))(?:%s)(?=[ \])}>\"'=/|,:;&?<\r\n])"
_UUID = re.compile(_APART % r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_HEX = re.compile(_APART % r"[0-9a-f]{32}|[0-9a-f]{40}|[0-9a-f]{64}")

PIECES = st.one_of(
    st.uuids().map(str),
    st.sampled_from([32, 40, 64, 31, 33]).flatmap(lambda n: st.text("0123456789abcdef", min_size=n, max_size=n)),
    st.sampled_from(
        [" ", "[", "]", "/", "req-", "-", "_", ":", ",", ".", '"', "a", "7", "instance: ", "\r", "x=", "é"]
    ),
)
TEXTS = st.lists(PIECES, max_size=14).map("".join)


def places(text):
    """(start, end, mark) of every id of a line, ascending."""
    blob = padded(text.encode() + b"\n")
    found = find_ids(blob, digit_flags(blob))
    return sorted((at - PAD, at - PAD + ids.size, ids.mark) for ids in found for at in ids.start.tolist())


def another(rng, text):
    """Other characters of the same kind."""
    return re.sub("[0-9a-f]", lambda _: rng.choice("0123456789abcdef"), text)


@given(TEXTS.filter(str.isascii))
def test_what_is_found_is_what_the_expressions_find(text):
    want = []
    for pattern, kind in ((_UUID, UUID), (_HEX, HEX)):
        for match in pattern.finditer(text + "\n"):
            body = match[0]
            turns = sum(body[i].isdigit() and body[i + 1].isalpha() for i in range(28))
            ends = body[:8] + body[-8:]
            mixed = re.search("[0-9]", ends) and re.search("[a-f]", ends)
            if (turns >= 3) if kind is HEX else mixed:
                want.append((*match.span(), kind.mark))
    assert places(text) == sorted(want)


@given(TEXTS, st.integers(0, 99), st.sampled_from(["", *BLIND]))
def test_masks_replace_ids_whole_whatever_they_hold(text, seed, name):
    masks = template_rules(FORMATS[name], ParseSettings(format=name)).masks if name else DEFAULT_MASKS
    masker = Masker(masks)
    assert masker.takes_ids
    rng = random.Random(seed)
    raw = text.encode()
    changed, at = b"", 0
    for start, end, _ in places(text):
        changed += raw[at:start] + another(rng, raw[start:end].decode()).encode()
        at = end
    other = (changed + raw[at:]).decode()
    if places(other) == places(text):
        assert masker.mask(other) == masker.mask(text)


def test_the_skeleton_has_one_byte_for_an_id():
    line = b"req-38101a0b-2096-447d-96ea-a692162415ae 113d3a99c3da401fbd62cc2caa5b96d2 at 17\n"
    blob = padded(line)
    runs = digit_flags(blob)
    found = find_ids(blob, runs)
    for ids in found:
        ids.flag(runs)
    assert skeletons(blob, runs, found) == [b"req-\xfe \xfd at 0"]
    assert skeletons(blob, digit_flags(blob)) == [re.sub(rb"[0-9]+", b"0", line[:-1])]


@pytest.mark.parametrize("name", BLIND)
def test_formats_that_are_proven(name):
    assert why_not_id_blind(FORMATS[name].header.pattern, search=False) is None
    for pattern in next(iter(FORMATS[name].sessions.values())):
        assert why_not_id_blind(pattern, search=True) is None


@pytest.mark.parametrize(
    ("pattern", "search", "reason"),
    [
        (r"[^ ]+ [a-z]+", True, "begin inside an id"),
        (r" [0-9]+", True, "end inside an id"),
        (r" [0-9a-f-]+[a-z ]", False, "could continue inside an id"),
        (r" [a-z][^ ]*", False, "take the rest"),
        (r" [^ ]{3}", False, "counts characters"),
        (r" (?:[^ ]){2,5} x", False, "counts characters"),
        (r" .+?", False, "lazy repeat at the end"),
        (r" (?:[0-9]+|[a-f]+|-)+ x", False, "some ids and not others"),
        (r" (?=x).*", False, "assert is not understood"),
        (r"(?i: x).*", False, "flags within"),
        (r" (?P<a>.) x", False, "counts characters"),
    ],
)
def test_expressions_that_look_into_ids_are_refused(pattern, search, reason):
    assert re.search(reason, why_not_id_blind(pattern, search=search) or "proven")


@pytest.mark.parametrize(
    ("pattern", "search"),
    [
        (r" [^ ]+ (?P<message>.*)", False),
        (r"[a-z][^ ]* x", False),  # at the start of a line, where no id stands
        (r"blk_-?[0-9]+", True),
        (r"pid [0-9]+ ", True),
        (r" [a-z]+ up", True),
        (r" .*?\] -$", False),
        (r" (?:[0-9]+|[^ ]+) (?:-|x)(?: .*)?$", False),
        (r"^[^ ]+ ", True),
    ],
)
def test_expressions_that_are_proven(pattern, search):
    assert why_not_id_blind(pattern, search=search) is None


def test_masks_that_look_into_ids_first_are_noticed():
    assert Masker(DEFAULT_MASKS).takes_ids
    assert not Masker(DEFAULT_MASKS[-1:] + DEFAULT_MASKS).takes_ids
    assert not Masker(()).takes_ids


def lines_with_ids(name, count, seed):
    """The examples of a format with fresh ids instead of theirs and behind, in places where they are found or not."""
    rng = random.Random(seed)
    lines = []
    for _ in range(count):
        line = rng.choice(FORMATS[name].examples).decode()
        line = re.sub("[0-9a-f]{8}-[0-9a-f-]{27}|[0-9a-f]{32}", lambda m: another(rng, m[0]), line)
        for _ in range(rng.randrange(3)):
            glue = rng.choice([" ", " id=", " x-", " (", ":", "_", " ", ","])
            shape = rng.choice(["8-4-4-4-12", "32", "40", "8-4-4-4-13", "31"])
            body = "-".join("".join(rng.choice("0123456789abcdef") for _ in range(int(n))) for n in shape.split("-"))
            line += glue + body + rng.choice(["", " ", ")", "/x", "_del", "."])
        lines.append(line.encode())
    return lines


@pytest.mark.parametrize("name", [*BLIND, "apache", "android"])
def test_lines_with_ids_get_what_the_plain_way_gives_them(name, parser_of, answers_of, plain_answers_of):
    settings = ParseSettings(format=name)
    lines = lines_with_ids(name, 900, 7)
    want = plain_answers_of(settings, lines)
    got = answers_of(parser_of(settings), lines, cuts=range(0, 900, 150))
    assert (got.good, got.cluster, got.bad) == (want.good, want.cluster, want.bad)


def test_detected_lines_with_ids_are_read_alike(parser_of, batch_of):
    settings = ParseSettings(format="auto")
    lines = [line for i in range(400) for name in BLIND for line in lines_with_ids(name, 1, i)]
    random.Random(3).shuffle(lines)
    lines = lines_with_ids("openstack", 1500, 1) + lines
    parser, alone = parser_of(settings), parser_of(settings)
    for start in range(0, len(lines), 300):
        part = lines[start : start + 300]
        left = alone._lanes._preference.left()
        want = [alone.take_apart(line, 1_780_000_000 * 10**9) for line in part[:left]]
        parsed = parser.parse(batch_of(part))
        alone.parse(batch_of(part))
        spans = parsed.rows.spans
        for row, fields in enumerate(want):
            a, b = spans[row, 0].tolist()
            found = parser.formats[parsed.rows.format[row]], parsed.good.lines.data[a:b].decode()
            assert found == (fields.format, fields.message)


def test_ids_that_never_come_again_make_few_shapes(parser_of, batch_of):
    parser = parser_of(ParseSettings(format="openstack"))
    rng = random.Random(5)
    line = FORMATS["openstack"].examples[1].decode()
    for _ in range(6):
        fresh = [
            re.sub("[0-9a-f]{8}-[0-9a-f-]{27}|[0-9a-f]{32}", lambda m: another(rng, m[0]), line) for _ in range(500)
        ]
        parser.parse(batch_of([text.encode() for text in fresh]))
    reader = parser._lanes.lanes[0].header
    assert reader.id_blind
    assert len(reader._shapes) + len(reader._once) < 700  # all but those of the first batch share a few
