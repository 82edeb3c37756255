"""Standard error without the panic of a native library, for errors that end its work on purpose.

Bytewax reports every exception of a step as a Rust panic, which prints its stack to file descriptor 2 before the
exception reaches the caller. Code that raises an error which the caller explains in one sentence calls `mute` first.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_open: list[int] = []  # the real standard error of each `unmuted_after` that has not ended


@contextmanager
def unmuted_after() -> Iterator[None]:
    """Undo `mute` at the end; outside of this, `mute` does nothing."""
    sys.stderr.flush()
    _open.append(os.dup(2))
    try:
        yield
    finally:
        real = _open.pop()
        os.dup2(real, 2)
        os.close(real)


def mute() -> None:
    """Discard what this process writes to file descriptor 2 from now on."""
    if _open:
        sys.stderr.flush()
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 2)
        os.close(nowhere)
