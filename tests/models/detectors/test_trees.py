import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from models.detectors.trees import check_trees, fit_trees, margins, steps


def make_workload(seed: int, rows: int = 60) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    features = rng.integers(0, 4, (rows, 5)).astype(np.float32)
    labels = features[:, 0] * features[:, 1] > 3
    labels[:2] = False, True
    return features, labels


def test_margins_are_those_of_the_library() -> None:
    from sklearn.ensemble import GradientBoostingClassifier

    features, labels = make_workload(0)
    rows, times = np.unique(np.column_stack([features, labels]), axis=0, return_counts=True)
    library = GradientBoostingClassifier(n_estimators=30, max_depth=3, max_features="sqrt", random_state=7)
    library.fit(rows[:, :-1], rows[:, -1] > 0, sample_weight=times)
    model = fit_trees(features, labels, np.ones(len(labels)), trees=30, depth=3, seed=7)
    np.testing.assert_allclose(margins(model, features), library.decision_function(features), atol=1e-4)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), depth=st.integers(1, 5))
def test_steps_add_up_to_the_margin(seed: int, depth: int) -> None:
    features, labels = make_workload(seed)
    model = fit_trees(features, labels, np.ones(len(labels)), trees=8, depth=depth, seed=seed)
    check_trees(model, features.shape[1])
    whole = margins(model, features)
    for row in range(0, len(features), 13):
        terms, start = steps(model, features[row])
        assert abs(terms.sum() + start - whole[row]) < 1e-6
        assert abs(margins(model, features[row : row + 1])[0] - whole[row]) < 1e-9


def test_more_rows_than_a_part_holds() -> None:
    features, labels = make_workload(3)
    model = fit_trees(features, labels, np.ones(len(labels)), trees=5, depth=3, seed=0)
    many = np.tile(features, (150, 1))
    np.testing.assert_array_equal(margins(model, many)[: len(features)], margins(model, features))
