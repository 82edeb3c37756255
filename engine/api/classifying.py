"""Which line classifier answers a request, and the parsers that have read lines of earlier requests."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from engine.api.classified_lines import RequestClassifier, Shown
from engine.offline.classify import BUILT_IN, load_scorer
from models.base import ModelError
from models.classify.base import Lines
from models.classify.scoring import LineScorer
from models.storage.store import ModelStore

ModelType = Literal["ml", "bert"]
BertVariant = Literal["dann", "lora", "hybrid"]

TREES = ("xgboost", "random_forest")
"""Classifiers for the model type `ml`, the preferred one first."""

KEPT_LINES = 500_000
"""Lines after which a parser is replaced by a new one, which bounds its templates."""

MAX_IDLE = 4
"""Parsers that wait for the next request."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """The classifier that answers a request.

    Attributes:
        name: What it is called, with its version, and why it answers if another one was asked for.
        scorer: Classifies lines.
    """

    name: str
    scorer: LineScorer


def candidates(model_type: ModelType, variant: BertVariant) -> tuple[str, ...]:
    """Return the names of classifiers that a request means, the preferred one first."""
    return TREES if model_type == "ml" else (f"{variant}_bert",)


class Classifiers:
    """The line classifiers of a model store, loaded when first asked for; threads may share it."""

    def __init__(self, store: str) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._loaded: dict[str, tuple[int | None, LineScorer]] = {}
        self._idle: list[RequestClassifier] = []

    def stored(self) -> Mapping[str, int]:
        """Names of published classifiers and their current versions.

        Raises:
            ModelStoreError: the store cannot be read.
        """
        store = ModelStore(self._store)
        wanted = (BUILT_IN, *TREES, "dann_bert", "lora_bert", "hybrid_bert")
        found = {name: store.current(name) for name in store.names() if name in wanted}
        return {name: version for name, version in found.items() if version is not None}

    def choose(self, model_type: ModelType, variant: BertVariant) -> Chosen:
        """The trained classifier that a request means, or the rules if the store has none that works.

        Raises:
            ModelStoreError: the store cannot be read.
        """
        names = candidates(model_type, variant)
        stored = self.stored()
        for name in names:
            if name in stored:
                try:
                    scorer = self._scorer(name, stored[name])
                except ModelError as error:
                    return Chosen(f"rules ({name} cannot be used: {error})", self._scorer(BUILT_IN, None))
                return Chosen(f"{name} version {scorer.version}", scorer)
        wanted = " or ".join(names)
        return Chosen(f"rules (the model store has no {wanted})", self._scorer(BUILT_IN, stored.get(BUILT_IN)))

    def _scorer(self, name: str, version: int | None) -> LineScorer:
        with self._lock:
            found = self._loaded.get(name)
            if found is None or found[0] != version:
                found = self._loaded[name] = version, LockedScorer(load_scorer(self._store, name, version))
            return found[1]

    @contextmanager
    def reading(self, scorer: LineScorer, shown: Shown) -> Iterator[RequestClassifier]:
        """A classifier of lines for one request; its parser has seen the layouts of earlier requests."""
        with self._lock:
            fitting = [each for each in self._idle if each.scorer is scorer and each.shown == shown]
            for each in fitting[:1]:
                self._idle.remove(each)
        found = fitting[0] if fitting else RequestClassifier(scorer, shown)
        yield found
        # Not after an error: its parser may have stopped half-way.
        with self._lock:
            if found.lines < KEPT_LINES:
                self._idle = [found, *self._idle][:MAX_IDLE]


class LockedScorer(LineScorer):
    """A scorer for several threads; a classifier is used by one at a time."""

    def __init__(self, scorer: LineScorer) -> None:
        super().__init__(scorer.classifier, scorer.version)
        self._lock = threading.Lock()

    def probabilities(self, lines: Lines) -> Any:
        """See `LineScorer.probabilities`."""
        with self._lock:
            return super().probabilities(lines)

    def explain(self, lines: Lines) -> Any:
        """See `LineScorer.explain`."""
        with self._lock:
            return super().explain(lines)
