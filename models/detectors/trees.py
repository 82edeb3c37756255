"""Gradient-boosted trees as plain arrays: fitted by scikit-learn, saved, scored and explained without it.

Paper: Friedman, "Greedy Function Approximation: A Gradient Boosting Machine", 2001,
https://doi.org/10.1214/aos/1013203451. A window's margin (logit) is the prior plus one value of each
tree. On the way from the root to a leaf every split moves the expected value; that step belongs to
the feature split on, and the steps of all trees add up to the margin exactly (Saabas, 2014,
https://blog.datadive.net/interpreting-random-forests/).

Shapes: n rows, F features, T trees, N nodes of all trees together.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foundation.extras import require
from models.base import ModelStoreError

NAMES = ("prior", "roots", "feature", "cut", "below", "above", "value")
"""Arrays of a model: prior float32 (1,); roots int32 (T,); and by node, (N,): the feature split on, the
cut, the child at or below it, the child above it, and the expected value. A leaf is its own child."""
_LEARNING_RATE = 0.1
_ROWS = 4096


def fit_trees(
    features: NDArray[np.float32], labels: NDArray[np.bool_], times: NDArray[np.float64], *,
    trees: int, depth: int, seed: int,
) -> dict[str, NDArray[Any]]:  # fmt: skip
    """Learn trees from features (n, F) and labels (n,) of both classes; each row stands for `times` (n,) windows."""
    require("train", "event_counts with head=boosted", "sklearn")
    from sklearn.ensemble import GradientBoostingClassifier  # type: ignore[import-untyped]

    # Logs repeat themselves; equal rows with equal labels are one row with a weight.
    rows, row = np.unique(np.column_stack([features, labels]), axis=0, return_inverse=True)
    model = GradientBoostingClassifier(
        n_estimators=trees, max_depth=depth, learning_rate=_LEARNING_RATE, max_features="sqrt", random_state=seed
    ).fit(rows[:, :-1], rows[:, -1] > 0, sample_weight=np.bincount(row, times))
    share = float(times[labels].sum() / times.sum())
    parts = [_arrays(estimator.tree_) for estimator in model.estimators_[:, 0]]
    roots = np.cumsum([0, *(len(p["feature"]) for p in parts)])
    for part, root in zip(parts, roots[:-1].tolist(), strict=True):
        part["below"] += root
        part["above"] += root
    return {
        "prior": np.array([np.log(share / (1 - share))], np.float32),
        "roots": roots[:-1].astype(np.int32),
        **{name: np.concatenate([p[name] for p in parts]) for name in NAMES[2:]},
    }


def _arrays(tree: Any) -> dict[str, NDArray[Any]]:
    """One fitted tree; scikit-learn keeps values at leaves only, the others are the means of their children's."""
    own = np.arange(tree.node_count)
    leaf = tree.children_left < 0
    below, above = (np.where(leaf, own, c) for c in (tree.children_left, tree.children_right))
    value, weight = tree.value[:, 0, 0].astype(np.float64), tree.weighted_n_node_samples
    for node in own[~leaf][::-1]:  # children come after their parents
        low, high = below[node], above[node]
        value[node] = (value[low] * weight[low] + value[high] * weight[high]) / (weight[low] + weight[high])
    return {
        "feature": np.where(leaf, 0, tree.feature).astype(np.int32),
        "cut": np.where(leaf, 0, tree.threshold).astype(np.float32),
        "below": below.astype(np.int32),
        "above": above.astype(np.int32),
        "value": (_LEARNING_RATE * value).astype(np.float32),
    }


def margins(model: Mapping[str, NDArray[Any]], features: NDArray[np.float32]) -> NDArray[np.float64]:
    """float64 (n,): the logit of each row of features (n, F)."""
    found = np.full(len(features), model["prior"][0], np.float64)
    for start in range(0, len(features), _ROWS):
        part = features[start : start + _ROWS]
        node = np.broadcast_to(model["roots"], (len(part), len(model["roots"])))  # (b, T)
        while not np.array_equal(node, node := _child(model, part, node)):
            pass
        found[start : start + _ROWS] += model["value"][node].sum(1, dtype=np.float64)
    return found


def _child(
    model: Mapping[str, NDArray[Any]], features: NDArray[np.float32], node: NDArray[np.int32]
) -> NDArray[np.int32]:
    """From nodes (b, T), one in each tree, one step down."""
    asked = np.take_along_axis(features, model["feature"][node].astype(np.intp), 1)
    return np.where(asked <= model["cut"][node], model["below"][node], model["above"][node])


def steps(model: Mapping[str, NDArray[Any]], features: NDArray[np.float32]) -> tuple[NDArray[np.float64], float]:
    """What each feature of one row (F,) adds to its margin (F,), and the margin before any is asked."""
    found = np.zeros(len(features))
    start = float(model["prior"][0] + model["value"][model["roots"]].sum(dtype=np.float64))
    node = model["roots"]
    while True:
        child = _child(model, features[None], node[None])[0]
        if np.array_equal(child, node):
            return found, start
        rise = model["value"][child].astype(np.float64) - model["value"][node]
        np.add.at(found, model["feature"][node], rise)
        node = child


def check_trees(model: Mapping[str, NDArray[Any]], width: int) -> None:
    """Reject arrays that are not trees over `width` features, so that walking them always ends.

    Raises:
        ModelStoreError: see above; the message names the array.
    """
    count = len(model["feature"])
    for name in NAMES:
        given = model[name]
        dtype = np.float32 if name in ("prior", "cut", "value") else np.int32
        size = {"prior": 1, "roots": given.size}.get(name, count)
        if given.dtype != dtype or given.shape != (size,) or not size or not np.isfinite(given).all():
            raise ModelStoreError(
                f"'{name}' of the trees is {given.dtype}{list(given.shape)}, expected finite "
                f"{np.dtype(dtype)}[{size or 'one or more'}]"
            )
    own = np.arange(count)
    leaf = (model["below"] == own) & (model["above"] == own)
    inner = (np.minimum(model["below"], model["above"]) > own) & (np.maximum(model["below"], model["above"]) < count)
    for name, valid in {
        "below": leaf | inner,
        "feature": (model["feature"] >= 0) & (model["feature"] < width),
        "roots": (model["roots"] >= 0) & (model["roots"] < count),
    }.items():
        if not valid.all():
            raise ModelStoreError(f"'{name}' of the trees refers to a node or feature that does not exist")
