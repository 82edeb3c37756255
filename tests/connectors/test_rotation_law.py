"""Whatever rotation does to a log between two looks, each line is read once."""

import gzip
import os
import random
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from connectors import file_reader, left_files, tail
from tests.support.file_reading import Reading

SECOND_NS = 10**9


class Log:
    """A log that programs write and rotation renames, copies and compresses; each change has a time of its own.

    Attributes:
        written: Lines in the order of writing.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "app.log"
        self.written: list[bytes] = []
        self._now_ns = 1_700_000_000 * SECOND_NS
        self._handles = [self.path.open("ab", 0)]

    def write(self, late: bool = False) -> None:
        """A line of the program, or of one that still has the file before open."""
        handle = self._handles[0 if late else -1]
        self.written.append(b"line %d of the log" % len(self.written))
        handle.write(self.written[-1] + b"\n")
        self._touch(handle.fileno())

    def rename(self) -> None:
        """As logrotate does with `create`."""
        self._shift()
        self.path.rename(self.rotated(1))
        self._handles.append(self.path.open("ab", 0))
        while len(self._handles) > 2:
            self._handles.pop(0).close()

    def copy(self) -> None:
        """As logrotate does with `copytruncate`; programs keep the file."""
        self._shift()
        shutil.copy(self.path, self.rotated(1))
        self._touch(self.rotated(1))
        os.truncate(self.path, 0)
        self._touch(self.path)
        while len(self._handles) > 1:
            self._handles.pop(0).close()

    def compress(self, number: int) -> None:
        """As gzip does, which keeps the time; not what a program has open."""
        path = self.rotated(number)
        kept = {os.fstat(handle.fileno()).st_ino for handle in self._handles}
        if path.exists() and path.stat().st_ino not in kept:
            time_ns = path.stat().st_mtime_ns
            packed = path.with_name(path.name + ".gz")
            packed.write_bytes(gzip.compress(path.read_bytes()))
            os.utime(packed, ns=(time_ns, time_ns))
            path.unlink()

    def close(self) -> None:
        for handle in self._handles:
            handle.close()

    def rotated(self, number: int) -> Path:
        return self.path.with_name(f"app.log.{number}")

    def _shift(self) -> None:
        for number in range(30, 0, -1):
            for end in ("", ".gz"):
                with suppress(FileNotFoundError):
                    os.rename(f"{self.path}.{number}{end}", f"{self.path}.{number + 1}{end}")

    def _touch(self, what: int | Path) -> None:
        self._now_ns += SECOND_NS
        os.utime(what, ns=(self._now_ns, self._now_ns))


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    log = Log(tmp_path)
    log.write()
    yield log
    log.close()


def steps(seed: int) -> Iterator[Callable[[Log, Reading], list[bytes]]]:
    """Random steps; each returns what was read with it."""
    rng = random.Random(seed)
    rotate = rng.choice([["rename"], ["copy"], ["rename", "copy"]])
    other = rng.choice(["late", "compress"])

    def change(name: str) -> Callable[[Log, Reading], list[bytes]]:
        def step(log: Log, reading: Reading) -> list[bytes]:
            if name in ("rename", "copy") and not log.path.stat().st_size:
                return []
            # What is copied and truncated in one moment cannot be seen by a reader, see `Log.copy`.
            found = reading.lines() if name in ("copy", "compress") else []
            {
                "write": log.write, "late": lambda: log.write(late=True), "rename": log.rename, "copy": log.copy,
                "compress": lambda: log.compress(rng.randint(2, 4)), "restart": reading.restart,
            }[name]()  # fmt: skip
            return found

        return step

    for _ in range(rng.randint(5, 25)):
        name = rng.choice(["read", "read", "write", "write", other, other, "restart", "rotate"])
        if name == "read":
            yield lambda log, reading: reading.lines()
        else:
            yield change(rng.choice(rotate) if name == "rotate" else name)


@pytest.mark.parametrize("seed", range(120))
def test_each_line_is_read_once(log: Log, seed: int) -> None:
    reading = Reading(log.path)
    found = reading.lines()
    for step in steps(seed):
        found += step(log, reading)
    log.write()
    found += reading.lines() + reading.lines()
    assert Counter(found) == Counter(log.written)


@pytest.mark.parametrize("restart", [False, True])
def test_a_late_line_does_not_hide_a_file_that_was_rotated_away_after_it(log: Log, restart: bool) -> None:
    reading = Reading(log.path)
    found = reading.lines()
    log.rename()
    log.write()
    log.write(late=True)  # now the older of two rotated files has the later time
    log.rename()
    log.write()
    if restart:
        reading.restart()
    assert sorted(found + reading.lines()) == sorted(log.written)


@pytest.mark.parametrize("restart", [False, True])
def test_a_file_that_was_left_for_a_late_line_and_truncated_is_read_from_its_beginning(log: Log, restart: bool) -> None:
    reading = Reading(log.path)
    found = reading.lines()
    log.rename()
    log.write()
    found += reading.lines()
    log.write(late=True)
    found += reading.lines()
    for _ in range(2):
        log.write()
        found += [] if restart else reading.lines()
        log.copy()
        log.write()
        if restart:
            reading.restart()
        found += reading.lines()
    assert sorted(found) == sorted(log.written)


def test_a_file_rotated_away_before_the_first_look_gives_only_its_late_lines(log: Log) -> None:
    log.rename()
    log.write()
    reading = Reading(log.path)
    assert reading.lines() == log.written[1:]
    log.write(late=True)
    assert reading.lines() == log.written[2:]


def test_a_late_line_without_an_end_is_looked_at_once(log: Log) -> None:
    log.rename()
    log.write()
    reading = Reading(log.path)
    assert reading.lines() == log.written[1:]

    def generations() -> list[int]:
        return [each.generation for each in reading.reader._tails.values()]

    with log.rotated(1).open("ab") as late:
        late.write(b"late ")
    reading.lines()
    before = generations()
    assert reading.lines() == []
    assert generations() == before
    with log.rotated(1).open("ab") as late:
        late.write(b"line\n")
    assert reading.lines() == [b"late line"]


def test_a_late_line_in_an_empty_file_tears_no_line(tmp_path: Path) -> None:
    path, rotated = tmp_path / "app.log", tmp_path / "app.log.1"
    path.write_bytes(b"begin")
    rotated.touch()
    reading = Reading(path)
    assert reading.lines() == []
    rotated.write_bytes(b"late\n")
    assert reading.lines() == [b"late"]
    with path.open("ab") as file:
        file.write(b"ning\n")
    assert reading.lines() == [b"beginning"]


@pytest.mark.parametrize("rotated", [False, True])
def test_a_new_file_with_the_inode_of_one_that_was_read_is_read_from_its_beginning(
    log: Log, monkeypatch: pytest.MonkeyPatch, rotated: bool
) -> None:
    same = {}
    real = tail.identity
    monkeypatch.setattr(tail, "identity", lambda stat: same.get(stat.st_ino, real(stat)))
    for module in (file_reader, left_files):
        monkeypatch.setattr(module, "identity", tail.identity)
    reading = Reading(log.path)
    found = reading.lines()
    first = log.path.stat()
    log.rename()
    log.write()
    found += reading.lines()
    log.rotated(1).rename(log.path.with_name("gone"))  # keeps its inode from a real other file
    log.rename()
    same[log.path.stat().st_ino] = real(first)
    log.write()
    if rotated:
        log.rename()
        log.write()
    found += reading.lines()
    assert sorted(found) == sorted(log.written)
