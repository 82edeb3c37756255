"""Line numbers in the places of lines."""

from pathlib import Path

import pytest

from tests.support.file_reading import Reading, append


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "app.log"


@pytest.mark.parametrize("restart", [False, True])
def test_places_name_the_line(path: Path, restart: bool) -> None:
    append(path, b"one\n" + b"x" * 200 + b"\ntwo\n" + b"three\n" * 50)
    reading = Reading(path, block_bytes=64, max_line_bytes=100)
    reading.lines()
    if restart:
        reading.restart()
    append(path, b"four\n")
    assert reading.lines() == [b"four"]
    got = [p.split(", ")[1] for p in reading.places()]
    assert got == [f"line {i}" for i in (1, *range(3, 55))]
    assert [x.place for b in reading.batches for x in b.rejects] == [f"{path}, line 2, byte 4"]


def test_lines_of_long_ago_are_named_by_their_byte(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("connectors.line_places.MOST_LINES", 2)
    append(path, b"a\nb\nc\n")
    reading = Reading(path, block_bytes=2)
    assert reading.lines() == [b"a", b"b", b"c"]
    assert reading.places() == [f"{path}, byte 0", f"{path}, line 2, byte 2", f"{path}, line 3, byte 4"]
