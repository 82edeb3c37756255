from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from models.base import Windows, template_id
from models.detectors.checks import WindowWorkload, fitted
from models.detectors.registry import build
from models.text.ragged import content_keys
from models.training.scoring import WindowScorer


class Counting:
    """A detector whose score is a function of content, and that counts what it is asked."""

    def __init__(self) -> None:
        self.asked = 0
        self.known: set[int] | None = None

    def knows(self, ids: np.ndarray) -> np.ndarray:
        return np.array([self.known is None or i in self.known for i in ids.tolist()], bool)

    def score(self, windows: Windows) -> np.ndarray:
        self.asked += len(windows)
        rows = [windows.row(i) for i in range(len(windows))]
        return np.array([r.sum() * 2 + c for r, c in zip(rows, windows.closed, strict=True)], np.float32)


@settings(max_examples=50)
@given(st.lists(st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=12), max_size=12), st.integers(0, 9))
def test_scores_equal_the_detectors_whatever_the_cache(batches: list[list[tuple[int, bool]]], entries: int) -> None:
    detector = Counting()
    scorer: Any = WindowScorer(detector, 1, 0.5, cache_entries=entries)  # type: ignore[arg-type]
    for batch in batches:
        windows = Windows.of([[n] * n for n, _ in batch], [c for _, c in batch])
        assert scorer.score(windows).tolist() == Counting().score(windows).tolist()
        assert len(scorer) <= entries
    assert scorer.hits + scorer.misses == sum(map(len, batches))
    assert scorer.misses == detector.asked


def test_identical_windows_are_scored_once() -> None:
    detector = Counting()
    scorer: Any = WindowScorer(detector, 1, 0.5)  # type: ignore[arg-type]
    windows = Windows.of([[1, 2], [1, 2], [1, 2], [2, 1]], [True, True, False, True])
    scorer.score(windows)
    scorer.score(windows)
    assert (detector.asked, scorer.misses, scorer.hits) == (3, 3, 5)


def test_without_memory_duplicates_of_a_batch_are_still_scored_once() -> None:
    detector = Counting()
    scorer: Any = WindowScorer(detector, 1, 0.5, cache_entries=0)  # type: ignore[arg-type]
    for _ in range(2):
        scorer.score(Windows.of([[1], [1], [2]]))
    assert detector.asked == 4


def test_what_is_used_stays_and_what_is_not_is_forgotten() -> None:
    detector = Counting()
    scorer: Any = WindowScorer(detector, 1, 0.5, cache_entries=8)  # type: ignore[arg-type]
    for n in range(50):
        scorer.score(Windows.of([[999], [n]]))
    assert detector.asked == 51
    assert len(scorer) <= 8


def test_windows_with_unknown_templates_are_not_remembered() -> None:
    detector = Counting()
    detector.known = {1}
    scorer: Any = WindowScorer(detector, 1, 0.5)  # type: ignore[arg-type]
    scorer.score(Windows.of([[1], [1, 2], []]))
    assert len(scorer) == 2


def test_a_template_learnt_late_changes_the_score(workload: WindowWorkload) -> None:
    detector = fitted(lambda: build("bert_cnn", {"encoder": "hashing:32", "training": {"epochs": 2}}), workload)
    scorer = WindowScorer(detector, 1, 0.5)
    text = "disk <*> failed"
    windows = Windows.of([[*workload.windows.row(1), template_id(text)]])
    before = scorer.score(windows)
    scorer.learn_templates({template_id(text): text})
    assert scorer.score(windows).tolist() == detector.score(windows).tolist() != before.tolist()


def test_detector_agreement(workload: WindowWorkload, small_cnn: Callable[..., Any]) -> None:
    detector = fitted(small_cnn, workload)
    scorer = WindowScorer(detector, 1, 0.5)
    np.testing.assert_allclose(scorer.score(workload.windows), detector.score(workload.windows), atol=1e-6)
    assert scorer.misses == len(set(content_keys(workload.windows)))
    assert scorer.score(Windows.of([])).shape == (0,)
