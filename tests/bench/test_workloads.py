from pathlib import Path

import pytest

from bench.data.workloads import BLOCK, BaseLog, RepeatedLog, lines_of, write_workload

DATE_AND_TIME = 13


def blocks(data: bytes) -> list[bytes]:
    return [match.group() for match in BLOCK.finditer(data)]


def test_first_repetition_is_the_log_itself(small_log: BaseLog) -> None:
    assert RepeatedLog(small_log.data).repetition(0) == small_log.data


def test_a_repetition_changes_only_ids_and_dates(small_log: BaseLog) -> None:
    log = RepeatedLog(small_log.data)
    fresh = log.repetition(2)
    for before, after in zip(small_log.data.splitlines(), fresh.splitlines(), strict=True):
        assert len(before) == len(after)
        assert before[6:DATE_AND_TIME] == after[6:DATE_AND_TIME]
        assert BLOCK.sub(b"", before)[6:] == BLOCK.sub(b"", after)[6:]


def test_ids_are_fresh_and_stay_apart(small_log: BaseLog) -> None:
    log = RepeatedLog(small_log.data, seed=7)
    known = set(blocks(small_log.data))
    for number in (1, 2, 3):
        ids = set(blocks(log.repetition(number)))
        assert len(ids) == len(set(blocks(small_log.data)))
        assert not ids & known
        known |= ids


def test_the_same_block_gets_the_same_fresh_id(small_log: BaseLog) -> None:
    fresh = blocks(RepeatedLog(small_log.data).repetition(1))
    assert len(dict(zip(blocks(small_log.data), fresh, strict=True))) == len(set(fresh))


def test_time_never_goes_back_between_repetitions(small_log: BaseLog) -> None:
    log = RepeatedLog(small_log.data)
    data = b"".join(log.repetition(number) for number in range(4))
    stamps = [line[:DATE_AND_TIME] for line in data.splitlines()]
    assert stamps == sorted(stamps)


def test_a_log_that_passes_midnight_late_needs_more_days() -> None:
    early = b"081109 235900 1 INFO a: blk_1 x\n081110 000100 1 INFO a: blk_1 y\n"
    late = b"081109 000100 1 INFO a: blk_1 x\n081109 235900 1 INFO a: blk_1 y\n"
    longer = b"081109 100000 1 INFO a: blk_1 x\n081110 235900 1 INFO a: blk_1 y\n"
    assert [RepeatedLog(data).days for data in (early, late, longer)] == [1, 1, 2]


def test_ids_of_every_length_keep_it() -> None:
    ids = [b"blk_" + b"7" * n for n in range(1, 19)] + [b"blk_-9223372036854775807"]
    data = b"".join(b"081109 203530 1 INFO a: x %s y\n" % text for text in ids)
    fresh = blocks(RepeatedLog(data).repetition(1))
    assert [len(text) for text in fresh] == [len(text) for text in ids]
    assert fresh[-1].startswith(b"blk_-")


@pytest.mark.parametrize("lines", [1, 1_999, 2_000, 2_001, 5_500])
def test_parts_hold_every_line_once_and_no_session_twice(small_log: BaseLog, tmp_path: Path, lines: int) -> None:
    whole = write_workload(lines, folder=tmp_path, base=small_log)
    parts = write_workload(lines, parts=3, folder=tmp_path, base=small_log)
    contents = [path.read_bytes() for path in parts.paths]
    assert sum(parts.lines) == whole.total() == lines
    assert sorted(b"".join(contents).splitlines()) == sorted(whole.paths[0].read_bytes().splitlines())
    ids = [set(blocks(content)) for content in contents]
    assert not ids[0] & ids[1] | ids[0] & ids[2] | ids[1] & ids[2]


def test_a_part_keeps_the_order_of_the_whole(small_log: BaseLog) -> None:
    part = RepeatedLog(small_log.data).split(2)[0].data.splitlines()
    remaining = iter(small_log.data.splitlines())
    assert all(line in remaining for line in part)


def test_a_written_workload_is_found_again(small_log: BaseLog, tmp_path: Path) -> None:
    first = write_workload(3_000, folder=tmp_path, base=small_log)
    written = first.paths[0].stat().st_mtime_ns
    assert write_workload(3_000, folder=tmp_path, base=small_log) == first
    assert first.paths[0].stat().st_mtime_ns == written
    assert write_workload(3_000, seed=1, folder=tmp_path, base=small_log).paths != first.paths


@pytest.mark.parametrize("chunk_bytes", [1, 7, 1 << 20])
def test_lines_of_a_file_do_not_depend_on_the_chunks(tmp_path: Path, chunk_bytes: int) -> None:
    path = tmp_path / "x.log"
    path.write_bytes(b"one\n\ntwo\r\nthree")
    assert [line for lines in lines_of(path, chunk_bytes) for line in lines] == [b"one", b"", b"two\r", b"three"]
