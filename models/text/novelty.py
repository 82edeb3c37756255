"""How strange the text of a template is that no training window held.

Two things count: how few of its words any known template shares (one minus the highest Jaccard
similarity), and whether it reports a failure. Embeddings are not a substitute: those of "failed" and
"succeeded" in one sentence have a cosine of .94 (MiniLM).
"""

import re
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.base import ModelStoreError, Templates

_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_WORD = re.compile(r"[a-z]{2,}")
_PARAMETER = re.compile(r"<[*A-Z_]+>")
_FAILURE = re.compile(
    r"fail|error|exception|fatal|panic|abort|denied|refus|timed? ?out|timeout|corrupt|unable|cannot|can't|could not"
    r"|not found|lost|invalid|illegal|unreachable|crash|broken|severe|critical|killed|violat|overflow|fault|interrupt"
    r"|missing|mismatch|terminated",
    re.IGNORECASE,
)
UNREAD = 1.0
"""Weight of an unknown template whose text was never given."""


def words_of(text: str) -> set[str]:
    """The distinct words of a text in lower case; CamelCase is split, parameters are left out."""
    return set(_WORD.findall(_CAMEL.sub(" ", _PARAMETER.sub(" ", text)).lower()))


def speaks_of_failure(text: str) -> bool:
    """Whether a text contains a word for a failure."""
    return _FAILURE.search(text) is not None


@dataclass(frozen=True, slots=True)
class Resemblance:
    """How an unknown template relates to the known ones.

    Attributes:
        nearest: Index of the known template that shares most words; -1 where none shares any.
        weight: 0.5 to 2: a half, plus half the share of unshared words, plus 1 where it speaks of a failure.
    """

    nearest: int
    weight: float


class KnownWords:
    """The words of the known templates as hashes, so that no text has to be stored with the weights."""

    def __init__(self, words: NDArray[np.uint32], offsets: NDArray[np.int64]) -> None:
        """Template i has the word hashes `words[offsets[i]:offsets[i + 1]]`, ascending."""
        self.words = words
        self.offsets = offsets
        self._owner = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))

    @staticmethod
    def from_texts(texts: Iterable[str]) -> "KnownWords":
        """The words of texts, in their order."""
        return KnownWords.from_rows([_hashes(text) for text in texts])

    @staticmethod
    def from_rows(rows: Sequence[NDArray[np.uint32]]) -> "KnownWords":
        """From the ascending word hashes of each template."""
        offsets = np.cumsum([0, *(len(row) for row in rows)])
        return KnownWords(np.concatenate([np.zeros(0, np.uint32), *rows]), offsets.astype(np.int64))

    def by_id(self, vocabulary: NDArray[np.int64]) -> dict[int, NDArray[np.uint32]]:
        """The word hashes of each template by its id; `vocabulary` (V,) has the ids in the order of the templates."""
        rows = np.split(self.words, self.offsets[1:-1])
        return dict(zip(vocabulary.tolist(), rows, strict=True))

    def resemblance(self, text: str) -> Resemblance:
        """How a text relates to the known templates."""
        own = _hashes(text)
        count = len(self.offsets) - 1
        shared = np.bincount(self._owner[np.isin(self.words, own)], minlength=count)
        similarity = shared / np.maximum(len(own) + np.diff(self.offsets) - shared, 1)
        best = int(similarity.argmax()) if count else -1
        highest = float(similarity[best]) if count else 0.0
        weight = 0.5 + 0.5 * (1 - highest) + speaks_of_failure(text)
        return Resemblance(best if highest else -1, weight)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The hashes as a model keeps them."""
        return {"words": self.words.copy(), "word_offsets": self.offsets.copy()}

    @staticmethod
    def from_arrays(arrays: Mapping[str, NDArray[Any]], count: int) -> "KnownWords":
        """From the result of `arrays`, for `count` templates.

        Raises:
            ModelStoreError: the arrays do not describe `count` templates.
        """
        words, offsets = arrays["words"], arrays["word_offsets"]
        fits = (
            words.dtype == np.uint32 and words.ndim == 1 and offsets.dtype == np.int64 and offsets.shape == (count + 1,)
        )
        if not fits or offsets[0] != 0 or offsets[-1] != len(words) or (np.diff(offsets) < 0).any():
            raise ModelStoreError(f"'words' and 'word_offsets' do not describe the words of {count} templates")
        rising = np.diff(words.astype(np.int64)) > 0
        rising[np.unique(offsets[(offsets > 0) & (offsets < len(words))]) - 1] = True  # between two templates
        if not rising.all():
            raise ModelStoreError("'words' are not ascending within each template")
        return KnownWords(words.copy(), offsets.copy())


class UnknownTemplates:
    """Resemblance of the unknown templates whose text was given; replaced as a whole, so readers need no lock."""

    def __init__(self, known: KnownWords, vocabulary: NDArray[np.int64]) -> None:
        """`vocabulary` int64 (V,) ascending: the ids of the known templates, in the order of `known`."""
        self._known = known
        self._vocabulary = vocabulary
        self._table = np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0)

    def learn(self, templates: Templates) -> None:
        """Read the texts of templates that are not known; others are ignored."""
        ids, nearest, weights = self._table
        new = sorted(set(templates) - set(self._vocabulary.tolist()) - set(ids.tolist()))
        if not new:
            return
        found = [self._known.resemblance(templates[i]) for i in new]
        every = np.concatenate([ids, np.array(new, np.int64)])
        order = np.argsort(every)
        table = (
            every[order],
            np.concatenate([nearest, [r.nearest for r in found]]).astype(np.int64)[order],
            np.concatenate([weights, [r.weight for r in found]])[order],
        )
        self._table = table

    def weights(self, ids: NDArray[np.int64]) -> NDArray[np.float64]:
        """float64, the shape of `ids`: the weight of each id, 0 where it is known, `UNREAD` without a text."""
        table_ids, _, weights = self._table
        place, read = _find(table_ids, ids)
        found = np.where(read, weights[place] if len(weights) else 0.0, UNREAD)
        return np.where(_find(self._vocabulary, ids)[1], 0.0, found)

    def substitutes(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """The ids, unknown ones replaced by the known template that resembles them most where one does."""
        table_ids, nearest, _ = self._table
        place, read = _find(table_ids, ids)
        if not read.any():
            return ids
        chosen = np.where(read, nearest[place], -1)
        return np.where(chosen >= 0, self._vocabulary[chosen], ids)

    def read(self, ids: NDArray[np.int64]) -> NDArray[np.bool_]:
        """bool, the shape of `ids`: whether the id is known or its text was given."""
        return _find(self._vocabulary, ids)[1] | _find(self._table[0], ids)[1]


def _find(sorted_ids: NDArray[np.int64], ids: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Place of each id in an ascending array, and whether it is there."""
    if not len(sorted_ids):
        return np.zeros(ids.shape, np.int64), np.zeros(ids.shape, bool)
    place = np.minimum(np.searchsorted(sorted_ids, ids), len(sorted_ids) - 1)
    return place, sorted_ids[place] == ids


def _hashes(text: str) -> NDArray[np.uint32]:
    return np.array(sorted({zlib.crc32(word.encode()) for word in words_of(text)}), np.uint32)
