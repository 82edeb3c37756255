"""Files, directories and globs as a source: read to the end, or followed indefinitely.

With `follow` on, a file named like a rotation of another one that is read (`app.log.1` next
to `app.log`) is not read separately; see `connectors.tail` for what happens at a rotation. Without
`follow`, each file is separate. A last line without a line end is held back while following
and returned at the end otherwise.
"""

import logging
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from fnmatch import fnmatch
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from connectors.base import DeadLetter, LineBatch, SettingsError, SourceUnavailableError, State
from connectors.file_patterns import matches, nothing_at
from connectors.line_places import LineNumbers, line_place
from connectors.line_splitter import Cut, too_long
from connectors.rotations import base_name
from connectors.tail import Tail, TailPosition
from foundation.content_ids import digest

log = logging.getLogger(__name__)

BYTE_BITS = 44
"""A position is `generation << BYTE_BITS | byte`: 16 TiB a file, 524,288 generations."""

POLL_BUDGET_S = 0.03
"""How long one call looks through files without news before it returns; the contract allows 50 ms."""

REST_FACTOR = 19
"""Looks without news are followed by a rest of this many times their duration: a twentieth of a core, however
many files there are. A few files are looked at without a rest that anybody would notice."""

LONGEST_REST_S = 0.25
"""Bounds the latency that resting adds if there are thousands of files."""


MOST_FORGOTTEN = 1_000
"""Files that are gone of which the place is kept: one that comes back continues there, or as its next generation."""


