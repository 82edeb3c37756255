import numpy as np
import pytest

from models.base import TrainingError
from models.classify.base import CLASSES, MAX_CHARS, Lines
from models.classify.metrics import class_figures
from models.classify.registry import build


def test_columns_of_different_length_are_refused():
    with pytest.raises(ValueError, match="columns of 1, 2, 2, 2, 2 entries"):
        Lines.of(["a", "b"], ["t"])


def test_long_texts_are_cut():
    lines = Lines.of(["x" * 1_000_000])
    assert len(lines.messages[0]) == len(lines.templates[0]) == MAX_CHARS


def test_distinct_and_take():
    lines = Lines.of(["a", "b", "a"], levels=["info", "info", "info"])
    index, inverse = lines.distinct()
    assert lines.take(index).messages == ("a", "b")
    assert inverse.tolist() == [0, 1, 0]


@pytest.mark.parametrize(
    ("labels", "weights", "words"),
    [
        ([1, 1], None, "all lines are security_anomaly"),
        ([0, 7], None, "labels are 0 to 7"),
        ([0, 1], [1.0, 0.0], "a finite number above 0"),
        ([0], None, "1 labels"),
    ],
)
def test_what_cannot_train_is_told(labels, weights, words):
    with pytest.raises(TrainingError, match=words):
        build("rules").fit(
            Lines.of(["a", "b"]), np.array(labels), weights=None if weights is None else np.array(weights)
        )


def test_figures_agree_with_scikit_learn():
    from sklearn.metrics import accuracy_score, f1_score

    rng = np.random.default_rng(0)
    truth, given = rng.integers(0, 5, 300), rng.integers(1, len(CLASSES), 300)
    weights = rng.integers(1, 4, 300).astype(float)
    figures = class_figures(truth, given, weights)
    assert figures.accuracy == pytest.approx(accuracy_score(truth, given, sample_weight=weights))
    expected = f1_score(truth, given, average="macro", sample_weight=weights, zero_division=0)
    assert figures.macro_f1 == pytest.approx(expected)
