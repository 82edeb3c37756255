import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from models.base import Windows
from models.text.embeddings import BEGIN, END, PADDING
from models.text.ragged import content_keys, distinct, marked, padded, rectangles

rows = st.lists(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=6), max_size=12)


@given(rows, st.data())
def test_keys_are_equal_exactly_where_content_is(given_rows: list[list[int]], data: st.DataObject) -> None:
    given_rows = given_rows + given_rows[:3]
    closed = data.draw(st.lists(st.booleans(), min_size=len(given_rows), max_size=len(given_rows)))
    keys = content_keys(Windows.of(given_rows, closed))
    content = [(tuple(r), c) for r, c in zip(given_rows, closed, strict=True)]
    for i, a in enumerate(content):
        for j, b in enumerate(content):
            assert (keys[i] == keys[j]) == (a == b)


def test_keys_do_not_depend_on_the_batch() -> None:
    windows = Windows.of([[5, 6], [], [7] * 3000, [5, 6]])
    keys = content_keys(windows)
    assert [content_keys(windows.take(np.array([i])))[0] for i in range(4)] == keys
    assert keys[0] == keys[3]


def test_keys_tell_small_ids_apart() -> None:
    pairs = [[a, b] for a in range(64) for b in range(64)]
    assert len(set(content_keys(Windows.of(pairs)))) == len(pairs)


@given(st.lists(st.binary(max_size=1)))
def test_distinct(keys: list[bytes]) -> None:
    first, inverse = distinct(keys)
    assert [keys[first[i]] for i in inverse] == keys
    assert first.tolist() == sorted(keys.index(k) for k in set(keys))


@given(rows, st.data())
def test_markers(given_rows: list[list[int]], data: st.DataObject) -> None:
    closed = data.draw(st.lists(st.booleans(), min_size=len(given_rows), max_size=len(given_rows)))
    windows = Windows.of(given_rows, closed)
    tokens, offsets = marked(windows, windows.ids)
    for i, row in enumerate(given_rows):
        assert tokens[offsets[i] : offsets[i + 1]].tolist() == [BEGIN, *row, *([END] if closed[i] else [])]


@given(st.lists(st.integers(1, 500)), st.integers(1, 2000))
def test_rectangles_hold_every_window_once_within_the_budget(lengths: list[int], budget: int) -> None:
    array = np.array(lengths, np.int64)
    parts = list(rectangles(array, budget))
    assert sorted(np.concatenate([*parts, np.zeros(0, np.int64)]).tolist()) == list(range(len(lengths)))
    for part in parts:
        longest, shortest = array[part].max(), array[part].min()
        assert len(part) == 1 or len(part) * longest <= budget
        assert longest <= shortest * 1.25 + 2


def test_padded() -> None:
    tokens, lengths = padded(np.array([7, 8, 9]), np.array([0, 1, 3]), np.array([1, 0]), 4)
    assert tokens.tolist() == [[8, 9, PADDING, PADDING], [7, PADDING, PADDING, PADDING]]
    assert lengths.tolist() == [2, 1]
