"""Event counts: the floor that every deep detector has to beat.

Without labels, after Landauer et al., "A Critical Review of Common Log Data Sets Used for
Evaluation of Sequence-based Anomaly Detection Techniques", 2024, https://arxiv.org/abs/2309.02854:
a window is anomalous if it holds a template never seen in normal windows, if it is longer or
shorter than any of them, or if its counts are far from the counts of every normal window. What
differs here, and why:

* A template whose count varies among normal windows weighs less in the distance: the weight is one
  over the number of equally frequent counts that would be as uncertain (two to the power of minus
  the entropy). On HDFS normal windows then lie nearer to each other than corrupted ones do.
* New templates add 1 and the share of their lines in the window, each line weighed by its text
  (`models.text.novelty`); an odd length adds the logarithm of its excess. With the constant alone all
  windows with a new template would rank the same, and where such windows are frequent, nothing could
  exceed a threshold among them. The share is independent of the window's length, which the number of
  new lines is not: in windows of 5 s it mostly says how busy the system is.

With labelled windows, `head = "logistic"` is a logistic regression on the counts and
`head = "boosted"` gradient-boosted trees (`models.detectors.trees`). There an unknown template counts
as the known one whose text shares most words with it.
"""

import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from foundation.extras import require
from models.base import (
    Explanation,
    FitReport,
    ModelStoreError,
    NotTrainedError,
    Progress,
    Templates,
    TrainingData,
    TrainingError,
    WindowDetector,
    Windows,
)
from models.detectors import trees
from models.detectors.count_vectors import columns, counted, distances, features_of, steadiness_of
from models.text.novelty import KnownWords, UnknownTemplates


