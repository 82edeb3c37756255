"""Reading one file by byte position, plain or compressed.

Positions count decompressed bytes. Plain files are read with `pread` on a descriptor that is kept
open, so a file that is renamed while it is read is still read to its end.
"""

import contextlib
import gzip
import io
import lzma
import os
import time
import zlib
from pathlib import Path
from typing import IO, Protocol, cast

import zstandard

from foundation.content_ids import digest

COMPRESSED = (".gz", ".xz", ".zst")

HEAD_BYTES = 1024
"""How much of a file's beginning its fingerprint covers."""

SKIP_BUDGET_S = 0.02
"""How long one call may decompress bytes that are skipped; keeps polls below 50 ms."""

_DAMAGED = (EOFError, lzma.LZMAError, zlib.error, zstandard.ZstdError, gzip.BadGzipFile)


class DamagedFileError(Exception):
    """Compressed data ends early or does not decompress."""


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


def open_reader(path: str, byte: int) -> Reader:
    """Opens `path` for reading from `byte` on.

    Raises:
        OSError: the file cannot be opened.
    """
    return CompressedReader(path, byte) if is_compressed(path) else PlainReader(path, byte)


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

    def close(self) -> None:
        """See `Reader`."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class CompressedReader:
    """A gz, xz or zst file, all of its frames; resuming decompresses and skips."""

    def __init__(self, path: str, byte: int) -> None:
        self._path = path
        self._raw = Path(path).open("rb")
        self._stream = _decompressed(path, self._raw)
        self._skip = byte

    def identity(self) -> str:
        """See `Reader`."""
        return identity(self.stat())

    def read(self, size: int) -> bytes | None:
        """See `Reader`.

        Raises:
            DamagedFileError: see the class.
        """
        try:
            until = time.monotonic() + SKIP_BUDGET_S
            while self._skip:
                skipped = self._stream.read(min(self._skip, 262_144))
                if not skipped:
                    return b""
                self._skip -= len(skipped)
                if time.monotonic() > until:
                    return None
            block = self._stream.read(size)
            if not block and size and self._path.endswith(".zst"):
                _check_frames(self._raw)
            return block
        except _DAMAGED as error:
            raise DamagedFileError(f"{error or type(error).__name__}") from error

    def head(self, size: int) -> bytes:
        """See `Reader`; as much as decompresses."""
        try:
            with Path(self._path).open("rb") as raw:
                return _decompressed(self._path, raw).read(size)
        except _DAMAGED:
            return b""

    def stat(self) -> os.stat_result:
        """See `Reader`."""
        return os.fstat(self._raw.fileno())

    def close(self) -> None:
        """See `Reader`."""
        if not self._raw.closed:
            self._stream.close()
            self._raw.close()


def text_size(path: str) -> int:
    """Bytes of a file's text; an archive is decompressed for it, a damaged one as far as it can be.

    Raises:
        OSError: the file cannot be read.
    """
    if not is_compressed(path):
        return Path(path).stat().st_size
    size = 0
    # The damage is reported where the lines are read.
    with Path(path).open("rb") as raw, contextlib.suppress(*_DAMAGED), _decompressed(path, raw) as stream:
        while block := stream.read(1 << 20):
            size += len(block)
    return size


def _decompressed(path: str, raw: IO[bytes]) -> io.BufferedIOBase:
    if path.endswith(".gz"):
        return gzip.GzipFile(fileobj=raw, mode="rb")
    if path.endswith(".xz"):
        return lzma.LZMAFile(raw)
    reader = zstandard.ZstdDecompressor().stream_reader(raw, read_across_frames=True, closefd=False)
    return io.BufferedReader(cast(io.RawIOBase, reader))


def _check_frames(raw: IO[bytes]) -> None:
    """Checks the end of a zstd file whether its last frame is whole; the library takes a cut for the end.

    Nothing is decompressed: frames and blocks say how long they are (RFC 8878, section 3.1).

    Raises:
        EOFError: the file ends inside a frame.
    """
    size = os.fstat(raw.fileno()).st_size
    at = 0
    while at < size:
        raw.seek(at)
        head = raw.read(18)  # the longest frame header
        if head[1:4] == b"\x2a\x4d\x18":  # a frame to be skipped, 184D2A50 to 184D2A5F
            at += 8 + int.from_bytes(head[4:8], "little")
            continue
        try:
            at += zstandard.frame_header_size(head)
            checksum = zstandard.get_frame_parameters(head).has_checksum
        except zstandard.ZstdError:
            break  # no frame: the decompressor states what is wrong
        last = False
        while not last and at < size:
            raw.seek(at)
            block = int.from_bytes(raw.read(3), "little")
            last = bool(block & 1)
            repeated = (block >> 1) & 3 == 1  # one byte represents as many as the size gives
            at += 3 + (1 if repeated else block >> 3)
        at += 4 * checksum
        if not last:
            at = size + 1
    if at > size:
        raise EOFError("the file ends inside a zstd frame")
    raw.seek(size)
