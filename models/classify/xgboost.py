"""`xgboost`: gradient-boosted trees on words, text statistics and sentence embeddings.

Chen and Guestrin, "XGBoost: A Scalable Tree Boosting System", 2016, https://arxiv.org/abs/1603.02754.
Saved in XGBoost's own binary JSON, as an array of bytes.
"""

from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from models.base import ModelStoreError
from models.classify.trees import TreeClassifier, TreeSettings


class XGBoostSettings(TreeSettings):
    """How the trees are boosted."""

    rounds: Annotated[int, Field(ge=1)] = Field(120, description="Boosting rounds; each grows one tree a class.")
    learning_rate: Annotated[float, Field(gt=0, le=1)] = Field(0.2, description="Share of each tree that is kept.")
    max_depth: Annotated[int, Field(ge=1)] = Field(5, description="Maximum depth of a tree.")
    subsample: Annotated[float, Field(gt=0, le=1)] = Field(0.8, description="Share of the rows that a tree sees.")
    colsample: Annotated[float, Field(gt=0, le=1)] = Field(0.5, description="Share of the features that a tree sees.")
    min_child_weight: Annotated[float, Field(ge=0)] = Field(1.0, description="Minimum weight of a leaf.")


class XGBoost(TreeClassifier):
    """The classifier."""

    name = "xgboost"
    requires = ("imblearn", "xgboost")
    check_settings = (
        {"encoder": "hashing:32", "words": 40, "axes": 8, "rounds": 6, "candidates": 0, "smote_share": 1.0},
        {"encoder": "hashing:32", "words": 0, "axes": 8, "rounds": 5, "candidates": 2, "weight_power": 1.0},
    )
    space: Mapping[str, tuple[Any, ...]] = {
        "learning_rate": (0.1, 0.2, 0.3), "max_depth": (3, 4, 5, 6, 8), "subsample": (0.6, 0.8, 1.0),
        "colsample": (0.2, 0.35, 0.5, 0.8), "min_child_weight": (0.3, 1.0, 2.0),
        "smote_share": (0.0, 0.05, 0.1),
    }  # fmt: skip
    options: XGBoostSettings

    def _grow(
        self, x: NDArray[np.float32], y: NDArray[np.int64], w: NDArray[np.float64], chosen: Mapping[str, Any], seed: int
    ) -> Any:
        import xgboost

        settings = {
            "objective": "multi:softprob", "num_class": int(y.max()) + 1, "eta": chosen["learning_rate"],
            "max_depth": chosen["max_depth"], "subsample": chosen["subsample"],
            "colsample_bytree": chosen["colsample"], "min_child_weight": chosen["min_child_weight"],
            "tree_method": "hist", "nthread": 1, "seed": seed,
        }  # fmt: skip
        # Weights around 1, so that min_child_weight means the same for any weights of the lines.
        return xgboost.train(settings, xgboost.DMatrix(x, y, weight=w / w.mean(), nthread=1), self.options.rounds)

    def _predict(self, trees: Any, x: NDArray[np.float32]) -> NDArray[np.float32]:
        import xgboost

        found = np.asarray(trees.predict(xgboost.DMatrix(x, nthread=1)), np.float32)
        return np.asarray(found / found.sum(1, keepdims=True), np.float32)

    def _shap(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        import xgboost

        rows = xgboost.DMatrix(x, nthread=1)
        found = self._trained().predict(rows, pred_contribs=True, strict_shape=True)  # (n, k, f + 1), last the base
        return np.asarray(found[..., :-1], np.float64).transpose(0, 2, 1)

    def _arrays(self) -> dict[str, NDArray[Any]]:
        return {"booster": np.frombuffer(bytes(self._trained().save_raw("ubj")), np.uint8).copy()}

    def _from_arrays(self, arrays: Mapping[str, NDArray[Any]], features: int, classes: int) -> Any:
        import xgboost

        if set(arrays) != {"booster"} or arrays["booster"].dtype != np.uint8 or arrays["booster"].ndim != 1:
            raise ModelStoreError(
                f"{self.name} has its trees in 'booster', bytes; given were {', '.join(arrays) or 'none'}"
            )
        # XGBoost 3.2 was seen to allocate 21 GB for bytes that are cut off, so their ends are looked at first.
        if arrays["booster"][:1].tobytes() != b"{" or arrays["booster"][-1:].tobytes() != b"}":
            raise ModelStoreError(f"'booster' of {self.name} holds no trees: it is not whole binary JSON")
        trees = xgboost.Booster({"nthread": 1})
        try:
            trees.load_model(bytearray(arrays["booster"].tobytes()))
        except (xgboost.core.XGBoostError, ValueError) as error:
            raise ModelStoreError(f"'booster' of {self.name} holds no trees: {str(error).splitlines()[0]}") from error
        if trees.num_features() != features:
            raise ModelStoreError(
                f"'booster' of {self.name} is for {trees.num_features()} features, expected {features}"
            )
        probe = trees.predict(xgboost.DMatrix(np.zeros((1, features), np.float32), nthread=1))
        if probe.shape != (1, classes):
            raise ModelStoreError(f"'booster' of {self.name} gives {probe.shape[-1]} classes, expected {classes}")
        return trees
