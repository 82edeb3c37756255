r"""Remove colour codes, byte order marks and leading NUL bytes from lines.

Terminals and editors add the first two. NUL bytes remain if log rotation truncates a log that a
program still writes to, or if a machine stopped while it wrote.
"""

import re
from dataclasses import replace

import numpy as np

from connectors.base import LineBatch

_BOM = b"\xef\xbb\xbf"
_ESCAPES = re.compile(rb"\x1b\[[0-9;:?]*[A-Za-z]")
_NULS = re.compile(rb"^\x00+(?=[^\x00\r\n])", re.MULTILINE)


def clean_line(line: bytes) -> bytes:
    r"""One line without colour codes, NUL bytes and byte order mark at its start, and a final `\r`."""
    if line.startswith(b"\x00"):
        line = _NULS.sub(b"", line, count=1)
    if b"\x1b[" in line:
        line = _ESCAPES.sub(b"", line)
    return line.removeprefix(_BOM).removesuffix(b"\r")


def clean_batch(batch: LineBatch) -> LineBatch:
    """The batch without them; the same object if it has none, which costs two searches."""
    data = batch.data
    if b"\x00" in data:
        data = _NULS.sub(b"", data)
    # One byte is looked for thirty times as fast as two.
    if b"\x1b" in data:
        data = _ESCAPES.sub(b"", data)
    if b"\xef" in data and _BOM in data:
        data = data.removeprefix(_BOM).replace(b"\n" + _BOM, b"\n")
    if data is batch.data or len(data) == len(batch.data):
        return batch
    ends = np.flatnonzero(np.frombuffer(data, np.uint8) == ord("\n")).astype(np.int64)
    return replace(batch, data=data, ends=ends)
