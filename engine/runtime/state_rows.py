"""The databases of a recovery folder: Bytewax's (0.21.1), read and written while no flow uses them.

Bytewax pickles what a step gives it, and its pickled data could name any function to call. Steps give it bytes only
(see `foundation.plain_pickle`), so data that names anything at all was not written by this program.
"""

import pickle
import shutil
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from engine.windows import table_log
from foundation import plain_pickle
from foundation.errors import DriftlineError
from foundation.sqlite import connect


class RecoveryError(DriftlineError):
    """The recovery folder cannot be used; the message gives the reason and the remedy."""


class RecoveryFullError(RecoveryError):
    """There is no room for the recovery folder now; the engine may be started again once there is."""


_SQLITE_FULL = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE)

BUSY_S = 5.0
"""Time to wait for a database of the folder; no other program should have it open."""

StateKey = tuple[str, str]
"""Bytewax's name of a step (`driftline.parse`), and the partition or shard whose state it is."""

_LATEST = """SELECT step_id, state_key, ser_change FROM snaps AS snap WHERE snap_epoch =
    (SELECT MAX(snap_epoch) FROM snaps WHERE step_id = snap.step_id AND state_key = snap.state_key)"""


def forget_unfinished(folder: Path) -> None:
    """Deletes what a killed engine saved of epochs that it did not finish; only while no flow uses the folder.

    Bytewax (0.21.1) leaves it there. The next run makes those epochs again, and overwrites only the states that it
    touches in them; if it is killed before it touches a step again, the run after that takes the leftover for the
    step's state next to a source position from before it: lines are read twice, as if late.

    Raises:
        RecoveryFullError: the disk is full.
        RecoveryError: the databases cannot be used, or not all of them are in the folder.
    """
    paths = _paths(folder)
    with _usable(folder):
        resume = _resume_epoch(folder, paths)
        for database in _databases(paths) if resume is not None else ():
            database.execute("DELETE FROM snaps WHERE snap_epoch >= ?", (resume,))


def _resume_epoch(folder: Path, paths: list[Path]) -> int | None:
    """The epoch that the next run begins with: the least that any worker of the last run had reached.

    None where nothing ever ran. A worker that had not reported progress yet resumes where that run began.
    """
    runs: dict[int, tuple[int, int]] = {}
    reached: dict[tuple[int, int], int] = {}
    for database in _databases(paths):
        for (count,) in database.execute("SELECT part_count FROM parts"):
            if count != len(paths):
                raise RecoveryError(f"recovery.path: {folder} holds {len(paths)} of {count} databases")
        for run, workers, began in database.execute("SELECT ex_num, worker_count, resume_epoch FROM exs"):
            runs[run] = workers, began
        for run, worker, epoch in database.execute("SELECT ex_num, worker_index, worker_frontier FROM fronts"):
            reached[run, worker] = max(epoch, reached.get((run, worker), epoch))
    if not runs:
        return None
    last = max(runs)
    workers, began = runs[last]
    return min(reached.get((last, worker), began) for worker in range(workers))


def refuse_code(folder: Path) -> None:
    """Check that no saved state runs code when Bytewax reads it.

    Raises:
        RecoveryError: a state is something other than bytes, or the databases cannot be used.
    """
    with _usable(folder):
        for database in _databases(_paths(folder)):
            for step, key, saved in database.execute("SELECT step_id, state_key, ser_change FROM snaps"):
                _bytes_of(folder, step, key, saved)


def delete_unused(folder: Path) -> None:
    """Deletes the files of open windows that no saved state refers to; only while no flow uses the folder.

    A partition that ended leaves them, and so does an engine that was killed before its first snapshot was saved.

    Raises:
        RecoveryError: the databases cannot be used.
    """
    unused = {path.name: path for path in folder.glob(table_log.FOLDERS)}
    with _usable(folder):
        for database in _databases(_paths(folder)) if unused else ():
            for name in tuple(unused):
                found = database.execute("SELECT 1 FROM snaps WHERE instr(ser_change, ?) LIMIT 1", (name.encode(),))
                if found.fetchone():
                    del unused[name]
    for path in unused.values():
        shutil.rmtree(path)


def read(folder: Path) -> dict[StateKey, Any]:
    """The latest states of a folder, decoded.

    Raises:
        RecoveryError: see `refuse_code`.
    """
    states: dict[StateKey, Any] = {}
    forget_unfinished(folder)
    with _usable(folder):
        for database in _databases(_paths(folder)):
            for step, key, saved in database.execute(_LATEST):
                data = _bytes_of(folder, step, key, saved)
                if data is not None:
                    states[step, key] = plain_pickle.load(data)
    return states


def write(folder: Path, states: Mapping[StateKey, Any]) -> None:
    """Save states in the new, empty database of a folder, as if a run had ended with them.

    Raises:
        RecoveryError: the database cannot be used.
    """
    rows = [(step, key, pickle.dumps(plain_pickle.dump(state))) for (step, key), state in states.items()]
    with _usable(folder), closing(connect(_paths(folder)[0], BUSY_S, "FULL")) as database, database:
        database.execute("INSERT INTO exs (ex_num, worker_count, resume_epoch) VALUES (0, 1, 1)")
        database.execute("INSERT INTO fronts (ex_num, worker_index, worker_frontier) VALUES (0, 0, 2)")
        database.execute("INSERT INTO commits (part_index, commit_epoch) VALUES (0, 1)")
        database.executemany("INSERT INTO snaps (step_id, state_key, snap_epoch, ser_change) VALUES (?, ?, 1, ?)", rows)


def _bytes_of(folder: Path, step: str, key: str, saved: bytes | None) -> bytes | None:
    """The bytes that a step saved; None where it has ended."""
    if saved is None:
        return None
    try:
        data = plain_pickle.load_builtins(saved)
    except plain_pickle.PlainPickleError as error:
        raise RecoveryError(f"{_state_of(folder, step, key)} cannot be trusted: {error}; {_REMEDY}") from error
    if not isinstance(data, bytes):
        raise RecoveryError(f"{_state_of(folder, step, key)} was saved by an earlier version of Driftline; {_REMEDY}")
    return data


_REMEDY = "restore the folder from a copy, or start without state after `driftline state reset`"


def _state_of(folder: Path, step: str, key: str) -> str:
    return f"recovery.path: in {folder}, the state of {step} for {key!r}"


def _paths(folder: Path) -> list[Path]:
    return sorted(folder.glob("part-*.sqlite3"))


def _databases(paths: Sequence[Path]) -> Iterator[sqlite3.Connection]:
    """Opens one after the other; each is closed when the next one is asked for."""
    for path in paths:
        with closing(connect(path, BUSY_S, "FULL")) as database:
            yield database


@contextmanager
def _usable(folder: Path) -> Iterator[None]:
    """Turns errors of SQLite into one sentence."""
    try:
        yield
    except sqlite3.Error as error:
        kind = RecoveryFullError if getattr(error, "sqlite_errorcode", 0) in _SQLITE_FULL else RecoveryError
        raise kind(f"recovery.path: the databases in {folder} cannot be used: {error}") from error
