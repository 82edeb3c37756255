"""Counts per minute and template: exact, whatever the batches and crashes were."""

import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.steps.rollup import LEVELS, MINUTE_NS, Rollup

LINES = st.lists(
    st.tuples(st.integers(0, 20 * MINUTE_NS), st.sampled_from([-5, 0, 7, 1 << 40]), st.integers(0, LEVELS - 1)),
    min_size=1, max_size=60,
)  # fmt: skip
CUTS = st.lists(st.integers(0, 60), max_size=6)
LATE = st.integers(0, 3)


def columns(lines):
    times, templates, levels = zip(*lines, strict=True) if lines else ((), (), ())
    return np.array(times, np.int64), np.array(templates, np.int64), np.array(levels, np.int8)


def batches(lines, cuts):
    edges = sorted({0, len(lines), *(min(cut, len(lines)) for cut in cuts)})
    return [lines[a:b] for a, b in itertools.pairwise(edges)]


def store(table, rows):
    """Upsert rows as a database does."""
    table.update({(row.minute, row.part, row.template): row for row in rows})


def counted(lines, cuts, late):
    rollup, table = Rollup(late), {}
    for i, batch in enumerate(batches(lines, cuts)):
        rollup.add(*columns(batch))
        store(table, rollup.changed() if i % 2 else rollup.closed())
    store(table, rollup.changed())
    return table


@given(LINES, CUTS, LATE)
def test_every_line_is_counted_once(lines, cuts, late):
    expected = Counter((time // MINUTE_NS, template, level) for time, template, level in lines)
    found: Counter = Counter()
    for row in counted(lines, cuts, late).values():
        for level, count in enumerate(row.levels):
            if count:
                found[row.minute, row.template, level] += count
    assert found == expected


@given(LINES, CUTS, CUTS, LATE)
def test_how_the_stream_is_cut_into_batches_does_not_matter(lines, cuts, others, late):
    assert counted(lines, cuts, late) == counted(lines, others, late)


@given(LINES, CUTS, CUTS, LATE, st.integers(0, 60), st.integers(0, 60))
def test_a_crash_and_a_replay_end_with_the_same_rows(lines, cuts, others, late, saved, killed):
    saved = min(saved, len(lines))
    killed = min(max(saved, killed), len(lines))
    table, rollup = {}, Rollup(late)
    for batch in batches(lines[:saved], cuts):
        rollup.add(*columns(batch))
        store(table, rollup.closed())
    state = rollup.snapshot()
    for batch in batches(lines[saved:killed], cuts):
        rollup.add(*columns(batch))
        store(table, rollup.changed())
    again = Rollup(late, state)
    for batch in batches(lines[saved:], others):
        again.add(*columns(batch))
        store(table, again.closed())
    store(table, again.changed())
    assert table == counted(lines, cuts, late)


@given(LINES, LATE)
def test_a_snapshot_does_not_change_with_further_lines(lines, late):
    rollup = Rollup(late)
    rollup.add(*columns(lines))
    state = rollup.snapshot()
    before = {key: [part.tolist() for part in rows] for key, rows in state["minutes"].items()}
    rollup.add(*columns(lines))
    assert {key: [part.tolist() for part in rows] for key, rows in state["minutes"].items()} == before


def test_new_templates_are_reported_once_with_their_first_line():
    rollup = Rollup(5)
    assert rollup.add(*columns([(1, 9, 0), (2, 4, 0), (3, 9, 0)])).tolist() == [0, 1]
    assert rollup.add(*columns([(4, 4, 0), (5, 7, 0), (6, 9, 0)])).tolist() == [1]


@pytest.mark.parametrize("late", [0, 2])
def test_only_changed_rows_are_written_again(late):
    rollup = Rollup(late)
    rollup.add(*columns([(0, 1, 0), (0, 2, 3)]))
    assert len(rollup.changed()) == 2
    assert rollup.changed() == []
    rollup.add(*columns([(1, 2, 3)]))
    (row,) = rollup.changed()
    assert (row.template, row.levels, row.first_ns, row.last_ns) == (2, (0, 0, 0, 2, 0, 0, 0), 0, 1)
