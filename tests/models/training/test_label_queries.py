import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.base import Windows
from models.training import label_queries
from models.training.label_queries import choose_queries, uncertainties

ROWS = st.lists(st.lists(st.integers(1, 6), max_size=5), max_size=30)


def counts(windows, i):
    return tuple(sorted(windows.row(i).tolist()))


@given(ROWS, st.integers(0, 12), st.data())
@settings(deadline=None)
def test_each_kind_of_window_is_asked_about_once_and_never_after_an_answer(rows, budget, data):
    windows = Windows.of(rows)
    unsure = np.array(data.draw(st.lists(st.floats(0, 1), min_size=len(rows), max_size=len(rows))))
    answered = np.array(data.draw(st.lists(st.booleans(), min_size=len(rows), max_size=len(rows))), bool)
    found = choose_queries(windows, unsure, budget, answered=answered)
    kinds = {counts(windows, i) for i in range(len(rows)) if rows[i]}
    known = {counts(windows, i) for i in np.flatnonzero(answered).tolist()}
    assert len(found) == min(budget, len(kinds - known))
    asked = [counts(windows, query.window) for query in found]
    assert len(set(asked)) == len(asked)
    assert not set(asked) & known
    for query, kind in zip(found, asked, strict=True):
        assert query.like.tolist() == [i for i in range(len(rows)) if counts(windows, i) == kind]
        assert query.window in query.like
        assert query.uncertainty == unsure[query.like].max()


@given(ROWS, st.randoms())
@settings(deadline=None)
def test_the_choice_does_not_depend_on_what_ids_are_called(rows, random):
    names = list(range(10, 17))
    random.shuffle(names)
    renamed = [[names[i] for i in row] for row in rows]
    unsure = np.linspace(0.1, 1, len(rows))
    both = (choose_queries(Windows.of(r), unsure, 3) for r in (rows, renamed))
    first, second = ([(q.uncertainty, len(q.like)) for q in found] for found in both)
    assert len(first) == len(second)
    assert first[:1] == second[:1]


def test_the_uncertain_the_frequent_and_the_different_come_first():
    rows = [[1, 1, 2]] * 50 + [[3, 4]] * 50 + [[5, 6]] * 2 + [[1, 1, 1, 2]] * 40
    windows = Windows.of(rows)
    alike = np.full(len(rows), 0.5)
    first = [query.window for query in choose_queries(windows, alike, 4)]
    assert set(first[:2]) == {0, 50} or set(first[:2]) == {50, 102}  # one of the two that resemble each other
    unsure = np.where(np.arange(len(rows)) // 2 == 50, 1.0, 0.01)
    assert choose_queries(windows, unsure, 1)[0].window == 100
    answered = np.arange(len(rows)) < 50
    assert choose_queries(windows, alike, 1, answered=answered)[0].window == 50


def test_only_the_most_valuable_groups_compete_for_diversity(monkeypatch):
    monkeypatch.setattr(label_queries, "MAX_CANDIDATES", 2)
    found = choose_queries(Windows.of([[1]] * 5 + [[2]] * 3 + [[3]]), np.ones(9), 5)
    assert [len(query.like) for query in found] == [5, 3]


@pytest.mark.parametrize("budget", [0, -1])
def test_nothing_is_chosen_without_windows_or_budget(budget):
    assert choose_queries(Windows.of([[1]]), np.ones(1), budget) == ()
    assert choose_queries(Windows.of([]), np.zeros(0), 5) == ()
    assert choose_queries(Windows.of([[]]), np.ones(1), 5) == ()


@given(st.lists(st.floats(0, 9, width=32), min_size=1), st.floats(-1, 10))
def test_uncertainty_falls_with_the_distance_from_the_threshold_on_both_sides(values, threshold):
    scores = np.array(values, np.float32)
    found = uncertainties(scores, threshold)
    assert ((found > 0) & (found <= 1)).all()
    limit = np.float32(threshold)
    for side, towards in ((scores < limit, 1), (scores >= limit, -1)):
        assert (np.diff(found[side][np.argsort(towards * scores[side])]) >= 0).all()
        if side.any():
            assert found[side].max() == 1


def test_uncertainty_does_not_depend_on_the_scale_of_scores():
    scores = np.array([0.1, 0.2, 0.4, 0.9], np.float32)
    assert (uncertainties(scores, 0.4) == uncertainties(np.exp(scores), float(np.exp(np.float32(0.4))))).all()
