"""Reading one file by byte position: text as it is, or text that has to be decompressed or decoded first.

The content decides, not the name (`connectors.file_content`). Positions count bytes of the text, in UTF-8. Files that
are text as they are are read with `pread` on a descriptor that is kept open, so a file that is renamed while it is read
is still read to its end.
"""

import os
import time
from pathlib import Path
from typing import Protocol

from connectors.file_content import (
    PROBE_BYTES,
    CheckedText,
    DamagedFileError,
    Decoder,
    RefusedFileError,
    decoder_of,
)
from foundation.content_ids import digest

COMPRESSED = (".gz", ".bz2", ".xz", ".zst", ".lz4")
"""Ends of names of files that do not grow once they are written."""

HEAD_BYTES = 1024
"""How much of a file's beginning its fingerprint covers."""

_SCAN_BYTES = 65_536

SKIP_BUDGET_S = 0.02
"""How long one call may decompress bytes that are skipped; keeps polls below 50 ms."""


class Reader(Protocol):
    """One open file."""

    def identity(self) -> str:
        """Device and inode, `dev:ino`."""
        ...

    def read(self, size: int) -> bytes | None:
        """The next bytes; b"" at the end as it is now; None where skipping has not finished."""
        ...

    def head(self, size: int) -> bytes:
        """The first `size` bytes, fewer where the file is shorter."""
        ...

    def stat(self) -> os.stat_result:
        """Of the open file, even if it was renamed."""
        ...

    def unread(self, byte: int) -> int:
        """Bytes on disk behind position `byte` of the text."""
        ...

    def close(self) -> None:
        """Closes the file; a second call does nothing."""
        ...


def is_compressed(path: str) -> bool:
    """By the file's name."""
    return path.endswith(COMPRESSED)


def identity(stat: os.stat_result) -> str:
    """Device and inode, `dev:ino`: the same file under any name."""
    return f"{stat.st_dev}:{stat.st_ino}"


def fingerprint(head: bytes) -> str:
    """Of the first bytes of a file."""
    return digest(head, 12).hex()


def fingerprint_of(path: str, size: int) -> str:
    """Of the first bytes of the file at a path, at most `size`.

    Raises:
        OSError: the file cannot be opened.
        RefusedFileError: it holds something that is not a log.
    """
    reader = open_reader(path, 0)
    try:
        return fingerprint(reader.head(size))
    finally:
        reader.close()


def last_line_end(path: str) -> int:
    """The byte behind the last whole line of a plain file, looking back a little way."""
    size = os.stat(path).st_size
    with Path(path).open("rb") as file:
        file.seek(max(0, size - _SCAN_BYTES))
        tail = file.read(_SCAN_BYTES)
    found = tail.rfind(b"\n")
    return max(0, size - _SCAN_BYTES) + found + 1 if found >= 0 else size


def open_reader(path: str, byte: int) -> Reader:
    """Opens `path` for reading from `byte` on.

    Raises:
        OSError: the file cannot be opened.
        RefusedFileError: it holds something that is not a log.
    """
    with Path(path).open("rb") as file:
        head = file.read(PROBE_BYTES)
    decoder = decoder_of(head)
    return PlainReader(path, byte) if decoder is None else DecodedReader(path, byte, decoder)


class PlainReader:
    """A file as it is."""

    def __init__(self, path: str, byte: int) -> None:
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._byte = byte

    def identity(self) -> str:
        """See `Reader`."""
        return identity(self.stat())

    def read(self, size: int) -> bytes:
        """See `Reader`."""
        block = os.pread(self._fd, size, self._byte)
        self._byte += len(block)
        return block

    def head(self, size: int) -> bytes:
        """See `Reader`."""
        return os.pread(self._fd, size, 0)

    def stat(self) -> os.stat_result:
        """See `Reader`."""
        return os.fstat(self._fd)

    def unread(self, byte: int) -> int:
        """See `Reader`."""
        return max(0, self.stat().st_size - byte)

    def close(self) -> None:
        """See `Reader`."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class DecodedReader:
    """A file whose text is compressed or in another encoding; resuming decodes and skips."""

    def __init__(self, path: str, byte: int, decoder: Decoder) -> None:
        self._path = path
        self._raw = Path(path).open("rb")
        self._text = CheckedText(decoder)
        self._skip = byte
        self._held = b""
        self._decoded = 0

    def identity(self) -> str:
        """See `Reader`."""
        return identity(self.stat())

    def read(self, size: int) -> bytes | None:
        """See `Reader`; of damaged data first what is whole.

        Raises:
            DamagedFileError: see the class.
            RefusedFileError: what was compressed is not a log.
        """
        until = time.monotonic() + SKIP_BUDGET_S
        while len(self._held) < size + self._skip:
            if not self._more():
                break
            skipped = min(self._skip, len(self._held))
            self._held, self._skip = self._held[skipped:], self._skip - skipped
            if self._skip and time.monotonic() > until:
                return None
        skipped = min(self._skip, len(self._held))
        block = self._held[skipped : skipped + size]
        self._held, self._skip = self._held[skipped + size :], self._skip - skipped
        if not block and size and self._text.damage is not None:
            raise self._text.damage
        return block

    def _more(self) -> bool:
        """Decodes some more; False at the end as it is now."""
        if self._text.damage is not None:
            return False
        raw = self._raw.read(65_536)
        text = self._text.feed(raw) if raw or not self._text.compressed else self._text.finish()
        self._held += text
        self._decoded += len(text)
        return bool(raw)

    def head(self, size: int) -> bytes:
        """See `Reader`; as much as decodes."""
        try:
            reader = open_reader(self._path, 0)
        except RefusedFileError:
            return b""
        try:
            return reader.read(size) or b""
        except (DamagedFileError, RefusedFileError):
            return b""
        finally:
            reader.close()

    def stat(self) -> os.stat_result:
        """See `Reader`."""
        return os.fstat(self._raw.fileno())

    def unread(self, byte: int) -> int:
        """See `Reader`; of what is decoded and not handed out, its share."""
        handed_out = self._raw.tell() * min(1.0, byte / max(1, self._decoded))
        return max(0, self.stat().st_size - int(handed_out))

    def close(self) -> None:
        """See `Reader`."""
        self._raw.close()
