"""What a file holds, by its first bytes: text, compressed text, text in UTF-16 or UTF-32, or something else."""

import bz2
import codecs
import lzma
import zlib
from collections.abc import Callable
from typing import Protocol

import zstandard

from foundation.extras import MissingExtraError, require

PROBE_BYTES = 512
"""How much of the beginning tells what a file holds."""

_FEED_BYTES = 2048
"""Compressed bytes given to a decompressor at a time. What one of them damages is lost, so they are few."""


class DamagedFileError(Exception):
    """Compressed data ends early or does not decompress."""


class RefusedFileError(Exception):
    """The file holds something that is not a log; the message states what."""


class Decoder(Protocol):
    """Turns the bytes of a file into those of its text, in order."""

    def feed(self, data: bytes) -> bytes:
        """The text of further bytes.

        Raises:
            DamagedFileError: see the class.
        """
        ...

    def finish(self) -> bytes:
        """What is left at the end of the file.

        Raises:
            DamagedFileError: the file ends in the middle.
        """
        ...


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, /) -> bytes: ...


# LZ4 raises RuntimeError.
_ERRORS = (EOFError, OSError, RuntimeError, lzma.LZMAError, zlib.error, zstandard.ZstdError)


class Decompressing:
    """Members or frames one behind the other; each gives what it holds, up to the damage."""

    def __init__(self, name: str, make: Callable[[], _Decompressor], magic: tuple[bytes, ...]) -> None:
        self._name = name
        self._make = make
        self._magic = magic
        self._member: _Decompressor | None = None
        self._held = b""
        self._out = bytearray()

    def feed(self, data: bytes) -> bytes:
        """See `Decoder`; what was decompressed before damage is given by `finish`."""
        try:
            for at in range(0, len(data), _FEED_BYTES):
                self._feed(data[at : at + _FEED_BYTES])
        except MissingExtraError as error:
            raise RefusedFileError(f"is {self._name} data, and {error}") from error
        except _ERRORS as error:
            raise DamagedFileError(f"{error or type(error).__name__}") from error
        return self._taken()

    def _feed(self, data: bytes) -> None:
        data = self._held + data
        self._held = b""
        while data:
            if self._member is None:
                data = data.lstrip(b"\0")  # tapes and some writers pad
                if data and len(data) < len(max(self._magic, key=len)):
                    self._held = data
                    return
                if not data:
                    return
                if not data.startswith(self._magic):
                    raise DamagedFileError(f"behind its {self._name} data is something else")
                self._member = self._make()
            self._out += self._member.decompress(data)
            if not self._member.eof:
                return
            data, self._member = self._member.unused_data, None

    def finish(self) -> bytes:
        """See `Decoder`."""
        if self._member is not None:
            raise DamagedFileError(f"the file ends inside its {self._name} data")
        return self._taken()

    def _taken(self) -> bytes:
        out = bytes(self._out)
        self._out.clear()
        return out

    def rest(self) -> bytes:
        """What was decompressed before the damage that `feed` reported."""
        return self._taken()


class WideText:
    """UTF-16 or UTF-32 as UTF-8."""

    def __init__(self, encoding: str) -> None:
        self._decoder = codecs.getincrementaldecoder(encoding)("replace")

    def feed(self, data: bytes) -> bytes:
        """See `Decoder`."""
        return self._decoder.decode(data).removeprefix("\ufeff").encode("utf-8", "replace")

    def finish(self) -> bytes:
        """See `Decoder`."""
        return b""


class CheckedText:
    """The text of one file or stream, block by block; refused where what was compressed turns out not to be a log.

    Attributes:
        compressed: Whether the decoder decompresses.
        damage: Why nothing further can be decoded, once what is whole before it was given.
    """

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder
        self.compressed = isinstance(decoder, Decompressing)
        self.damage: DamagedFileError | None = None
        self._probed = not self.compressed

    def feed(self, raw: bytes) -> bytes:
        """The text that these bytes complete.

        Raises:
            RefusedFileError: it is not a log.
        """
        return self._checked(lambda: self._decoder.feed(raw))

    def finish(self) -> bytes:
        """What is left at the end, as `feed`."""
        return self._checked(self._decoder.finish)

    def _checked(self, decode: Callable[[], bytes]) -> bytes:
        try:
            text = decode()
        except DamagedFileError as error:
            self.damage = error
            text = self._decoder.rest() if isinstance(self._decoder, Decompressing) else b""
        if text and not self._probed:
            self._probed = True
            refuse(text[:PROBE_BYTES])
        return text


def _lz4() -> _Decompressor:
    require("lz4", "reading it")
    import lz4.frame  # type: ignore[import-untyped]

    decompressor: _Decompressor = lz4.frame.LZ4FrameDecompressor()
    return decompressor


