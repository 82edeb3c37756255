"""Recovery folder: created when new, held by one process, refused when it belongs to other settings.

State made under one set of settings means nothing under another (positions of another topic, windows
cut differently), so the settings it depends on are kept next to it as `settings.json`. Two processes
on one folder would destroy it, so the one that opens it holds the lock `lock` until it ends.
"""

import errno
import fcntl
import json
import os
import tempfile
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

from bytewax.recovery import RecoveryConfig, init_db_dir

from engine.runtime.state_rows import RecoveryError, RecoveryFullError, delete_unused, forget_unfinished, refuse_code
from engine.settings import RegionSettings
from foundation import durable

_FULL = (errno.ENOSPC, errno.EDQUOT)

_NO_ROOM = ("code: DiskFull", "extended_code: 4874")
"""SQLite's SQLITE_FULL, and SQLITE_IOERR_SHMSIZE where not even its shared memory finds room."""

STAMP = "settings.json"
"""File in a worker's folder with the settings that its state depends on."""

MOVING = "moving"
"""Folder of a move that is not complete; see `engine.runtime.rescale`."""

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
    try:
        _refuse_other_division(settings.recovery.path, of)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock(folder, lock_wait_s)
        if (folder / STAMP).exists():
            _compare(folder, settings)
        else:
            create(folder, settings, of, partitions)
        forget_unfinished(folder)
        refuse_code(folder)
        delete_unused(folder)
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


def create(folder: Path, settings: RegionSettings, of: int, partitions: int = 1) -> None:
    """Make the databases of a worker's folder where there are none, all of them or none, and note the settings."""
    if not any(folder.glob("*.sqlite3")):
        _create_databases(folder, partitions)
    stamp = json.dumps({"settings": json.loads(settings.fingerprint()), "of": of}, indent=1, sort_keys=True)
    durable.write(folder / STAMP, stamp.encode())


def settings_of(folder: Path) -> dict[str, Any]:
    """The settings that the state of a worker was made under, as `RegionSettings.fingerprint` has them.

    Raises:
        RecoveryError: they are damaged.
    """
    stamp = folder / STAMP
    try:
        found: dict[str, Any] = json.loads(stamp.read_text("utf-8"))["settings"]
        found.items()  # a JSON value of another kind has none
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RecoveryError(
            f"recovery.path: {stamp} is damaged, so the settings of the state are unknown; "
            "start without state after `driftline state reset`"
        ) from error
    return found


def _create_databases(folder: Path, partitions: int) -> None:
    try:
        init_db_dir(folder, partitions)  # type: ignore[no-untyped-call]
    except BaseException as error:  # errors of SQLite arrive as a panic, which is not an Exception
        for half_made in folder.glob("*.sqlite3*"):
            half_made.unlink()
        if no_room(error):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
        raise


def no_room(error: BaseException) -> bool:
    """Whether Bytewax failed because a snapshot found no room; only its message shows it."""
    return any(words in str(error) for words in _NO_ROOM)


def lock(folder: Path, wait_s: float) -> None:
    """Take a worker's folder for this process, waiting for one that is just ending.

    Raises:
        RecoveryError: another process has it.
    """
    file = os.open(folder / "lock", os.O_CREAT | os.O_RDWR, 0o600)
    deadline_s = time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() >= deadline_s:
                os.close(file)
                raise RecoveryError(
                    f"recovery.path: {folder} is in use by another engine; stop it, or give another recovery.path"
                ) from error
            time.sleep(0.1)
        else:
            _held.append(file)
            return


def _refuse_other_division(path: Path, of: int) -> None:
    """A different number of workers would read partitions whose positions are in folders that are not opened."""
    if (path / MOVING).exists():
        raise RecoveryError(
            f"recovery.path: a `driftline state` command was interrupted in {path}; repeat it, and it is completed"
        )
    others = sorted(p.name for p in path.glob("worker-*-of-*") if not p.name.endswith(f"-of-{of}"))
    if others:
        raise RecoveryError(
            f"recovery.path: {path} holds the state of another number of workers ({others[0]}); start with that "
            f"number, or move the state with `driftline state rescale --workers {of}`"
        )


def _compare(folder: Path, settings: RegionSettings) -> None:
    before, now = settings_of(folder), json.loads(settings.fingerprint())
    changed = [key for key in now if before.get(key) != now[key]]
    if changed:
        raise RecoveryError(
            f"recovery.path: {folder} was made under other settings ({', '.join(changed)} changed); restore them, or "
            "move the state with `driftline state rescale`"
        )
