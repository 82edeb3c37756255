"""Lines to classes for requests: which classifier answers, and the records of the lines given."""

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from connectors.base import LineBatch
from engine.offline.classify import BUILT_IN, LogClassifier, load_scorer
from engine.offline.export import PROBABILITY, RecordReader
from engine.steps.parse import Parser, ParseSettings
from models.base import ModelError
from models.classify.base import CLASSES, Lines
from models.classify.scoring import LineScorer
from models.storage.store import ModelStore

ModelType = Literal["ml", "bert"]
BertVariant = Literal["dann", "lora", "hybrid"]

TREES = ("xgboost", "random_forest")
"""Classifiers for the model type `ml`, the preferred one first."""

BATCH_LINES = 2_000

KEPT_LINES = 500_000
"""Lines after which a parser is replaced by a new one, which bounds its templates."""

MAX_IDLE = 4
"""Parsers that wait for the next request."""

MAX_REASONS_CHARS = 2_000

_PARSE = ParseSettings(max_join_lines=0)
"""Each line is a record of its own: an answer has one entry for every line."""


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
    def reading(self, scorer: LineScorer, *, explain: bool = False) -> Iterator["RequestClassifier"]:
        """A classifier of lines for one request; its parser has seen the layouts of earlier requests."""
        with self._lock:
            fitting = [each for each in self._idle if each.scorer is scorer and each.explains == explain]
            for each in fitting[:1]:
                self._idle.remove(each)
        found = fitting[0] if fitting else RequestClassifier(scorer, explain=explain)
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


@dataclass(frozen=True, slots=True)
class ClassifiedLine:
    """One line with its class.

    Attributes:
        raw: The line as it was sent.
        format: Name of the recognised format; `unknown` if the line could not be parsed.
        message: The message without the header.
        template: Text of its template.
        shares: Probability of every class, in the order of `CLASSES`.
        reasons: Reasons for the class as text, "" if not asked for.
    """

    raw: str
    format: str
    message: str
    template: str
    shares: Sequence[float]
    reasons: str


class RequestClassifier:
    """Classifies lines in their order; for one request at a time.

    Attributes:
        scorer: Gives the classes.
        explains: Whether reasons are given.
        lines: Lines classified so far.
    """

    def __init__(self, scorer: LineScorer, *, explain: bool = False) -> None:
        self._parser = Parser(_PARSE, lambda partition, position: f"line {position + 1}")
        self._judge = LogClassifier(self._parser, scorer, explain=explain)
        self._reader = RecordReader(self._parser, self._judge)
        self.scorer = scorer
        self.explains = explain
        self.lines = 0

    def classify(self, lines: Sequence[bytes], now_ns: int) -> list[ClassifiedLine]:
        """One entry a line; a line that cannot be parsed is classified by its text.

        Args:
            lines: Lines without line ends.
            now_ns: Wall clock, which gives years to lines without one.
        """
        first, self.lines = self.lines, self.lines + len(lines)
        batch = LineBatch(
            "request", b"".join(line + b"\n" for line in lines),
            np.cumsum([len(line) + 1 for line in lines], dtype=np.int64) - 1,
            np.arange(first, first + len(lines), dtype=np.int64), now_ns, now_ns,
        )  # fmt: skip
        records = {record["position"]: record for record in self._reader.add(batch) + self._reader.finish()}
        unread = [i for i in range(len(lines)) if first + i not in records]
        texts = [lines[i].decode("utf-8", "replace") for i in unread]
        shares = self.scorer.probabilities(Lines.of(texts)) if unread else ()
        bare = {i: share for i, share in zip(unread, shares, strict=True)}
        return [
            _of_record(line, records[first + i]) if i not in bare else _of_text(line, bare[i])
            for i, line in enumerate(lines)
        ]


def _of_record(line: bytes, record: Mapping[str, Any]) -> ClassifiedLine:
    shares = [record[PROBABILITY + name] for name in CLASSES]
    raw = line.decode("utf-8", "replace")
    return ClassifiedLine(
        raw, record["format"], record["message"], record["template"], shares, record["reasons"][:MAX_REASONS_CHARS]
    )


def _of_text(line: bytes, shares: Any) -> ClassifiedLine:
    raw = line.decode("utf-8", "replace")
    return ClassifiedLine(raw, "unknown", raw, "", shares.tolist(), "")


def in_batches(lines: Iterable[bytes]) -> Iterator[list[bytes]]:
    """Lines in lists of at most `BATCH_LINES`."""
    batch: list[bytes] = []
    for line in lines:
        batch.append(line)
        if len(batch) == BATCH_LINES:
            yield batch
            batch = []
    if batch:
        yield batch
