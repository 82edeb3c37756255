"""A JSON-lines file as a sink, or standard output.

One document a line, each with its `id`. A flush writes and fsyncs; a crash in the middle leaves at
most a torn last line, which `open` cuts off. One process writes a file at a time (it is locked).
A file that is large or old enough gets a date behind its name, and a new one is started. This happens with a snapshot,
which has the file's inode, so that a start after a crash at any moment finds what was delivered.
Standard output (`-`) cannot be read back: after a crash lines may come twice there, with equal ids.
"""

import contextlib
import errno
import fcntl
import itertools
import logging
import os
import re
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, Self

import orjson
from pydantic import Field

from connectors.base import Record, SinkUnavailableError, State
from connectors.rotations import rotations
from connectors.shapes import Shape, ShapedSinkSettings, id_of, shaped

log = logging.getLogger(__name__)

_BLOCK = 1 << 20

_OWN = re.compile(r"\.\d{8}T\d{6}-\d{6}(?:\.[a-z0-9]+)?$")
"""End of the name of a file that this module renamed, and that may have been compressed since."""

FILE_MODE = 0o640
"""Of a new file: alerts and dead letters quote raw lines, which are not for every user of the machine."""


class JsonlSettings(ShapedSinkSettings):
    """Documents to a JSON-lines file, or to standard output."""

    type: Literal["jsonl"] = "jsonl"
    path: str = Field(
        min_length=1, description="Path of the file; it is created together with its folder. `-`: standard output."
    )
    rotate_bytes: int | None = Field(
        None, ge=1, description="Size from which the file is renamed and a new one started, in bytes; not set: never."
    )
    rotate_hours: float | None = Field(
        None, gt=0, description="Hours after which the same happens to a file that is not empty; not set: never."
    )
    keep_files: int = Field(10, ge=1, description="Renamed files that are kept; older ones are deleted.")
    keep_days: float | None = Field(
        None, gt=0, description="Days after which a renamed file is deleted, also below that number; not set: never."
    )

    def for_writer(self, number: str) -> Self:
        """A file has one writer: `alerts.jsonl` becomes `alerts.0.jsonl` for writer 0."""
        if self.path == "-":
            return self
        path = Path(self.path)
        return self.model_copy(update={"path": str(path.with_suffix(f".{number}{path.suffix}"))})


