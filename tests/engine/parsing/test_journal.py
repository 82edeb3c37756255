import random

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.formats.registry import FORMATS
from engine.offline.export import RecordReader
from engine.parsing.journal import JournalEntries
from engine.steps.parse import ParseSettings

BLOCK = FORMATS["journald"].blocks[0]
READ_NS = 1_780_000_000 * 10**9


def entry(i, message=b"session %d opened", binary=False):
    text = message % i if b"%d" in message else message
    body = b"MESSAGE\n" + len(text).to_bytes(8, "little") + text if binary else b"MESSAGE=" + text
    head = b"__CURSOR=s=1;i=%d\n__REALTIME_TIMESTAMP=%d\nPRIORITY=3\n" % (i, 1_710_051_901_000_000 + i)
    return head + b"_HOSTNAME=web-1\nSYSLOG_IDENTIFIER=sshd\n_PID=%d\n" % (i + 1) + body + b"\n\n"


def records_of(parser, text, batch_of, cuts=()):
    """The records of a text that is cut into batches behind some of its lines."""
    reader = RecordReader(parser)
    lines = text.split(b"\n")[:-1]
    found, start = [], 0
    for end in [*sorted(set(cuts)), len(lines)]:
        found += reader.add(batch_of(lines[start:end], start))
        start = end
    return found + reader.finish(), reader


@pytest.mark.parametrize("format", ["auto", "journald"])
def test_the_example_and_a_binary_field(format, parser_of, batch_of):
    text = BLOCK + b"\n" + entry(5, b"two\nlines \x00 and = more", binary=True)
    found, reader = records_of(parser_of(ParseSettings(format=format)), text, batch_of)
    assert [r["message"] for r in found] == [
        "Accepted publickey for root from 10.0.0.7 port 50022 ssh2",
        "two\nlines \x00 and = more",
    ]
    first, second = found
    assert (first["format"], first["host"], first["component"], first["pid"]) == ("journald", "web-1", "sshd", 4711)
    assert (first["timestamp"], first["level"]) == (1_710_051_901_123_456_000, "info")
    assert (second["level"], second["pid"]) == ("error", 6)
    assert reader.bad == 0


@settings(max_examples=40)
@given(cuts=st.lists(st.integers(0, 60), max_size=8), seed=st.integers(0, 999))
def test_cuts_change_nothing(cuts, seed, parser_of, batch_of):
    rng = random.Random(seed)
    text = b""
    for i in range(6):
        message = bytes(rng.choice(b"ab\n\x00\n=_ ") for _ in range(rng.randrange(1, 30))) + b"x"
        text += entry(i, message.replace(b"%", b""), binary=True) if rng.random() < 0.5 else entry(i)
    total = text.count(b"\n")
    auto = ParseSettings(format="auto")
    whole, _ = records_of(parser_of(auto), text, batch_of)
    cut, _ = records_of(parser_of(auto), text, batch_of, [c for c in cuts if c <= total])
    assert whole == cut
    assert len(whole) == 6
    assert all(record["format"] == "journald" for record in whole)


def test_an_entry_goes_on_after_a_restart(parser_of, batch_of):
    lines = (entry(1) + entry(2)).split(b"\n")[:-1]
    for split in range(1, len(lines)):
        first = parser_of(ParseSettings(format="auto"))
        a = first.parse(batch_of(lines[:split]))
        second = parser_of(ParseSettings(format="auto"), first.snapshot())
        b = second.parse(batch_of(lines[split:], split))
        assert len(a) + len(b) == 2
        assert not a.good.bad + b.good.bad
        positions = [*a.good.lines.positions.tolist(), *b.good.lines.positions.tolist()]
        assert positions == [7, 15]


def test_lines_that_belong_to_no_entry_stay_what_they_are(parser_of, batch_of):
    other = b"2024-03-10 06:25:01,123 - shop - ERROR - order 17 failed\n"
    text = other + entry(1) + b"lonely=1\n" + entry(2)[:-1] + other + entry(3)
    found, _ = records_of(parser_of(ParseSettings(format="auto")), text, batch_of)
    assert [r["format"] for r in found] == ["python", "journald", "unknown", "journald", "python", "journald"]
    assert found[2]["message"] == "lonely=1"


def test_what_is_cut_off_at_the_end_comes_out_once(parser_of, batch_of):
    parser = parser_of(ParseSettings(format="auto"))
    found, _ = records_of(parser, entry(1) + entry(2)[:-1], batch_of)
    assert [r["message"] for r in found] == ["session 1 opened", "session 2 opened"]
    assert parser.finish() is None


def test_an_entry_is_bounded(batch_of):
    entries = JournalEntries(max_bytes=100)
    out = entries.join(batch_of([b"__CURSOR=a", *[b"K%d=%s" % (i, b"x" * 20) for i in range(10)]]))
    assert orjson.loads(out.line(0))["K9"] == "x" * 20
    assert entries.open == b""
    huge = [b"__CURSOR=a", b"CORE", (1 << 60).to_bytes(8, "little") + b"data"]
    assert entries.join(batch_of(huge * 9)).line(0) == b'{"__CURSOR":"a"}'


def test_batches_without_entries_are_not_touched(batch_of):
    batch = batch_of([b"_x", b"__y=1", b"", b"plain"])
    assert JournalEntries(1000).join(batch) is batch
    assert JournalEntries(1000).join(batch_of([])) is not None


@given(st.lists(st.binary(max_size=30).map(lambda b: b.replace(b"\n", b"")), max_size=12), st.integers(0, 12))
def test_arbitrary_bytes_never_raise_and_positions_rise(parts, cut):
    from connectors.base import LineBatch

    entries = JournalEntries(80)
    lines = [b"__CURSOR=" + part if i % 3 == 0 else part for i, part in enumerate(parts)]
    seen = []
    for first, some in ((0, lines[:cut]), (cut, lines[cut:])):
        ends = np.cumsum([len(line) + 1 for line in some], dtype=np.int64) - 1
        data = b"".join(line + b"\n" for line in some)
        positions = np.arange(first, first + len(some), dtype=np.int64) * 10
        batch = entries.join(LineBatch("p", data, ends, positions, READ_NS, READ_NS))
        assert len(batch.positions) == len(batch)
        assert not len(batch) or batch.data[int(batch.ends[-1])] == 10
        seen += batch.positions.tolist()
    assert seen == sorted(set(seen))


def test_lines_behind_a_broken_entry_of_the_batch_before_are_one_line(batch_of):
    entries = JournalEntries(1000)
    assert (
        len(entries.join(batch_of([b"__CURSOR=a", b"CORE", (900).to_bytes(8, "little") + b"data", b"x y", b"z"]))) == 0
    )
    out = entries.join(batch_of([b"plain"] * 200, 5))
    assert out.data.count(b"\n") == len(out.ends) == len(out.positions)
