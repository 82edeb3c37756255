import numpy as np
import pytest

from models.base import ModelStoreError, TrainingError, Windows
from models.detectors.checks import WindowWorkload, fitted
from models.detectors.count_vectors import counted, distances, steadiness_of
from models.detectors.event_counts import EventCounts, EventCountsSettings
from models.detectors.registry import build


@pytest.mark.parametrize(
    ("row", "closed", "low", "high"),
    [
        ([1, 2, 2, 3], True, 0, 0),  # seen so in training
        ([2, 1, 3, 2], True, 0, 0),  # counts have no order
        ([1, 2], True, 0.9, 3),  # shorter than every whole one
        ([1, 2], False, 0, 0),  # the beginning of one
        ([1, 9, 2, 3], True, 1, 2),  # a template never seen
        ([2] * 9, False, 1, 3),  # longer than every one already
    ],
)
def test_scores(row: list[int], closed: bool, low: float, high: float) -> None:
    detector = EventCounts(EventCountsSettings())
    detector.fit(Windows.of([[1, 2, 2, 3], [1, 2, 3]]), None, {})
    score = detector.score(Windows.of([row], [closed]))[0]
    assert low <= score <= high


def test_a_line_is_needed() -> None:
    with pytest.raises(TrainingError, match="at least one window"):
        EventCounts(EventCountsSettings()).fit(Windows.of([[]]), None, {})


@pytest.mark.parametrize("head", ["logistic", "boosted"])
def test_labelled_heads_need_both_classes(head: str) -> None:
    for labels in (None, np.ones(2, bool)):
        with pytest.raises(TrainingError, match="event_counts learns from labelled windows of both"):
            build("event_counts", {"head": head}).fit(Windows.of([[1], [2]]), labels, {})


def test_terms_are_exact() -> None:
    detector = build("event_counts")
    detector.fit(Windows.of([[1, 2, 3], [1, 2, 2, 3]]), None, {})
    # Template 2 occurs once or twice, both equally often, so it weighs one half.
    np.testing.assert_allclose(detector.weights()["steadiness"], [1, 0.5, 1])
    explanation = detector.explain(Windows.of([[1, 2, 9, 3], [1, 3]]))
    # Window 0: of the weights 1 + 0.5 + 1 + 1, a line of weight 1 is in no normal window, and its template is new.
    np.testing.assert_allclose(explanation.contributions, [0, 0, 1 / 3.5 + 1 + 1 / 4, 0, 0, 0], atol=1e-6)
    # Window 1: of the weights 1 + 0.5 + 1, a line of weight 0.5 is missing, and it has 2 lines instead of 3.
    np.testing.assert_allclose(explanation.base, [0, 0.5 / 2.5 + np.log2(3 / 2)], atol=1e-6)


def test_a_template_whose_count_varies_weighs_less() -> None:
    references = np.array([[1, 0], [1, 1], [1, 2], [1, 3]], np.float32)
    np.testing.assert_allclose(steadiness_of(references, np.ones(4, np.int64)), [1, 0.25])
    np.testing.assert_allclose(steadiness_of(references[:2], np.array([9999, 1])), [1, 1], atol=2e-3)


def test_distances_are_weighted_jaccard_distances() -> None:
    rng = np.random.default_rng(0)
    counts = rng.integers(0, 4, (20, 6)).astype(np.float32)
    counts[:, 0] += 1  # no window is empty
    references = rng.integers(0, 4, (7, 5)).astype(np.float32)
    steadiness = rng.random(5).astype(np.float32)
    found, _ = distances({"references": references, "steadiness": steadiness}, counts, np.ones(20, bool))
    padded, weight = np.column_stack([references, np.zeros(7)]), np.append(steadiness, 1)
    both = (np.minimum(counts[:, None], padded) * weight).sum(2)
    either = (np.maximum(counts[:, None], padded) * weight).sum(2)
    np.testing.assert_allclose(found, 1 - both / either, atol=1e-6)