class EventCountsSettings(BaseModel):
    """What an event-count detector learns."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    head: Literal["nearest", "logistic", "boosted"] = Field(
        "nearest",
        description="nearest: distance to normal windows, no labels; logistic: regression on labelled windows; "
        "boosted: gradient-boosted trees on labelled windows.",
    )
    max_references: Annotated[int, Field(ge=1)] = Field(
        2048, description="Maximum number of distinct normal count vectors kept, the most frequent ones."
    )
    trees: Annotated[int, Field(ge=1)] = Field(200, description="Trees of the boosted head.")
    tree_depth: Annotated[int, Field(ge=1, le=32)] = Field(
        6, description="Splits between a tree's root and its leaves."
    )


_NAMES: Mapping[str, tuple[str, ...]] = {
    "nearest": ("vocabulary", "words", "word_offsets", "references", "lengths", "steadiness"),
    "logistic": ("vocabulary", "words", "word_offsets", "coefficients", "intercept"),
    "boosted": ("vocabulary", "words", "word_offsets", *trees.NAMES),
}
_CELLS = 4_000_000


class EventCounts(WindowDetector):
    """The detector.

    The score of `nearest` is the distance (0 to 1), plus the novelty (0, or 1 and the weighed share of new
    lines), plus the base-2 logarithm of how many times too long or too short the window is.
    """

    name = "event_counts"
    check_settings = (
        {},
        {"max_references": 5},
        {"head": "logistic"},
        {"head": "boosted", "trees": 30},
    )

    def __init__(self, settings: EventCountsSettings, *, device: str = "auto", cache: Path | None = None) -> None:
        """Device and cache are ignored: it has no network and encodes no text."""
        self.options = settings
        self.supervised = settings.head != "nearest"
        self._weights: dict[str, NDArray[Any]] | None = None
        self._unknown: UnknownTemplates | None = None
        self._texts: dict[int, str] = {}

    def _fit(self, data: TrainingData, progress: Progress | None) -> FitReport:
        """Needs no validation, and the seed for the trees only."""
        start = time.perf_counter()
        windows, times = data.windows, np.ones(len(data.windows))
        if self.supervised:
            weights = self._fit_labelled(windows, data.labels, times, data.seed)
        else:
            weights = self._fit_nearest(windows, times)
        known = KnownWords.from_texts(data.templates.get(i, "") for i in weights["vocabulary"].tolist())
        self._adopt(weights | known.arrays(), known)
        if progress:
            progress("train", 1, 1, {})
        return FitReport(time.perf_counter() - start)

    def fit_table(
        self, rows: Windows, times: NDArray[np.float64], words: Mapping[int, NDArray[np.uint32]], *, seed: int = 0
    ) -> None:
        """Learn from windows that stand for several each, as regions send them; see `models.detectors.count_tables`.

        Args:
            rows: Windows with at least one line; the order of their lines does not matter.
            times: float64 (n, 2): how many normal and how many anomalous windows each stands for.
            words: The hashes of the words of every template in `rows`.
            seed: See `fit`.

        Raises:
            TrainingError: see `fit`.
        """
        index, label = np.nonzero(times)
        if self.supervised:
            self._require_both_classes(label > 0)
            weights = self._fit_labelled(rows.take(index), label > 0, times[index, label], seed)
        else:
            index = index[label == 0]
            if not len(index):
                raise TrainingError(f"{self.name} needs at least one normal window with a line in it")
            weights = self._fit_nearest(rows.take(index), times[index, 0])
        known = KnownWords.from_rows([words[i] for i in weights["vocabulary"].tolist()])
        self._adopt(weights | known.arrays(), known)

    def references(self) -> tuple[Windows, dict[int, NDArray[np.uint32]]]:
        """The normal windows that others are compared with, and the hashes of their templates' words.

        A detector that learns from labels compares with none.
        """
        weights = self._trained()
        if self.supervised:
            return Windows.of([]), {}
        vocabulary = weights["vocabulary"]
        rows = [np.repeat(vocabulary, row.astype(np.int64)) for row in weights["references"]]
        return Windows.of(rows), KnownWords.from_arrays(weights, len(vocabulary)).by_id(vocabulary)

    def _fit_nearest(self, windows: Windows, times: NDArray[np.float64]) -> dict[str, NDArray[Any]]:
        # A window that still grows states nothing about how short or how sparse a whole one may be.
        complete = np.flatnonzero(windows.closed) if windows.closed.any() else np.arange(len(windows))
        whole = windows.take(complete)
        vocabulary = np.unique(windows.ids)
        counts = counted(whole, vocabulary)[:, :-1]
        references, row = np.unique(counts, axis=0, return_inverse=True)
        frequency = np.asarray(np.bincount(row, times[complete]), np.float64)
        kept = np.sort(np.argsort(-frequency, kind="stable")[: self.options.max_references])
        lengths = np.array([whole.lengths().min(), windows.lengths().max()], np.float32)
        return {
            "vocabulary": vocabulary,
            "references": references[kept],
            "lengths": lengths,
            "steadiness": steadiness_of(references, frequency),
        }

    def _fit_labelled(
        self, windows: Windows, labels: NDArray[np.bool_], times: NDArray[np.float64], seed: int
    ) -> dict[str, NDArray[Any]]:
        vocabulary = np.unique(windows.ids)
        features = features_of(counted(windows, vocabulary), windows.closed)
        if self.options.head == "boosted":
            shape = {"trees": self.options.trees, "depth": self.options.tree_depth, "seed": seed}
            return {"vocabulary": vocabulary, **trees.fit_trees(features, labels, times, **shape)}
        require("train", "event_counts with head=logistic", "sklearn")
        from sklearn.linear_model import LogisticRegression  # type: ignore[import-untyped]

        with warnings.catch_warnings():
            # Separable classes let the weights grow indefinitely; the iterations' end is as good a place to stop.
            warnings.filterwarnings("ignore", category=UserWarning, module="sklearn")
            model = LogisticRegression(C=100.0, max_iter=1000).fit(features, labels, times)
        return {
            "vocabulary": vocabulary,
            "coefficients": model.coef_[0].astype(np.float32),
            "intercept": model.intercept_.astype(np.float32),
        }

    def _adopt(self, weights: dict[str, NDArray[Any]], known: KnownWords) -> None:
        unknown = UnknownTemplates(known, weights["vocabulary"])
        unknown.learn(self._texts)
        self._weights, self._unknown = weights, unknown

    def learn_templates(self, templates: Templates) -> None:
        """See `WindowDetector.learn_templates`."""
        new = {i: text for i, text in templates.items() if i not in self._texts}
        self._texts.update(new)
        if self._unknown is not None and new:
            self._unknown.learn(new)

    def knows(self, ids: NDArray[np.int64]) -> NDArray[np.bool_]:
        """See `WindowDetector.knows`."""
        return np.ones(ids.shape, bool) if self._unknown is None else self._unknown.read(ids)

    def score(self, windows: Windows) -> NDArray[np.float32]:
        """See `WindowDetector.score`."""
        weights = self._trained()
        scores = np.zeros(len(windows), np.float32)
        filled = np.flatnonzero(windows.lengths())
        widest = max(len(weights["vocabulary"]) + 3, len(weights.get("references", ())))
        step = max(1, _CELLS // widest)
        for start in range(0, len(filled), step):
            index = filled[start : start + step]
            some = self._countable(windows.take(index))
            counts = counted(some, weights["vocabulary"])
            scores[index] = _SCORES[self.options.head](weights, counts, some.closed, self._novelty(some))
        return scores

    def _countable(self, windows: Windows) -> Windows:
        """The windows as the labelled heads count them: unknown templates represent the known ones they resemble."""
        assert self._unknown is not None
        if not self.supervised:
            return windows
        return Windows(self._unknown.substitutes(windows.ids), windows.offsets, windows.closed)

    def _novelty(self, windows: Windows) -> NDArray[np.float64]:
        """float64 (n,): 0 without a new template, else 1 plus the weighed share of the lines of new templates."""
        assert self._unknown is not None
        window = np.repeat(np.arange(len(windows)), windows.lengths())
        new = np.bincount(window, self._unknown.weights(windows.ids), len(windows))
        return np.asarray((new > 0) + new / np.maximum(windows.lengths(), 1), np.float64)

    def explain(self, windows: Windows) -> Explanation:
        """See `WindowDetector.explain`; exact. Lines of one template share its term evenly."""
        weights = self._trained()
        contributions, base = np.zeros(len(windows.ids), np.float32), np.zeros(len(windows), np.float32)
        terms = _TERMS[self.options.head]
        for i in np.flatnonzero(windows.lengths()).tolist():
            one = self._countable(windows.take(np.array([i])))
            counts = counted(one, weights["vocabulary"])[0]
            amounts, base[i] = terms(weights, counts, bool(one.closed[0]))
            share = amounts / np.maximum(counts, 1)
            column = columns(one.ids, weights["vocabulary"])
            lines = share[column]
            if not self.supervised:
                assert self._unknown is not None
                new = self._unknown.weights(one.ids)
                lines = lines + new * (1 / max(new.sum(), 1e-9) + 1 / len(new))
            contributions[windows.offsets[i] : windows.offsets[i + 1]] = lines
        return Explanation(contributions, base)

    def _trained(self) -> dict[str, NDArray[Any]]:
        if self._weights is None:
            raise NotTrainedError(f"this {self.name} has counted nothing: fit it, or load a version from the store")
        return self._weights

    def weights(self) -> dict[str, NDArray[Any]]:
        """See `WindowDetector.weights`."""
        return {name: value.copy() for name, value in self._trained().items()}

    def load_weights(self, weights: Mapping[str, NDArray[Any]], extra: Mapping[str, Any]) -> None:
        """See `WindowDetector.load_weights`."""
        names = _NAMES[self.options.head]
        if set(weights) != set(names):
            raise ModelStoreError(
                f"{self.name} with head={self.options.head} has the arrays {', '.join(names)}; "
                f"given were {', '.join(weights)}"
            )
        size = len(weights["vocabulary"])
        shapes: dict[str, tuple[int, ...]] = {
            "vocabulary": (size,), "lengths": (2,), "intercept": (1,), "coefficients": (size + 3,),
            "steadiness": (size,),
            "references": (*weights["references"].shape[:1], size) if "references" in weights else (),
        }  # fmt: skip
        known = KnownWords.from_arrays(weights, size)
        for name in set(names) - set(trees.NAMES) - {"words", "word_offsets"}:
            dtype = np.int64 if name == "vocabulary" else np.float32
            given = weights[name]
            if given.shape != shapes[name] or given.dtype != dtype or not np.isfinite(given).all():
                raise ModelStoreError(
                    f"'{name}' of {self.name} is {given.dtype}{list(given.shape)}, expected finite "
                    f"{np.dtype(dtype)}{list(shapes[name])}"
                )
        if self.options.head == "boosted":
            trees.check_trees(weights, size + 3)
        self._adopt({name: weights[name].copy() for name in names}, known)

    def settings(self) -> dict[str, Any]:
        """See `WindowDetector.settings`."""
        return self.options.model_dump(mode="json")


def _logistic(
    weights: Mapping[str, NDArray[Any]], counts: NDArray[np.float32], closed: NDArray[np.bool_],
    _novelty: NDArray[np.float64],
) -> NDArray[np.float32]:  # fmt: skip
    # Summed row by row, not by a matrix product, whose rounding depends on how many rows there are.
    return _sigmoid((features_of(counts, closed) * weights["coefficients"]).sum(1) + weights["intercept"][0])


def _boosted(
    weights: Mapping[str, NDArray[Any]], counts: NDArray[np.float32], closed: NDArray[np.bool_],
    _novelty: NDArray[np.float64],
) -> NDArray[np.float32]:  # fmt: skip
    return _sigmoid(trees.margins(weights, features_of(counts, closed)))


def _sigmoid(logits: NDArray[Any]) -> NDArray[np.float32]:
    return np.asarray(0.5 * (1 + np.tanh(logits / 2)), np.float32)


def _logistic_terms(
    weights: Mapping[str, NDArray[Any]], counts: NDArray[np.float32], closed: bool
) -> tuple[NDArray[np.float32], float]:
    """What each template (V + 1,) adds to a window's score, and the score of no line at all."""
    coefficients = weights["coefficients"]
    length = counts.sum()
    terms = coefficients[: len(counts)] * np.log1p(counts)
    terms = terms + coefficients[-2] * np.log1p(length) * counts / length
    return _scaled(terms, float(weights["intercept"][0] + coefficients[-1] * closed))


