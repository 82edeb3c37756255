"""What the classifiers on trees share: features, rare classes filled up by SMOTE, randomised search, reasons.

SMOTE: Chawla et al., "SMOTE: Synthetic Minority Over-sampling Technique", 2002,
https://arxiv.org/abs/1106.1813, by imbalanced-learn. It sees the training fold only. Reasons are
SHAP values of the class that a line was given: Lundberg et al., "From local explanations to global
understanding with explainable AI for trees", 2020, https://arxiv.org/abs/1905.04610 (exact; XGBoost
computes its own).
"""

import time
import warnings
from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from models.base import FitReport, ModelStoreError, NotTrainedError, Progress
from models.classify.base import CLASSES, Attribution, LineClassifier, Lines, LineTraining
from models.classify.features import MEANING, LineFeatures
from models.classify.metrics import class_figures
from models.text.embeddings import TextVectors
from models.text.encoder import MINILM, open_encoder
from models.training.splits import stratified
from models.training.torch_model import pick_device

REASONS = 5
"""Reasons shown for a line at most."""


class TreeSettings(BaseModel):
    """What both classifiers on trees have."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    encoder: str = Field(MINILM, description="Text encoder of the messages; see the window detectors.")
    words: Annotated[int, Field(ge=0)] = Field(400, description="Maximum number of words that are features.")
    axes: Annotated[int, Field(ge=0)] = Field(48, description="Principal axes of the embedding that are features.")
    weight_power: Annotated[float, Field(ge=0, le=1)] = Field(
        0.5, description="A row that represents n equal lines has a weight of n to this power in training."
    )
    smote_share: Annotated[float, Field(ge=0, le=1)] = Field(
        0.1, description="Classes rarer than this share of the largest one are filled up to it by SMOTE; 0 fills none."
    )
    candidates: Annotated[int, Field(ge=0)] = Field(
        4, description="Number of random settings tried on held-out rows in addition to the given ones; 0 tries none."
    )


class TreeClassifier(LineClassifier):
    """Base: a subclass grows trees on rows of features, and gives their probabilities and explanations."""

    space: Mapping[str, tuple[Any, ...]]
    """Setting → values that the randomised search draws from."""

    def __init__(self, settings: TreeSettings, *, device: str = "auto", cache: Path | None = None) -> None:
        """Opens the encoder without loading its weights.

        Raises:
            EncoderError, ModelSettingsError: see `open_encoder` and `pick_device`.
        """
        self.options = settings
        encoder = open_encoder(settings.encoder, str(pick_device(device)))
        self._vectors = TextVectors(encoder, cache / f"texts-{encoder.fingerprint}.npz" if cache else None)
        self._features = self._new_features()
        self._classes = np.zeros(0, np.int64)
        self._chosen: dict[str, Any] = {}

    def _new_features(self) -> LineFeatures:
        return LineFeatures(self._vectors, words=self.options.words, axes=self.options.axes)

    @abstractmethod
    def _grow(
        self, x: NDArray[np.float32], y: NDArray[np.int64], w: NDArray[np.float64], chosen: Mapping[str, Any], seed: int
    ) -> Any:
        """Trees for rows x (n, f) of classes y (n,), 0 to k - 1, with weights w; `chosen` are values from `space`."""

    @abstractmethod
    def _predict(self, trees: Any, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """float32 (n, k): probabilities of rows x."""

    @abstractmethod
    def _shap(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """float64 (n, f, k): what each feature adds to each class."""

    @abstractmethod
    def _arrays(self) -> dict[str, NDArray[Any]]:
        """The trees as arrays, copies.

        Raises:
            NotTrainedError: there are none.
        """

    @abstractmethod
    def _from_arrays(self, arrays: Mapping[str, NDArray[Any]], features: int, classes: int) -> Any:
        """Trees from what `_arrays` gave.

        Raises:
            ModelStoreError: they are not trees on this many features for this many classes.
        """

    _trees: Any = None

    def prepare(self) -> None:
        """See `Model.prepare`."""
        if self.options.axes:
            self._vectors.encoder.encode(["ready"])

    def rest(self) -> None:
        """See `Model.rest`."""
        self._vectors.encoder.rest()

    def _fit(self, data: LineTraining, progress: Progress | None) -> FitReport:
        """See `LineClassifier.fit`; the search splits the training lines itself, so validation lines choose nothing."""
        start = time.perf_counter()
        lines, labels, seed = data.lines, data.labels, data.seed
        w = data.weights**self.options.weight_power
        candidates = self._candidates(seed)
        history: list[dict[str, float]] = []
        if len(candidates) > 1:
            x, y, part_w, held_x, held_y, held_w = self._search_data(lines, labels, w, seed)
            for number, chosen in enumerate(candidates):
                trees = self._grown(x, y, part_w, chosen, seed)
                given = trees[1][self._predict(trees[0], held_x).argmax(1)]
                history.append({"val_f1": class_figures(held_y, given, held_w).macro_f1, **_numbers(chosen)})
                if progress:
                    progress("search", number + 1, len(candidates), history[-1])
        best = int(np.argmax([h["val_f1"] for h in history])) if history else 0
        features = self._new_features()
        features.fit(lines, labels)
        self._trees, self._classes = self._grown(features.of(lines), labels, w, candidates[best], seed)
        self._features, self._chosen = features, candidates[best]
        if progress:
            progress("train", 1, 1, {})
        return FitReport(time.perf_counter() - start, best, tuple(history))

    def _candidates(self, seed: int) -> list[dict[str, Any]]:
        """The settings as given, and others drawn at random."""
        rng = np.random.default_rng(seed)
        given = {name: getattr(self.options, name) for name in self.space}
        drawn = [
            {name: values[int(rng.integers(len(values)))] for name, values in self.space.items()}
            for _ in range(self.options.candidates)
        ]
        return [given, *drawn]

    def _search_data(
        self, lines: Lines, labels: NDArray[np.int64], w: NDArray[np.float64], seed: int
    ) -> tuple[NDArray[Any], ...]:
        """Features, labels and weights of four fifths of the rows to learn from, and of the others to judge by.

        Drawn by row, not by template: as in service, some held-out rows have a template that was seen
        and some have not, so neither a good memory alone nor a good guess alone is chosen.
        """
        kept, held = stratified(labels, 0.2, seed)
        if not len(held) or len(np.unique(labels[kept])) < 2:
            kept = held = np.arange(len(lines))
        features = self._new_features()
        features.fit(lines.take(kept), labels[kept])
        x, held_x = features.of(lines.take(kept)), features.of(lines.take(held))
        return x, labels[kept], w[kept], held_x, labels[held], w[held]

    def _grown(
        self, x: NDArray[np.float32], labels: NDArray[np.int64], w: NDArray[np.float64], chosen: Mapping[str, Any],
        seed: int,
    ) -> tuple[Any, NDArray[np.int64]]:  # fmt: skip
        """Trees, and the class of each of their outputs."""
        classes, y = np.unique(labels, return_inverse=True)
        more = filled_up(x, y, w, chosen["smote_share"], seed)
        return self._grow(*more, chosen, seed), classes

    def _trained(self) -> Any:
        if self._trees is None:
            raise NotTrainedError(f"this {self.name} has no trees: fit it, or load a version from the store")
        return self._trees

    def probabilities(self, lines: Lines) -> NDArray[np.float32]:
        """See `LineClassifier.probabilities`; a class that was not trained on gets 0."""
        trees = self._trained()
        found = np.zeros((len(lines), len(CLASSES)), np.float32)
        if len(lines):
            found[:, self._classes] = self._predict(trees, self._features.of(lines))
        return found

    def explain(self, lines: Lines) -> list[tuple[Attribution, ...]]:
        """See `LineClassifier.explain`. The axes of the embedding are one reason; words that are not there are none."""
        trees = self._trained()
        if not len(lines):
            return []
        x = self._features.of(lines)
        given = self._predict(trees, x).argmax(1)
        values = self._shap(x)[np.arange(len(x)), :, given]  # (n, f)
        return [self._reasons(row, value) for row, value in zip(x, values, strict=True)]

    def _reasons(self, row: NDArray[np.float32], values: NDArray[np.float64]) -> tuple[Attribution, ...]:
        names, shown = self._features.names, self._features.words(row)
        adds: dict[str, float] = {}
        for i in np.flatnonzero(shown & (values != 0)).tolist():
            adds[names[i]] = adds.get(names[i], 0.0) + float(values[i])
        order = sorted(adds, key=lambda name: (-abs(adds[name]), name != MEANING, name))
        return tuple(Attribution(name, adds[name]) for name in order[:REASONS])

    def weights(self) -> dict[str, NDArray[Any]]:
        """See `Model.weights`; the encoder's own weights are not among them."""
        return self._arrays() | self._features.weights() | {"classes": self._classes.copy()}

    def load_weights(self, weights: Mapping[str, NDArray[Any]], extra: Mapping[str, Any]) -> None:
        """See `Model.load_weights`."""
        missing = {"mean", "axes", "classes"} - set(weights)
        if missing:
            raise ModelStoreError(
                f"the weights are not those of this {self.name}: {', '.join(sorted(missing))} is missing"
            )
        classes = weights["classes"]
        known = classes.dtype == np.int64 and classes.ndim == 1 and np.isin(classes, np.arange(len(CLASSES))).all()
        if not known or len(classes) < 2 or (np.diff(classes) <= 0).any():
            raise ModelStoreError(f"'classes' of {self.name} are {classes.tolist()}, expected ascending class numbers")
        features = self._new_features()
        features.load(weights["mean"], weights["axes"], extra)
        arrays = {n: v for n, v in weights.items() if n not in ("mean", "axes", "classes")}
        self._trees = self._from_arrays(arrays, len(features.names), len(classes))
        self._features, self._classes = features, classes.copy()
        self._chosen = dict(extra.get("chosen", {}))

    def settings(self) -> dict[str, Any]:
        """See `Model.settings`."""
        return self.options.model_dump(mode="json")

    def extra(self) -> dict[str, Any]:
        """The vocabulary, the encoder, and what the search chose."""
        return self._features.extra() | {"chosen": self._chosen}


