"""The file of a training store: its tables, its transactions, and the check of its key."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from federation.errors import StorageError
from federation.storage import line_classes
from federation.storage.encryption import AesCipher, StoreCipher
from foundation.sqlite import connect, immediate

BUSY_S = 30.0
"""Time to wait for the write of another process; the longest one takes a fraction of a second."""

_KEY_CHECK = b"driftline"

_SCHEMA = """
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS windows (
    id BLOB PRIMARY KEY, key BLOB NOT NULL, bucket INTEGER NOT NULL, priority INTEGER NOT NULL,
    time_ns INTEGER NOT NULL, slot INTEGER NOT NULL, closed INTEGER NOT NULL, score REAL NOT NULL,
    class INTEGER NOT NULL, rank INTEGER NOT NULL, content BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS windows_cell ON windows (class, slot, priority);
CREATE INDEX IF NOT EXISTS windows_key ON windows (key);
CREATE INDEX IF NOT EXISTS windows_time ON windows (time_ns);
CREATE TABLE IF NOT EXISTS templates (id BLOB PRIMARY KEY, content BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS labels (
    key BLOB NOT NULL, rank INTEGER NOT NULL, anomalous INTEGER NOT NULL, time_ns INTEGER NOT NULL,
    received_ns INTEGER NOT NULL, PRIMARY KEY (key, rank)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS labels_received ON labels (received_ns);
CREATE TABLE IF NOT EXISTS spending (
    number INTEGER PRIMARY KEY, round_id TEXT NOT NULL, noise_multiplier REAL NOT NULL,
    sample_rate REAL NOT NULL, steps INTEGER NOT NULL, time_ns INTEGER NOT NULL);
"""


class TrainingFile:
    """One connection; every failure of SQLite becomes a StorageError that names the file."""

    def __init__(self, path: Path, cipher: StoreCipher) -> None:
        """Open or create the file.

        Raises:
            StorageError: it cannot be opened, or not with this key.
        """
        self._path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(mode=0o600)
            self._database = connect(path, BUSY_S, "NORMAL", _SCHEMA + line_classes.SCHEMA)
        except (OSError, sqlite3.Error) as error:
            raise StorageError(f"training store {path} cannot be opened: {error}") from error
        try:
            with self.connection() as database:
                self._check_key(database, cipher)
        except StorageError:
            self.close()
            raise

    @contextmanager
    def connection(self) -> Iterator[sqlite3.Connection]:
        """The connection, for single statements."""
        try:
            yield self._database
        except (sqlite3.Error, StorageError) as error:
            raise StorageError(f"training store {self._path}: {error}") from error

    @contextmanager
    def snapshot(self) -> Iterator[sqlite3.Connection]:
        """A read transaction: its statements all see the same state of the file."""
        with self.connection() as database:
            database.execute("BEGIN")
            try:
                yield database
            finally:
                database.execute("ROLLBACK")

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """A write transaction; see `immediate`."""
        with self.connection() as database, immediate(database):
            yield database

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        self._database.close()

    @staticmethod
    def _check_key(database: sqlite3.Connection, cipher: StoreCipher) -> None:
        """Check that the key is the one that the store was created with; a new store records it."""
        own = cipher.encrypt(_KEY_CHECK, b"witness")
        database.execute("INSERT OR IGNORE INTO facts VALUES ('witness', ?)", (own,))
        (stored,) = database.execute("SELECT value FROM facts WHERE name = 'witness'").fetchone()
        if stored == _KEY_CHECK and isinstance(cipher, AesCipher):
            raise StorageError("it is not encrypted, but a key is set; remove the key, or move the file away")
        if stored != _KEY_CHECK and not isinstance(cipher, AesCipher):
            raise StorageError("it is encrypted; set the key that it was created with")
        try:
            cipher.decrypt(stored, b"witness")
        except StorageError as error:
            raise StorageError("it was created with another key; set that one, or move the file away") from error
