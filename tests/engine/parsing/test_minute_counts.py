"""Counts per minute and template: exact, whatever the batches and crashes were."""

import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.parsing.minute_counts import ALL, MINUTE_NS, MinuteCounts
from engine.steps.rollup import LEVELS

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


def plain(state):
    minutes = state["minutes"].items()
    return {key: {name: values.tolist() for name, values in saved.items()} for key, saved in minutes}


def store(table, rows):
    """Upsert rows as a database does."""
    table.update({(row.minute, row.part, row.template): row for row in rows})


def counted(lines, cuts, late):
    rollup, table = MinuteCounts(late, LEVELS), {}
    for i, batch in enumerate(batches(lines, cuts)):
        rollup.add_lines(*columns(batch))
        store(table, rollup.changed() if i % 2 else rollup.closed())
    store(table, rollup.changed())
    return table


@given(LINES, CUTS, LATE)
def test_every_line_is_counted_once(lines, cuts, late):
    expected = Counter((time // MINUTE_NS, template, level) for time, template, level in lines)
    found: Counter = Counter()
    for row in counted(lines, cuts, late).values():
        for level, count in enumerate(row.counts):
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
    table, rollup = {}, MinuteCounts(late, LEVELS)
    for batch in batches(lines[:saved], cuts):
        rollup.add_lines(*columns(batch))
        store(table, rollup.closed())
    state = rollup.snapshot()
    for batch in batches(lines[saved:killed], cuts):
        rollup.add_lines(*columns(batch))
        store(table, rollup.changed())
    again = MinuteCounts(late, LEVELS, state)
    for batch in batches(lines[saved:], others):
        again.add_lines(*columns(batch))
        store(table, again.closed())
    store(table, again.changed())
    assert table == counted(lines, cuts, late)


@given(LINES, LATE)
def test_a_snapshot_does_not_change_with_further_lines(lines, late):
    rollup = MinuteCounts(late, LEVELS)
    rollup.add_lines(*columns(lines))
    state = rollup.snapshot()
    before = plain(state)
    rollup.add_lines(*columns(lines))
    assert plain(state) == before


def test_new_templates_are_reported_once_with_their_first_line():
    rollup = MinuteCounts(5, LEVELS)
    assert rollup.add_lines(*columns([(1, 9, 0), (2, 4, 0), (3, 9, 0)])).tolist() == [0, 1]
    assert rollup.add_lines(*columns([(4, 4, 0), (5, 7, 0), (6, 9, 0)])).tolist() == [1]


@pytest.mark.parametrize("late", [0, 2])
def test_only_changed_rows_are_written_again(late):
    rollup = MinuteCounts(late, LEVELS)
    rollup.add_lines(*columns([(0, 1, 0), (0, 2, 3)]))
    assert len(rollup.changed()) == 2
    assert rollup.changed() == []
    rollup.add_lines(*columns([(1, 2, 3)]))
    (row,) = rollup.changed()
    assert (row.template, row.counts, row.first_ns, row.last_ns) == (2, (0, 0, 0, 2, 0, 0, 0), 0, 1)


WINDOWS = st.lists(
    st.tuples(
        st.integers(0, 20 * MINUTE_NS),
        st.lists(st.sampled_from([-5, 7, 1 << 40]), max_size=4),
        st.tuples(st.integers(-1, 2), st.integers(0, 2)),
    ),
    max_size=20,
)


def add_windows(counts, windows):
    times, ids, columns = zip(*windows, strict=True) if windows else ((), (), ())
    offsets = np.cumsum([0, *map(len, ids)])
    counts.add_windows(
        np.array(times, np.int64), np.array(list(itertools.chain(*ids)), np.int64), offsets,
        np.array(columns, np.int32).reshape(-1, 2),
    )  # fmt: skip


@given(WINDOWS, CUTS, CUTS, LATE, st.integers(0, 20))
def test_a_window_counts_once_for_each_of_its_templates_and_once_for_all(windows, cuts, others, late, saved):
    expected: Counter = Counter()
    for time, ids, columns in windows:
        for template in {ALL, *ids}:
            expected.update((time // MINUTE_NS, template, column) for column in columns if column >= 0)
    table, counts = {}, MinuteCounts(late, 3)
    for batch in batches(windows[:saved], cuts):
        add_windows(counts, batch)
        store(table, counts.closed())
    again = MinuteCounts(late, 3, counts.snapshot())
    for batch in batches(windows[saved:], cuts):  # a first run that is lost
        add_windows(counts, batch)
        store(table, counts.changed())
    for batch in batches(windows[saved:], others):
        add_windows(again, batch)
        store(table, again.closed())
    store(table, again.changed())
    found: Counter = Counter()
    for row in table.values():
        for column, count in enumerate(row.counts):
            if count:
                found[row.minute, row.template, column] += count
    assert found == expected


def test_arrays_that_are_read_only_are_counted():
    counts = MinuteCounts(0, 1)
    time_ns, ids, offsets = np.array([1]), np.array([7]), np.array([0, 1])
    for values in (time_ns, ids, offsets):
        values.flags.writeable = False
    counts.add_windows(time_ns, ids, offsets, np.zeros((1, 1), np.int32))
    assert [(row.template, row.counts) for row in counts.changed()] == [(ALL, (1,)), (7, (1,))]


def test_many_templates_have_room():
    counts, ids = MinuteCounts(0, LEVELS), np.arange(1, 5_001) * 0x9E3779B97F4A7C1
    for part in np.array_split(ids, 7):
        counts.add_lines(np.zeros(len(part), np.int64), part, np.ones(len(part), np.int8))
    counts.add_lines(np.zeros(len(ids), np.int64), ids, np.ones(len(ids), np.int8))
    assert {row.template: row.counts[1] for row in counts.changed()} == dict.fromkeys(ids.tolist(), 2)