def _boosted_terms(
    weights: Mapping[str, NDArray[Any]], counts: NDArray[np.float32], closed: bool
) -> tuple[NDArray[np.float32], float]:
    """What each template (V + 1,) adds to a window's score; the rest is due to no line or to one that is missing."""
    asked, start = trees.steps(weights, features_of(counts[None], np.array([closed]))[0])
    terms = asked[:-2] + asked[-2] * counts / counts.sum()
    terms, base = _scaled(np.append(terms, asked[-1]), start)
    there = counts > 0
    return np.where(there, terms[:-1], 0), base + float(terms[:-1][~there].sum() + terms[-1])


def _scaled(terms: NDArray[Any], start: float) -> tuple[NDArray[np.float32], float]:
    """Terms of a logit that begins at `start` as terms of the probability, and the probability it begins at.

    They are multiplied by the slope of the sigmoid between both ends: what integrated gradients give
    for a sum.
    """
    rise = float(terms.sum())
    low, high = 0.5 * (1 + np.tanh(start / 2)), 0.5 * (1 + np.tanh((start + rise) / 2))
    slope = (high - low) / rise if abs(rise) > 1e-6 else low * (1 - low)
    return np.asarray(terms * slope, np.float32), float(low)


def _nearest_terms(
    weights: Mapping[str, NDArray[Any]], counts: NDArray[np.float32], closed: bool
) -> tuple[NDArray[np.float32], float]:
    """What each template (V + 1,) adds to a window's score but for its novelty, and what is missing from the window."""
    length, (shortest, longest) = float(counts.sum()), weights["lengths"]
    apart, whole = distances(weights, counts[None], np.array([closed]))
    nearest = int(apart[0].argmin())
    surplus = np.maximum(counts[:-1] - weights["references"][nearest], 0) * weights["steadiness"]
    terms = np.append(surplus, counts[-1]) / whole[0, nearest]
    base = float(apart[0, nearest] - terms.sum())
    if closed and length < shortest:
        base += float(np.log2(shortest / length))
    if length > longest:
        # Too many lines: each is as much to blame as any other.
        terms += counts / length * np.log2(length / longest)
    return np.asarray(terms, np.float32), float(base)


def _nearest(
    weights: Mapping[str, NDArray[Any]], counts: NDArray[np.float32], closed: NDArray[np.bool_],
    novelty: NDArray[np.float64],
) -> NDArray[np.float32]:  # fmt: skip
    length, (shortest, longest) = counts.sum(1), weights["lengths"]
    excess = np.log2(np.maximum(length / longest, 1)) + closed * np.log2(np.maximum(shortest / length, 1))
    apart, _ = distances(weights, counts, closed)
    return np.asarray(np.maximum(apart.min(1), 0) + novelty + excess, np.float32)


_SCORES = {"nearest": _nearest, "logistic": _logistic, "boosted": _boosted}
_TERMS = {"nearest": _nearest_terms, "logistic": _logistic_terms, "boosted": _boosted_terms}
