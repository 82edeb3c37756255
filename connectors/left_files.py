"""Files of a rotated log that a reader left for another one, and how far it read each of them.

A program that still has such a file open may write to it later. A file is known by its device and inode; since another
file may get the inode of one that was deleted, its beginning is compared as well.
"""

import os
from collections.abc import Mapping
from typing import Any, NamedTuple

from connectors.file_content import RefusedFileError
from connectors.file_reader import HEAD_BYTES, fingerprint_of, identity
from connectors.line_splitter import UNKNOWN_LINE

MOST_LEFT = 16
"""Files that are remembered after a rotation: few programs keep more than one old file open."""


class Left(NamedTuple):
    """How far a file was read.

    Attributes:
        byte: Place behind the last whole line.
        line: How many lines come before it, or `UNKNOWN_LINE`.
        size: Bytes of the file, which include a line without an end.
        head: Fingerprint of what comes before `byte`; "" where it is not known.
    """

    byte: int
    line: int
    size: int = 0
    head: str = ""


class LeftFiles:
    """The files, by device and inode, the one left last at the end."""

    def __init__(self, saved: Mapping[str, list[Any]]) -> None:
        """Takes what `dump` gave."""
        self._files = {inode: Left(*part) for inode, part in saved.items()}

    def __contains__(self, inode: str) -> bool:
        return inode in self._files

    def add(self, path: str, stat: os.stat_result) -> None:
        """Adds a plain file as if all of it had been read."""
        size = stat.st_size
        self.note(identity(stat), Left(size, UNKNOWN_LINE, size, _head_of(path, size)))

    def note(self, inode: str, left: Left) -> None:
        """Adds a file; beyond `MOST_LEFT` the one left longest ago is forgotten."""
        self.forget(inode)
        self._files[inode] = left
        while len(self._files) > MOST_LEFT:
            del self._files[next(iter(self._files))]

    def forget(self, inode: str) -> None:
        """Removes a file if it is there."""
        self._files.pop(inode, None)

    def find(self, path: str, stat: os.stat_result, seen_ns: int = 0) -> Left | None:
        """How far a file was read; None where it was never left.

        Args:
            path: Where it is now.
            stat: Its state.
            seen_ns: A file that has not grown, and was not changed since, is not opened to compare its beginning.

        Raises:
            OSError: it cannot be opened.
        """
        inode = identity(stat)
        left = self._files.get(inode)
        if left is None or not left.head or (stat.st_size <= left.size and stat.st_mtime_ns <= seen_ns):
            return left
        try:
            if _head_of(path, left.byte) == left.head:
                return left
        except FileNotFoundError:  # removed or compressed between listing and looking
            return left
        self.forget(inode)
        return None

    def dump(self) -> dict[str, list[Any]]:
        """JSON-compatible state."""
        return {inode: list(left) for inode, left in self._files.items()}


def _head_of(path: str, byte: int) -> str:
    try:
        return fingerprint_of(path, min(HEAD_BYTES, byte))
    except RefusedFileError:
        return ""
