"""Standard input: what the content of a pipe is, and what is read of it."""

import bz2
import contextlib
import gzip
import lzma
import os
import threading

import lz4.frame
import pytest
import zstandard

from connectors.stdin import StdinSettings, StdinSource

TEXT = b"".join(b"line %d of a log\n" % number for number in range(3000))


def read(content: bytes, block_bytes: int = 1 << 20) -> tuple[list[bytes], list[int], list[str]]:
    """Lines, their positions, and the reasons of dead letters."""
    out, into = os.pipe()

    def write() -> None:
        with os.fdopen(into, "wb") as pipe, contextlib.suppress(BrokenPipeError):
            pipe.write(content)

    writer = threading.Thread(target=write)
    writer.start()
    lines: list[bytes] = []
    positions: list[int] = []
    reasons: list[str] = []
    partition = StdinSource(StdinSettings(block_bytes=block_bytes), fd=out).open("stdin", None)
    try:
        with contextlib.suppress(StopIteration):
            while True:
                if (batch := partition.next_batch()) is not None:
                    lines += batch.data.splitlines()
                    positions += batch.positions.tolist()
                    reasons += [letter.reason for letter in batch.rejects]
    finally:
        os.close(out)
        writer.join()
    return lines, positions, reasons


@pytest.mark.parametrize("block_bytes", [1000, 1 << 20])
@pytest.mark.parametrize(
    "make", [bytes, gzip.compress, bz2.compress, lzma.compress, zstandard.compress, lz4.frame.compress]
)
def test_archives_are_decompressed_with_all_their_members(make, block_bytes):
    lines, positions, reasons = read(make(TEXT) + make(b"second\n"), block_bytes)
    assert (lines, reasons) == ([*TEXT.splitlines(), b"second"], [])
    assert positions[-1] == len(TEXT)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_wide_text_is_decoded(encoding):
    assert read("Grüße\nzweite Zeile des Logs\n".encode(encoding))[0] == ["Grüße".encode(), b"zweite Zeile des Logs"]


def test_a_cut_archive_gives_what_is_whole_and_the_reason():
    cut = gzip.compress(TEXT)[:-3000]
    lines, positions, reasons = read(cut)
    assert lines == TEXT.splitlines()[: len(lines)]
    assert len(lines) > 500
    assert reasons == ["compressed data is damaged: the file ends inside its gzip data"]
    assert positions == sorted(positions)


@pytest.mark.parametrize("wrap", [bytes, gzip.compress])
def test_what_is_not_a_log_is_refused_and_nothing_of_it_is_read(wrap):
    image = b"\x89PNG\r\n" + bytes(range(256)) * 9000
    assert read(wrap(image)) == ([], [], ["is a PNG image, not a log"])


def test_an_archive_of_nothing_and_no_input_at_all():
    assert read(gzip.compress(b"")) == read(b"") == ([], [], [])
