"""How the federation's SQLite files are opened and written."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager

LOOK_S = 0.01


def write_ahead(database: sqlite3.Connection, wait_s: float) -> None:
    """Lets readers and a writer go on side by side; a new file is made for that.

    Where several processes make the file at the same moment SQLite refuses this at once, whatever the connection's
    time-out: here the others are waited for.

    Raises:
        sqlite3.OperationalError: the file was locked for `wait_s` seconds, or cannot be used.
    """
    end_s = time.monotonic() + wait_s
    while True:
        try:
            database.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > end_s:
                raise
        time.sleep(LOOK_S)


@contextmanager
def immediate(database: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """All or nothing; holds the writer's lock from its start, so that it cannot fail for a reader half-way."""
    database.execute("BEGIN IMMEDIATE")
    try:
        yield database
        database.execute("COMMIT")
    finally:
        if database.in_transaction:
            database.execute("ROLLBACK")