class FileSettings(BaseModel):
    """Lines from files, directories and globs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: Literal["file"] = "file"
    paths: tuple[str, ...] = Field(
        min_length=1,
        description="Files, directories (only the files directly in them) or globs (`**` for any depth). Files "
        "whose names end in .gz, .bz2, .xz, .zst or .lz4 are decompressed.",
    )
    exclude: tuple[str, ...] = Field((), description="Globs of file names that are not read, such as `*.gz`.")
    follow: bool = Field(False, description="Follow files that grow, rotate or appear; otherwise stop at the end.")
    start: Literal["beginning", "end"] = Field(
        "beginning", description="Position in files that exist at the first start."
    )
    block_bytes: int = Field(1_048_576, ge=1, description="Bytes read at a time.")
    max_line_bytes: int = Field(1_048_576, ge=1, description="Longer lines go to the dead letters, in bytes.")
    rescan_s: float = Field(1.0, ge=0, description="Interval of checks for new files and rotation, in seconds.")
    forget_s: float = Field(
        3600.0,
        ge=0,
        description="Time after which a file that is gone is forgotten and its windows end, in seconds; only with "
        "`follow`.",
    )
    follow_links: bool = Field(
        False,
        description="Read symbolic links that a directory holds or a glob matches. A path without wildcards is read "
        "whether it is a link or not.",
    )


class FilePartition:
    """Reads a worker's share of the files, one block after the other in turn."""

    def __init__(
        self,
        settings: FileSettings,
        find: Callable[[], list[str]],
        resume: State | None,
        wall_ns: Callable[[], int],
        monotonic_s: Callable[[], float],
        numbers: LineNumbers,
    ) -> None:
        self._settings = settings
        self._numbers = numbers
        self._find = find
        self._wall_ns = wall_ns
        self._monotonic_s = monotonic_s
        self._tails: dict[str, Tail] = {}
        self._turn = 0
        self._rest_until_s = float("-inf")
        self._scanned_s = float("-inf")
        self._missing_since_s: dict[str, float] = {}
        self._gone: dict[str, None] = {}
        self._forgotten: dict[str, TailPosition] = {}
        self._first = resume is None
        self._closed = False
        for path, place in (resume or {}).get("files", {}).items():
            self._add(path, TailPosition(**place), at_end=False)
        for path, place in (resume or {}).get("forgotten", {}).items():
            self._forgotten[path] = TailPosition(**place)

    def next_batch(self, share: float = 1.0) -> LineBatch | None:
        """See `SourcePartition.next_batch`."""
        if self._closed:
            raise StopIteration
        started = self._monotonic_s()
        if started < self._rest_until_s:
            return None
        check = self._scan_if_due()
        if (ended := self._forget_next()) is not None:
            return ended
        tails = [t for t in self._tails.values() if not t.ended]
        until = started + POLL_BUDGET_S
        failed: SourceUnavailableError | None = None
        for step in range(len(tails)):
            tail = tails[(self._turn + step) % len(tails)]
            try:
                batch = self._batch(tail, tail.read(max(1, int(share * self._settings.block_bytes)), check=check))
            except SourceUnavailableError as error:
                failed = error  # one unreadable file does not keep the others waiting
                continue
            if batch is not None or self._monotonic_s() > until:
                self._turn = (self._turn + step + int(self._settings.follow)) % len(tails)
                if batch is not None:
                    return batch
                break
        if failed is not None:
            raise failed
        if not self._settings.follow and all(t.ended for t in self._tails.values()):
            raise StopIteration
        now = self._monotonic_s()
        self._rest_until_s = now + min(LONGEST_REST_S, REST_FACTOR * (now - started))
        return None

    def snapshot(self) -> State:
        """Inode, generation, byte and fingerprint of every file."""
        files = {path: asdict(tail.place()) for path, tail in self._tails.items()}
        return {"files": files, "forgotten": {path: asdict(place) for path, place in self._forgotten.items()}}

    def lag(self) -> int | None:
        """Bytes not yet handed out, compressed files left out."""
        return sum(t.lag_bytes() for t in self._tails.values())

    def close(self) -> None:
        """Closes all files."""
        self._closed = True
        for tail in self._tails.values():
            tail.close()

    def _scan_if_due(self) -> bool:
        """Looks for new files where it is time to; True where it was."""
        now = self._monotonic_s()
        if now - self._scanned_s < self._settings.rescan_s:
            return not self._settings.follow
        if self._settings.follow or self._scanned_s == float("-inf"):
            found = dict.fromkeys(self._find())
            for path in found:
                # A base that was renamed away for a moment still owns its rotations.
                owned = self._settings.follow and base_name(path) in self._tails
                if path not in self._tails and not owned:
                    place = self._forgotten.pop(path, TailPosition())
                    self._add(path, place, at_end=self._first and self._settings.start == "end")
            self._first = False
            if self._settings.follow:
                self._find_gone(now, [path for path in self._tails if path not in found])
        self._scanned_s = now
        return True

    def _find_gone(self, now_s: float, unlisted: Sequence[str]) -> None:
        """Lists the files that have been gone for long enough; `unlisted` are those that the scan did not find."""
        missing = {path: self._missing_since_s.get(path, now_s) for path in unlisted if not os.path.lexists(path)}
        due = [path for path, since_s in missing.items() if now_s - since_s >= self._settings.forget_s]
        self._gone.update(dict.fromkeys(due))
        self._missing_since_s = missing | dict.fromkeys(due, now_s)

    def _forget_next(self) -> LineBatch | None:
        """Drops a file that is gone, if there is one; the batch ends its partition."""
        if not self._gone:
            return None
        path, _ = self._gone.popitem()
        tail = self._tails[path]
        if not tail.is_gone():  # back again, or it has rotated files: looked at again after as long a time
            return None
        del self._tails[path]
        batch = self._batch(tail, tail.let_go())
        self._missing_since_s.pop(path, None)
        self._forgotten[path] = tail.place()
        while len(self._forgotten) > MOST_FORGOTTEN:
            del self._forgotten[next(iter(self._forgotten))]
        log.info("%s is gone and is forgotten", path)
        return replace(self._no_lines(tail) if batch is None else batch, ends_partition=True)

    def _no_lines(self, tail: Tail) -> LineBatch:
        now, none = self._wall_ns(), np.zeros(0, np.int64)
        return LineBatch(partition_name(tail.path), b"", none, none, now, now)

    def _add(self, path: str, place: TailPosition, *, at_end: bool) -> None:
        self._tails[path] = Tail(
            path,
            place,
            follow=self._settings.follow,
            at_end=at_end,
            max_line_bytes=self._settings.max_line_bytes,
            wall_ns=self._wall_ns,
        )

    def _batch(self, tail: Tail, cut: Cut) -> LineBatch | None:
        damage = tail.take_damage()
        if not cut and damage is None:
            return None
        name, now, high = partition_name(tail.path), self._wall_ns(), tail.generation << BYTE_BITS
        limit, positions = self._settings.max_line_bytes, cut.starts + np.int64(high)
        self._numbers.add(name, cut, positions, high)
        letters = [
            DeadLetter(place_of(name, high | byte, self._numbers), too_long(length, limit), raw, length)
            for byte, raw, length in cut.rejects
        ]
        if damage is not None:
            letters.append(DeadLetter(place_of(name, high | damage[0], self._numbers), damage[1], b"", 0))
        return LineBatch(name, cut.data, cut.ends, positions, now, now, tuple(letters))


