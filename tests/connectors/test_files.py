"""Rotation, truncation, compression and restarts of the file source."""

import contextlib
import gzip
import lzma
import os
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from connectors.base import LineBatch, SettingsError, SourceUnavailableError
from connectors.files import FilePartition, FileSettings, FileSource
from connectors.line_splitter import LineCutter
from tests.support.file_reading import Reading, append


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "app.log"


@pytest.mark.parametrize("restart", [False, True])
def test_rotation_by_rename_finishes_the_old_file_first(path: Path, restart: bool) -> None:
    append(path, b"first line\nhal")
    reading = Reading(path)
    assert reading.lines() == [b"first line"]
    if restart:
        reading.stop()
    append(path, b"f\nlast\n")
    path.rename(path.with_name("app.log.1"))
    append(path, b"new\n")
    if restart:
        reading.start()
    assert reading.lines() == [b"half", b"last", b"new"]
    assert reading.places()[-1] == f"{path}, line 1, byte 0 (rotation 1)"
    assert {b.partition for b in reading.batches} == {str(path)}


def test_old_writer_goes_on_until_the_new_file_has_lines(path: Path) -> None:
    append(path, b"a\n")
    reading = Reading(path)
    assert reading.lines() == [b"a"]
    old = path.rename(path.with_name("app.log.1"))
    path.touch()
    append(old, b"still the old one\n")
    assert reading.lines() == [b"still the old one"]
    append(path, b"b\n")
    assert reading.lines() == [b"b"]


def test_rotations_nobody_saw_are_read_in_order(path: Path) -> None:
    append(path, b"the first line of all\n")
    os.utime(path, (1000, 1000))
    reading = Reading(path)
    assert reading.lines() == [b"the first line of all"]
    reading.stop()
    path.rename(path.with_name("app.log.2"))
    for name, line, when in [("app.log.1", b"between\n", 2000), ("app.log", b"now\n", 3000)]:
        append(path.with_name(name), line)
        os.utime(path.with_name(name), (when, when))
    reading.start()
    assert reading.lines() == [b"between", b"now"]
    reading.restart()
    assert reading.lines() == []
    assert [p.rpartition(", ")[2] for p in reading.places()] == ["byte 0", "byte 0 (rotation 1)", "byte 0 (rotation 2)"]


@pytest.mark.parametrize("restart", [False, True])
def test_copy_truncate_reads_the_rest_from_the_copy(path: Path, restart: bool) -> None:
    append(path, b"a line that is long enough\n")
    reading = Reading(path)
    assert len(reading.lines()) == 1
    if restart:
        reading.stop()
    append(path, b"unseen\n")
    path.with_name("app.log.1").write_bytes(path.read_bytes())
    os.truncate(path, 0)
    append(path, b"after\n")
    if restart:
        reading.start()
    assert reading.lines() == [b"unseen", b"after"]


def test_truncation_starts_a_generation(path: Path) -> None:
    append(path, b"one line\nanother\n")
    reading = Reading(path)
    assert len(reading.lines()) == 2
    path.write_bytes(b"z\n")
    assert reading.lines() == [b"z"]
    path.write_bytes(b"rewritten, and longer than it was before\n")
    assert reading.lines() == [b"rewritten, and longer than it was before"]
    positions = [int(p) for b in reading.batches for p in b.positions]
    assert positions == sorted(set(positions))
    assert reading.places()[-1].endswith(", byte 0 (rotation 2)")


def test_old_content_compressed_while_nobody_read(path: Path) -> None:
    append(path, b"a line that is long enough\n")
    reading = Reading(path)
    assert len(reading.lines()) == 1
    reading.stop()
    append(path, b"unseen\n")
    os.utime(path, (1000, 1000))
    rotated = path.with_name("app.log.1.gz")
    rotated.write_bytes(gzip.compress(path.read_bytes()))
    os.utime(rotated, (1000, 1000))
    path.unlink()
    append(path, b"after\n")
    reading.start()
    assert reading.lines() == [b"unseen", b"after"]


