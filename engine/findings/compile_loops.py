"""Compile the loops of the detectors before the first line is read.

`python -m engine.findings.compile_loops` does it ahead of the first start.
"""

from functools import cache

import numpy as np

from engine.findings.block_loops import add_gaps, find_gaps, group_lines, sort_lines
from engine.findings.count_loops import COLUMNS, close_window, far_counts, learn_counts
from engine.findings.loops import compiling


@cache
def compile_loops() -> None:
    """Compiles what this machine has not compiled before, which takes a few seconds, and reports it."""
    with compiling() as needed:
        if needed:
            _call_everything()


def _call_everything() -> None:
    """Calls every compiled function once, with the types that it is called with later."""
    one, number, ratio = np.zeros(1, np.int32), np.ones(1, np.int64), np.ones(1)
    group_lines(one, number, number, number)
    group_lines(np.zeros(1, np.int8), number, number, number)
    sort_lines(one, np.zeros(1, np.int64), number)
    found, ends, gaps = np.zeros((1, 6), np.int64), np.zeros((1, 4), np.int64), np.zeros((1, 2), np.int32)
    find_gaps(one, number, number, 0, number, number, number, found, gaps, ends)
    add_gaps(gaps, 1, np.zeros((1, 1), np.float32), ratio)
    table = np.ones((1, 1))
    far_counts(
        ratio, table, 1, 1, ratio, ratio, ratio, ratio, ratio, np.ones(7), np.ones(2), np.zeros(1, np.int64),
        np.zeros((1, 7)), number, np.zeros((COLUMNS, 1)),
    )  # fmt: skip
    learn_counts(ratio, ratio, ratio, table)
    close_window(ratio, ratio, ratio, ratio, 1.0)


if __name__ == "__main__":
    compile_loops()
