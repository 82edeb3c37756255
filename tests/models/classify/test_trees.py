import numpy as np
import pytest

from models.base import ModelStoreError
from models.classify.base import Lines
from models.classify.checks import make_workload
from models.classify.features import MEANING, words_of
from models.classify.registry import build
from models.classify.trees import filled_up

SMALL = {"encoder": "hashing:32", "words": 40, "axes": 4, "candidates": 0}
KINDS = [("random_forest", SMALL | {"trees": 12}), ("xgboost", SMALL | {"rounds": 8})]


@pytest.fixture(params=KINDS, ids=lambda k: k[0])
def fitted(request):
    workload = make_workload()
    classifier = build(*request.param)
    classifier.fit(workload.lines, workload.labels)
    return classifier, workload


def test_shapley_values_add_up(fitted):
    classifier, workload = fitted
    x = classifier._features.of(workload.lines.take(np.arange(10)))
    given = classifier._predict(classifier._trees, x)
    if classifier.name == "xgboost":
        import xgboost

        given = classifier._trees.predict(xgboost.DMatrix(x), output_margin=True)
    sums = classifier._shap(x).sum(1)  # (n, k)
    np.testing.assert_allclose(sums - sums[0], given - given[0], atol=1e-4)


def test_the_word_that_tells_is_the_reason(fitted):
    classifier, _ = fitted
    lines = Lines.of(["kernel panic aborting process"], levels=["error"])
    reasons = classifier.explain(lines)[0]
    assert {r.what for r in reasons} & {"word 'kernel'", "word 'panic'", "word 'aborting'", "word 'process'", MEANING}
    absent = {f"word '{w}'" for w in classifier._features.vocabulary} - {
        f"word '{w}'" for w in words_of(*lines.messages)
    }
    assert not {r.what for r in reasons} & absent


def test_trees_of_another_encoder_are_refused(fitted):
    classifier, _ = fitted
    other = build(classifier.name, classifier.settings() | {"encoder": "hashing:64"})
    with pytest.raises(ModelStoreError, match="were trained on encoder hashing:32"):
        other.load_weights(classifier.weights(), classifier.extra())


@pytest.mark.parametrize("cut", [0, 1, 100])
def test_a_booster_that_is_cut_off_is_refused(cut):
    made = make_workload()
    booster = build(*KINDS[1])
    booster.fit(made.lines, made.labels)
    weights = booster.weights()
    with pytest.raises(ModelStoreError, match="not whole binary JSON"):
        booster.load_weights(weights | {"booster": weights["booster"][: -cut or 0]}, booster.extra())


def test_a_forest_that_walks_in_circles_is_refused():
    workload = make_workload()
    forest = build(*KINDS[0])
    forest.fit(workload.lines, workload.labels)
    weights = forest.weights()
    weights["left"][np.flatnonzero(weights["left"] >= 0)[0]] = 0
    with pytest.raises(ModelStoreError, match="do not make trees"):
        forest.load_weights(weights, forest.extra())


def test_the_search_keeps_the_best_candidate():
    workload = make_workload()
    classifier = build("xgboost", SMALL | {"candidates": 3, "rounds": 4})
    report = classifier.fit(workload.lines, workload.labels, seed=5)
    figures = [h["val_f1"] for h in report.history]
    assert len(figures) == 4
    assert figures[report.best_epoch] == max(figures)
    assert classifier.extra()["chosen"]["max_depth"] == report.history[report.best_epoch]["max_depth"]


def test_rare_classes_are_filled_up_between_their_rows():
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.random((100, 3)), 5 + rng.random((4, 3)), [[9, 9, 9]]]).astype(np.float32)
    y = np.array([0] * 100 + [1] * 4 + [2])
    w = np.where(y == 1, 3.0, 1.0)
    grown, kinds, weights = filled_up(x, y, w, 0.3, 0)
    assert np.bincount(kinds).tolist() == [100, 30, 30]
    assert np.array_equal(grown[:105], x)
    assert ((grown[kinds == 1] >= 5) & (grown[kinds == 1] <= 6)).all()
    assert (grown[kinds == 2] == 9).all()
    assert (weights[kinds == 1] == 3).all()


def test_nothing_is_filled_up_where_nothing_is_rare():
    x, y, w = np.zeros((10, 2), np.float32), np.arange(10) % 2, np.ones(10)
    assert len(filled_up(x, y, w, 0.5, 0)[0]) == 10


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("NoRouteToHostException at <IP>", {"no", "route", "to", "host", "exception", "at"}),
        ("SSLHandshake failed: <NUM>", {"ssl", "handshake", "failed"}),
        ("a 1 <*>", set()),
    ],
)
def test_words(text, words):
    assert words_of(text) == words
