import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from models.thresholds.calibration import MIN_SCORES, Distribution, Fitted, calibrated
from models.training.metrics import confusion, highest_f1

RNG = np.random.default_rng(7)
NORMAL = RNG.gamma(2, 0.1, 4000)


def known(threshold: float, *, labelled: bool, max_share: float = 0.05, normal: np.ndarray = NORMAL) -> Fitted:
    return Fitted(threshold, Distribution.from_scores(normal), len(normal), labelled, max_share)


def stream(share: float, count: int = 6000, anomaly: float = 3.0) -> tuple[np.ndarray, np.ndarray]:
    """Normal scores as in training, and a share of anomalous ones above them."""
    labels = RNG.random(count) < share
    return np.where(labels, anomaly + RNG.exponential(0.5, count), RNG.gamma(2, 0.1, count)), labels


def f1(threshold: float, scores: np.ndarray, labels: np.ndarray) -> float:
    return confusion(scores, labels, threshold).f1


@pytest.mark.parametrize(("share", "part"), [(0.002, 0.85), (0.01, 0.97), (0.04, 0.97)])
def test_without_labels_the_threshold_comes_near_the_best_one(share: float, part: float) -> None:
    scores, labels = stream(share)
    threshold = calibrated(Distribution.from_scores(scores), len(scores), known(0.65, labelled=False), flooded=False)
    assert f1(threshold, scores, labels) > part * highest_f1(scores, labels)
    assert f1(threshold, scores, labels) > f1(0.65, scores, labels)


def test_a_stream_without_anomalies_raises_next_to_nothing() -> None:
    scores, _ = stream(0.0)
    threshold = calibrated(Distribution.from_scores(scores), len(scores), known(0.7, labelled=False), flooded=False)
    assert (scores >= threshold).mean() < 0.01


def test_labels_are_believed_while_the_stream_allows_it() -> None:
    scores, _ = stream(0.03)
    assert calibrated(Distribution.from_scores(scores), len(scores), known(1.5, labelled=True), flooded=False) == 1.5


@pytest.mark.parametrize("labelled", [True, False])
def test_a_flood_of_new_normal_behaviour_is_not_anomalous(labelled: bool) -> None:
    scores, labels = stream(0.02, anomaly=4.0)
    flood = ~labels & (RNG.random(len(scores)) < 0.3)
    scores[flood] = 1.5 + RNG.normal(0, 0.05, int(flood.sum()))
    threshold = calibrated(Distribution.from_scores(scores), len(scores), known(1.0, labelled=labelled), flooded=True)
    assert f1(threshold, scores, labels) > 0.97 * highest_f1(scores, labels)
    assert f1(1.0, scores, labels) < 0.2


def test_few_scores_change_nothing() -> None:
    scores, _ = stream(0.02, count=MIN_SCORES - 1)
    assert calibrated(Distribution.from_scores(scores), len(scores), known(0.3, labelled=False), flooded=False) == 0.3


def test_a_stream_of_one_score_gets_a_threshold_that_it_does_not_reach() -> None:
    scores = np.full(1000, 2.0)
    threshold = calibrated(Distribution.from_scores(scores), len(scores), known(1.0, labelled=True), flooded=True)
    assert np.isfinite(threshold)
    assert threshold > 2.0


@given(
    arrays(np.float32, st.integers(1, 400), elements=st.floats(0, 8, width=32)), st.booleans(), st.booleans()
)  # fmt: skip
def test_any_stream_gets_a_finite_threshold_and_a_flood_one_within_the_plausible_share(
    scores: np.ndarray, labelled: bool, flooded: bool
) -> None:
    fitted = known(2.0, labelled=labelled)
    threshold = calibrated(Distribution.from_scores(scores), len(scores), fitted, flooded=flooded)
    assert np.isfinite(threshold)
    if flooded:
        assert (scores >= threshold).mean() <= fitted.max_share