class JsonlSink:
    """See the module."""

    snapshot_holds_pending = False

    def __init__(self, settings: JsonlSettings, wall_s: Callable[[], float] = time.time) -> None:
        self._path = settings.path
        self._settings = settings
        self._wall_s = wall_s
        self._since_s = 0.0  # when the file was started
        self._shape = settings.shape
        self._stdout = settings.path == "-"
        self._fd = -1
        self._good = 0
        self._kept: list[bytes] = []
        self._known: frozenset[str] = frozenset()
        self._others: dict[str, tuple[int, int]] = {}

    def open(self, resume: State | None) -> None:
        """See `Sink.open`."""
        if self._stdout:
            self._fd = sys.stdout.fileno()
            return
        self.close()
        try:
            os.makedirs(os.path.dirname(self._path) or ".", exist_ok=True)
            self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._good = _whole_bytes(self._fd)
            if os.fstat(self._fd).st_size != self._good:
                os.ftruncate(self._fd, self._good)
            self._since_s = float((resume or {}).get("since_s", self._wall_s()))
            if resume is not None:
                self._others = dict(resume.get("others", {}))
                self._known = self._delivered(int(resume.get("bytes", 0)), resume.get("inode"))
        except OSError as error:
            reason = "another process writes it" if error.errno == errno.EWOULDBLOCK else error.strerror
            self._release()
            raise SinkUnavailableError(f"cannot open {self._path} for writing: {reason}") from error

    def write(self, records: Sequence[Record]) -> None:
        """See `Sink.write`."""
        self._kept.extend(_line(r, self._shape) for r in records if r.id not in self._known)

    def pending(self) -> int:
        """See `Sink.pending`."""
        return len(self._kept)

    def flush(self, timeout_s: float) -> None:
        """See `Sink.flush`; a write that fails half-way is rolled back."""
        if not self._kept:
            return
        try:
            data = memoryview(b"".join(self._kept))
            if self._stdout:
                self._flush_stdout(data)
            else:
                at = self._good
                while data:
                    written = os.pwrite(self._fd, data, at)
                    data, at = data[written:], at + written
                os.fsync(self._fd)
                self._good = at
                self._kept = []
        except OSError as error:
            if self._fd >= 0 and not self._stdout:
                with contextlib.suppress(OSError):  # a torn end is cut at the next flush or open
                    os.ftruncate(self._fd, self._good)
            raise SinkUnavailableError(
                f"cannot write {len(self._kept)} records to {self._path}: {error.strerror}. They are kept."
            ) from error

    def snapshot(self) -> State:
        """Bytes acknowledged; nothing for standard output.

        `others` are files of earlier writers, with the first byte whose id may come again, and the end then: what
        their present writers add is not of this one.
        """
        if self._stdout:
            return {}
        if self._is_due():
            self._rotate()
        state: dict[str, Any] = {"bytes": self._good, "inode": os.fstat(self._fd).st_ino, "since_s": self._since_s}
        return state | {"others": self._others} if self._others else state

    def _delivered(self, start: int, inode: int | None) -> frozenset[str]:
        """Ids behind byte `start` of the file that a snapshot was about, and of all that was written since."""
        if inode in (None, os.fstat(self._fd).st_ino):
            known = _ids(self._fd, start, self._good)
        else:  # it was renamed after the snapshot
            known = _ids(self._fd, 0, self._good)
            found = False
            for path, stat in sorted(rotations(self._path), key=lambda each: each[0]):
                if found or stat.st_ino == inode:
                    known |= _ids_of(path, 0 if found else start)
                    found = True
        return frozenset(known.union(*(_ids_of(path, *part) for path, part in self._others.items())))

    def _is_due(self) -> bool:
        most, hours = self._settings.rotate_bytes, self._settings.rotate_hours
        large = most is not None and self._good >= most
        old = hours is not None and self._wall_s() - self._since_s >= hours * 3_600
        return self._good > 0 and (large or old)

    def _rotate(self) -> None:
        """Rename the file and start a new one; where that fails, the file is written further."""
        now = datetime.fromtimestamp(self._wall_s(), UTC)
        names = (f"{self._path}.{now:%Y%m%dT%H%M%S}-{now.microsecond + i:06d}" for i in itertools.count())
        target = next(name for name in names if not os.path.lexists(name))
        try:
            os.rename(self._path, target)
            fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE)
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            log.warning("%s cannot be rotated, and is written further: %s", self._path, error.strerror)
            with contextlib.suppress(OSError):
                os.rename(target, self._path)
            self._since_s = self._wall_s()
            return
        os.close(self._fd)
        self._fd, self._good, self._since_s = fd, 0, self._wall_s()
        self._delete_old()

    def _delete_old(self) -> None:
        settings = self._settings
        own = [each for each in rotations(self._path) if _OWN.match(each[0].removeprefix(self._path))]
        kept = sorted(own, key=lambda each: each[0], reverse=True)
        floor_s = 0.0 if settings.keep_days is None else self._wall_s() - settings.keep_days * 86_400
        for number, (path, stat) in enumerate(kept):
            if number >= settings.keep_files or stat.st_mtime < floor_s:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(path)

    def close(self) -> None:
        """See `Sink.close`."""
        self._kept = []
        self._release()

    def _flush_stdout(self, data: memoryview) -> None:
        while data:
            try:
                data = data[os.write(self._fd, data) :]
            except OSError:
                self._kept = [bytes(data)]  # what is out cannot be rolled back: only the rest is kept
                raise
        self._kept = []

    def _release(self) -> None:
        if self._fd >= 0 and not self._stdout:
            os.close(self._fd)
        self._fd = -1


def _line(record: Record, shape: Shape) -> bytes:
    document = shaped(record.document, record.id, shape)
    if shape == "driftline" and document.get("id") != record.id:
        document = {**document, "id": record.id}
    return orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE)


def _whole_bytes(fd: int) -> int:
    """Size of the file without a torn last line."""
    end = os.fstat(fd).st_size
    while end:
        start = max(0, end - _BLOCK)
        found = os.pread(fd, end - start, start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0


def _ids_of(path: str, start: int, end: int | None = None) -> set[str]:
    """Ids of the lines of another file from byte `start` to `end`, or to its end; none where it is gone."""
    try:
        with open(path, "rb") as file:
            whole = _whole_bytes(file.fileno())
            return _ids(file.fileno(), start, whole if end is None else min(end, whole))
    except FileNotFoundError:
        return set()


def _ids(fd: int, start: int, end: int) -> set[str]:
    """Ids of the lines from byte `start`; of all lines where the file is shorter than that."""
    at = start if start <= end else 0
    ids: set[str] = set()
    rest = b""
    while at < end:
        block = os.pread(fd, min(_BLOCK, end - at), at)
        at += len(block)
        *lines, rest = (rest + block).split(b"\n")
        for line in lines:
            with contextlib.suppress(orjson.JSONDecodeError):  # a line of somebody else's
                document = orjson.loads(line)
                if isinstance(document, dict) and (found := id_of(document)) is not None:
                    ids.add(found)
    return ids
