"""Vectors of texts, and the embedding table: one row per template, grown while others read it.

A table is never changed. Learning templates builds a longer one, whose first rows are those of the
old one, and switches a single reference; a scorer keeps the table that it started with.
"""

import hashlib
import logging
import os
import threading
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from foundation import durable
from models.base import Templates
from models.text.encoder import Encoder, EncoderError

log = logging.getLogger(__name__)

PADDING, UNKNOWN, BEGIN, END, FIRST_TEMPLATE = 0, 1, 2, 3, 4
"""Rows of a table with a meaning of their own; all are zero in the table. `UNKNOWN` represents every
id that was never learnt; networks replace `BEGIN` and `END` by learnt vectors."""


def embedding_cache() -> Path:
    """Where encoded template texts are kept between runs: `driftline/embeddings` in the user's cache folder."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "driftline" / "embeddings"


@dataclass(frozen=True, slots=True)
class EmbeddingTable:
    """Vectors of templates by row; row numbers never change as tables grow.

    Attributes:
        vectors: float32 (FIRST_TEMPLATE + n, hidden).
        ids: int64 (n,), ascending: the template ids.
        rows: int64 (n,): the row of each id.
    """

    vectors: NDArray[np.float32]
    ids: NDArray[np.int64]
    rows: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.vectors)

    def lookup(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """int64, the shape of `ids`: the row of each, `UNKNOWN` where it was never learnt."""
        if not len(self.ids):
            return np.full(ids.shape, UNKNOWN, np.int64)
        at = np.minimum(np.searchsorted(self.ids, ids), len(self.ids) - 1)
        return np.where(self.ids[at] == ids, self.rows[at], UNKNOWN)

    def grown(self, ids: NDArray[np.int64], vectors: NDArray[np.float32]) -> "EmbeddingTable":
        """A table with the rows of this one followed by one for each of `ids`, which must be new."""
        all_ids = np.concatenate([self.ids, ids])
        rows = np.concatenate([self.rows, np.arange(len(self), len(self) + len(ids))])
        order = np.argsort(all_ids)
        return EmbeddingTable(np.concatenate([self.vectors, vectors]), all_ids[order], rows[order])

    @staticmethod
    def empty(hidden: int) -> "EmbeddingTable":
        """A table of no templates."""
        none = np.zeros(0, np.int64)
        return EmbeddingTable(np.zeros((FIRST_TEMPLATE, hidden), np.float32), none, none)


_KEPT_TEXTS = 100_000
"""Texts remembered in memory; those longest known go first."""


class TextVectors:
    """Vectors of texts, each encoded once: cached in memory up to a number, and on disk if a folder is given."""

    def __init__(self, encoder: Encoder, file: Path | None = None) -> None:
        """Reads nothing yet.

        Args:
            encoder: Gives the vectors.
            file: Where they are kept between runs; None keeps them in memory only.
        """
        self.encoder = encoder
        self._file = file
        self._known: dict[str, NDArray[np.float32]] | None = None
        self._unsaved = 0

    def of(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """float32 (n, hidden), in the order of `texts`. From one thread at a time.

        Raises:
            EncoderError: see `Encoder.encode`; nothing is remembered then.
        """
        if self._known is None:
            self._known = _read_cache(self._file) if self._file else {}
        found = {t: self._known[t] for t in texts if t in self._known}
        missing = [t for t in dict.fromkeys(texts) if t not in found]
        if missing:
            vectors = self.encoder.encode(missing)
            if not np.isfinite(vectors).all():
                raise EncoderError(f"encoder '{self.encoder.name}' gave an embedding that is not finite")
            found.update(zip(missing, vectors, strict=True))
            self._remember(dict(zip(missing, vectors, strict=True)))
        return np.stack([found[t] for t in texts]) if texts else np.zeros((0, self.encoder.hidden), np.float32)

    def _remember(self, new: dict[str, NDArray[np.float32]]) -> None:
        assert self._known is not None
        self._known.update(new)
        for text in list(self._known)[: max(0, len(self._known) - _KEPT_TEXTS)]:
            del self._known[text]
        self._unsaved += len(new)
        # A file grows with every text in it, so a large one is written when a tenth of it is new.
        if self._file and self._unsaved >= (len(self._known) // 10 if len(self._known) > 1000 else 1):
            _write_cache(self._file, self._known)
            self._unsaved = 0


class Embeddings:
    """The owner of the current table; encodes new texts and caches them on disk if a folder is given."""

    def __init__(self, encoder: Encoder, cache: Path | None = None) -> None:
        """Starts empty.

        Args:
            encoder: Gives the vectors.
            cache: Folder in which encoded texts are kept by encoder, so that a restart need not
                encode them again; None keeps them in memory only.
        """
        self.encoder = encoder
        self._texts = TextVectors(encoder, cache / f"embeddings-{encoder.fingerprint}.npz" if cache else None)
        self._lock = threading.Lock()
        self._table = EmbeddingTable.empty(encoder.hidden)

    @property
    def table(self) -> EmbeddingTable:
        """The newest table."""
        return self._table

    def learn(self, templates: Templates) -> int:
        """Adds a row for every id not yet in the table; returns how many. Safe from any thread.

        Raises:
            EncoderError: see `Encoder.encode`; the table is unchanged.
        """
        with self._lock:
            given = np.fromiter(templates, np.int64, len(templates))
            new = given[self._table.lookup(given) == UNKNOWN]
            if len(new):
                self._table = self._table.grown(new, self._texts.of([templates[int(i)] for i in new]))
            return len(new)


def _read_cache(file: Path) -> dict[str, NDArray[np.float32]]:
    if not file.exists():
        return {}
    try:
        with file.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
            blob, ends, vectors, check = (stored[k] for k in ("texts", "ends", "vectors", "sha256"))
        if hashlib.sha256(blob.tobytes() + vectors.tobytes()).digest() != check.tobytes():
            raise ValueError("checksum differs")
        raw, starts = blob.tobytes(), [0, *ends.tolist()[:-1]]
        texts = [raw[a:b].decode("utf-8", "surrogatepass") for a, b in zip(starts, ends.tolist(), strict=True)]
        return dict(zip(texts, vectors, strict=True))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        # A cache may be thrown away; encoding again costs seconds and gives the same vectors.
        log.warning("embedding cache %s is not used: %s", file, error)
        return {}


def _write_cache(file: Path, known: dict[str, NDArray[np.float32]]) -> None:
    encoded = [t.encode("utf-8", "surrogatepass") for t in known]
    blob = np.frombuffer(b"".join(encoded), np.uint8)
    ends = np.cumsum([len(e) for e in encoded], dtype=np.int64)
    vectors = np.stack(list(known.values()))
    check = np.frombuffer(hashlib.sha256(blob.tobytes() + vectors.tobytes()).digest(), np.uint8)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with durable.replacing(file) as stream:
            np.savez(stream, texts=blob, ends=ends, vectors=vectors, sha256=check)
    except OSError as error:
        log.warning("embedding cache %s was not written: %s", file, error)
