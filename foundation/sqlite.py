"""SQLite files that several processes read and write: how they are opened, and how a transaction begins."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

LOOK_S = 0.01
"""Between two attempts to switch a file to WAL mode that another process is creating."""

Synchronous = Literal["FULL", "NORMAL"]
"""Whether a committed transaction survives a power cut; with NORMAL the newest ones may be lost, but none is torn."""


def connect(path: Path, wait_s: float, synchronous: Synchronous, schema: str = "") -> sqlite3.Connection:
    """Open a file, or create it with its folder; see `prepare`.

    Args:
        path: The file.
        wait_s: How long every statement waits for another process's write, in seconds.
        synchronous: See the type.
        schema: Statements to execute at once, which change nothing where they were executed before.

    Raises:
        OSError: the folder cannot be created.
        sqlite3.Error: the file was locked for `wait_s` seconds, cannot be written, or is not a database.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    database = sqlite3.connect(path, timeout=wait_s)
    try:
        prepare(database, wait_s, synchronous)
        database.executescript(schema)
    except BaseException:
        database.close()
        raise
    return database


def prepare(database: sqlite3.Connection, wait_s: float, synchronous: Synchronous) -> None:
    """Set a connection to WAL and autocommit mode.

    In WAL mode readers do not wait for a writer, nor the writer for readers. In autocommit mode a transaction is
    what `immediate` or an explicit BEGIN opens: those of the driver begin at the first write, too late to wait for
    the writer's lock.

    Where several processes create the file at the same moment SQLite refuses the switch at once, regardless of
    the connection's time-out. It is attempted again for `wait_s` seconds.

    Raises:
        sqlite3.OperationalError: the file was locked for `wait_s` seconds, or cannot be used.
    """
    database.isolation_level = None
    end_s = time.monotonic() + wait_s
    while True:
        try:
            database.execute("PRAGMA journal_mode = WAL")
            break
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > end_s:
                raise
        time.sleep(LOOK_S)
    database.execute(f"PRAGMA synchronous = {synchronous}")


@contextmanager
def immediate(database: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """Run a transaction: all or nothing.

    It holds the writer's lock from its start, so that it cannot fail half-way because another process writes.
    """
    database.execute("BEGIN IMMEDIATE")
    try:
        yield database
        database.execute("COMMIT")
    finally:
        if database.in_transaction:
            database.execute("ROLLBACK")