class FileSource:
    """A worker's share of the files as one unit; every file is a `LineBatch.partition`."""

    def __init__(
        self,
        settings: FileSettings,
        *,
        worker: int = 0,
        of: int = 1,
        wall_ns: Callable[[], int] = time.time_ns,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """Takes the files whose path hashes to `worker` of `of`; clocks are for tests."""
        self._settings = settings
        self._worker = worker
        self._of = of
        self._wall_ns = wall_ns
        self._monotonic_s = monotonic_s
        self._numbers = LineNumbers()
        self._warned: set[str] = set()

    def partitions(self) -> Sequence[str]:
        """One unit a worker."""
        return (unit_of(self._worker, self._of),)

    def open(self, partition: str, resume: State | None) -> FilePartition:
        """See `Source.open`.

        Raises:
            SettingsError: without `follow`, a path names nothing that is there.
        """
        if not self._settings.follow and resume is None:
            for path in self._settings.paths:
                if not matches(path, links=self._settings.follow_links):
                    raise SettingsError(nothing_at(path))
        return FilePartition(self._settings, self.files, resume, self._wall_ns, self._monotonic_s, self._numbers)

    def describe(self, partition: str, position: int) -> str:
        """See `place_of`."""
        return place_of(partition, position, self._numbers)

    def files(self) -> list[str]:
        """The paths that are there now for this worker, sorted."""
        found = {p for pattern in self._settings.paths for p in self._matches(pattern) if not self._excluded(p)}
        if self._settings.follow:
            found = {p for p in found if base_name(p) == p or base_name(p) not in found}
        return sorted(p for p in found if self._mine(p))

    def _matches(self, pattern: str) -> list[str]:
        found = matches(pattern, links=self._settings.follow_links)
        if not found and pattern not in self._warned and matches(pattern, links=True):
            self._warned.add(pattern)
            log.warning("%s", nothing_at(pattern))
        return found

    def _excluded(self, path: str) -> bool:
        return any(fnmatch(os.path.basename(path), pattern) for pattern in self._settings.exclude)

    def _mine(self, path: str) -> bool:
        # Rotations of a followed file stay with the worker that follows it.
        return owner_of(path, self._of, follow=self._settings.follow) == self._worker


def owner_of(path: str, of: int, *, follow: bool) -> int:
    """The worker, of so many, that reads a file."""
    name = base_name(path) if follow else path
    return int.from_bytes(digest(os.fsencode(name), 8), "little") % of


def unit_of(worker: int, of: int) -> str:
    """Name of the unit that has the files of a worker."""
    return f"files/{worker}-of-{of}"


def partition_name(path: str) -> str:
    r"""The path as text; bytes that are not UTF-8 are written `\xNN`, since neither JSON nor keys carry them."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def place_of(path: str, position: int, numbers: LineNumbers | None = None) -> str:
    """`path, line L, byte N (rotation R)`; the line is left out where it is not known, and rotation 0."""
    generation, byte = position >> BYTE_BITS, position & ((1 << BYTE_BITS) - 1)
    place = line_place(path, byte, None if numbers is None else numbers.line_of(path, position))
    return place + (f" (rotation {generation})" if generation else "")
