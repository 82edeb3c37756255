"""Compile everything that reading from Kafka runs as machine code, before the first message is read."""

from functools import cache

import numpy as np

from connectors.packed.gather import free_messages, gather_lines, read_messages
from connectors.packed.loops import compiling


@cache
def compile_loops() -> None:
    """Compiles what this machine has not compiled before, and reports it."""
    with compiling("Kafka reader") as needed:
        if needed:
            _call_everything()


def _call_everything() -> None:
    """Calls every compiled function once, with the types that it is called with later."""
    none, bytes_ = np.zeros(0, np.int64), np.zeros(1, np.uint8)
    read_messages(none, 0, 0, none, none, none)
    free_messages(none, 0, 0)
    gather_lines(none, none, none, 0, bytes_, bytes_.ctypes.data, none, none, none, np.zeros(2, np.int64))
