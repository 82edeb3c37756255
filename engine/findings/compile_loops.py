"""Compile the loops of the detectors before the first line is read.

`python -m engine.findings.compile_loops` does it ahead of the first start.
"""

from functools import cache

import numpy as np

from engine.findings.block_loops import (
    add_gaps,
    add_to_hour,
    find_gaps,
    group_lines,
    has_span,
    longest_pause,
    sort_lines,
)
from engine.findings.count_loops import COLUMNS, close_window, far_counts, learn_counts
from engine.findings.loops import compiling
from engine.findings.number_loops import find_numbers
from engine.findings.value_loops import learn_values, score_values


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
    add_to_hour(one, number, number, 0, 0, ratio, np.zeros((4, 1), np.int64))
    longest_pause(number, 1, 1)
    has_span(np.zeros((1, 1, 2), np.int64), 0)
    find_numbers(np.frombuffer(b" ", np.uint8), number, number, np.zeros((1, 1, 2), np.int64), np.ones(1, np.int64))
    table = np.ones((1, 1))
    far_counts(
        ratio, 1.0, table, ratio, 1, 0, ratio, 1.0, table, table, table, table, ratio, ratio, ratio, np.ones((2, 1)),
        np.zeros(1, np.int64), np.zeros((1, 7)), number, np.zeros((COLUMNS, 1)),
    )  # fmt: skip
    strided = np.ones((1, 2, 1))[:, 0]
    score_values(one, np.zeros(1, np.int64), table, ratio, 1.0, 1.0, ratio[1:], strided, ratio)
    learn_values(one, np.zeros(1, np.int64), table, ratio, 9.0)
    learn_counts(ratio, ratio, ratio, table)
    close_window(ratio, ratio, ratio, ratio, 1.0)


if __name__ == "__main__":
    compile_loops()
