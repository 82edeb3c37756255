"""The compiled loops of the detectors against the same in plain Python."""

from math import sqrt

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.findings.base import Block, LineColumns, Values
from engine.findings.block_loops import find_gaps, longest_pause
from engine.findings.counts import CountHistory
from engine.findings.levels import LevelShift
from engine.findings.lines import _NUMBER
from engine.findings.number_loops import find_numbers
from engine.findings.silence import _BUCKETS, _LEAST_NS, Silence, _bucket
from engine.findings.value_loops import learn_values, score_values

KEYS = st.lists(st.integers(0, 6), min_size=1, max_size=40)


def _block(keys, times=None, levels=None, first=100):
    n, rows = len(keys), np.arange(first, first + len(keys))
    times = rows if times is None else np.array(times, np.int64)
    levels = np.zeros(n, np.int8) if levels is None else np.array(levels, np.int8)
    zeros = np.zeros(n, np.int64)
    columns = LineColumns(rows, times, np.array(keys, np.int32), levels, zeros.astype(np.int32), zeros, Values.none())
    return Block(0, columns, 1.0)


@given(KEYS)
def test_lines_are_grouped_by_template(keys):
    block = _block(keys)
    assert block.keys.tolist() == sorted(set(keys))
    assert block.order.tolist() == sorted(range(len(keys)), key=lambda i: keys[i])
    for i, key in enumerate(block.keys.tolist()):
        mine = [at for at, other in enumerate(keys) if other == key]
        assert block.order[block.starts[i] : block.starts[i + 1]].tolist() == mine == block.index_of(key).tolist()
        assert (block.counts[i], block.first[i], block.last[i]) == (len(mine), mine[0], mine[-1])
    assert not len(block.index_of(7))


@given(st.lists(st.integers(0, 6), min_size=1, max_size=40))
def test_levels_are_counted_with_their_first_and_last_line(levels):
    found = LevelShift()._things(_block([0] * len(levels), levels=levels), np.zeros(1, np.int64))
    for level in (4, 5, 6):
        mine = [i for i, other in enumerate(levels) if other == level]
        assert found[:, level].tolist() == ([len(mine), mine[0], mine[-1]] if mine else [0, 0, 0])
    assert not found[0, :4].any()


LINE = st.tuples(st.integers(0, 4), st.integers(-3, 40).map(lambda s: s * 10**9 // 4))


@given(st.lists(LINE, min_size=1, max_size=30), st.lists(LINE, min_size=1, max_size=30))
def test_gaps_are_those_between_lines_of_a_template(before, now):
    """Each line against the line before it of its template, over two blocks and a clock that never runs backwards."""
    seen, clock, at, blocks = {}, 0, 0, []
    for lines in (before, now):
        gaps = []
        time_ns = [10**15 + shift for _, shift in lines]
        for (key, _), time in zip(lines, time_ns, strict=True):
            clock = max(clock, time)
            if key in seen:
                gaps.append((key, at - len(blocks and before), clock - seen[key][0], at - seen[key][1]))
            seen[key] = clock, at
            at += 1
        blocks.append((_block([key for key, _ in lines], time_ns, first=at - len(lines)), gaps))
    silence = Silence()
    silence._grow(5)
    for block, gaps in blocks:
        found = silence._gaps_of(block)
        for i, key in enumerate(block.keys.tolist()):
            mine = [gap for gap in gaps if gap[0] == key]
            longest = max((gap for _, _, gap, _ in mine), default=0)
            assert found.longest_ns[i] == longest
            assert found.total_ns[i] == sum(gap for _, _, gap, _ in mine)
            assert found.most_lines[i] == max((lines for *_, lines in mine), default=0)
            if longest:
                first = next(gap for gap in mine if gap[2] == longest)
                assert (found.at[i], found.lines[i]) == (first[1], first[3])
        each = sorted((key, int(_bucket(np.array(gap)))) for key, _, gap, _ in gaps if gap)
        assert sorted(map(tuple, found.each[: found.used].tolist())) == each
        silence._learn(block, found)
        silence._clock_ns = int(found.last_ns.max())


def test_the_shortest_gap_of_each_bucket():
    assert _bucket(_LEAST_NS).tolist() == list(range(1, _BUCKETS))
    assert _bucket(_LEAST_NS - 1).tolist() == list(range(_BUCKETS - 1))


def test_a_template_that_was_never_seen_has_no_gap():
    key, one = np.zeros(1, np.int32), np.ones(1, np.int64)
    found, ends, gaps = np.zeros((1, 6), np.int64), np.zeros((1, 4), np.int64), np.zeros((1, 2), np.int32)
    assert find_gaps(key, one, one * 5, 9, one * 0, one, one, found, gaps, ends) == 0
    assert ends.tolist() == [[1, 9, 9, 1]]


def _moments(counts, spans, n, scale):
    """Counts and seconds of the windows of the past that do not overlap the one that ends with block `n`."""
    blocks = 1 << scale
    groups = n >> scale
    if (n + 1) % blocks and groups > 1:
        groups -= 1
    cut = counts[: groups * blocks], spans[: groups * blocks]
    return tuple(np.array(a).reshape(groups, blocks, -1).sum(axis=1) for a in cut)


def _high(count, mean, size):
    return count > mean + 3 * sqrt(mean + mean**2 / size) and count >= 2


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 2))
def test_counts_far_from_usual_are_those_of_the_formula(seed, scale):
    """Every count that is far from its mean by the lines and the clock is found, and no other."""
    rng = np.random.default_rng(seed)
    n, things, blocks = int(rng.integers(20, 60)), 5, 1 << scale
    rates = rng.gamma(0.5, 20, things)
    counts = rng.poisson(rates * rng.gamma(2, 0.5, (n + 1, things))).astype(np.float64)
    spans = rng.exponential(30, n + 1)
    history = CountHistory()
    for block, span in zip(counts[:n], spans[:n], strict=True):
        list(history.observe(block, span))
    window, window_s = counts[n + 1 - blocks :].sum(axis=0), spans[n + 1 - blocks :].sum()
    past, past_s = counts[: n + 1 - blocks].sum(axis=0), spans[: n + 1 - blocks].sum()
    found, _ = history._far(scale, counts[n], spans[n])
    sums, seconds = _moments(counts[:n], spans[:n], n, scale)
    expected = []
    for i in range(things):
        if past[i] < 1:
            continue
        usual = (past[i] + 0.5) * blocks / (n + 1 - blocks)
        mean, rate = sums[:, i].mean(), sums[:, i].sum() / seconds.sum()
        by_lines = ((sums[:, i] ** 2).mean() - mean**2 - mean) / max(mean**2, 1e-12)
        at_rate = rate * seconds[:, 0]
        by_clock = (((sums[:, i] - at_rate) ** 2).sum() - sums[:, i].sum()) / max((at_rate**2).sum(), 1e-12)
        means = usual, (past[i] + 0.5) / past_s * window_s
        own = [
            (past[i] * max(0.0, one) + 10 * history._pool[which, scale]) / (past[i] + 10)
            for which, one in enumerate((by_lines, by_clock))
        ]
        size = past[i] + 0.5
        high = [_high(window[i], middle, 1 / (1 / size + one)) for middle, one in zip(means, own, strict=True)]
        low = [middle >= 8 and window[i] < 0.6 * middle for middle in means]
        kinder = own[1] > own[0] if high[0] else own[0] > own[1]
        if (_high(window[i], usual, size) or low[0]) and (all(high) or (any(high) and kinder) or all(low)):
            expected.append(i)
    assert found.tolist() == expected


