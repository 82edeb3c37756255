"""Messages between the thin client and the trainer, over a unix socket on one machine.

A message is a small JSON header and a body of bytes, framed by `multiprocessing.connection`; nothing is unpickled.
No side waits for the other without a limit: sizes are checked before memory is allocated, and the kernel ends a
read or write that makes no progress.
"""

import contextlib
import json
import socket
import struct
from collections.abc import Iterator, Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from federation.errors import TrainerError

MAX_HEADER_BYTES = 1 << 16
MAX_BODY_BYTES = 1 << 31
"""Several times the weights of the largest model that is federated (BERT, 440 MB)."""

STALL_S = 30.0
"""Longest pause within one message, and longest wait for the other side to read."""


class TrainerConnection:
    """One end of a connection; a context manager that closes it."""

    def __init__(self, sock: socket.socket, *, stall_s: float = STALL_S) -> None:
        """Take over a connected socket; `stall_s` is the longest pause within one message in seconds."""
        limit = struct.pack("ll", int(stall_s), int(stall_s % 1 * 1e6))  # struct timeval
        sock.settimeout(None)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
        self._connection = Connection(sock.detach())
        self._stall_s = stall_s

    def send(self, header: Mapping[str, Any], body: bytes = b"") -> None:
        """Write one message; `header` holds JSON values.

        Raises:
            TrainerError: the other side is gone, or reads nothing for `stall_s` seconds.
        """
        with self._transfer():
            self._connection.send_bytes(json.dumps(header).encode())
            self._connection.send_bytes(body)

    def receive(self, wait_s: float) -> tuple[dict[str, Any], bytes]:
        """Read one message: its header and its body; `wait_s` is the time limit for its start in seconds.

        Raises:
            TrainerError: it did not arrive in time, was cut off, is not a message, or is too large.
        """
        with self._transfer():
            if not self._connection.poll(wait_s):
                raise TrainerError(f"the other side of the socket sent nothing for {wait_s:g} s")
            raw = self._connection.recv_bytes(MAX_HEADER_BYTES)
            body = self._connection.recv_bytes(MAX_BODY_BYTES)
        try:
            header = json.loads(raw)
        except ValueError:
            header = None
        if not isinstance(header, dict):
            raise TrainerError(f"the header of a message should be a JSON object, got {raw[:80]!r}")
        return header, body

    @contextlib.contextmanager
    def _transfer(self) -> Iterator[None]:
        try:
            yield
        except BlockingIOError as error:
            raise TrainerError(f"the other side of the socket made no progress for {self._stall_s:g} s") from error
        except EOFError as error:
            raise TrainerError("the other side closed the socket") from error
        except OSError as error:  # also of a message that is cut off or too large
            raise TrainerError(f"the other side of the socket failed: {error.strerror or error}") from error

    def __enter__(self) -> "TrainerConnection":
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()


def connect(path: Path) -> TrainerConnection:
    """Connect to the unix socket at `path`.

    Raises:
        TrainerError: no trainer listens there.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.settimeout(STALL_S)
    try:
        sock.connect(str(path))
    except OSError as error:
        sock.close()
        raise TrainerError(f"no trainer listens on {path}: {error.strerror or error}") from error
    return TrainerConnection(sock)
