import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation.errors import RoundFailedError
from federation.protocol.calibration import (
    shared_threshold,
    sketch_problem,
    sketch_scores,
    supports_threshold,
)
from models.thresholds.registry import fit_threshold


@given(st.lists(st.tuples(st.floats(0, 1, width=32), st.booleans()), min_size=1, max_size=60), st.integers(1, 3))
def test_few_scores_give_the_threshold_of_all_windows_together(drawn: list[tuple[float, bool]], regions: int) -> None:
    scores = np.array([s for s, _ in drawn], np.float32)
    labels = np.array([label for _, label in drawn])
    parts = np.array_split(np.arange(len(scores)), regions)
    sketches = [sketch_scores(f"r{i}", scores[p], labels[p]) for i, p in enumerate(parts)]
    assert all(sketch_problem(s, 100) is None for s in sketches)
    if labels.any() and not labels.all():
        assert shared_threshold(sketches, "auto").value == fit_threshold("best_f1", scores, labels).value
    elif not labels.any():
        assert shared_threshold(sketches, "auto").value == fit_threshold("percentile", scores, None).value


def test_many_scores_are_bounded_and_keep_their_weight() -> None:
    rng = np.random.default_rng(0)
    large = rng.normal(0, 1, 30_000).astype(np.float32)
    small = rng.normal(5, 1, 500).astype(np.float32)
    sketches = [sketch_scores("eu", large, np.zeros(30_000, bool)), sketch_scores("us", small, np.zeros(500, bool))]
    assert len(sketches[0].normal) == 1025
    assert sketches[0].normal_count == 30_000
    exact = fit_threshold("percentile", np.concatenate([large, small]), None).value
    assert shared_threshold(sketches, "percentile").value == pytest.approx(exact, abs=0.15)


def test_no_window_or_one_class_is_said() -> None:
    empty = sketch_scores("eu", np.zeros(0, np.float32), np.zeros(0, bool))
    with pytest.raises(RoundFailedError, match=r"step 6, threshold: .* at least one score"):
        shared_threshold([empty], "auto")
    normal = sketch_scores("eu", np.ones(3, np.float32), np.zeros(3, bool))
    with pytest.raises(RoundFailedError, match="both classes"):
        shared_threshold([normal], "best_f1")


@pytest.mark.parametrize(
    ("anomalies", "known", "windows", "supported"),
    [(0, 0, 60, False), (1, 2, 60, False), (5, 5, 60, True), (1, 30, 60, True), (0, 0, 0, False)],
)  # fmt: skip
def test_a_few_answers_do_not_support_a_threshold(anomalies: int, known: int, windows: int, supported: bool) -> None:
    labels, given = np.arange(windows) < anomalies, np.arange(windows) < known
    assert supports_threshold(labels, given) is supported


def test_a_few_answers_keep_a_threshold_below_the_anomalies_that_nobody_has_labelled() -> None:
    """Six of 200 windows are anomalies, of which one has a label: a percentile alone would be above all of them."""
    normal, hidden = np.linspace(0, 1, 194, dtype=np.float32), np.full(6, 3.0, np.float32)
    scores = np.concatenate([normal, hidden])
    without = sketch_scores("eu", scores, np.zeros(200, bool), labelled=False)
    assert shared_threshold([without], "auto").value >= 3
    one = sketch_scores("eu", scores, np.arange(200) == 199, labelled=False)
    assert 0.9 < shared_threshold([one], "auto").value < 1.1
    among_normal = sketch_scores("eu", np.append(scores, np.float32(0.5)), np.arange(201) == 200, labelled=False)
    assert shared_threshold([among_normal], "auto").value >= 3, "an anomaly that looks normal moved the threshold"


def test_several_labelled_anomalies_keep_a_threshold_below_more_that_nobody_has_labelled() -> None:
    """A twelfth of the windows are anomalies: more than the share that a single label may move the threshold past."""
    normal, hidden = np.linspace(0, 1, 220, dtype=np.float32), np.linspace(3, 4, 20, dtype=np.float32)
    scores = np.concatenate([normal, hidden])

    def with_labels(*labelled: int) -> float:
        sketch = sketch_scores("eu", scores, np.isin(np.arange(240), labelled), labelled=False)
        return shared_threshold([sketch], "auto").value

    assert with_labels(220) > 3.0
    assert 0.9 < with_labels(220, 222, 226, 230, 238) < 3.0
    assert with_labels(100, 222, 226, 230, 238) < 3.2, "an anomaly that looks normal moved the threshold"


def test_windows_that_are_only_assumed_to_be_normal_do_not_raise_a_threshold_that_labels_support() -> None:
    scores = np.linspace(0, 1, 100, dtype=np.float32)
    known = sketch_scores("eu", scores, scores > 0.5)
    assumed = sketch_scores("us", np.full(900, 0.9, np.float32), np.zeros(900, bool), labelled=False)
    assert shared_threshold([known, assumed], "auto").value == shared_threshold([known], "auto").value
    one_class = sketch_scores("eu", scores, np.zeros(100, bool))
    assert shared_threshold([one_class, assumed], "auto").value > shared_threshold([one_class], "auto").value - 0.2
    assert shared_threshold([assumed], "auto").value >= 0.9
