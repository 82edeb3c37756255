import numpy as np
import pytest

from connectors.base import LineBatch
from engine.records import ParsedLines
from engine.steps.route import by_session
from engine.windows.recent import RecentLines
from engine.windows.window_base import WHOLE_SOURCE


def batch(first: int, sessions: list[int], partition: str = "p/0", bad: tuple[int, ...] = ()) -> ParsedLines:
    """Lines at positions first, first + 10 …; those at the indices `bad` did not parse."""
    texts = [b"line %d" % (first + 10 * i) for i in range(len(sessions))]
    ends = np.cumsum([len(t) + 1 for t in texts]) - 1
    rows = np.array([i for i in range(len(sessions)) if i not in bad], np.int32)
    n = len(rows)
    lines = LineBatch(partition, b"\n".join(texts) + b"\n", ends, first + 10 * np.arange(len(sessions)), 0, 0)
    zeros = np.zeros(n, np.int32)
    hashes = np.array(sessions, np.int64)[rows]
    return ParsedLines(lines, rows, np.zeros(n, np.int64), np.zeros(n, np.int64), hashes, zeros, zeros, {}, ())


@pytest.fixture
def recent() -> RecentLines:
    kept = RecentLines(1_000_000)
    kept.add(batch(0, [1, 2, 1, 2]))
    kept.add(batch(40, [2, 2, 1], bad=(1,)))
    kept.add(batch(0, [1, 1, 1], partition="p/1"))
    return kept


def test_the_lines_of_a_session_between_two_positions(recent) -> None:
    assert recent.lines_of("p/0", 1, 0, 60, 9) == [b"line 0", b"line 20", b"line 60"]
    assert recent.lines_of("p/0", 2, 10, 30, 9) == [b"line 10", b"line 30"]
    assert recent.lines_of("p/1", 1, 10, 10, 9) == [b"line 10"]


def test_lines_that_did_not_parse_are_not_quoted(recent) -> None:
    assert recent.lines_of("p/0", 2, 10, 60, 9) == [b"line 10", b"line 30", b"line 40"]


def test_late_lines_are_no_part_of_a_window_and_not_quoted() -> None:
    kept = RecentLines(1_000_000)
    kept.add(batch(0, [1, 1, 2, 1, 1], bad=(0,)), late=[1, 2])  # rows of what parsed: the lines at 20 and 30
    assert kept.lines_of("p/0", 1, 0, 40, 9) == [b"line 10", b"line 40"]
    assert kept.lines_of("p/0", 2, 0, 40, 9) == []
    assert kept.lines_of("p/0", WHOLE_SOURCE, 0, 40, 1) == [b"line 40"]


def test_the_last_lines_within_the_limit(recent) -> None:
    assert recent.lines_of("p/0", 1, 0, 60, 2) == [b"line 20", b"line 60"]
    assert recent.lines_of("p/0", 1, 0, 60, 0) == []


def test_all_lines_of_a_source(recent) -> None:
    assert recent.lines_of("p/0", WHOLE_SOURCE, 20, 40, 9) == [b"line 20", b"line 30", b"line 40"]


def test_what_is_no_longer_held_is_left_out(recent) -> None:
    assert recent.lines_of("p/9", 1, 0, 10, 9) == []
    assert recent.lines_of("p/0", 1, -50, 20, 9) == [b"line 0", b"line 20"]


def test_the_shards_of_a_partition_do_not_hide_each_others_lines() -> None:
    kept = RecentLines(1_000_000)
    parts = [dict(by_session(batch(first, [1, 2, 1, 2]), 2)) for first in (0, 40)]
    for shard in ("0", "1"):  # each shard takes both batches before the other one does
        for part in parts:
            kept.add(part[shard])
    assert kept.lines_of("p/0", 1, 0, 60, 9) == [b"line 0", b"line 20", b"line 40", b"line 60"]
    assert kept.lines_of("p/0", 2, 10, 70, 9) == [b"line 10", b"line 30", b"line 50", b"line 70"]


def test_memory_is_bounded_over_all_partitions() -> None:
    kept = RecentLines(20_000)
    for i in range(500):
        kept.add(batch(1000 * i, [1] * 20, partition=f"p/{i % 7}"))
        assert kept.nbytes <= 20_000
    assert len(kept.lines_of("p/2", 1, 499_000, 499_190, 50)) == 20
    assert kept.lines_of("p/2", 1, 2_000, 2_190, 50) == []


def test_a_batch_larger_than_the_memory_is_not_kept() -> None:
    kept = RecentLines(100)
    kept.add(batch(0, [1] * 50))
    assert kept.nbytes == 0
    assert RecentLines(0).lines_of("p/0", 1, 0, 10, 5) == []