def filled_up(
    x: NDArray[np.float32], y: NDArray[np.int64], w: NDArray[np.float64], share: float, seed: int
) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.float64]]:
    """The rows with synthetic ones behind them, so that every class has `share` of the largest one's rows.

    A synthetic row weighs what a row of its class weighs on average. A class with one row, between
    which and a neighbour nothing can be drawn, has that row repeated.
    """
    counts = np.bincount(y)
    least = int(counts.max() * share)
    xs, ys, ws = [x], [y], [w]
    for kind in np.flatnonzero(counts < least).tolist():
        rows, count = x[y == kind], int(counts[kind])
        if count == 1:
            made = np.repeat(rows, least - 1, axis=0)
        else:
            from imblearn.over_sampling import SMOTE  # type: ignore[import-untyped]

            # SMOTE examines the rows of the class alone; the others are there because it asks for a second class.
            other = x[y != kind][:1]
            both = np.concatenate([rows, np.repeat(other, least, axis=0)])
            mark = np.r_[np.zeros(count, int), np.ones(least, int)]
            smote = SMOTE(sampling_strategy={0: least}, k_neighbors=min(5, count - 1), random_state=seed)
            grown, marks = smote.fit_resample(both, mark)
            made = grown[marks == 0][count:]
        xs.append(made.astype(np.float32))
        ys.append(np.full(len(made), kind))
        ws.append(np.full(len(made), w[y == kind].mean()))
    return np.concatenate(xs), np.concatenate(ys), np.concatenate(ws)


def shapley(trees: Any, x: NDArray[Any]) -> NDArray[np.float64]:
    """float64 (n, f, k): SHAP's TreeExplainer on trees in a supported form."""
    with warnings.catch_warnings():
        # Importing SHAP makes plots' colours ready, by functions that matplotlib wants to retire.
        warnings.simplefilter("ignore")
        import shap  # type: ignore[import-untyped]
    return np.asarray(shap.TreeExplainer(trees).shap_values(x), np.float64)


def _numbers(chosen: Mapping[str, Any]) -> dict[str, float]:
    return {name: float(value) for name, value in chosen.items() if isinstance(value, int | float)}