def test_unseen_templates_are_counted_together() -> None:
    assert counted(Windows.of([[5, 9, 5, 8]]), np.array([5, 7])).tolist() == [[2, 0, 2]]


def test_boosted_trees_see_what_a_sum_does_not() -> None:
    # Anomalous are windows in which exactly one of two templates occurs.
    rows = [[0], [0, 1], [0, 2], [0, 1, 2]] * 20
    labels = np.array([False, True, True, False] * 20)
    windows = Windows.of(rows)
    detector = build("event_counts", {"head": "boosted", "trees": 40})
    detector.fit(windows, labels, {})
    assert ((detector.score(windows) > 0.5) == labels).all()
    # The line that is there explains the alert.
    contributions = detector.explain(windows.take(np.array([1]))).contributions
    assert contributions[1] > 0.1


def test_trees_that_would_walk_in_circles_are_refused(workload: WindowWorkload) -> None:
    detector = fitted(lambda: build("event_counts", {"head": "boosted", "trees": 3}), workload)
    good = detector.weights()
    for name, value in (("below", 0), ("above", 10**6), ("feature", 99), ("roots", -1)):
        bad = good[name].copy()
        bad[-1 if name != "above" else 0] = value
        with pytest.raises(ModelStoreError, match="refers to a node or feature that does not exist"):
            detector.load_weights(good | {name: bad}, {})
    with pytest.raises(ModelStoreError, match="'cut' of the trees is float32"):
        detector.load_weights(good | {"cut": good["cut"][1:]}, {})


def test_long_workloads_are_scored_in_parts(workload: WindowWorkload, monkeypatch: pytest.MonkeyPatch) -> None:
    for head in ("nearest", "boosted"):
        detector = fitted(lambda head=head: build("event_counts", {"head": head, "trees": 5}), workload)
        whole = detector.score(workload.windows)
        monkeypatch.setattr("models.detectors.event_counts._CELLS", 50)
        np.testing.assert_allclose(detector.score(workload.windows), whole, atol=1e-6)


def test_no_number_of_new_lines_saturates_the_score() -> None:
    detector = build("event_counts")
    detector.fit(Windows.of([[1, 2, 3]] * 5), None, {})
    scores = detector.score(Windows.of([[1, 2, 3, *([9] * n)] for n in (0, 1, 2, 50, 5000)]))
    assert (np.diff(scores) > 0).all()


TEXTS = {1: "session opened for user", 2: "block written", 3: "session closed for user"}


@pytest.mark.parametrize(
    ("milder", "stronger"),
    [
        ("session opened for user again", "cooling loop drained"),  # a template like the known ones
        ("cooling loop drained", "cooling loop failed"),  # one that speaks of a failure
    ],
)
def test_a_new_template_weighs_by_its_text(milder: str, stronger: str) -> None:
    detector = build("event_counts")
    detector.fit(Windows.of([[1, 2, 3]] * 5), None, TEXTS)
    windows = Windows.of([[1, 2, 3, 8], [1, 2, 3, 9]])
    assert not detector.knows(np.array([8, 9])).any()
    detector.learn_templates({8: milder, 9: stronger})
    assert detector.knows(np.array([1, 8, 9])).all()
    low, high = detector.score(windows)
    assert 0 < low < high


@pytest.mark.parametrize("head", ["logistic", "boosted"])
def test_an_unknown_template_counts_as_the_known_one_it_resembles(head: str) -> None:
    texts = {1: "request served", 2: "write of block failed"}
    detector = build("event_counts", {"head": head, "trees": 20})
    detector.fit(Windows.of([[1], [1, 2]] * 20), np.array([False, True] * 20), texts)
    detector.learn_templates({7: "read of block failed", 8: "request served quickly"})
    scores = detector.score(Windows.of([[1], [1, 2], [1, 7], [8]]))
    np.testing.assert_array_equal(scores[2:], scores[[1, 0]])
