"""Features of lines for classifiers on trees: words, levels, statistics of the text, and its embedding.

All are functions of one row of `Lines`, so a line's features can be remembered with it.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.base import ModelStoreError
from models.classify.base import CLASSES, Lines
from models.text.embeddings import TextVectors

LEVELS = ("trace", "debug", "info", "warn", "error", "fatal")
STATISTICS = (
    "length of the message", "words", "share of digits", "share of capitals", "share of punctuation",
    "parameters of the template", "share of parameters", "masked values", "addresses", "paths", "exclamation",
)  # fmt: skip
MEANING = "meaning of the text"
"""What the columns of the embedding are called in reasons, all together."""

_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_WORD = re.compile(r"[a-z]{2,}")
_PARAMETER = re.compile(r"<[*A-Z_]+>")


def words_of(text: str) -> set[str]:
    """The distinct words of a text in lower case; names in CamelCase come apart, parameters are left out."""
    return set(_WORD.findall(_CAMEL.sub(" ", _PARAMETER.sub(" ", text)).lower()))


class LineFeatures:
    """Turns lines into rows of numbers; what it learns is a vocabulary and the axes of the embedding.

    Attributes:
        vocabulary: Words with a column of their own.
        names: What each column is called in reasons.
    """

    def __init__(self, vectors: TextVectors, *, words: int, axes: int) -> None:
        """Create it without learnt values.

        Args:
            vectors: Embeds the messages; asked for nothing where `axes` is 0.
            words: Most words of the vocabulary.
            axes: Principal axes of the embedding that become columns.
        """
        self._vectors = vectors
        self._words = words
        self._axes = axes
        self._take((), np.zeros(vectors.encoder.hidden, np.float32), np.zeros((0, vectors.encoder.hidden), np.float32))

    def _take(self, vocabulary: Sequence[str], mean: NDArray[np.float32], axes: NDArray[np.float32]) -> None:
        self.vocabulary = tuple(vocabulary)
        self._column = {word: i for i, word in enumerate(self.vocabulary)}
        self._mean, self._components = mean, axes
        self.names = (
            *(f"word '{word}'" for word in self.vocabulary), *(f"level {level}" for level in LEVELS), *STATISTICS,
            *([MEANING] * len(axes)),
        )  # fmt: skip

    def fit(self, lines: Lines, labels: NDArray[np.int64]) -> None:
        """Learn the words that distinguish classes (chi-squared), and the principal axes of the embeddings."""
        self._take(self._telling(lines, labels), self._mean, self._components[:0])
        if self._axes:
            vectors = self._vectors.of(lines.messages)
            mean = vectors.mean(0)
            # Axes beyond what the lines span would be noise of the numerical method.
            count = min(self._axes, len(np.unique(vectors, axis=0)) - 1)
            _, _, axes = np.linalg.svd(vectors - mean, full_matrices=False)
            self._take(self.vocabulary, mean, np.asarray(axes[: max(count, 0)], np.float32))

    def _telling(self, lines: Lines, labels: NDArray[np.int64]) -> list[str]:
        texts = [words_of(m) for m in lines.messages]
        known = sorted({w for text in texts for w in text})
        column = {w: i for i, w in enumerate(known)}
        seen = np.zeros((len(CLASSES), len(known)))
        for text, label in zip(texts, labels.tolist(), strict=True):
            seen[label, [column[w] for w in text]] += 1
        in_class = np.bincount(labels, minlength=len(CLASSES))[:, None] / len(lines)
        total = seen.sum(0)
        expected = in_class * total
        surprise = (np.divide((seen - expected) ** 2, expected, out=np.zeros_like(seen), where=expected > 0)).sum(0)
        order = sorted(range(len(known)), key=lambda i: (-surprise[i], known[i]))
        return sorted(known[i] for i in order[: self._words] if total[i] > 1)

    def of(self, lines: Lines) -> NDArray[np.float32]:
        """float32 (n, len(names))."""
        width = len(self.vocabulary)
        found = np.zeros((len(lines), len(self.names)), np.float32)
        for i, (template, message, level) in enumerate(zip(lines.templates, lines.messages, lines.levels, strict=True)):
            for word in words_of(message):
                if (at := self._column.get(word)) is not None:
                    found[i, at] = 1
            if level in LEVELS:
                found[i, width + LEVELS.index(level)] = 1
            found[i, width + len(LEVELS) : width + len(LEVELS) + len(STATISTICS)] = _statistics(template, message)
        if len(self._components):
            start = len(self.names) - len(self._components)
            centred = self._vectors.of(lines.messages) - self._mean
            # Summed row by row, not by a matrix product, whose rounding depends on how many rows there are.
            for axis, component in enumerate(self._components):
                found[:, start + axis] = (centred * component).sum(1)
        return found

    def words(self, row: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Bool (len(names),): columns that describe this line; a missing word is not shown as a reason."""
        present = np.ones(len(self.names), bool)
        present[: len(self.vocabulary) + len(LEVELS)] = row[: len(self.vocabulary) + len(LEVELS)] > 0
        return present

    def weights(self) -> dict[str, NDArray[Any]]:
        """The arrays: mean and axes of the embedding."""
        return {"mean": self._mean.copy(), "axes": self._components.copy()}

    def load(self, mean: NDArray[Any], axes: NDArray[Any], extra: Mapping[str, Any]) -> None:
        """Takes over what `weights` and `extra` gave.

        Raises:
            ModelStoreError: another encoder made them, or they are of another shape; nothing is changed.
        """
        mine = self.extra()
        if extra.get("encoder_fingerprint") != mine["encoder_fingerprint"]:
            raise ModelStoreError(
                f"the weights were trained on encoder {extra.get('encoder')} ({extra.get('encoder_fingerprint')}), "
                f"this one is {mine['encoder']} ({mine['encoder_fingerprint']}); the same files are needed"
            )
        hidden = self._vectors.encoder.hidden
        for name, value, shape in (("mean", mean, (hidden,)), ("axes", axes, (len(axes), hidden))):
            if value.shape != shape or value.dtype != np.float32 or not np.isfinite(value).all():
                raise ModelStoreError(
                    f"'{name}' is {value.dtype}{list(value.shape)}, expected finite float32{list(shape)}"
                )
        vocabulary = extra.get("vocabulary")
        if not isinstance(vocabulary, list) or not all(isinstance(w, str) for w in vocabulary):
            raise ModelStoreError("the card has no vocabulary")
        self._take(vocabulary, mean.copy(), axes.copy())

    def extra(self) -> dict[str, Any]:
        """The vocabulary, and the encoder with its fingerprint."""
        encoder = self._vectors.encoder
        return {
            "vocabulary": list(self.vocabulary), "encoder": encoder.name, "encoder_fingerprint": encoder.fingerprint,
        }  # fmt: skip


def _statistics(template: str, message: str) -> tuple[float, ...]:
    """In the order of `STATISTICS`."""
    length = max(len(message), 1)
    bare = _PARAMETER.sub("", message)
    parameters = len(_PARAMETER.findall(template))
    return (
        np.log1p(len(message)),
        len(message.split()),
        sum(map(str.isdigit, message)) / length,
        sum(map(str.isupper, bare)) / length,
        sum(not c.isalnum() and not c.isspace() for c in bare) / length,
        parameters,
        parameters / max(len(template.split()), 1),
        len(_PARAMETER.findall(message)),
        message.count("<IP>"),
        message.count("/"),
        message.count("!"),
    )
