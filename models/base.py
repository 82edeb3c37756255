"""Contracts of models: what every one of them saves, and what window detectors do.

Line classifiers have theirs in `models.classify.base`.

A window is a row of template ids. A template id is the hash of the template's text
(`template_id`), so it means the same in every region, process and version; what a model sees of a
template is its text. **A higher score always means more anomalous.**

Errors::

    ModelError
    ├── NotTrainedError        scoring or saving was asked of a detector that was never fitted
    ├── TrainingError     the training data cannot train this detector; the message gives the reason
    ├── EncoderError      a text encoder cannot be opened or gives no finite vectors (`models.text.encoder`)
    ├── ModelSettingsError     a detector's name or settings are not known; the message lists what is
    └── ModelStoreError        a version in the model store is missing, damaged or of another kind
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from foundation.content_ids import text_digest
from foundation.errors import DriftlineError


class ModelError(DriftlineError):
    """Base of every error that the models package raises on purpose."""


class NotTrainedError(ModelError):
    """The detector holds no weights yet."""


class TrainingError(ModelError):
    """The data given cannot train the detector."""


class ModelSettingsError(ModelError):
    """There is no such detector, or it has no such setting."""


class ModelStoreError(ModelError):
    """A stored version is missing, damaged, or not of the expected kind."""


def template_id(text: str) -> int:
    """The id of a template: the first 8 bytes of blake2b of its UTF-8 text, as signed int64."""
    return int.from_bytes(text_digest(text), "little", signed=True)


@dataclass(frozen=True, slots=True)
class Windows:
    """A ragged batch of windows.

    Attributes:
        ids: int64 (total,): the template ids of all windows, one window after the other.
        offsets: int64 (n + 1,): window i is `ids[offsets[i]:offsets[i + 1]]`.
        closed: bool (n,): True where the window is complete; False for a session that is scored
            while it still grows (its end is a cut, not an end).
    """

    ids: NDArray[np.int64]
    offsets: NDArray[np.int64]
    closed: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.closed)

    def row(self, i: int) -> NDArray[np.int64]:
        """The template ids of window i, a view."""
        return self.ids[self.offsets[i] : self.offsets[i + 1]]

    def lengths(self) -> NDArray[np.int64]:
        """int64 (n,): lines per window."""
        return np.diff(self.offsets)

    def take(self, index: NDArray[np.integer[Any]]) -> "Windows":
        """The windows at `index`, in that order."""
        lengths = self.lengths()[index]
        offsets = np.zeros(len(index) + 1, np.int64)
        np.cumsum(lengths, out=offsets[1:])
        inside = np.arange(offsets[-1]) - np.repeat(offsets[:-1], lengths)
        return Windows(self.ids[np.repeat(self.offsets[:-1][index], lengths) + inside], offsets, self.closed[index])

    @staticmethod
    def of(rows: Sequence[Sequence[int] | NDArray[np.int64]], closed: Sequence[bool] | None = None) -> "Windows":
        """Windows from rows of template ids; all closed by default."""
        offsets = np.zeros(len(rows) + 1, np.int64)
        np.cumsum([len(r) for r in rows], out=offsets[1:])
        ids = np.concatenate([np.asarray(r, np.int64) for r in rows]) if rows else np.zeros(0, np.int64)
        return Windows(ids, offsets, np.ones(len(rows), bool) if closed is None else np.asarray(closed, bool))


Templates = Mapping[int, str]
"""Template id → template text, for every id that the windows next to it hold."""

Progress = Callable[[str, int, int, Mapping[str, float]], None]
"""Called as (stage, done, total, figures so far) while training; must return quickly."""


@dataclass(frozen=True, slots=True)
class FitReport:
    """What a training run did.

    `history` has one mapping an epoch (`loss`, `val_loss`, `val_f1` …); `best_epoch` counts from 0
    and is the one whose weights were kept; `train_s` is wall time in seconds.
    """

    train_s: float
    best_epoch: int = 0
    history: Sequence[Mapping[str, float]] = field(default_factory=tuple)


@dataclass(frozen=True, slots=True)
class TrainingData:
    """What a window detector learns from; see `WindowDetector.fit`.

    Attributes:
        windows: At least one, and every one with a line in it.
        labels: bool (n,); both classes for a supervised detector, all False for another.
        templates: The text of every id in `windows` and in `validation`.
        validation: Windows and labels for early stopping, if they are given.
        seed: Of all that is drawn.
    """

    windows: Windows
    labels: NDArray[np.bool_]
    templates: Templates
    validation: tuple[Windows, NDArray[np.bool_]] | None
    seed: int


@dataclass(frozen=True, slots=True)
class Explanation:
    """How the scores of windows come about, line by line.

    The base of a window and its lines' contributions add up to its score, up to the error of the
    numeric integration if there is one (a hundredth of the score's range).

    Attributes:
        contributions: float32 (total,), ragged like `Windows.ids`: what each line adds to its
            window's score; negative where the line speaks for normal.
        base: float32 (n,): what no line of the window carries, such as a line that is missing.
    """

    contributions: NDArray[np.float32]
    base: NDArray[np.float32]


class Model(ABC):
    """Base of everything in the model store: learnt arrays, and settings that build the same model again. No pickle.

    A registry builds a model as `Class(settings, device=..., cache=...)`; see `models.training.model_registry`.
    """

    name: ClassVar[str]
    requires: ClassVar[tuple[str, ...]] = ()
    """Packages of the extra `classify` that the model imports when it works."""
    removed_settings: ClassVar[Mapping[str, Any]] = {}
    """Settings of earlier releases with the value that they always have now; stored versions may name them."""
    check_settings: ClassVar[tuple[Mapping[str, Any], ...]] = ({},)
    """Settings with which the contract checks run: small enough to train in well under a second, together using
    every option with few values both ways. Where a model has an encoder and none is given, it is a tiny BERT."""

    def prepare(self) -> None:  # noqa: B027
        """Loads everything that a text never seen will need, so that the first one does not wait.

        Called before the model goes into service; the encoder's weights are loaded here, for one.
        """

    def rest(self) -> None:  # noqa: B027
        """Frees what only texts never seen need; the next one loads it again. From any thread."""

    @abstractmethod
    def weights(self) -> dict[str, NDArray[Any]]:
        """Every learnt array by name, as copies: what the store writes and a federated round sends."""

    @abstractmethod
    def load_weights(self, weights: Mapping[str, NDArray[Any]], extra: Mapping[str, Any]) -> None:
        """Takes over what `weights` and `extra` gave.

        Raises:
            ModelStoreError: a name, shape or dtype is not this model's; the model is unchanged.
        """

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """JSON-compatible settings from which the registry's `build` makes the same architecture."""

    def extra(self) -> dict[str, Any]:
        """JSON-compatible learnt values that are not arrays (vocabularies); {} by default."""
        return {}


class WindowDetector(Model):
    """Scores windows of template ids; trained on CPU or GPU.

    A detector is built from its settings by `models.detectors.registry.build`, then either fitted or loaded.
    After that `score` may be called from one thread at a time and does not change the detector in
    any way a caller can see.
    """

    name: ClassVar[str]
    supervised: bool
    """True: `fit` needs labels of both classes. False: `fit` is given normal windows only."""
    learns: ClassVar[bool] = True
    """False where it scores without having been fitted."""

    @property
    def highest_score(self) -> float:
        """No score exceeds it: 1 for probabilities, infinity where scores have no end."""
        return 1.0 if self.supervised else float("inf")

    def fit(
        self,
        windows: Windows,
        labels: NDArray[np.bool_] | None,
        templates: Templates,
        *,
        validation: tuple[Windows, NDArray[np.bool_]] | None = None,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> FitReport:
        """Learns from windows.

        Args:
            windows: Training windows; not changed.
            labels: bool (n,), True = anomalous; None where `supervised` is False.
            templates: The text of every id in `windows` and in `validation`.
            validation: Windows and labels for early stopping; split off `windows` if None.
            seed: The same seed on the same machine gives the same weights.
            progress: See `Progress`.

        Raises:
            TrainingError: the data has no window with a line in it, only one class, or not what it needs.
        """
        if self.supervised:
            self._require_both_classes(labels)
        filled = np.flatnonzero(windows.lengths())
        if not len(filled):
            raise TrainingError(f"{self.name} needs at least one window with a line in it")
        truth = labels[filled] if self.supervised and labels is not None else np.zeros(len(filled), bool)
        return self._fit(TrainingData(windows.take(filled), truth, templates, validation, seed), progress)

    def _require_both_classes(self, labels: NDArray[np.bool_] | None) -> None:
        if labels is None or not 0 < labels.sum() < len(labels):
            found = "none is labelled" if labels is None else f"{labels.sum()} of {len(labels)} are anomalous"
            raise TrainingError(f"{self.name} learns from labelled windows of both classes; {found}")

    @abstractmethod
    def _fit(self, data: TrainingData, progress: Progress | None) -> FitReport:
        """Learns as `fit` says."""

    @abstractmethod
    def learn_templates(self, templates: Templates) -> None:
        """Makes new templates known (encodes their text) so that scoring need not wait for it.

        Ids already known are ignored. May be called from another thread than `score`.
        """

    def knows(self, ids: NDArray[np.int64]) -> NDArray[np.bool_]:
        """bool, the shape of `ids`: whether the score of a window with this id is settled.

        False for an id that counts as unknown only until `learn_templates` is given its text.
        """
        return np.ones(ids.shape, bool)

    @abstractmethod
    def score(self, windows: Windows) -> NDArray[np.float32]:
        """float32 (n,): the anomaly score of each window, finite, in the order given.

        An id that `learn_templates` never saw counts as an unknown template. An empty window
        scores 0. A window's score depends on nothing but its content and `closed` flag: batching
        changes it by rounding at most.

        Raises:
            NotTrainedError: see the class.
        """

    @abstractmethod
    def explain(self, windows: Windows) -> Explanation:
        """What each line adds to its window's score; costs far more than `score`, so it is asked for alerts only.

        Raises:
            NotTrainedError: see the class.
        """
