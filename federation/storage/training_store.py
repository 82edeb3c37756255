"""The training store: the windows that one region learns from, in a bounded file that never leaves it.

A window is stored as the ids of its templates, a template as its text. Raw lines and session keys are not stored,
except for a hash of the key by which late labels find their windows. Writer (the engine) and reader (the trainer)
use the same SQLite file in WAL mode, each through a store of its own.

Eviction: beyond `max_windows`, a window is dropped from the largest class (anomalous, normal, without a label),
there from the fullest time slot, and there the one whose id has the highest hash. Rare classes and quiet hours thus
keep all their windows, each cell is a uniform sample, and a replay after a crash drops the same windows again.

Labels: feedback takes precedence over labels, and labels over rules; of two labels of the same provenance the later
one counts. A window without a label counts as normal (`assumed`). Labels may arrive long after or before their
windows.
"""

import json
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from federation.storage.document_feed import Position
from federation.storage.encryption import AesCipher, PlainCipher, StoreCipher, decode_key
from federation.storage.eviction import drop_oldest, priority, trim
from federation.storage.learning import ASSUMED, LearningSet, LineSet, Purpose, Spending
from federation.storage.line_classes import TemplateClass, classes_of, line_set, store_class
from federation.storage.training_file import TrainingFile
from federation.storage.verdicts import Verdicts, latest_label_ns, note_service, read_verdicts, service_start_ns
from foundation.bounded_pattern import BoundedPattern
from models.base import Templates, Windows, template_id

Provenance = Literal["feedback", "labels", "rules"]
RANKS: tuple[Provenance, ...] = ("feedback", "labels", "rules")
"""Provenances of a label, by precedence."""

SPLIT = {Purpose.TRAIN: range(70), Purpose.CALIBRATE: range(70, 80), Purpose.HOLDOUT: range(80, 100)}
"""Hundredths of the session keys' hashes for each purpose."""

HALVED = {Purpose.TRAIN: SPLIT[Purpose.TRAIN], Purpose.CALIBRATE: range(70, 100), Purpose.HOLDOUT: range(100)}
"""The same of one half of the sessions, by whether the hundredth is even."""

_UNLABELLED = -1


def bucket_of(hashed: bytes) -> int:
    """The hundredth of a session, 0 to 99, by the hash of its key; see `SPLIT`."""
    return int.from_bytes(hashed[:8], "big") % 100


