import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from models.base import TrainingError
from models.thresholds.base import Threshold
from models.thresholds.best_f1 import best_f1
from models.thresholds.registry import RULES, fit_threshold
from models.training.metrics import confusion, evaluate, highest_f1

scores = arrays(np.float32, st.integers(1, 60), elements=st.floats(-1e6, 1e6, width=32))
unit = arrays(np.float32, st.integers(2, 40), elements=st.floats(0, 1, width=32))


@given(scores, st.floats(0, 100))
def test_percentile_flags_no_more_than_its_share(values: np.ndarray, percent: float) -> None:
    threshold = fit_threshold("percentile", values, None, {"percent": percent})
    assert (values >= threshold.value).mean() <= 1 - percent / 100 + 1e-9


@pytest.mark.parametrize("rule", ["percentile", "stddev", "iqr", "pot"])
@given(value=st.floats(-1e6, 1e6, width=32), count=st.integers(1, 9))
def test_equal_scores_are_all_normal(rule: str, value: float, count: int) -> None:
    values = np.full(count, value, np.float32)
    assert not (values >= fit_threshold(rule, values).value).any()


@pytest.mark.parametrize("rule", ["percentile", "stddev", "iqr", "pot"])
@given(values=scores)
def test_anomalous_scores_are_left_out(rule: str, values: np.ndarray) -> None:
    both = np.concatenate([values, values + np.float32(1e6)])
    labels = np.arange(len(both)) >= len(values)
    assert fit_threshold(rule, both, labels).value == fit_threshold(rule, values).value


@given(unit, st.randoms())
def test_best_f1_is_the_best_there_is(values: np.ndarray, random: object) -> None:
    labels = np.array([random.random() < 0.4 for _ in values])  # type: ignore[attr-defined]
    labels[:2] = [True, False]
    found = confusion(values, labels, fit_threshold("best_f1", values, labels).value).f1
    assert found == max(confusion(values, labels, float(v)).f1 for v in values)


@given(unit, st.data())
def test_fitted_thresholds_survive_json(values: np.ndarray, data: st.DataObject) -> None:
    rule = data.draw(st.sampled_from(sorted(RULES)))
    threshold = fit_threshold(rule, values, np.arange(len(values)) == 0)
    assert Threshold.model_validate_json(threshold.model_dump_json()) == threshold
    assert np.float32(threshold.value) == threshold.value


def test_separated_classes_are_split_in_the_middle() -> None:
    values = np.array([0.0, 0.25, 0.75, 1.0], np.float32)
    assert fit_threshold("best_f1", values, values > 0.5).value == 0.5


@pytest.mark.parametrize(
    ("rule", "values", "labels", "settings", "words"),
    [
        ("magic", [1.0], None, {}, "known are percentile, stddev, iqr, pot, best_f1"),
        ("iqr", [], None, {}, "at least one score"),
        ("iqr", [np.nan], None, {}, "all finite"),
        ("iqr", [1.0], [True], {}, "every window given is anomalous"),
        ("iqr", [1.0], None, {"percent": 3}, "known are factor"),
        ("percentile", [1.0], None, {"percent": 101}, "between 0 and 100"),
        ("pot", [1.0], None, {"risk": 0.5}, "risk must lie between"),
        ("best_f1", [1.0], None, {}, "both classes"),
        ("best_f1", [1.0, 2.0], [True, True], {}, "both classes"),
    ],
)
def test_refusals(rule: str, values: list[float], labels: list[bool] | None, settings: dict, words: str) -> None:
    with pytest.raises(TrainingError, match=words):
        fit_threshold(rule, np.array(values, np.float32), None if labels is None else np.array(labels), settings)


@pytest.mark.parametrize("risk", [1e-2, 1e-3])
def test_pot_finds_the_tail_of_an_exponential_distribution(risk: float) -> None:
    values = np.random.default_rng(0).exponential(3.0, 20_000).astype(np.float32)
    assert fit_threshold("pot", values, None, {"risk": risk}).value == pytest.approx(-3 * np.log(risk), rel=0.05)


def test_the_highest_f1_is_that_of_the_best_threshold() -> None:
    rng = np.random.default_rng(4)
    scores = rng.integers(0, 6, 200).astype(np.float32)
    labels, weights = rng.random(200) < scores / 8, rng.random(200) + 0.5
    by_hand = max(confusion(scores, labels, t, weights).f1 for t in range(7))
    assert highest_f1(scores, labels, weights) == pytest.approx(by_hand)
    assert highest_f1(scores, labels) == pytest.approx(confusion(scores, labels, best_f1(scores, labels)).f1)
    assert highest_f1(scores, np.zeros(200, bool)) == 0


def test_figures() -> None:
    labels = np.array([True, True, False, False])
    figures = evaluate(np.array([0.9, 0.2, 0.8, 0.1], np.float32), labels, 0.5)
    assert (figures["precision"], figures["recall"], figures["f1"], figures["roc_auc"]) == (0.5, 0.5, 0.5, 0.75)
    assert "roc_auc" not in evaluate(np.array([0.1], np.float32), np.array([False]), 0.5)
    weighted = confusion(np.array([1.0, 1.0]), np.array([True, False]), 0.5, np.array([1.0, 3.0]))
    assert weighted.precision == 0.25
    assert weighted.accuracy == 0.25
