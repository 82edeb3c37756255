import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.records import NO_SESSION
from engine.steps.route import by_session


def line_of(parsed, i):
    """All values of a row, read through the offsets."""
    batch = parsed.lines
    row = int(parsed.rows[i])
    return (
        int(batch.positions[row]),
        batch.line(row),
        batch.data[int(parsed.key_start[i]) : int(parsed.key_end[i])],
        int(parsed.session[i]),
        int(parsed.template[i]),
        int(parsed.time_ns[i]),
    )


def rows_of(parsed):
    return [line_of(parsed, i) for i in range(len(parsed))]


some_bytes = st.binary(max_size=6).map(lambda b: b.replace(b"\n", b"~").replace(b"|", b"/"))


@given(
    lines=st.lists(st.tuples(st.sampled_from([b"", b"a", b"bb", b"c\xff"]), some_bytes), max_size=20),
    shards=st.integers(1, 5),
    data=st.data(),
)
def test_every_good_line_goes_to_one_shard_with_all_that_is_known_of_it(lines, shards, data, parsed_lines):
    good = sorted(data.draw(st.sets(st.integers(0, len(lines) - 1)))) if lines else []
    parsed = parsed_lines(lines, first=100, good=good)
    parts = list(by_session(parsed, shards))

    assert [shard for shard, _ in parts] == [str(i) for i in range(shards)]
    assert sorted(r for _, part in parts for r in rows_of(part)) == sorted(rows_of(parsed))
    home = {}
    for shard, part in parts:
        assert part.templates == parsed.templates
        assert part.bad == ()
        assert (part.lines.partition, part.lines.read_ns, part.lines.produced_ns) == ("p", 7, 5)
        # Order within a shard is that of the source; nothing but the shard's own lines travels.
        assert part.lines.positions.tolist() == sorted(part.lines.positions.tolist())
        assert len(part.lines) == len(part) == part.lines.data.count(b"\n")
        assert len(part.lines.data) == (int(part.lines.ends[-1]) + 1 if len(part) else 0)
        for session in part.session.tolist():
            assert home.setdefault(session, shard) == shard


def test_columns_keep_their_types(parsed_lines):
    parsed = parsed_lines([(b"a", b"x"), (b"b", b"y")])
    for _, part in by_session(parsed, 3):
        for name in ("rows", "time_ns", "template", "session", "key_start", "key_end"):
            assert getattr(part, name).dtype == getattr(parsed, name).dtype, name
        assert part.lines.ends.dtype == part.lines.positions.dtype == np.int64


def test_lines_without_a_session_stay_together(parsed_lines):
    parsed = parsed_lines([(b"", b"x"), (b"a", b"y"), (b"", b"z")])
    filled = [p for _, p in by_session(parsed, 4) if NO_SESSION in p.session]
    assert [len(p.session[p.session == NO_SESSION]) for p in filled] == [2]


def test_the_shard_does_not_depend_on_the_batch(parsed_lines):
    def home(lines):
        return next(shard for shard, part in by_session(parsed_lines(lines), 7) if b"blk_1" in part.lines.data)

    assert home([(b"blk_1", b"x")]) == home([(b"a", b"b")] * 9 + [(b"blk_1", b"y")])


@pytest.mark.parametrize("shards", [1, 3])
def test_an_empty_batch_gives_empty_parts(parsed_lines, shards):
    assert [len(p) for _, p in by_session(parsed_lines([]), shards)] == [0] * shards
