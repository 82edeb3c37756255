"""One path, followed through rotation and truncation.

What happens to a log file, and what is done about it:

1. *Renamed*, a new file under its name: the old file is read to its end through the descriptor
   still open, then files that were rotated away unseen (later modification time), then the new one.
   How far each file was read is remembered by its device and inode: what a program that still has the
   old file open writes to it later is read from there, under whatever name the file has by then.
2. *Copied and truncated*: the copy is found next to it by its fingerprint (a hash of the first KiB)
   and the rest is read from there, then the file from its beginning.
3. *Truncated* without a copy, or rewritten: read from its beginning.
4. *Any of these while the engine was stopped*: the saved inode, byte and fingerprint find the old
   content among the rotated files, compressed ones too; if it is gone, a warning names the place.

Every step to another file's content adds one to the generation, so that positions stay unique.
"""

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from connectors.base import SourceUnavailableError
from connectors.file_content import DamagedFileError, RefusedFileError
from connectors.file_reader import (
    HEAD_BYTES,
    DecodedReader,
    Reader,
    fingerprint,
    fingerprint_of,
    identity,
    is_compressed,
    last_line_end,
    open_reader,
)
from connectors.left_files import MOST_LEFT, Left, LeftFiles
from connectors.line_splitter import UNKNOWN_LINE, Cut, LineCutter
from connectors.rotations import rotations, stats_of

log = logging.getLogger(__name__)

COPY_BYTES = 16
"""Fewest bytes of a fingerprint that may identify a file of another inode."""

SETTLE_NS = 10_000_000_000
"""A compressed file changed within this time may still be being written; its end is not an error."""


@dataclass(frozen=True, slots=True)
class TailPosition:
    """Where reading of a path stands: what is saved for it.

    Attributes:
        generation: See `Tail`.
        byte: Place in the file behind the last line handed out.
        inode: Device and inode of the file.
        head_bytes, head: Length and fingerprint of its beginning.
        ended: See `Tail`.
        mtime_ns: Files next to the path that changed later, and are not in `left`, were rotated away unread.
        left: Files that were left for another one or rotated away before the first look, see `LeftFiles`.
        line: How many lines come before `byte`, or `UNKNOWN_LINE`.
    """

    generation: int = 0
    byte: int = 0
    inode: str = ""
    head_bytes: int = 0
    head: str = ""
    ended: bool = False
    mtime_ns: int = 0
    left: dict[str, list[Any]] = field(default_factory=dict)
    line: int = UNKNOWN_LINE


