"""How the size of blocks grows."""

import numpy as np

from engine.findings.base import LineColumns, Values
from engine.findings.blocks import FIRST_SIZE, LONG_SIZE, MAX_BLOCKS, MAX_SIZE, Blocker
from engine.findings.lines import ReadLines


def read(first: int, count: int) -> ReadLines:
    zeros = np.zeros(count, np.int32)
    row = np.arange(first, first + count)
    lines = LineColumns(row, row, zeros, zeros.astype(np.int8), zeros, np.zeros(count, np.int64), Values.none())
    return ReadLines(lines, None)  # type: ignore[arg-type]  # the numbers are not read here


def test_blocks_grow_with_the_stream_up_to_a_largest_size() -> None:
    blocker, reached, lines = Blocker(lambda *_: Values.none()), {}, 0
    while lines < 2_000_000:
        for block in blocker.add(read(lines, 10_000)):
            reached.setdefault(len(block), int(block.lines.row[0]))
            blocker.must_coarsen()
        lines += 10_000
    assert list(reached) == [FIRST_SIZE << n for n in range(10)]
    assert max(reached) == MAX_SIZE
    assert reached[2 * FIRST_SIZE] == FIRST_SIZE * MAX_BLOCKS
    assert reached[LONG_SIZE] == 480_000
    assert reached[MAX_SIZE] == 1_281_600
