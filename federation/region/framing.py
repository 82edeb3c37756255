"""Frames between the thin client and the warm trainer, over a unix socket on one machine.

A frame is a fixed head, a small JSON header and a body of bytes::

    magic "DLF1" | header length, uint32 | body length, uint64 | header | body        (big-endian)

Both lengths are checked against a bound before anything of that size is read, and every read and write
has a deadline: neither side waits for ever for the other.
"""

import json
import socket
import struct
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from federation.errors import TrainerError

MAGIC = b"DLF1"
_HEAD = struct.Struct(">4sIQ")
MAX_HEADER_BYTES = 1 << 16
MAX_BODY_BYTES = 1 << 31
"""Of one frame: the weights of the largest model that is federated (BERT, 440 MB) fit several times."""

_READ_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Frame:
    """One message; `header` holds JSON values."""

    header: Mapping[str, Any]
    body: bytes = b""


def send(sock: socket.socket, frame: Frame, timeout_s: float) -> None:
    """Writes a frame.

    Raises:
        TrainerError: the other side is gone, takes nothing for `timeout_s`, or the frame is too large.
    """
    header = json.dumps(frame.header).encode()
    _require_bounds(len(header), len(frame.body))
    sock.settimeout(timeout_s)
    try:
        sock.sendall(_HEAD.pack(MAGIC, len(header), len(frame.body)) + header)
        if frame.body:  # the other side may have closed already, with all it needs
            sock.sendall(frame.body)
    except TimeoutError as error:
        raise TrainerError(f"the other side of the socket took nothing for {timeout_s:g} s") from error
    except OSError as error:
        raise TrainerError(f"the other side of the socket went away: {error.strerror or error}") from error


def receive(sock: socket.socket, timeout_s: float, max_body_bytes: int = MAX_BODY_BYTES) -> Frame:
    """Reads a frame whole within `timeout_s`.

    Raises:
        TrainerError: it did not come in time, was cut off, is no frame, or is larger than allowed.
    """
    deadline_s = time.monotonic() + timeout_s
    magic, header_bytes, body_bytes = _HEAD.unpack(_read(sock, _HEAD.size, deadline_s))
    if magic != MAGIC:
        raise TrainerError(f"what arrived is no frame: it starts with {magic!r}, not {MAGIC!r}")
    _require_bounds(header_bytes, body_bytes, max_body_bytes)
    raw = _read(sock, header_bytes, deadline_s)
    try:
        header = json.loads(raw)
    except ValueError as error:
        raise TrainerError(f"the header of a frame is no JSON: {raw[:80]!r}") from error
    if not isinstance(header, dict):
        raise TrainerError(f"the header of a frame should be a table of keys, got {raw[:80]!r}")
    return Frame(header, _read(sock, body_bytes, deadline_s))


def connect(path: Path, timeout_s: float) -> socket.socket:
    """A connection to the unix socket at `path`.

    Raises:
        TrainerError: nobody listens there.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.settimeout(timeout_s)
    try:
        sock.connect(str(path))
    except OSError as error:
        sock.close()
        raise TrainerError(f"no trainer listens on {path}: {error.strerror or error}") from error
    return sock


def _require_bounds(header_bytes: int, body_bytes: int, max_body_bytes: int = MAX_BODY_BYTES) -> None:
    if header_bytes > MAX_HEADER_BYTES:
        raise TrainerError(f"a frame's header of {header_bytes} bytes is over the bound of {MAX_HEADER_BYTES}")
    if body_bytes > max_body_bytes:
        raise TrainerError(f"a frame's body of {body_bytes} bytes is over the bound of {max_body_bytes}")


def _read(sock: socket.socket, count: int, deadline_s: float) -> bytes:
    parts = bytearray()
    while len(parts) < count:
        left_s = deadline_s - time.monotonic()
        if left_s <= 0:
            raise TrainerError(f"only {len(parts)} of {count} bytes of a frame arrived in time")
        sock.settimeout(left_s)
        try:
            part = sock.recv(min(count - len(parts), _READ_BYTES))
        except TimeoutError:
            continue
        except OSError as error:
            raise TrainerError(f"the other side of the socket went away: {error.strerror or error}") from error
        if not part:
            raise TrainerError(f"the other side closed the socket after {len(parts)} of {count} bytes")
        parts += part
    return bytes(parts)