class Tail:
    """Reads one path in blocks of whole lines.

    Attributes:
        path: As in the settings; names the partition.
        generation: How many times the content behind the path was another.
        ended: Nothing more will come.
        damage: Reason and byte of damaged data or of a file that is not a log, until taken with `take_damage`.
    """

    def __init__(
        self,
        path: str,
        place: TailPosition,
        *,
        follow: bool,
        at_end: bool,
        max_line_bytes: int,
        wall_ns: Callable[[], int],
    ) -> None:
        self.path = path
        self.generation = place.generation
        # A plain file may have grown since its end was reached; a compressed one does not.
        self.ended = place.ended and is_compressed(path)
        self._wall_ns = wall_ns
        self._damage: tuple[int, str] | None = None
        self._place = place
        self._follow = follow
        self._at_end = at_end
        self._max_line_bytes = max_line_bytes
        self._reader: Reader | None = None
        self._cutter = LineCutter(place.byte, max_line_bytes, place.line)
        self._head = b""
        self._opened = False
        self._left = LeftFiles(place.left)
        self._seen_ns = place.mtime_ns

    def read(self, block_bytes: int, *, check: bool) -> Cut:
        """The next whole lines of at most one block, or an empty cut if there are none now.

        Args:
            block_bytes: Bytes read at most.
            check: Whether to look for rotation, which asks the file system.

        Raises:
            SourceUnavailableError: the file is there and cannot be read.
        """
        try:
            reader = self._reader or self._open(check)
            return Cut() if reader is None else self._read(reader, block_bytes, check)
        except RefusedFileError as error:
            return self._refuse(str(error))
        except OSError as error:
            raise SourceUnavailableError(f"cannot read {self.path}: {error.strerror or error}") from error

    def place(self) -> TailPosition:
        """The place behind the last line handed out."""
        if self._reader is None:
            return self._place
        head = self._head[: self._cutter.byte]
        return TailPosition(
            self.generation, self._cutter.byte, self._reader.identity(), len(head), fingerprint(head), self.ended,
            self._seen_ns, self._left.dump(), self._cutter.line,
        )  # fmt: skip

    def take_damage(self) -> tuple[int, str] | None:
        """Byte and reason of damaged compressed data, or of a file that is not a log, once."""
        damage, self._damage = self._damage, None
        return damage

    def lag_bytes(self) -> int:
        """Bytes of the current file not yet handed out; of a compressed one those not yet decompressed."""
        if self.ended:
            return 0
        if self._reader is not None:
            return self._reader.unread(self._cutter.byte)
        try:
            return max(0, os.stat(self.path).st_size - self._place.byte)
        except OSError:
            return 0

    def close(self) -> None:
        """Closes the file and keeps the place."""
        if self._reader is not None:
            self._place = self.place()
            self._reader.close()
            self._reader = None

    def is_gone(self) -> bool:
        """Whether the path names nothing, and no file next to it is a rotation of it."""
        return not os.path.lexists(self.path) and not any(rotations(self.path))

    def let_go(self) -> Cut:
        """Closes the file for good; a last line without a line end is handed out."""
        last = Cut() if self._reader is None else self._cutter.finish()
        self.close()
        self._place = replace(self._place, ended=True)
        return last

    # Opening

    def _open(self, check: bool) -> Reader | None:
        if self.ended or (self._opened and not check):
            return None
        self._opened = True
        if self._place.inode:
            return self._reopen(self._place)
        if not os.path.exists(self.path):
            self.ended = not self._follow
            return None
        self._begin()
        return self._use(self.path, last_line_end(self.path) if self._at_end else 0)

    def _begin(self) -> None:
        """Notes what was rotated away before the first look: only what is written to it from now on is read."""
        self._seen_ns = os.stat(self.path).st_mtime_ns
        if self._follow and not is_compressed(self.path):
            plain = [each for each in rotations(self.path) if not is_compressed(each[0])]
            for path, stat in sorted(plain, key=lambda each: each[1].st_mtime_ns)[-MOST_LEFT:]:
                self._left.add(path, stat)

    def _reopen(self, saved: TailPosition) -> Reader | None:
        if not saved.byte and (unread := self._rotated_since(saved)) is not None:
            self.generation = saved.generation + 1
            return self._use(unread, 0)
        old = self._find(saved)
        if old is not None:
            return self._use(old, saved.byte, saved.line)
        if not os.path.exists(self.path):
            self.ended = not self._follow
            return None
        if saved.byte and not saved.ended:
            log.warning(
                "%s was replaced and its old content is gone: lines behind byte %d of rotation %d, if any, are lost",
                self.path,
                saved.byte,
                saved.generation,
            )
        self.generation = saved.generation + 1
        return self._use(self.path, 0)

    def _find(self, saved: TailPosition) -> str | None:
        for path, stat in (*stats_of([self.path]), *rotations(self.path)):
            try:
                same = identity(stat) == saved.inode
                if not (same or saved.head_bytes >= COPY_BYTES):
                    continue
                if not is_compressed(path) and stat.st_size < saved.byte:
                    continue
                if not saved.head_bytes or fingerprint_of(path, saved.head_bytes) == saved.head:
                    return path
            except OSError:
                continue  # removed or compressed between listing and looking: not the one
        return None

    def _rotated_since(self, saved: TailPosition) -> str | None:
        """The oldest file that was rotated away after the saved moment, at which nothing of the current was read."""
        later = [
            (stat.st_mtime_ns, path)
            for path, stat in rotations(self.path)
            if 0 < saved.mtime_ns < stat.st_mtime_ns and identity(stat) not in self._left
        ]
        return min(later)[1] if later else None

    def _use(self, path: str, byte: int, line: int = UNKNOWN_LINE) -> Reader:
        reader = open_reader(path, byte)
        if self._reader is not None:
            self._reader.close()
        self._reader = reader
        self._cutter = LineCutter(byte, self._max_line_bytes, line)
        self._head = reader.head(min(HEAD_BYTES, byte))
        self._at_end = False
        return reader

    # Reading

    def _read(self, reader: Reader, block_bytes: int, check: bool) -> Cut:
        if not isinstance(reader, DecodedReader) and self._was_truncated(reader):
            return self._after_truncation()
        try:
            block = reader.read(block_bytes)
        except DamagedFileError as error:
            return self._end_damaged(reader, str(error))
        if block is None:
            return Cut()
        if block:
            if len(self._head) < HEAD_BYTES:
                self._head = (self._head + block)[:HEAD_BYTES]
            return self._cutter.feed(block)
        return self._at_file_end(reader, check)

    def _was_truncated(self, reader: Reader) -> bool:
        if reader.stat().st_size < self._cutter.byte + self._cutter.held_bytes:
            return True
        return bool(self._head) and reader.head(len(self._head)) != self._head

    def _after_truncation(self) -> Cut:
        place = self.place()
        copy = next((p for p in [self._find(place)] if p and p != self.path), None)
        if copy is not None:
            self._use(copy, place.byte, place.line)
            return Cut()
        log.info("%s was truncated at byte %d: reading it from its beginning", self.path, place.byte)
        self.generation += 1
        self._use(self.path, 0)
        return Cut()

    def _at_file_end(self, reader: Reader, check: bool) -> Cut:
        if self._follow and not check:
            return Cut()
        following = self._next_file(reader)
        if following is not None:
            return self._advance(reader, *following)
        if not self._follow:
            return self._end()
        if is_compressed(self.path):
            return self._end()
        if reader.stat().st_nlink == 0:
            return self._leave(reader)
        return Cut()

    def _next_file(self, reader: Reader) -> tuple[str, int, int] | None:
        """The file to read after this one, from which byte on, and how many lines come before it.

        That is one left before that has grown, the oldest one rotated away later, or the current one.
        """
        mine = reader.identity()
        try:
            current = os.stat(self.path)
        except FileNotFoundError:
            return None
        is_current = identity(current) == mine
        if is_current:
            self._seen_ns = current.st_mtime_ns
        later: list[tuple[int, str]] = []
        for path, stat in rotations(self.path):
            inode = identity(stat)
            if inode == mine:
                continue
            if (left := self._left.find(path, stat, self._seen_ns)) is not None:
                if stat.st_size > left.size and not is_compressed(path):
                    return path, left.byte, left.line
            elif not is_current and self._is_unread(reader, path, stat, current):
                later.append((stat.st_mtime_ns, path))
        if is_current or (self._follow and current.st_size == 0):
            return None
        if later:
            # A late line in a file must not hide those that were rotated away after it.
            self._seen_ns, path = min(later)
            return path, 0, 0
        before = self._left.find(self.path, current)
        if before is not None and before.size <= current.st_size:
            return self.path, before.byte, before.line
        self._left.forget(identity(current))
        return self.path, 0, 0

    def _is_unread(self, reader: Reader, path: str, stat: os.stat_result, current: os.stat_result) -> bool:
        """Whether a file that was never left was rotated away after this one."""
        if stat.st_mtime_ns <= self._seen_ns or not is_compressed(path):
            return stat.st_mtime_ns > self._seen_ns
        # Compressing makes another inode of a file that was read, and keeps its time. One that was read, got late lines
        # and was compressed while an older one got late lines too is not recognised, and read again.
        newer = reader.stat().st_mtime_ns < stat.st_mtime_ns <= current.st_mtime_ns
        return newer and fingerprint_of(path, len(self._head)) != fingerprint(self._head)

    def _advance(self, reader: Reader, path: str, byte: int, line: int) -> Cut:
        # What the old file got while the new one was looked for comes first.
        size = reader.stat().st_size
        more = reader.read(1 << 20)
        if more:
            return self._cutter.feed(more)
        # If a file that was left before comes next, this one continues later, and so may the line that is not complete.
        if identity(os.stat(path)) not in self._left:
            last = self._cutter.finish()
            if last:
                return last
        head = self._head[: self._cutter.byte]
        self._left.note(reader.identity(), Left(self._cutter.byte, self._cutter.line, size, fingerprint(head)))
        self.generation += 1
        self._left.forget(self._use(path, byte, line).identity())
        return Cut()

    def _leave(self, reader: Reader) -> Cut:
        """The file was deleted: hands out what is left and lets go of it, so that its space is freed."""
        last = self._cutter.finish()
        if not last:
            self._place = replace(self.place(), ended=True)
            reader.close()
            self._reader = None
        return last

    def _end(self) -> Cut:
        last = self._cutter.finish()
        self.ended = True
        self.close()
        return last

    def _refuse(self, reason: str) -> Cut:
        """The file is not a log: one dead letter states the reason, and nothing of it is read."""
        self._damage = (0, reason)
        self._cutter = LineCutter(self._cutter.byte, self._max_line_bytes, self._cutter.line)
        self.ended = True
        self.close()
        return Cut()

    def _end_damaged(self, reader: Reader, reason: str) -> Cut:
        if self._follow and self._wall_ns() - reader.stat().st_mtime_ns < SETTLE_NS:
            self.close()
            return Cut()
        self._damage = (self._cutter.byte + self._cutter.held_bytes, f"compressed data is damaged: {reason}")
        # What is whole was read; the line that the damage tore is left out.
        self._cutter = LineCutter(self._cutter.byte, self._max_line_bytes, self._cutter.line)
        return self._end()