PARTS = st.sampled_from(
    "1 23 0 - . ms s % = KB K kB bytes B a : / _ sec seconds 1234567890123456 123456789012345 0.123456789 0.1234567891"
    .split()
)  # fmt: skip


@given(st.lists(st.lists(PARTS | st.just(" "), max_size=12).map(lambda parts: "".join(parts).encode()), min_size=1))
def test_numbers_are_those_of_the_regular_expression(messages):
    data = b"".join(messages) + b"\n"
    ends = np.cumsum([len(message) for message in messages])
    starts = ends - [len(message) for message in messages]
    found, counts = np.zeros((len(messages), 12, 2), np.int64), np.zeros(len(messages), np.int64)
    find_numbers(np.frombuffer(data, np.uint8), starts, ends, found, counts)
    for message, start, places, count in zip(messages, starts.tolist(), found.tolist(), counts.tolist(), strict=True):
        expected = [(start + match.start(1), start + match.end(1)) for match in _NUMBER.finditer(message)]
        assert count == len(expected)
        assert [tuple(place) for place in places[:count]] == expected[:12]


@given(st.lists(st.integers(-2, 6), min_size=2, max_size=14), st.integers(1, 3))
def test_a_pause_lies_between_the_latest_line_before_and_the_earliest_after(steps, first):
    times = np.cumsum(steps)
    first = min(first, len(times) - 1)
    pauses = [min(times[i : i + 3]) - max(times[max(0, i - 3) : i]) for i in range(first, len(times))]
    assert longest_pause(times, first, 3) == (pauses.index(max(pauses)), max(pauses))


@settings(max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 19)), min_size=1, max_size=300), st.integers(0, 19))
def test_a_value_is_scored_among_those_before_it(before, bucket):
    """By its distance from the median in half the distance of the 16 and 84 % quantiles, and by its rank."""
    slots, buckets = (np.array(column) for column in zip(*before, strict=True))
    histograms, seen = np.zeros((4, 20)), np.zeros(4)
    learn_values(slots.astype(np.int32), buckets, histograms, seen, 1000.0)
    assert histograms.sum(axis=1).tolist() == seen.tolist() == np.bincount(slots, minlength=4).tolist()
    sums, numbers = np.zeros((2, 1, 4))[:, 0], np.zeros(4)
    every = np.arange(4, dtype=np.int32)
    score_values(every, np.full(4, bucket), histograms, seen, 40.0, 8.0, np.array([0.1]), sums, numbers)
    for slot in range(4):
        mine = np.sort(buckets[slots == slot])
        if len(mine) < 40:
            assert sums[:, slot].tolist() == [0, 0]
            assert numbers[slot] == 0
            continue
        low, median, high = (mine[int(np.ceil(q * len(mine))) - 1] for q in (0.16, 0.5, 0.84))
        assert sums[0, slot] == np.clip((bucket - median) / max((high - low) / 2, 1), -8, 8)
        rank = ((mine < bucket).sum() + 0.5 * (mine == bucket).sum() + 0.5) / (len(mine) + 1)
        assert sums[1, slot] == ((rank > 0.9) - 0.1) / np.sqrt(0.1 * 0.9)
        assert numbers[slot] == 1


def test_a_full_histogram_is_halved():
    histograms, seen = np.full((1, 2), 2.0), np.full(1, 4.0)
    learn_values(np.zeros(3, np.int32), np.array([0, 1, 1]), histograms, seen, 6.0)
    assert histograms.tolist() == [[1.5, 2.0]]
    assert seen.tolist() == [3.5]
