"""Contract of line classifiers, and the records they read and give.

A classification depends on nothing but one row of `Lines`, so equal rows are classified once and
remembered (`models.classify.scoring`). That is why neither the time of a line nor its place in the
log is in it.
"""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar, get_args

import numpy as np
from numpy.typing import NDArray

from foundation.documents.label import LineClass
from models.base import FitReport, Model, Progress, TrainingError
from models.text.ragged import distinct

CLASSES: tuple[LineClass, ...] = get_args(LineClass)
"""The kinds of line; a class number is an index into it."""
NORMAL = 0

MAX_CHARS = 2000
"""Characters of a text that `Lines.of` keeps: a line of a megabyte costs no more than one of a screen."""

Key = tuple[str, str, str, str, str]


@dataclass(frozen=True, slots=True)
class Lines:
    """Lines to classify, in columns of one length; "" where something is not known.

    Attributes:
        templates: Text of the mined template, `<*>` and `<NAME>` for its parameters.
        messages: The message with numbers and addresses masked. Unmasked ones are classified as
            well, only each of them again.
        levels: trace, debug, info, warn, error, fatal.
        formats: Name of the log format, as the parser calls it.
        components: Program, class or subsystem that wrote the line.
    """

    templates: tuple[str, ...]
    messages: tuple[str, ...]
    levels: tuple[str, ...]
    formats: tuple[str, ...]
    components: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.messages)

    def keys(self) -> list[Key]:
        """All that a classification may depend on, for each line."""
        return list(zip(self.templates, self.messages, self.levels, self.formats, self.components, strict=True))

    def take(self, index: NDArray[np.integer[Any]]) -> "Lines":
        """The lines at `index`, in that order."""
        rows = index.tolist()
        return Lines(*(tuple(column[i] for i in rows) for column in self._columns()))

    def distinct(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Index of the first of each kind, and for every line which of those it equals; see `sequences.distinct`."""
        return distinct(self.keys())

    def _columns(self) -> list[tuple[str, ...]]:
        return [getattr(self, field.name) for field in fields(self)]

    @staticmethod
    def of(
        messages: Sequence[str],
        templates: Sequence[str] | None = None,
        *,
        levels: Sequence[str] | None = None,
        formats: Sequence[str] | None = None,
        components: Sequence[str] | None = None,
    ) -> "Lines":
        """Lines of these columns, texts cut at `MAX_CHARS`; without templates, a message is its own.

        Raises:
            ValueError: columns of different length.
        """
        given = (messages if templates is None else templates, messages, levels, formats, components)
        columns = [tuple(t[:MAX_CHARS] for t in c) if c is not None else ("",) * len(messages) for c in given]
        if len({len(c) for c in columns}) > 1:
            raise ValueError(f"columns of {', '.join(str(len(c)) for c in columns)} entries have different lengths")
        return Lines(*columns)


@dataclass(frozen=True, slots=True)
class Attribution:
    """Something that spoke for or against the class that a line was given.

    Attributes:
        what: A word of the line as `word 'refused'`, a feature, or a rule, as text for people.
        value: How much it adds to the class; above 0 it speaks for it. The unit is the classifier's
            own (log-odds of trees, probability of networks, 1 for a rule), so values are to be
            compared within one line only.
    """

    what: str
    value: float


@dataclass(frozen=True, slots=True)
class LineTraining:
    """What a classifier learns from, checked; the fields are the arguments of `LineClassifier.fit`."""

    lines: Lines
    labels: NDArray[np.int64]
    weights: NDArray[np.float64]
    domains: Sequence[str]
    validation: tuple[Lines, NDArray[np.int64]] | None
    seed: int

    def split(self, kept: NDArray[np.int64], held: NDArray[np.int64]) -> "LineTraining":
        """The rows `kept` to learn from, with the rows `held` as validation."""
        sources = [self.domains[i] for i in kept.tolist()]
        validation = self.lines.take(held), self.labels[held]
        lines, labels = self.lines.take(kept), self.labels[kept]
        return LineTraining(lines, labels, self.weights[kept], sources, validation, self.seed)


class LineClassifier(Model):
    """Gives each line a probability for every class.

    Built from its settings by `models.classify.registry.build`, then fitted or loaded. After that
    `probabilities` and `explain` may be called from one thread at a time and change nothing a
    caller can see.
    """

    learns: ClassVar[bool] = True
    """False: it classifies without `fit` already, which only makes its probabilities better."""

    def fit(
        self,
        lines: Lines,
        labels: NDArray[np.int64],
        *,
        weights: NDArray[np.float64] | None = None,
        domains: Sequence[str] | None = None,
        validation: tuple[Lines, NDArray[np.int64]] | None = None,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> FitReport:
        """Learns from lines.

        Args:
            lines: Training lines; not changed. Best distinct ones with `weights`: it costs less.
            labels: int64 (n,): index into `CLASSES`.
            weights: float64 (n,), above 0: how many lines each row represents; 1 each if None.
            domains: Name of the source of each line, for classifiers that learn across sources;
                `lines.formats` if None.
            validation: Lines and labels that decide when to stop; split off `lines` if None.
            seed: The same seed on the same machine gives the same weights.
            progress: See `models.base.Progress`.

        Raises:
            TrainingError: the data has no line, only one class, an unknown class, a non-positive weight, or not what
                the classifier needs.
        """
        sources = lines.formats if domains is None else tuple(domains)
        given = _checked_weights(lines, labels, weights)
        return self._fit(LineTraining(lines, labels, given, sources, validation, seed), progress)

    @abstractmethod
    def _fit(self, data: LineTraining, progress: Progress | None) -> FitReport:
        """Learns as `fit` says, from checked data."""

    @abstractmethod
    def probabilities(self, lines: Lines) -> NDArray[np.float32]:
        """float32 (n, len(CLASSES)): each row from 0 to 1 with sum 1, in the order given.

        A class that was not among the training labels gets what the classifier gives the impossible.
        Batching changes a row by rounding at most.

        Raises:
            NotTrainedError: it holds no weights.
        """

    @abstractmethod
    def explain(self, lines: Lines) -> list[tuple[Attribution, ...]]:
        """For each line the few reasons that weigh most for or against its class, the weightiest first.

        Costs far more than `probabilities`, so it is asked for lines that somebody examines. A line
        without any text may have none.

        Raises:
            NotTrainedError: it holds no weights.
        """


def _checked_weights(
    lines: Lines, labels: NDArray[np.int64], weights: NDArray[np.float64] | None
) -> NDArray[np.float64]:
    """The weights of training lines, 1 where None."""
    if not len(lines):
        raise TrainingError("there are no lines to learn from")
    given = np.ones(len(lines)) if weights is None else np.asarray(weights, np.float64)
    if len(labels) != len(lines) or len(given) != len(lines):
        raise TrainingError(f"there are {len(labels)} labels and {len(given)} weights for {len(lines)} lines")
    if not np.isfinite(given).all() or given.min() <= 0:
        raise TrainingError("each weight must be a finite number above 0: the number of lines that a row represents")
    if labels.min() < 0 or labels.max() >= len(CLASSES):
        raise TrainingError(f"labels are {labels.min()} to {labels.max()}, classes are 0 to {len(CLASSES) - 1}")
    present = np.unique(labels)
    if len(present) < 2:
        raise TrainingError(f"all lines are {CLASSES[present[0]]}; a classifier learns from two classes or more")
    return given