def test_lost_content_is_said(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    append(path, b"a line that is long enough\n")
    reading = Reading(path)
    reading.lines()
    reading.stop()
    path.unlink()
    append(path, b"another\n")
    reading.start()
    assert reading.lines() == [b"another"]
    assert f"{path} was replaced and its old content is gone" in caplog.text


def test_deleted_file_is_let_go(path: Path) -> None:
    append(path, b"a\nhalf")
    reading = Reading(path)
    assert reading.lines() == [b"a"]
    path.unlink()
    assert reading.lines() == [b"half"]
    append(path, b"b\n")
    assert reading.lines() == [b"b"]
    assert reading.places()[-1].endswith("(rotation 1)")


SKIPPED_FRAME = b"\x50\x2a\x4d\x18\x05\0\0\0extra"


@pytest.mark.parametrize(
    ("suffix", "compress"),
    [
        (".gz", lambda b: gzip.compress(b[:30], mtime=0) + gzip.compress(b[30:], mtime=0)),
        (".xz", lzma.compress),
        (".zst", lambda b: zstandard.compress(b[:30]) + SKIPPED_FRAME + zstandard.compress(b[30:])),
        (".zst", zstandard.ZstdCompressor(write_checksum=True).compress),
    ],
)
@pytest.mark.parametrize("follow", [False, True])
def test_compressed_files_are_read_once(tmp_path: Path, suffix: str, compress: object, follow: bool) -> None:
    lines = [b"line %d" % i for i in range(100)]
    path = tmp_path / f"old.log{suffix}"
    path.write_bytes(compress(b"\n".join(lines)))
    reading = Reading(path, follow=follow, block_bytes=64)
    got = [reading.reader.next_batch()]
    reading.restart()
    assert [got[0].line(i) for i in range(len(got[0]))] + reading.lines() == lines
    reading.restart()
    assert reading.lines() == []


@pytest.mark.parametrize(
    ("suffix", "cut"),
    [
        (".gz", gzip.compress(b"good line\n" * 100, mtime=0)[:-12]),
        (".xz", lzma.compress(b"good line\n" * 100)[:-12]),
        (".zst", zstandard.compress(b"good line\n" * 100)[:-2]),
        (".zst", SKIPPED_FRAME + zstandard.compress(b"".join(b"line %d\n" % i for i in range(60_000)))[:-1]),
        (
            ".zst",
            zstandard.compress(b"good line\n") + zstandard.ZstdCompressor(write_checksum=True).compress(b"x")[:-1],
        ),
        (".zst", zstandard.compress(b"good line\n") + SKIPPED_FRAME[:-1]),
    ],
)
def test_damaged_archive_is_a_dead_letter(tmp_path: Path, suffix: str, cut: bytes) -> None:
    path = tmp_path / f"old.log{suffix}"
    path.write_bytes(cut)
    (tmp_path / "other.log").write_bytes(b"fine\n")
    reading = Reading(tmp_path, follow=False)
    assert b"fine" in reading.lines()
    (letter,) = [r for b in reading.batches for r in b.rejects]
    assert letter.place.startswith(str(path))
    assert "damaged" in letter.reason


def test_new_files_appear_and_rotations_do_not(tmp_path: Path) -> None:
    reading = Reading(tmp_path, exclude=("*.tmp",))
    assert reading.lines() == []
    append(tmp_path / "a.log", b"a\n")
    append(tmp_path / "a.log.1", b"older\n")
    append(tmp_path / "b.log.tmp", b"no\n")
    append(tmp_path / ".hidden", b"no\n")
    assert reading.lines() == [b"a"]
    append(tmp_path / "b.log", b"b\n")
    assert reading.lines() == [b"b"]


def test_long_line_is_a_dead_letter_in_bounded_memory(path: Path) -> None:
    append(path, b"before\n" + b"x" * 10_000_000 + b"\nafter\n" + b"y" * 5000 + b"\nend\n")
    reading = Reading(path, follow=False, max_line_bytes=4096, block_bytes=65_536)
    assert reading.lines() == [b"before", b"after", b"end"]
    first, second = [r for b in reading.batches for r in b.rejects]
    assert (first.place, first.raw_bytes, len(first.raw)) == (f"{path}, line 2, byte 7", 10_000_000, 4096)
    assert (second.raw_bytes, "max_line_bytes=4096" in second.reason) == (5000, True)
    assert reading.places()[1] == f"{path}, line 3, byte {7 + 10_000_001}"


def test_missing_file_is_an_error_unless_followed(path: Path) -> None:
    with pytest.raises(SettingsError, match=r"nothing to read at '.*app\.log'"):
        Reading(path, follow=False)
    reading = Reading(path)
    assert reading.lines() == []
    append(path, b"here\n")
    assert reading.lines() == [b"here"]


def test_unreadable_file_does_not_stop_the_others(tmp_path: Path) -> None:
    source = FileSource(FileSettings(paths=(str(tmp_path / "a.log"), str(tmp_path / "b.log")), follow=True, rescan_s=0))
    append(tmp_path / "b.log", b"b\n")
    append(tmp_path / "a.log", b"a\n")
    reader = source.open("files", None)
    batches = [reader.next_batch(), reader.next_batch()]
    assert {b.partition for b in batches if b} == {str(tmp_path / "a.log"), str(tmp_path / "b.log")}
    (tmp_path / "a.log").rename(tmp_path / "a.log.1")
    (tmp_path / "a.log").mkdir()
    append(tmp_path / "b.log", b"more\n")
    assert any(b is not None and b.line(0) == b"more" for b in _polls(reader, 6))
    with pytest.raises(SourceUnavailableError, match=r"cannot read .*a\.log"):
        reader.next_batch()


def _polls(reader: FilePartition, times: int) -> list[LineBatch | None]:
    got = []
    for _ in range(times):
        with contextlib.suppress(SourceUnavailableError):
            got.append(reader.next_batch())
    return got


def test_start_at_the_end(path: Path) -> None:
    append(path, b"old\nhal")
    reading = Reading(path, start="end")
    assert reading.lines() == []
    append(path, b"f\nnew\n")
    assert reading.lines() == [b"half", b"new"]


def test_workers_share_the_files(tmp_path: Path) -> None:
    for i in range(100):  # of 20 one worker in a thousand runs got none
        append(tmp_path / f"{i}.log", b"x\n")
    settings = FileSettings(paths=(str(tmp_path),))
    shares = [FileSource(settings, worker=w, of=3).files() for w in range(3)]
    assert sorted(p for share in shares for p in share) == FileSource(settings).files()
    assert all(shares)


@given(st.binary(max_size=60).map(lambda b: b.replace(b"a", b"\n")), st.integers(1, 9), st.integers(1, 12))
def test_any_cut_into_blocks_gives_the_same_lines(data: bytes, block: int, limit: int) -> None:
    cutter = LineCutter(0, limit)
    kept: list[tuple[int, bytes]] = []
    long: list[tuple[int, bytes, int]] = []
    for cut in [*(cutter.feed(data[i : i + block]) for i in range(0, len(data), block)), cutter.finish()]:
        begins = [0, *(cut.ends + 1).tolist()]
        kept += [(s, cut.data[b:e]) for s, b, e in zip(cut.starts.tolist(), begins, cut.ends.tolist(), strict=False)]
        long += cut.rejects
    parts = data.split(b"\n")
    starts = [sum(len(p) + 1 for p in parts[:i]) for i in range(len(parts))]
    lines = list(zip(starts, parts, strict=True))[: None if parts[-1] else -1]
    assert kept == [(s, p) for s, p in lines if len(p) <= limit]
    assert long == [(s, p, len(p)) for s, p in lines if len(p) > limit]
    assert cutter.byte == len(data)


def test_a_name_that_is_no_text_is_spelt_out(tmp_path: Path) -> None:
    path = os.fsdecode(os.fsencode(tmp_path) + b"/\xff.log")
    Path(path).write_bytes(b"a\n" + b"x" * 99 + b"\n")
    reading = Reading(tmp_path, max_line_bytes=50)
    assert reading.lines() == [b"a"]
    spelt = rf"{tmp_path}/\xff.log"
    assert [b.partition for b in reading.batches] == [spelt]
    assert reading.places() == [f"{spelt}, line 1, byte 0"]
    assert [letter.place for b in reading.batches for letter in b.rejects] == [f"{spelt}, line 2, byte 2"]
    reading.restart()
    append(Path(path), b"b\n")
    assert reading.lines() == [b"b"]


def test_looks_without_news_take_a_twentieth_of_the_time(tmp_path: Path) -> None:
    append(tmp_path / "app.log", b"a\n")
    now, looks = 0.0, 0

    def monotonic_s() -> float:
        nonlocal now
        now += 0.001  # every question of a look takes a millisecond
        return now

    def rest() -> bool:
        """Whether a poll at once returned without looking."""
        before = now
        assert reader.next_batch() is None
        return now - before < 0.0015

    source = FileSource(FileSettings(paths=(str(tmp_path),), follow=True), monotonic_s=monotonic_s)
    reader = source.open(source.partitions()[0], None)
    assert reader.next_batch() is not None
    now += 1000
    while not rest():
        looks += 1
        assert looks < 5
    append(tmp_path / "app.log", b"b\n")
    rested = now
    while reader.next_batch() is None:
        assert now - rested < 0.25
    assert now - rested > 0.03


@pytest.mark.parametrize("restart", [False, True])
def test_stragglers_of_a_rotated_file_are_read_once(path: Path, restart: bool) -> None:
    """A worker that drains writes to the old file after the rotation, and the file is renamed once more."""
    reading = Reading(path)
    old = path.open("ab", buffering=0)
    old.write(b"".join(b"line %d\n" % i for i in range(10)))
    found = reading.lines()

    def more() -> list[bytes]:
        if restart:
            reading.restart()
        return reading.lines()

    path.rename(f"{path}.1")
    append(path, b"new 1\n")
    found += more()
    old.write(b"straggler 1\n")
    found += more()
    Path(f"{path}.1").rename(f"{path}.2")
    path.rename(f"{path}.1")
    append(path, b"new 2\n")
    found += more()
    old.write(b"straggler 2\n")
    found += more() + more()
    old.close()
    expected = [b"line %d" % i for i in range(10)]
    assert found == [*expected, b"new 1", b"straggler 1", b"new 2", b"straggler 2"]
    positions = [int(p) for b in reading.batches for p in b.positions]
    assert positions == sorted(set(positions))


def test_a_half_line_is_kept_whole_while_a_straggler_is_read(path: Path) -> None:
    reading = Reading(path)
    old = path.open("ab", buffering=0)
    old.write(b"one\n")
    assert reading.lines() == [b"one"]
    path.rename(f"{path}.1")
    append(path, b"two\nhal")
    assert reading.lines() == [b"two"]
    old.write(b"straggler\n")
    assert reading.lines() == [b"straggler"]
    append(path, b"f\n")
    assert reading.lines() == [b"half"]
    old.close()


def test_a_file_copied_and_truncated_before_anything_of_it_was_read(path: Path) -> None:
    append(path, b"first\n")
    reading = Reading(path)
    assert reading.lines() == [b"first"]
    os.truncate(path, 0)
    assert reading.lines() == []
    reading.stop()
    saved = path.stat().st_mtime_ns
    append(path, b"unread\n")
    Path(f"{path}.1").write_bytes(path.read_bytes())
    os.utime(f"{path}.1", ns=(saved + 10**9, saved + 10**9))
    os.truncate(path, 0)
    append(path, b"next\n")
    os.utime(path, ns=(saved + 2 * 10**9, saved + 2 * 10**9))
    reading.start()
    assert reading.lines() == [b"unread", b"next"]


def test_two_stray_bytes_are_not_utf_16(tmp_path: Path) -> None:
    lines = [b"\xff\xfe\x00 no text at all", *[b"081110 120000 1 INFO dfs.DataNode: line %d" % i for i in range(50)]]
    (tmp_path / "a.log").write_bytes(b"".join(line + b"\n" for line in lines))
    assert Reading(tmp_path / "a.log", follow=False).lines() == lines
