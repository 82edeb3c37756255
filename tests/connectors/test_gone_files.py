"""Files that are deleted: their state is dropped, also downstream."""

from pathlib import Path

import pytest

from connectors.files import FileSettings, FileSource
from tests.support.file_reading import Reading, append


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "app.log"


def ended(reading: Reading) -> list[str]:
    return [b.partition for b in reading.batches if b.ends_partition]


@pytest.mark.parametrize("restart", [False, True])
def test_a_deleted_file_is_forgotten_and_its_partition_ends(tmp_path: Path, restart: bool) -> None:
    for i in range(30):
        append(tmp_path / f"{i}.log", b"a\nhalf")
    reading = Reading(tmp_path, forget_s=0)
    assert reading.lines() == [b"a"] * 30
    for i in range(1, 30):
        (tmp_path / f"{i}.log").unlink()
    if restart:
        reading.restart()
    assert reading.lines() == ([] if restart else [b"half"] * 29)
    assert sorted(ended(reading)) == sorted(str(tmp_path / f"{i}.log") for i in range(1, 30))
    assert list(reading.reader.snapshot()["files"]) == [str(tmp_path / "0.log")]


def test_a_forgotten_file_that_comes_back_is_its_next_generation(path: Path) -> None:
    append(path, b"a\n")
    reading = Reading(path, forget_s=0)
    assert reading.lines() == [b"a"]
    away = path.rename(path.with_name("somewhere-else"))
    assert reading.lines() == []
    assert ended(reading) == [str(path)]
    reading.restart()
    away.rename(path)
    append(path, b"b\n")
    assert reading.lines() == [b"b"]  # the same file continues
    path.unlink()
    reading.restart()
    assert reading.lines() == []
    append(path, b"c\n")
    assert reading.lines() == [b"c"]
    positions = [int(p) for b in reading.batches for p in b.positions]
    assert positions == sorted(set(positions))


def test_a_file_with_rotations_is_not_forgotten(path: Path) -> None:
    append(path, b"a\n")
    reading = Reading(path.parent, forget_s=0)
    assert reading.lines() == [b"a"]
    path.rename(path.with_name("app.log.1"))
    assert reading.lines() == []
    assert ended(reading) == []


def test_a_file_is_not_forgotten_before_its_time(path: Path) -> None:
    now = [0.0]
    append(path, b"a\n")
    settings = FileSettings(paths=(str(path),), follow=True, rescan_s=0, forget_s=60)
    reader = FileSource(settings, monotonic_s=lambda: now[0]).open("0", None)
    assert reader.next_batch() is not None
    assert reader.next_batch() is None
    path.unlink()
    for now[0] in (1.0, 30.0, 60.9):
        assert [reader.next_batch() for _ in range(3)] == [None] * 3
    now[0] = 61.5
    batch = reader.next_batch()
    assert batch is not None
    assert batch.ends_partition
