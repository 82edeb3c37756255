"""The audit log: every round, publication and rollback, in a chain of hashes that is only ever added to.

One JSON object a line::

    {"body": {…}, "event": "published", "id": "…", "previous": "…", "seq": 7, "sha256": "…", "time": "…"}

`sha256` is that of the line without it, `previous` the one before, so nothing inside can be changed,
left out, added or exchanged without a break. What the chain alone cannot show is a cut at its end, or a
chain written anew from the start: against the first the ledger remembers the last hash, against both
every announcement on the topic carries it to where this machine cannot take it back.

Whoever adds entries verifies the whole log once and then only what was added since, for which the last entry must still
be the one that it knows; `verify` reads everything.
"""

import fcntl
import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import orjson

from federation.errors import StorageError, TamperedError
from foundation.time_text import iso_millis

START = "0" * 64
"""What the first entry names as the one before it."""

_KEYS = {"body", "event", "id", "previous", "seq", "sha256", "time"}


@dataclass(slots=True)
class _Known:
    """How far the file was verified; offsets and lengths in bytes.

    Attributes:
        inode: Of the file.
        end: Of the last whole line.
        last: That line, and its entry; b"" and None where there is none.
        places: Offset and length of every entry by its id.
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
    """One line of the log; `id` is unique in it, `seq` counts from 1."""

    seq: int
    id: str
    event: str
    time: str
    body: Mapping[str, Any]
    sha256: str


class AuditLog:
    """See the module; several processes may add to the same file."""

    def __init__(self, path: Path, *, now_ns: Callable[[], int]) -> None:
        """Touches nothing yet; `now_ns` is the wall clock."""
        self._path = path
        self._now_ns = now_ns
        self._known: _Known | None = None

    def append(self, identity: str, event: str, body: Mapping[str, Any]) -> Entry:
        """Adds an entry and waits until it is on the disk; one whose id is there already is given back unchanged.

        What a crash left half-written at the end was never given to anybody, and is cut off first.

        Raises:
            TamperedError: the log is broken: nothing is added to it.
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
                os.fsync(file.fileno())  # also of an entry whose writer may have failed just here
                if place is None:
                    known.add(line, entry)
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
            raise TamperedError(f"{self._path}: the last line has no end: it was cut, or a crash came in between")
        return [entry for _, entry in _entries(raw, self._path)]

    def verify(self, head: tuple[int, str] | None = None) -> list[Entry]:
        """Checks every line, and that the log still holds the entry that was once its last.

        Args:
            head: (seq, sha256) of an entry that was seen, such as the ledger's; None knows of none.

        Returns:
            The entries.

        Raises:
            TamperedError: a line was changed, removed, added or exchanged; the message says which.
            StorageError: the file cannot be read.
        """
        entries = self.entries()
        if head is not None:
            seq, sha256 = head
            if len(entries) < seq:
                raise TamperedError(
                    f"{self._path}: entry {seq} was there and is not any more; the log ends at {len(entries)}"
                )
            if entries[seq - 1].sha256 != sha256:
                raise TamperedError(
                    f"{self._path}: entry {seq} is not the one that was written: the log was written anew"
                )
        return entries

    def _next(self, last: Entry | None, identity: str, event: str, body: Mapping[str, Any]) -> tuple[bytes, Entry]:
        told = {
            "body": body,
            "event": event,
            "id": identity,
            "previous": last.sha256 if last else START,
            "seq": last.seq + 1 if last else 1,
            "time": iso_millis(self._now_ns()),
        }
        sha256 = _digest(told)
        line = _canonical({**told, "sha256": sha256}) + b"\n"
        return line, _entry(orjson.loads(line))

    def _caught_up(self, file: IO[bytes]) -> _Known:
        """What is known once what was added since the last look is verified too; from the start where it must be."""
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
            raise TamperedError(f"{self._path}: entry {before.last.seq} was there and is not any more")
        self._known = known
        return known

    @contextmanager
    def _locked(self) -> Iterator[IO[bytes]]:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with open(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600), "r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield file


def _entries(raw: bytes, path: Path, after: Entry | None = None) -> Iterator[tuple[bytes, Entry]]:
    """The verified lines of what follows an entry, or of the whole log."""
    previous = after.sha256 if after else START
    for seq, line in enumerate(raw.splitlines(keepends=True), after.seq + 1 if after else 1):
        where = f"{path}: line {seq}"
        try:
            told = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            raise TamperedError(f"{where} is no entry any more: {error}") from error
        if not isinstance(told, dict) or set(told) != _KEYS or line != _canonical(told) + b"\n":
            raise TamperedError(f"{where} is not as it was written")
        if told["sha256"] != _digest({key: value for key, value in told.items() if key != "sha256"}):
            raise TamperedError(f"{where} was changed: its hash is not that of its content")
        if told["seq"] != seq or told["previous"] != previous:
            raise TamperedError(f"{where} does not follow the one before it: an entry was removed, added or exchanged")
        previous = told["sha256"]
        yield line, _entry(told)


def _entry(told: Mapping[str, Any]) -> Entry:
    return Entry(told["seq"], told["id"], told["event"], told["time"], told["body"], told["sha256"])


def _canonical(told: Mapping[str, Any]) -> bytes:
    return orjson.dumps(told, option=orjson.OPT_SORT_KEYS)


def _digest(told: Mapping[str, Any]) -> str:
    return hashlib.sha256(_canonical(told)).hexdigest()
