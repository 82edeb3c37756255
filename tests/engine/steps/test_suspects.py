"""Lines that took the worker down are found alone and rejected; kills from outside reject none."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.base import DeadLetter, LineBatch
from engine.steps.suspects import MAX_RANGES, STRIKES, Suspects


class CrashError(Exception):
    """The process is gone."""


def batch(lines, first=0, partition="p", **more):
    data = b"".join(line + b"\n" for line in lines)
    ends = np.cumsum([len(line) + 1 for line in lines], dtype=np.int64) - 1
    positions = np.arange(first, first + len(lines), dtype=np.int64)
    return LineBatch(partition, data, ends, positions, 1, 1, **more)


def run(folder, batches, deadly=()):
    """One process: parses all batches, or crashes at a deadly line; lines parsed, and lines rejected."""
    suspects, parsed, rejected = Suspects(folder), [], []
    for whole in batches:
        for part, poisoned in suspects.parts(whole):
            lines = [part.line(i) for i in range(len(part))]
            if poisoned:
                assert len(part) == 1
                rejected += lines
                continue
            suspects.begin(part)
            if set(lines) & set(deadly):
                raise CrashError
            suspects.end()
            parsed += lines
    return parsed, rejected


def crashes(folder, batches, deadly):
    """How many processes crash until one gets through, and what that one did."""
    for count in range(20):
        try:
            return count, run(folder, batches, deadly)
        except CrashError:
            continue
    raise AssertionError("it crashes for ever")


LINES = [b"line %d" % i for i in range(50)]


def test_a_deadly_line_is_rejected_after_it_was_deadly_alone(tmp_path):
    count, (parsed, rejected) = crashes(tmp_path, [batch(LINES)], {b"line 7"})
    assert count == 1 + STRIKES  # in its batch, then alone
    assert rejected == [b"line 7"]
    assert parsed == [line for line in LINES if line != b"line 7"]


def test_it_stays_rejected_when_it_is_read_again(tmp_path):
    crashes(tmp_path, [batch(LINES)], {b"line 7"})
    assert run(tmp_path, [batch(LINES)], {b"line 7"})[1] == [b"line 7"]


def test_several_deadly_lines_are_all_found(tmp_path):
    deadly = {b"line 0", b"line 7", b"line 8", b"line 49"}
    _, (parsed, rejected) = crashes(tmp_path, [batch(LINES)], deadly)
    assert set(rejected) == deadly
    assert len(parsed) == len(LINES) - len(deadly)


def test_other_partitions_and_places_are_not_suspects(tmp_path):
    crashes(tmp_path, [batch(LINES)], {b"line 7"})
    suspects = Suspects(tmp_path)
    for other in (batch(LINES, partition="q"), batch(LINES, first=100)):
        ((part, poisoned),) = suspects.parts(other)
        assert part is other
        assert not poisoned


def test_a_range_that_was_parsed_is_a_suspect_no_more(tmp_path):
    suspects = Suspects(tmp_path)
    suspects.begin(batch(LINES))  # and a kill from outside
    suspects = Suspects(tmp_path)
    assert len(list(suspects.parts(batch(LINES)))) == len(LINES)
    assert len(list(suspects.parts(batch(LINES)))) == 1
    assert len(list(Suspects(tmp_path).parts(batch(LINES)))) == 1


def test_a_clean_end_leaves_nothing(tmp_path):
    assert run(tmp_path, [batch(LINES)]) == (LINES, [])
    assert len(list(Suspects(tmp_path).parts(batch(LINES)))) == 1


def test_rejected_lines_and_the_end_of_a_partition_stay_with_their_part(tmp_path):
    Suspects(tmp_path).begin(batch([b"x"], first=1))
    letters = (DeadLetter("p", "long", b"", 9),)
    parts = [part for part, _ in Suspects(tmp_path).parts(batch(LINES[:3], rejects=letters, ends_partition=True))]
    assert [part.rejects for part in parts] == [letters, (), ()]
    assert [part.ends_partition for part in parts] == [False, False, True]


@given(st.integers(1, 40), st.sets(st.integers(0, 39)))
def test_parts_put_together_are_the_batch(tmp_path_factory, size, suspect):
    folder = tmp_path_factory.mktemp("suspects")
    whole = batch(LINES[:size])
    for i in suspect:
        Suspects(folder).begin(batch([LINES[i]], first=i))
    parts = [part for part, _ in Suspects(folder).parts(whole)]
    assert b"".join(part.data for part in parts) == whole.data
    assert np.concatenate([part.positions for part in parts]).tolist() == whole.positions.tolist()
    assert all(part.data[end] == 10 for part in parts for end in part.ends)


def test_damaged_files_and_a_flood_of_crashes_cost_no_start(tmp_path):
    for i in range(MAX_RANGES + 20):
        Suspects(tmp_path).begin(batch([b"x", b"y"], first=10 * i))
    suspects = Suspects(tmp_path)
    assert len(suspects._ranges) == MAX_RANGES
    (tmp_path / "suspects.json").write_bytes(b"[[")
    (tmp_path / "at-work").write_bytes(b'["p", 1')
    assert len(list(Suspects(tmp_path).parts(batch(LINES)))) == 1


def test_a_partition_with_a_name_that_has_no_room_is_not_marked(tmp_path):
    long = batch(LINES, partition="ü" * 5000)
    Suspects(tmp_path).begin(long)
    assert len(list(Suspects(tmp_path).parts(long))) == 1


def test_an_empty_batch_passes(tmp_path):
    suspects = Suspects(tmp_path)
    suspects.begin(batch([b"x"]))
    suspects = Suspects(tmp_path)
    empty = batch([])
    suspects.begin(empty)
    assert list(suspects.parts(empty)) == [(empty, False)]


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path):
    with pytest.raises(OSError, match="missing"):
        Suspects(tmp_path / "missing")
