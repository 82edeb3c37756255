"""`random_forest`: many deep trees that vote, on words, text statistics and sentence embeddings.

Breiman, "Random Forests", 2001, https://doi.org/10.1023/A:1010933404324. Grown by scikit-learn, kept
as arrays of nodes and walked here, so that nothing has to be pickled.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from models.base import ModelStoreError
from models.classify.trees import TreeClassifier, TreeSettings, shapley

_CELLS = 2_000_000


class RandomForestSettings(TreeSettings):
    """How the forest is grown."""

    trees: Annotated[int, Field(ge=1)] = Field(100, description="Trees.")
    max_depth: Annotated[int, Field(ge=1)] = Field(40, description="Maximum depth of a tree.")
    min_leaf: Annotated[int, Field(ge=1)] = Field(1, description="Minimum number of rows in a leaf.")
    bootstrap: bool = Field(
        False, description="Whether each tree is trained on rows drawn with replacement instead of all rows."
    )
    features: Annotated[float, Field(gt=0, le=1)] = Field(
        0.05, description="Share of the features tried at each split."
    )


@dataclass(frozen=True, slots=True)
class Forest:
    """Nodes of all trees, one tree after the other; a child always stands behind its parent.

    Attributes:
        roots: int32 (trees,): first node of each tree.
        left, right: int32 (nodes,): children; -1 for a leaf.
        feature: int32 (nodes,): feature that is compared; rows up to the threshold go left.
        threshold: float64 (nodes,).
        value: float32 (nodes, k): probabilities of the classes at the node.
        cover: float32 (nodes,): weight of the training rows that came by, for SHAP.
    """

    roots: NDArray[np.int32]
    left: NDArray[np.int32]
    right: NDArray[np.int32]
    feature: NDArray[np.int32]
    threshold: NDArray[np.float64]
    value: NDArray[np.float32]
    cover: NDArray[np.float32]

    def leaves(self, x: NDArray[np.float32]) -> NDArray[np.int32]:
        """int32 (n, trees): the leaf that each row ends in."""
        at = np.broadcast_to(self.roots, (len(x), len(self.roots))).copy()
        rows, columns = np.nonzero(self.left[at] >= 0)
        while len(rows):
            nodes = at[rows, columns]
            goes_left = x[rows, self.feature[nodes]] <= self.threshold[nodes]
            nodes = np.where(goes_left, self.left[nodes], self.right[nodes])
            at[rows, columns] = nodes
            inner = self.left[nodes] >= 0
            rows, columns = rows[inner], columns[inner]
        return at


class RandomForest(TreeClassifier):
    """The classifier; its probabilities are the mean of the trees'."""

    name = "random_forest"
    requires = ("imblearn", "shap")
    check_settings = (
        {"encoder": "hashing:32", "words": 40, "axes": 8, "trees": 10, "candidates": 0},
        {"encoder": "hashing:32", "words": 40, "axes": 0, "trees": 8, "candidates": 2, "smote_share": 0.0},
    )
    space: Mapping[str, tuple[Any, ...]] = {
        "max_depth": (20, 40), "min_leaf": (1, 1, 2), "features": (0.03, 0.05, 0.1), "smote_share": (0.0, 0.05, 0.1),
        "bootstrap": (False, False, True),
    }  # fmt: skip
    options: RandomForestSettings

    def _grow(
        self, x: NDArray[np.float32], y: NDArray[np.int64], w: NDArray[np.float64], chosen: Mapping[str, Any], seed: int
    ) -> Any:
        from sklearn.ensemble import RandomForestClassifier  # type: ignore[import-untyped]

        forest = RandomForestClassifier(
            self.options.trees, max_depth=chosen["max_depth"], min_samples_leaf=chosen["min_leaf"],
            max_features=chosen["features"], bootstrap=chosen["bootstrap"], random_state=seed, n_jobs=1,
        ).fit(x, y, sample_weight=w)  # fmt: skip
        trees = [estimator.tree_ for estimator in forest.estimators_]
        roots = np.cumsum([0, *(t.node_count for t in trees)])[:-1]

        def joined(name: str, dtype: Any) -> NDArray[Any]:
            return np.concatenate([getattr(t, name) for t in trees]).astype(dtype)

        def child(name: str) -> NDArray[np.int32]:
            moved = [
                np.where(getattr(t, name) < 0, -1, getattr(t, name) + r) for t, r in zip(trees, roots, strict=True)
            ]
            return np.concatenate(moved).astype(np.int32)

        value = joined("value", np.float64)[:, 0, :]  # (nodes, k)
        return Forest(
            roots.astype(np.int32), child("children_left"), child("children_right"),
            np.maximum(joined("feature", np.int32), 0), joined("threshold", np.float64),
            (value / value.sum(1, keepdims=True)).astype(np.float32), joined("weighted_n_node_samples", np.float32),
        )  # fmt: skip

    def _predict(self, trees: Any, x: NDArray[np.float32]) -> NDArray[np.float32]:
        found = np.zeros((len(x), trees.value.shape[1]), np.float64)
        step = max(1, _CELLS // len(trees.roots))
        for start in range(0, len(x), step):
            leaves = trees.leaves(x[start : start + step])
            for column in leaves.T:
                found[start : start + step] += trees.value[column]
        found /= found.sum(1, keepdims=True)
        return found.astype(np.float32)

    def _shap(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        forest = self._trained()
        ends = [*forest.roots[1:].tolist(), len(forest.left)]
        trees = []
        for start, end in zip(forest.roots.tolist(), ends, strict=True):
            left, right = (np.where(c[start:end] < 0, -1, c[start:end] - start) for c in (forest.left, forest.right))
            trees.append(
                {
                    "children_left": left.astype(np.int32),
                    "children_right": right.astype(np.int32),
                    "children_default": right.astype(np.int32),
                    "features": forest.feature[start:end],
                    "thresholds": forest.threshold[start:end],
                    "values": forest.value[start:end].astype(np.float64) / len(forest.roots),
                    "node_sample_weight": forest.cover[start:end].astype(np.float64),
                }
            )
        return shapley({"trees": trees}, x.astype(np.float64))

    def _arrays(self) -> dict[str, NDArray[Any]]:
        forest = self._trained()
        return {f.name: getattr(forest, f.name).copy() for f in fields(Forest)}

    def _from_arrays(self, arrays: Mapping[str, NDArray[Any]], features: int, classes: int) -> Any:
        names = [f.name for f in fields(Forest)]
        if set(arrays) != set(names):
            raise ModelStoreError(f"{self.name} has the arrays {', '.join(names)}; given were {', '.join(arrays)}")
        nodes, trees = arrays["left"].size, arrays["roots"].size
        for name in names:
            shape = {"roots": (trees,), "value": (nodes, classes)}.get(name, (nodes,))
            dtype = {"threshold": np.float64, "value": np.float32, "cover": np.float32}.get(name, np.int32)
            given = arrays[name]
            if given.shape != shape or given.dtype != dtype or not np.isfinite(given).all():
                raise ModelStoreError(
                    f"'{name}' of {self.name} is {given.dtype}{list(given.shape)}, expected finite "
                    f"{np.dtype(dtype)}{list(shape)}"
                )
        forest = Forest(**{name: arrays[name].copy() for name in names})
        inner = forest.left >= 0
        here = np.arange(nodes)[inner]
        # Children behind their parents: a walk down ends for any arrays.
        promises = (
            forest.left[inner] > here, forest.right[inner] > here, forest.left < nodes, forest.right < nodes,
            forest.roots >= 0, forest.roots < nodes, forest.feature >= 0, forest.feature < features, forest.value >= 0,
        )  # fmt: skip
        if not trees or not all(p.all() for p in promises):
            raise ModelStoreError(f"the nodes of {self.name} do not make trees on {features} features")
        return forest
