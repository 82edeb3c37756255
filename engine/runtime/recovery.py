"""Recovery folder: created when new, held by one process, refused when it belongs to other settings.

State made under one set of settings means nothing under another (positions of another topic, windows
cut differently), so the settings it depends on are kept next to it as `settings.json`. Two processes
on one folder would destroy it, so the one that opens it holds the lock `lock` until it ends.
"""

import errno
import fcntl
import json
import os
import sqlite3
import tempfile
import time
from contextlib import closing
from datetime import timedelta
from pathlib import Path

from bytewax.recovery import RecoveryConfig, init_db_dir

from engine.settings import RegionSettings
from foundation import durable
from foundation.errors import DriftlineError
from foundation.sqlite import connect


class RecoveryError(DriftlineError):
    """The recovery folder cannot be used; the message gives the reason and the remedy."""


class RecoveryFullError(RecoveryError):
    """There is no room for the recovery folder now; the engine may be started again once there is."""


_FULL = (errno.ENOSPC, errno.EDQUOT)

_NO_ROOM = ("code: DiskFull", "extended_code: 4874")
"""SQLite's SQLITE_FULL, and SQLITE_IOERR_SHMSIZE where not even its shared memory finds room."""

_SQLITE_FULL = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE)

BUSY_S = 5.0
"""Time to wait for a database of the folder; no other program should have it open."""

LOCK_WAIT_S = 12.0
"""A predecessor that is stopping may need this long to finish; see `RegionSettings.drain_s`."""

_held: list[int] = []  # locks of this process; the system frees them when it ends


def release() -> None:
    """Gives up this process's folders before it ends; only where no flow uses them any more."""
    while _held:
        os.close(_held.pop())


def prepare(
    settings: RegionSettings, worker: int, of: int, partitions: int = 1, lock_wait_s: float = LOCK_WAIT_S
) -> RecoveryConfig:
    """The recovery of one worker process; makes its folder on first use.

    Each worker of a region has a folder of its own, so that a crash or a full disk touches one.

    Args:
        settings: The region's settings.
        worker: Number of the worker, from 0.
        of: Number of workers.
        partitions: SQLite files that the state is spread over; with a Bytewax cluster one for each
            process is enough.
        lock_wait_s: How long a folder that is in use is waited for.

    Raises:
        RecoveryFullError: the disk is full.
        RecoveryError: the folder cannot be written, is in use, or was made under other settings.
    """
    folder = folder_of(settings, worker, of)
    fingerprint = json.dumps({"settings": json.loads(settings.fingerprint()), "of": of}, indent=1, sort_keys=True)
    stamp = folder / "settings.json"
    try:
        _refuse_other_division(settings.recovery.path, of)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        _lock(folder / "lock", lock_wait_s)
        if stamp.exists():
            _compare(stamp, fingerprint)
        else:
            if not any(folder.glob("*.sqlite3")):
                _create(folder, partitions)
            durable.write(stamp, fingerprint.encode())
        forget_unfinished(folder)
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(b"x" * 4096)
            probe.flush()
            os.fsync(probe.fileno())
    except OSError as error:
        kind = RecoveryFullError if error.errno in _FULL else RecoveryError
        raise kind(f"recovery.path: {folder} cannot be written: {error.strerror or error}") from error
    return RecoveryConfig(folder, backup_interval=timedelta(0))  # type: ignore[no-untyped-call]


def folder_of(settings: RegionSettings, worker: int, of: int) -> Path:
    """The folder of one worker."""
    return settings.recovery.path / f"worker-{worker}-of-{of}"


def _create(folder: Path, partitions: int) -> None:
    """Makes Bytewax's databases, all of them or none."""
    try:
        init_db_dir(folder, partitions)  # type: ignore[no-untyped-call]
    except BaseException as error:  # errors of SQLite arrive as a panic, which is not an Exception
        for half_made in folder.glob("*.sqlite3*"):
            half_made.unlink()
        if no_room(error):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
        raise


def forget_unfinished(folder: Path) -> None:
    """Deletes what a killed engine saved of epochs that it did not finish; only while no flow uses the folder.

    Bytewax (0.21.1) leaves it there. The next run makes those epochs again, and overwrites only the states that it
    touches in them; if it is killed before it touches a step again, the run after that takes the leftover for the
    step's state next to a source position from before it: lines are read twice, as if late.

    Raises:
        RecoveryFullError: the disk is full.
        RecoveryError: the databases cannot be used, or not all of them are in the folder.
    """
    paths = sorted(folder.glob("part-*.sqlite3"))
    try:
        resume = _resume_epoch(folder, paths)
        for path in paths if resume is not None else []:
            with closing(connect(path, BUSY_S, "FULL")) as database:
                database.execute("DELETE FROM snaps WHERE snap_epoch >= ?", (resume,))
    except sqlite3.Error as error:
        kind = RecoveryFullError if getattr(error, "sqlite_errorcode", 0) in _SQLITE_FULL else RecoveryError
        raise kind(f"recovery.path: the databases in {folder} cannot be used: {error}") from error


def _resume_epoch(folder: Path, paths: list[Path]) -> int | None:
    """The epoch that the next run begins with: the least that any worker of the last run had reached.

    None where nothing ever ran. A worker that had not reported progress yet resumes where that run began.
    """
    runs: dict[int, tuple[int, int]] = {}
    reached: dict[tuple[int, int], int] = {}
    for path in paths:
        with closing(connect(path, BUSY_S, "FULL")) as database:
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


def no_room(error: BaseException) -> bool:
    """Whether Bytewax failed because a snapshot found no room; only its message shows it."""
    return any(words in str(error) for words in _NO_ROOM)


def _lock(path: Path, wait_s: float) -> None:
    """Takes the folder for this process, waiting for one that is just ending."""
    file = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
    deadline_s = time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() >= deadline_s:
                os.close(file)
                raise RecoveryError(
                    f"recovery.path: {path.parent} is in use by another engine; stop it, or give another recovery.path"
                ) from error
            time.sleep(0.1)
        else:
            _held.append(file)
            return


def _refuse_other_division(path: Path, of: int) -> None:
    """A different number of workers would read partitions whose positions are in folders that are not opened."""
    others = sorted(p.name for p in path.glob("worker-*-of-*") if not p.name.endswith(f"-of-{of}"))
    if others:
        raise RecoveryError(
            f"recovery.path: {path} holds the state of another number of workers ({others[0]}); start with that "
            "number, or set another recovery.path to start without state"
        )


def _compare(stamp: Path, fingerprint: str) -> None:
    now = json.loads(fingerprint)
    try:
        before = json.loads(stamp.read_text("utf-8"))["settings"]
        changed = [key for key in now["settings"] if before.get(key) != now["settings"][key]]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RecoveryError(
            f"recovery.path: {stamp} is damaged, so the settings of the state are unknown; "
            "set another recovery.path to start without state"
        ) from error
    if changed:
        raise RecoveryError(
            f"recovery.path: {stamp.parent} was made under other settings ({', '.join(changed)} changed); "
            "restore them, or set another recovery.path to start without state"
        )
