"""The audit log: every round, publication and rollback, in an append-only chain of hashes.

One JSON object per line::

    {"body": {…}, "event": "published", "id": "…", "previous": "…", "seq": 7, "sha256": "…", "time": "…"}

`sha256` is the hash of the line without this key, `previous` that of the line before, so no entry can be changed,
removed, added or exchanged without a break. The chain alone does not show that its end was cut off, or that the
whole chain was rewritten. Against the first the ledger stores the last hash; against both the coordinator logs the
hash of each entry, and logs are collected on another machine.

A writer verifies the whole log once, and then only new entries, after checking that its last known entry is still
there. `verify` reads everything.
"""

import fcntl
import hashlib
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import orjson

from federation.errors import StorageError, TamperedError
from foundation.time_text import iso_millis

log = logging.getLogger(__name__)

START = "0" * 64
"""`previous` of the first entry."""

_KEYS = {"body", "event", "id", "previous", "seq", "sha256", "time"}


@dataclass(slots=True)
class _Known:
    """The verified part of the file; offsets and lengths in bytes.

    Attributes:
        inode: Inode of the file.
        end: End of the last complete line.
        line, last: That line and its entry; b"" and None in an empty file.
        places: Offset and length of every entry, by its id.
    """

    inode: int
    end: int = 0
    line: bytes = b""
    last: "Entry | None" = None
    places: dict[str, tuple[int, int]] = field(default_factory=dict)

    def add(self, line: bytes, entry: "Entry") -> None:
        self.places[entry.id] = self.end, len(line)
        self.end += len(line)
        self.line, self.last = line, entry


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the log; `id` is unique, `seq` counts from 1."""

    seq: int
    id: str
    event: str
    time: str
    body: Mapping[str, Any]
    sha256: str


class AuditLog:
    """See the module; several processes may append to the same file."""

    def __init__(self, path: Path, *, now_ns: Callable[[], int]) -> None:
        """Open nothing yet; `now_ns` is the wall clock."""
        self._path = path
        self._now_ns = now_ns
        self._known: _Known | None = None

    def append(self, identity: str, event: str, body: Mapping[str, Any]) -> Entry:
        """Append an entry and wait until it is on the disk; an existing entry with this id is returned unchanged.

        An incomplete last line, left by a crash, is removed first: its entry was never returned to a caller.

        Raises:
            TamperedError: the log is broken; the entry is not appended.
            StorageError: it cannot be written.
        """
        try:
            with self._locked() as file:
                known = self._caught_up(file)
                place = known.places.get(identity)
                if place is None:
                    line, entry = self._next(known.last, identity, event, body)
                    file.seek(known.end)
                    file.truncate()
                    file.write(line)
                    file.flush()
                else:
                    file.seek(place[0])
                    entry = _entry(orjson.loads(file.read(place[1])))
                os.fsync(file.fileno())  # also for an entry whose writer failed at this point
                if place is None:
                    known.add(line, entry)
                    # Collected on another machine, this line shows if the whole log is written anew.
                    log.info("audit entry", extra={"seq": entry.seq, "event": event, "sha256": entry.sha256})
                return entry
        except OSError as error:
            raise StorageError(f"the audit log {self._path} cannot be written: {error}") from error

    def entries(self) -> list[Entry]:
        """The whole log, verified.

        Raises:
            TamperedError: see `verify`.
            StorageError: it cannot be read.
        """
        try:
            raw = self._path.read_bytes()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise StorageError(f"the audit log {self._path} cannot be read: {error}") from error
        if raw and not raw.endswith(b"\n"):
            raise TamperedError(f"{self._path}: the last line is incomplete: it was cut off, or a crash interrupted it")
        return [entry for _, entry in _entries(raw, self._path)]

    def verify(self, head: tuple[int, str] | None = None) -> list[Entry]:
        """Check every line, and that a known entry is still in the log.

        Args:
            head: (seq, sha256) of a known entry, such as the one in the ledger.

        Returns:
            The entries.

        Raises:
            TamperedError: a line was changed, removed, added or exchanged; the message names it.
            StorageError: the file cannot be read.
        """
        entries = self.entries()
        if head is not None:
            seq, sha256 = head
            if len(entries) < seq:
                raise TamperedError(f"{self._path}: entry {seq} is missing; the log ends at {len(entries)}")
            if entries[seq - 1].sha256 != sha256:
                raise TamperedError(f"{self._path}: entry {seq} is not the original one: the log was rewritten")
        return entries

    def _next(self, last: Entry | None, identity: str, event: str, body: Mapping[str, Any]) -> tuple[bytes, Entry]:
        values = {
            "body": body,
            "event": event,
            "id": identity,
            "previous": last.sha256 if last else START,
            "seq": last.seq + 1 if last else 1,
            "time": iso_millis(self._now_ns()),
        }
        sha256 = _digest(values)
        line = _canonical({**values, "sha256": sha256}) + b"\n"
        return line, _entry(orjson.loads(line))

    def _caught_up(self, file: IO[bytes]) -> _Known:
        """Verify what was appended since the last call; the whole file if it is not the known one."""
        before, inode = self._known, os.fstat(file.fileno()).st_ino
        known = before
        if before is not None:
            file.seek(before.end - len(before.line))
            if before.inode != inode or file.read(len(before.line)) != before.line:
                known = None
        known = known or _Known(inode)
        file.seek(known.end)
        raw = file.read()
        for line, entry in _entries(raw[: raw.rfind(b"\n") + 1], self._path, known.last):
            known.add(line, entry)
        if before is not None and before.last is not None and before.last.id not in known.places:
            raise TamperedError(f"{self._path}: entry {before.last.seq} is missing")
        self._known = known
        return known

    @contextmanager
    def _locked(self) -> Iterator[IO[bytes]]:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with open(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600), "r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield file


def _entries(raw: bytes, path: Path, after: Entry | None = None) -> Iterator[tuple[bytes, Entry]]:
    """The verified lines after an entry, or of the whole log."""
    previous = after.sha256 if after else START
    for seq, line in enumerate(raw.splitlines(keepends=True), after.seq + 1 if after else 1):
        where = f"{path}: line {seq}"
        try:
            values = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            raise TamperedError(f"{where} is not an entry: {error}") from error
        if not isinstance(values, dict) or set(values) != _KEYS or line != _canonical(values) + b"\n":
            raise TamperedError(f"{where} is not in its original form")
        if values["sha256"] != _digest({key: value for key, value in values.items() if key != "sha256"}):
            raise TamperedError(f"{where} was changed: its hash does not match its content")
        if values["seq"] != seq or values["previous"] != previous:
            raise TamperedError(f"{where} does not follow the one before it: an entry was removed, added or exchanged")
        previous = values["sha256"]
        yield line, _entry(values)


def _entry(values: Mapping[str, Any]) -> Entry:
    return Entry(values["seq"], values["id"], values["event"], values["time"], values["body"], values["sha256"])


def _canonical(values: Mapping[str, Any]) -> bytes:
    return orjson.dumps(values, option=orjson.OPT_SORT_KEYS)


def _digest(values: Mapping[str, Any]) -> str:
    return hashlib.sha256(_canonical(values)).hexdigest()
