import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from models.base import Windows, template_id
from models.detectors.checks import WindowWorkload, fitted
from models.detectors.deeplog import DeepLog
from models.detectors.registry import build
from models.training.output_vocabulary import grown, has_candidates

SMALL = {"encoder": "hashing:32", "projection": 16, "hidden": 16, "training": {"epochs": 25, "learning_rate": 0.02}}
OLD = {
    "vocabulary": np.array([7, -3], np.int64),
    "vectors": np.arange(10, dtype=np.float32).reshape(2, 5),
    "bias": np.array([0.5, -0.25, 9.0], np.float32),
    "shift": np.linspace(-1, 1, 5, dtype=np.float32),
    "scale": np.array([2.0], np.float32),
    "projection.weight": np.ones((4, 5), np.float32),
}
BOTH = np.array([True, True])
NEW = st.lists(st.integers(-(2**63), 2**63 - 1).filter(lambda i: i not in (7, -3)), max_size=6, unique=True)


@given(NEW)
def test_candidates_are_added_behind_those_that_are_there(ids: list[int]) -> None:
    found = grown(OLD, BOTH, np.array(ids, np.int64))
    assert {name: array.dtype for name, array in found.items()} == {name: array.dtype for name, array in OLD.items()}
    assert found["vocabulary"].tolist() == [7, -3, *ids]
    np.testing.assert_array_equal(found["vectors"][:2], OLD["vectors"])
    np.testing.assert_array_equal(found["bias"], [0.5, -0.25, *[-0.25] * len(ids), 9.0])
    for name in ("shift", "scale", "projection.weight"):
        np.testing.assert_array_equal(found[name], OLD[name])


def test_candidates_that_do_not_stay_take_all_of_theirs_along() -> None:
    found = grown(OLD, np.array([False, True]), np.array([5]))
    assert found["vocabulary"].tolist() == [-3, 5]
    np.testing.assert_array_equal(found["vectors"][0], OLD["vectors"][1])
    assert found["vectors"].shape == (2, 5)
    assert found["bias"].tolist() == [-0.25, -0.25, 9.0]


@given(NEW)
def test_what_a_candidate_gets_depends_on_its_id_alone(ids: list[int]) -> None:
    together = grown(OLD, BOTH, np.array(ids, np.int64))["vectors"][2:]
    for row, identity in zip(together, ids, strict=True):
        np.testing.assert_array_equal(row, grown(OLD, BOTH, np.array([identity]))["vectors"][2])


def test_added_vectors_are_spread_like_those_of_texts() -> None:
    vectors = grown(OLD, BOTH, np.arange(100, 1100))["vectors"][2:]
    centred = (vectors - OLD["shift"]) * OLD["scale"]
    assert abs(float(centred.mean())) < 0.05
    assert abs(float(centred.std()) - 1) < 0.05


def test_a_detector_finds_an_added_template_by_its_text(workload: WindowWorkload) -> None:
    detector = fitted(lambda: build("deeplog", SMALL, device="cpu"), workload)
    text = "disk <*> has vanished"
    old = detector.weights()
    weights = grown(old, np.ones(len(old["vocabulary"]), bool), np.array([template_id(text)]))
    other = build("deeplog", SMALL, device="cpu")
    other.load_weights(weights, detector.extra())
    assert isinstance(other, DeepLog)
    np.testing.assert_array_equal(other.weights()["vocabulary"], weights["vocabulary"])
    other.learn_templates({**workload.templates, template_id(text): text})
    detector.learn_templates({**workload.templates, template_id(text): text})
    row = [template_id("session <*> opened"), template_id(text)]
    # As a candidate, however unlikely, it is judged against the others; as none, it would be the largest miss.
    assert other.score(Windows.of([row], [False]))[0] != detector.score(Windows.of([row], [False]))[0]


def test_only_detectors_with_an_output_for_every_template_have_candidates(workload: WindowWorkload) -> None:
    small = {"encoder": "hashing:32", "training": {"epochs": 1}}
    assert has_candidates(fitted(lambda: build("deeplog", SMALL, device="cpu"), workload).weights())
    assert not has_candidates(fitted(lambda: build("bert_cnn", small, device="cpu"), workload).weights())