class TrainingSettings(BaseModel):
    """How many windows a region stores to learn from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: Path = Field(description="SQLite file of the training store; its folder is created.")
    max_windows: Annotated[int, Field(ge=100)] = Field(50_000, description="Maximum number of windows.")
    windows_per_s: Annotated[float, Field(gt=0)] = Field(
        100.0, description="Maximum number of complete windows that each worker of the engine stores per second, "
        "anomalous ones first.",
    )  # fmt: skip
    max_labels: Annotated[int, Field(ge=100)] = Field(
        500_000,
        description="Maximum number of labels, also of sessions without a window; the oldest are dropped.",
    )
    max_templates: Annotated[int, Field(ge=100)] = Field(
        50_000, description="Number of template texts beyond which those that are in no window are dropped."
    )
    slot_s: Annotated[float, Field(gt=0)] = Field(
        3600.0, description="Length of a time slot in seconds; a full store keeps as many windows of each slot."
    )
    holdout_windows: Annotated[int, Field(ge=1)] = Field(
        5_000, description="Newest held-out windows on which candidates are evaluated."
    )
    label_wait_s: Annotated[float, Field(ge=0)] = Field(
        0.0, description="Seconds of event time behind the newest window in which unlabelled windows are not used: "
        "their label may still arrive, and without one they count as normal.",
    )  # fmt: skip
    rules: tuple[str, ...] = Field(
        (), description="Regular expressions; a window with a matching template counts as anomalous unless feedback or "
        "labels contradict.",
    )  # fmt: skip
    key: SecretStr | None = Field(
        None, description="Encrypts windows and template texts: 32 bytes in base64. Set it by environment variable."
    )

    @field_validator("rules")
    @classmethod
    def _compile(cls, rules: tuple[str, ...]) -> tuple[str, ...]:
        for rule in rules:
            BoundedPattern(rule)
        return rules


@dataclass(frozen=True, slots=True)
class Label:
    """The label of a session.

    Attributes:
        key: The session key; for windows without one, the window's id.
        anomalous: Whether the session is anomalous.
        provenance: Where the label comes from.
        time_ns: Time of the label, UTC ns since the epoch.
    """

    key: str
    anomalous: bool
    provenance: Provenance
    time_ns: int


AnyLabel = Label | TemplateClass
"""A label of a session, or of the lines of a template."""


@dataclass(frozen=True, slots=True)
class StoreCounts:
    """Numbers of windows, templates and labels in a store."""

    windows: int
    anomalous: int
    normal: int
    unlabelled: int
    templates: int
    labels: int


class TrainingStore:
    """A training store. One thread uses an instance; several instances and processes may share the file."""

    def __init__(self, path: Path, settings: TrainingSettings, *, now_ns: Callable[[], int]) -> None:
        """Open or create the file.

        Args:
            path: The SQLite file.
            settings: Bounds and key.
            now_ns: Wall clock, for the arrival of labels.

        Raises:
            StorageError: it cannot be opened, or not with this key.
            SetupError: the key is invalid.
        """
        self._settings = settings
        self._now_ns = now_ns
        key = settings.key
        self._cipher: StoreCipher = PlainCipher() if key is None else AesCipher(decode_key(key.get_secret_value()))
        self._rules = [BoundedPattern(rule) for rule in settings.rules]
        self._file = TrainingFile(path, self._cipher)

    def add(
        self, windows: Windows, *, keys: Sequence[str], ids: Sequence[str], time_ns: NDArray[np.int64],
        scores: NDArray[np.float32], templates: Templates,
    ) -> int:  # fmt: skip
        """Add windows; for a known id only the score is updated.

        Args:
            windows: The windows.
            keys: Session key of each, "" without one.
            ids: Id of each, the same after a replay; the id of its alert, if it has one.
            time_ns: int64 (n,): event time of the last line.
            scores: float32 (n,): as scored in service.
            templates: Holds the text of every id in `windows`.

        Returns:
            Increase of the number of windows.
        """
        with self._file.transaction() as database:
            before = self._count(database)
            self._add_templates(database, windows.ids, templates)
            matched = self._matched(windows, templates)
            for i, (key, identity) in enumerate(zip(keys, ids, strict=True)):
                name = identity.encode()
                hashed, when = self._hash(key or identity), int(time_ns[i])
                if matched[i]:
                    self._store_label(database, hashed, Label(key or identity, True, "rules", when))
                anomalous, rank = self._label_of(database, hashed)
                database.execute(
                    """INSERT INTO windows VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
                    ON CONFLICT (id) DO UPDATE SET score = excluded.score""",
                    (
                        name, hashed, bucket_of(hashed), priority(name), when,
                        int(when // (self._settings.slot_s * 1e9)), bool(windows.closed[i]), float(scores[i]),
                        anomalous, rank, self._cipher.encrypt(windows.row(i).astype("<i8").tobytes(), name),
                    ),
                )  # fmt: skip
            trim(database, self._settings.max_windows)
            self._drop_templates(database)
            return self._count(database) - before

    def label(self, labels: Iterable[AnyLabel], position: tuple[str, Position] | None = None) -> int:
        """Add labels, before or after their windows; a replay changes nothing.

        Args:
            labels: The labels.
            position: Feed of these labels and the position behind them; stored in the same transaction.

        Returns:
            How many were new.
        """
        with self._file.transaction() as database:
            new = sum(self._store_any(database, label) for label in labels)
            drop_oldest(database, "labels", self._settings.max_labels)
            drop_oldest(database, "classes", self._settings.max_labels)
            if position is not None:
                database.execute(
                    "INSERT OR REPLACE INTO facts VALUES (?, ?)", (f"position {position[0]}", json.dumps(position[1]))
                )
        return new

    def position(self, feed: str) -> Position | None:
        """Position of a feed of labels; None if it was never read."""
        with self._file.connection() as database:
            row = database.execute("SELECT value FROM facts WHERE name = ?", (f"position {feed}",)).fetchone()
        return None if row is None else dict(json.loads(row[0]))

    def learning_set(self, purpose: Purpose, left_out: int | None = None, serving: int = 0) -> LearningSet:
        """The windows for a purpose, oldest first; for the holdout only the newest. See `LearningStore`.

        Unclosed windows of anomalous sessions are left out: the label does not show where in the session the
        anomaly is, and a window that ends before it looks normal.

        Raises:
            StorageError: the store cannot be read, or was changed by another program.
        """
        part, which = SPLIT[purpose], "1"
        if left_out is not None:
            part, which = HALVED[purpose], f"bucket % 2 {'=' if purpose is Purpose.HOLDOUT else '!='} {int(left_out)}"
            which += " AND class >= 0" if purpose is Purpose.HOLDOUT else ""
        wait_ns = int(self._settings.label_wait_s * 1e9)
        newest = self._settings.holdout_windows if purpose is Purpose.HOLDOUT else -1
        with self._file.snapshot() as database:
            rows = database.execute(
                f"""SELECT id, content, closed, class, rank, key FROM windows
                WHERE bucket >= ? AND bucket < ? AND time_ns >= ? AND {which} AND (closed OR class != 1)
                AND (class >= 0 OR time_ns <= (SELECT max(time_ns) FROM windows) - ?)
                ORDER BY time_ns DESC, id DESC LIMIT ?""",
                (part.start, part.stop, service_start_ns(database, serving), wait_ns, newest),
            ).fetchall()[::-1]
            found = [np.frombuffer(self._cipher.decrypt(content, name), "<i8") for name, content, *_ in rows]
            windows = Windows.of(found, [bool(row[2]) for row in rows])
            texts = self._texts(database, np.unique(windows.ids).tolist())
        labels = np.fromiter((row[3] == 1 for row in rows), bool, len(rows))
        provenance = tuple(RANKS[row[4]] if row[4] < len(RANKS) else ASSUMED for row in rows)
        _, sessions = np.unique(np.array([row[5] for row in rows], dtype=object), return_inverse=True)
        return LearningSet(windows, labels, texts, provenance, sessions)

    def line_set(self, purpose: Purpose) -> LineSet:
        """The templates for a purpose with their classes; see `federation.storage.line_classes`.

        Raises:
            StorageError: the store cannot be read, or was changed by another program.
        """
        with self._file.snapshot() as database:
            rows = database.execute("SELECT id, content FROM templates").fetchall()
            labelled = classes_of(database)
            texts = {name: self._text(content, name) for name, content in rows}
        classes = {text: labelled[name] for name, text in texts.items() if name in labelled}
        return line_set(texts.values(), classes, purpose)

    def latest_label_ns(self) -> int:
        """Wall clock at which the latest label arrived; 0 without labels."""
        with self._file.connection() as database:
            return latest_label_ns(database)

    def note_service(self, version: int, time_ns: int) -> None:
        """Note the version in service, and the event time of the first window that it scored."""
        with self._file.transaction() as database:
            note_service(database, version, time_ns)

    def verdicts(self, received_ns: int, time_ns: int, threshold: float) -> Verdicts:
        """What labels show of a model; see `federation.storage.verdicts.read_verdicts`."""
        with self._file.connection() as database:
            # Scores are float32, and a window is anomalous from the threshold as float32.
            return read_verdicts(database, received_ns, time_ns, float(np.float32(threshold)), RANKS.index("rules"))

    def counts(self) -> StoreCounts:
        """Numbers of windows, templates and labels."""
        with self._file.connection() as database:
            classes: dict[int, int] = dict(
                database.execute("SELECT class, count(*) FROM windows GROUP BY class").fetchall()
            )
            (templates,) = database.execute("SELECT count(*) FROM templates").fetchone()
            (labels,) = database.execute("SELECT count(*) FROM labels").fetchone()
        return StoreCounts(
            sum(classes.values()), classes.get(1, 0), classes.get(0, 0), classes.get(_UNLABELLED, 0), templates, labels
        )

    def spend(self, spending: Spending) -> None:
        """See `LearningStore`; called before the training, so that a crash cannot hide it."""
        with self._file.transaction() as database:
            database.execute(
                "INSERT INTO spending (round_id, noise_multiplier, sample_rate, steps, time_ns) VALUES (?, ?, ?, ?, ?)",
                (spending.round_id, spending.noise_multiplier, spending.sample_rate, spending.steps, self._now_ns()),
            )

    def spent(self) -> tuple[Spending, ...]:
        """See `LearningStore`."""
        with self._file.connection() as database:
            rows = database.execute(
                "SELECT round_id, noise_multiplier, sample_rate, steps FROM spending ORDER BY number"
            ).fetchall()
        return tuple(Spending(*row) for row in rows)

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _hash(self, key: str) -> bytes:
        return self._cipher.digest(key.encode("utf-8", "surrogatepass"))

    def _add_templates(self, database: sqlite3.Connection, used: NDArray[np.int64], templates: Templates) -> None:
        for identity in np.unique(used).tolist():
            name = self._template_name(identity)
            text = templates[identity].encode("utf-8", "surrogatepass")
            database.execute("INSERT OR IGNORE INTO templates VALUES (?, ?)", (name, self._cipher.encrypt(text, name)))

    def _template_name(self, identity: int) -> bytes:
        return self._cipher.digest(b"template" + identity.to_bytes(8, "little", signed=True))

    def _texts(self, database: sqlite3.Connection, wanted: Sequence[int]) -> Mapping[int, str]:
        names = {identity: self._template_name(identity) for identity in wanted}
        stored: dict[bytes, bytes] = dict(database.execute("SELECT id, content FROM templates").fetchall())
        return {identity: self._text(stored[name], name) for identity, name in names.items()}

    def _text(self, content: bytes, name: bytes) -> str:
        return self._cipher.decrypt(content, name).decode("utf-8", "surrogatepass")

    def _matched(self, windows: Windows, templates: Templates) -> NDArray[np.bool_]:
        """Which windows hold a template that a rule matches: bool (n,)."""
        used = np.unique(windows.ids).tolist() if self._rules else []
        matched = [identity for identity in used if any(rule.search(templates[identity]) for rule in self._rules)]
        before = np.concatenate(([0], np.cumsum(np.isin(windows.ids, np.array(matched, np.int64)))))
        return np.asarray(before[windows.offsets[1:]] > before[windows.offsets[:-1]])

    def _store_any(self, database: sqlite3.Connection, label: AnyLabel) -> bool:
        if isinstance(label, Label):
            return self._store_label(database, self._hash(label.key), label)
        return store_class(database, self._template_name(template_id(label.template)), label, self._now_ns())

    def _store_label(self, database: sqlite3.Connection, hashed: bytes, label: Label) -> bool:
        """Store a label of a session; whether it was new."""
        rank = RANKS.index(label.provenance)
        changed = database.execute(
            """INSERT INTO labels VALUES (?, ?, ?, ?, ?) ON CONFLICT (key, rank) DO UPDATE SET
            anomalous = excluded.anomalous, time_ns = excluded.time_ns, received_ns = excluded.received_ns
            WHERE excluded.time_ns > labels.time_ns""",
            (hashed, rank, label.anomalous, label.time_ns, self._now_ns()),
        ).rowcount
        if changed:
            self._apply_label(database, hashed)
        return bool(changed)

    def _apply_label(self, database: sqlite3.Connection, hashed: bytes) -> None:
        now = self._label_of(database, hashed)
        database.execute("UPDATE windows SET class = ?, rank = ? WHERE key = ?", (*now, hashed))

    @staticmethod
    def _label_of(database: sqlite3.Connection, key: bytes) -> tuple[int, int]:
        """Class and rank of the windows of a key, by the labels so far."""
        row = database.execute(
            "SELECT anomalous, rank FROM labels WHERE key = ? ORDER BY rank LIMIT 1", (key,)
        ).fetchone()
        return (_UNLABELLED, len(RANKS)) if row is None else (row[0], row[1])

    @staticmethod
    def _count(database: sqlite3.Connection) -> int:
        (count,) = database.execute("SELECT count(*) FROM windows").fetchone()
        return int(count)

    def _drop_templates(self, database: sqlite3.Connection) -> None:
        """Drop the templates that are in no window, if there are too many."""
        (count,) = database.execute("SELECT count(*) FROM templates").fetchone()
        if count <= self._settings.max_templates:
            return
        used: set[bytes] = set()
        for name, content in database.execute("SELECT id, content FROM windows"):
            ids = np.unique(np.frombuffer(self._cipher.decrypt(content, name), "<i8"))
            used.update(map(self._template_name, ids.tolist()))
        for (name,) in database.execute("SELECT id FROM templates").fetchall():
            if name not in used:
                database.execute("DELETE FROM templates WHERE id = ?", (name,))