_SKIPPED_FRAMES = tuple(bytes([0x50 + i]) + b"\x2a\x4d\x18" for i in range(16))
"""Frames of the user's own, which Zstandard and LZ4 have in common and decompress to nothing."""

COMPRESSIONS: dict[str, tuple[tuple[bytes, ...], Callable[[], _Decompressor]]] = {
    "gzip": ((b"\x1f\x8b\x08",), lambda: zlib.decompressobj(31)),
    "bzip2": ((b"BZh",), bz2.BZ2Decompressor),
    "xz": ((b"\xfd7zXZ\0",), lzma.LZMADecompressor),
    "LZMA": ((b"\x5d\0\0",), lzma.LZMADecompressor),
    "zstd": ((b"\x28\xb5\x2f\xfd",), lambda: zstandard.ZstdDecompressor().decompressobj()),
    "LZ4": ((b"\x04\x22\x4d\x18",), _lz4),
}
"""Name → how its members begin, and a decompressor of one."""

REFUSED = {
    b"\x02\x21\x4c\x18": "LZ4 data in the legacy format, which lz4 -l writes",
    b"\xff\x06\x00\x00sNaPpY": "Snappy data",
    b"\x1f\x9d": "data of compress (.Z)",
    b"PK\x03\x04": "a ZIP archive",
    b"7z\xbc\xaf\x27\x1c": "a 7-Zip archive",
    b"Rar!\x1a\x07": "a RAR archive",
    b"PAR1": "a Parquet file",
    b"ORC": "an ORC file",
    b"Obj\x01": "an Avro file",
    b"SQLite format 3\0": "an SQLite database",
    b"\x89PNG\r\n": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"GIF8": "a GIF image",
    b"%PDF-": "a PDF document",
    b"\x7fELF": "a program",
    b"MZ\x90\0": "a program",
    b"LPKSHHRH": "a binary file of systemd's journal; read it with journalctl -o json",
    b"ElfFile\0": "a binary Windows event log; export it as XML or CSV",
    b"\xd4\xc3\xb2\xa1": "a capture of packets",
    b"\n\r\r\n": "a capture of packets",
}
"""First bytes → description of a file that does not hold lines of text."""

_WIDE = {
    b"\xff\xfe\0\0": "utf-32-le", b"\0\0\xfe\xff": "utf-32-be", b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be",
}  # fmt: skip
_CONTROLS = bytes(i for i in range(32) if i not in b"\0\t\n\r\x0b\x0c\x1b\x08")
_MOST_CONTROLS, _MOST_BESIDE_LETTERS = 0.2, 0.04
"""Shares of control characters: in text, such as that of FIX with its separators, and where bytes are not UTF-8."""


def decoder_of(head: bytes) -> Decoder | None:
    """What turns a file that begins with these bytes into text; None where it is text as it is.

    Raises:
        RefusedFileError: it is not a log.
    """
    for name, (magic, make) in COMPRESSIONS.items():
        skipped = _SKIPPED_FRAMES if name in ("zstd", "LZ4") else ()
        if head.startswith(magic + skipped):
            return Decompressing(name, make, magic + skipped)
    for magic_, encoding in _WIDE.items():
        # Two stray bytes at the beginning of other text are not a mark: text in UTF-16 has zeros.
        if head.startswith(magic_) and head.count(0) > 0.2 * len(head):
            return WideText(encoding)
    refuse(head)
    return _unmarked_utf16(head)


def refuse(head: bytes) -> None:
    """Refuse what is not text.

    Raises:
        RefusedFileError: it begins as something else, or has too many control characters.
    """
    for magic, kind in REFUSED.items():
        if head.startswith(magic):
            raise RefusedFileError(f"is {kind}, not a log")
    if head[257:262] == b"ustar":
        raise RefusedFileError("is a tar archive, not a log: unpack it first")
    text = head.lstrip(b"\0")
    controls = len(text) - len(text.translate(None, _CONTROLS))
    most = _MOST_CONTROLS if _is_utf8(text) else _MOST_BESIDE_LETTERS
    if len(text) >= 64 and controls > most * len(text):
        raise RefusedFileError("is binary, not a log")


def _is_utf8(head: bytes) -> bool:
    """Whether these bytes are UTF-8; the last letter may be cut."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return True


def _unmarked_utf16(head: bytes) -> Decoder | None:
    """UTF-16 without a mark: nearly every other byte of its beginning is 0."""
    even, odd = head[0:PROBE_BYTES:2], head[1:PROBE_BYTES:2]
    if len(odd) < 8:
        return None
    for zeros, letters, encoding in ((odd, even, "utf-16-le"), (even, odd, "utf-16-be")):
        if zeros.count(0) > 0.9 * len(zeros) and letters.count(0) < 0.1 * len(letters):
            return WideText(encoding)
    return None
