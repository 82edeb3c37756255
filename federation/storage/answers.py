"""A training store as a person labels it: which windows it holds, and answers about them.

The store holds a hash instead of each session key, so windows are labelled by that hash. An answer is feedback, like
that on an alert.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from federation.storage.learning import Purpose
from federation.storage.training_store import RANKS, SPLIT, Label, TrainingStore, bucket_of
from models.base import Templates, Windows


@dataclass(frozen=True, slots=True)
class StoredWindows:
    """The complete windows of a training store, oldest first.

    Attributes:
        windows: n windows.
        ids: Id of each; the id of its alert, if it has one.
        keys: Hash of the session key of each.
        time_ns: int64 (n,): event time of the last line.
        scores: float32 (n,): as scored in service.
        answered: bool (n,): labelled by an operator or by ground truth; rules do not count.
        templates: Holds the text of every id in `windows`.
    """

    windows: Windows
    ids: tuple[str, ...]
    keys: tuple[bytes, ...]
    time_ns: NDArray[np.int64]
    scores: NDArray[np.float32]
    answered: NDArray[np.bool_]
    templates: Templates


@dataclass(frozen=True, slots=True)
class OperatorLabel:
    """An operator's answer about a session.

    Attributes:
        key: Hash of the session key.
        anomalous: The answer.
        received_ns: Wall clock of its arrival.
        purpose: What the windows of the session are used for.
    """

    key: bytes
    anomalous: bool
    received_ns: int
    purpose: Purpose


class AnswerStore(TrainingStore):
    """A training store with the operations that questions and answers need."""

    def stored_windows(self) -> StoredWindows:
        """The complete windows.

        Raises:
            StorageError: the store cannot be read, or was changed by another program.
        """
        with self._file.snapshot() as database:
            rows = database.execute(
                "SELECT id, key, time_ns, score, rank, content FROM windows WHERE closed ORDER BY time_ns, id"
            ).fetchall()
            contents = [np.frombuffer(self._cipher.decrypt(row[5], row[0]), "<i8") for row in rows]
            windows = Windows.of(contents)
            texts = self._texts(database, np.unique(windows.ids).tolist())
        names, keys, times, scores, ranks = zip(*(row[:5] for row in rows), strict=True) if rows else ((),) * 5
        return StoredWindows(
            windows, tuple(name.decode() for name in names), keys, np.array(times, np.int64),
            np.array(scores, np.float32), np.array(ranks, np.int64) < RANKS.index("rules"), texts,
        )  # fmt: skip

    def hashed(self, keys: Iterable[str]) -> tuple[bytes, ...]:
        """The store's hash of each session key, or of each id of a window without one."""
        return tuple(map(self._hash, keys))

    def holds(self, key: str) -> bool:
        """Whether the store has a window of a session, or the window with this id."""
        with self._file.connection() as database:
            return (
                database.execute("SELECT 1 FROM windows WHERE key = ? LIMIT 1", (self._hash(key),)).fetchone()
                is not None
            )

    def answered(self, hashes: Sequence[bytes]) -> NDArray[np.bool_]:
        """Which sessions are labelled by an operator or by ground truth: bool (n,)."""
        limit = RANKS.index("rules")
        with self._file.snapshot() as database:
            return np.array([self._label_of(database, key)[1] < limit for key in hashes], bool)

    def operator_labels(self) -> tuple[OperatorLabel, ...]:
        """The answers of operators, in the order of their arrival; also those whose windows are not in the store."""
        with self._file.connection() as database:
            rows = database.execute(
                "SELECT key, anomalous, received_ns FROM labels WHERE rank = ? ORDER BY received_ns, key",
                (RANKS.index("feedback"),),
            ).fetchall()
        return tuple(OperatorLabel(key, bool(anomalous), when, _purpose(key)) for key, anomalous, when in rows)

    def answer(self, hashes: Iterable[bytes], *, anomalous: bool, time_ns: int) -> None:
        """Label sessions as an operator; a later answer replaces an earlier one."""
        with self._file.transaction() as database:
            for key in hashes:
                self._store_label(database, key, Label("", anomalous, "feedback", time_ns))

    def withdraw(self, hashes: Iterable[bytes]) -> None:
        """Take back the answers of operators about sessions; labels of other provenance count again."""
        with self._file.transaction() as database:
            for key in hashes:
                database.execute("DELETE FROM labels WHERE key = ? AND rank = ?", (key, RANKS.index("feedback")))
                self._apply_label(database, key)


def _purpose(key: bytes) -> Purpose:
    bucket = bucket_of(key)
    return next(purpose for purpose, part in SPLIT.items() if bucket in part)
