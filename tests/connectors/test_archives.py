"""Compressed and encoded files, damage, and files that are not logs."""

import bz2
import contextlib
import gzip
import lzma
import os
import random
from pathlib import Path

import lz4.frame
import pytest
import zstandard

from connectors.files import FileSettings, FileSource
from tests.support.file_reading import Reading


def lz4_compress(text: bytes) -> bytes:
    """As `lz4` on the command line does, with checksums: garbled blocks decompress without them."""
    return lz4.frame.compress(text, content_checksum=True, block_checksum=True)


def xz_compress(text: bytes) -> bytes:
    """At the fastest of its levels, which the reader does not see."""
    return lzma.compress(text, preset=0)


def lzma_compress(text: bytes) -> bytes:
    """The format before xz."""
    return lzma.compress(text, format=lzma.FORMAT_ALONE, preset=0)


COMPRESSORS = [gzip.compress, bz2.compress, xz_compress, lzma_compress, zstandard.compress, lz4_compress]


@pytest.mark.parametrize(
    ("suffix", "compress"),
    [("", bytes), (".gz", gzip.compress), (".xz", xz_compress), (".zst", zstandard.compress)],
)
def test_the_lag_of_a_file_is_what_of_it_was_not_read(suffix, compress, tmp_path):
    path = tmp_path / f"app.log{suffix}"
    path.write_bytes(compress(os.urandom(1_000_000).hex("\n", 40).encode()))
    reader = FileSource(FileSettings(paths=(str(path),), block_bytes=65_536)).open("0", None)
    lags = []
    with contextlib.suppress(StopIteration):
        while True:
            if reader.next_batch() is not None:
                lags.append(reader.lag())
    assert lags == sorted(lags, reverse=True)
    assert lags[0] > 0.8 * path.stat().st_size
    assert lags[-1] == 0


TEXT = b"".join(b"line %d of a log\n" % i for i in range(2000))


@pytest.mark.parametrize("name", ["a.log.gz", "a.log.bz2", "a.log.xz", "a.log.zst", "a.log.lz4", "a.log"])
@pytest.mark.parametrize("make", COMPRESSORS)
def test_the_content_decides_and_all_members_are_read(tmp_path: Path, name: str, make) -> None:
    (tmp_path / name).write_bytes(make(TEXT) + make(b"second\n"))
    reading = Reading(tmp_path / name, follow=False)
    assert reading.lines() == [*TEXT.splitlines(), b"second"]
    (tmp_path / name).write_bytes(TEXT)
    assert Reading(tmp_path / name, follow=False).lines() == TEXT.splitlines()


@pytest.fixture(scope="module")
def noise() -> bytes:
    """Lines of which a block of any format holds a small part."""
    rng = random.Random(3)
    return b"".join(rng.randbytes(40).hex().encode() + b"\n" for _ in range(20_000))


@pytest.mark.parametrize("make", COMPRESSORS)
@pytest.mark.parametrize("damage", ["cut", "garbled", "followed"])
def test_what_lies_before_damage_is_read(tmp_path: Path, noise: bytes, make, damage: str) -> None:
    raw = make(noise)
    place = len(raw) * 3 // 4
    garbled = raw[:place] + bytes(200) + raw[place + 200 :]
    raw = {"cut": raw[:place], "garbled": garbled, "followed": raw + b"x" * 99}[damage]
    (tmp_path / "a.log.z").write_bytes(raw)
    reading = Reading(tmp_path / "a.log.z", follow=False)
    lines = reading.lines()
    whole = noise.splitlines()
    # Where data is garbled, zstd and bzip2 lose the block that it is in, and gzip notices it late.
    sure = len(whole) if damage == "followed" else len(whole) // 2
    assert lines[:sure] == whole[:sure]
    assert damage == "garbled" or lines == whole[: len(lines)]
    (letter,) = [r for b in reading.batches for r in b.rejects]
    assert "damaged" in letter.reason


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_utf_16_and_32_are_decoded(tmp_path: Path, encoding: str) -> None:
    text = "2024-03-10 06:25:01 spid7s Größe überschritten €\r\nnext\n" * 3
    (tmp_path / "ERRORLOG").write_bytes(text.encode(encoding))
    assert Reading(tmp_path / "ERRORLOG", follow=False).lines() == text.encode().split(b"\n")[:-1]


@pytest.mark.parametrize(
    ("head", "words"),
    [
        (b"PAR1\x15\x04", "a Parquet file"),
        (b"\x89PNG\r\n\x1a\n", "a PNG image"),
        (b"PK\x03\x04abc", "a ZIP archive"),
        (b"\x02\x21\x4c\x18abc", "LZ4 data in the legacy format"),
        (b"LPKSHHRH", "journalctl"),
        (bytes(range(1, 9)) * 40, "binary"),
        (gzip.compress(b"PAR1\x15\x04", mtime=0), "a Parquet file"),
        (gzip.compress(b"a.log" + bytes(252) + b"ustar" + bytes(250), mtime=0), "a tar archive"),
    ],
)
def test_what_is_not_a_log_is_refused_in_one_sentence(tmp_path: Path, head: bytes, words: str) -> None:
    (tmp_path / "odd").write_bytes(head + b"\nmore\n" * 5)
    (tmp_path / "other.log").write_bytes(b"fine\n")
    reading = Reading(tmp_path, follow=False)
    assert reading.lines() == [b"fine"]
    (letter,) = [r for b in reading.batches for r in b.rejects]
    assert words in letter.reason


def test_lz4_without_its_package_is_refused_in_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("foundation.extras.find_spec", lambda name: None)
    (tmp_path / "a.log.lz4").write_bytes(lz4.frame.compress(TEXT))
    reading = Reading(tmp_path / "a.log.lz4", follow=False)
    assert reading.lines() == []
    (letter,) = reading.batches[0].rejects
    assert letter.reason == (
        "is LZ4 data, and reading it needs lz4, which is not installed: pip install 'driftline[lz4]'"
    )


def test_bytes_that_are_neither_text_nor_a_known_file_are_refused(tmp_path: Path) -> None:
    (tmp_path / "blob").write_bytes(random.Random(1).randbytes(5_000))
    (tmp_path / "fix.log").write_bytes(b"8=FIX.4.2\x019=65\x0135=A\x0149=BUYER\x0156=SELLER\x01\n" * 20)
    (tmp_path / "old.log").write_bytes("Größe überschritten\n".encode("cp1252") * 20)
    reading = Reading(tmp_path / "blob", follow=False)
    assert reading.lines() == []
    (letter,) = [r for b in reading.batches for r in b.rejects]
    assert "is binary, not a log" in letter.reason
    assert len(Reading(tmp_path / "fix.log", follow=False).lines()) == 20
    assert len(Reading(tmp_path / "old.log", follow=False).lines()) == 20
