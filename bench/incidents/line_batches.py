"""Lines of a case as the batches that the engine reads."""

from collections.abc import Iterator, Sequence

import numpy as np

from connectors.base import LineBatch
from engine.clock import SystemClock

BATCH_LINES = 4096


def batches(lines: Sequence[str]) -> Iterator[LineBatch]:
    """The lines in order; the position of each is its row."""
    # A line from after its read would be taken for one with a wrong clock.
    read_ns = SystemClock().wall_ns()
    for start in range(0, len(lines), BATCH_LINES):
        some = [line.encode() + b"\n" for line in lines[start : start + BATCH_LINES]]
        ends = np.cumsum([len(line) for line in some]) - 1
        rows = np.arange(start, start + len(some), dtype=np.int64)
        yield LineBatch("log", b"".join(some), ends.astype(np.int64), rows, read_ns, read_ns)
