"""Keeps the output of Flower's programs within bounds."""

import contextlib
import logging
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LogBounds:
    """How much output of a program is kept; services and containers keep more in their own log.

    Attributes:
        max_bytes: Size at which a log is rotated.
        files: Rotated logs that are kept: `NAME.log.1`, the newest, and so on.
        days: Days after which a rotated log is deleted.
    """

    max_bytes: int = 10_000_000
    files: int = 3
    days: float = 30.0


DEFAULT_BOUNDS = LogBounds()


def bound_log(path: Path, bounds: LogBounds) -> None:
    """Rotate a log that is too large and delete old ones; a failure is logged, because nothing depends on it."""
    try:
        if path.exists() and path.stat().st_size > bounds.max_bytes:
            _rotate(path, bounds.files)
        for old in path.parent.glob(f"{path.name}.*"):
            if time.time() - old.stat().st_mtime > bounds.days * 86_400:
                old.unlink()
    except OSError as error:
        log.warning("the log %s cannot be kept within its bounds: %s", path, error)


def _rotate(path: Path, files: int) -> None:
    """Copy and truncate the log: the program has it open and continues at its end."""
    for number in range(files - 1, 0, -1):
        with contextlib.suppress(FileNotFoundError):
            _numbered(path, number).replace(_numbered(path, number + 1))
    try:
        shutil.copyfile(path, _numbered(path, 1))
    except OSError as error:
        _numbered(path, 1).unlink(missing_ok=True)
        log.warning("the output in %s is dropped, because there is no space for a copy: %s", path, error)
    os.truncate(path, 0)


def _numbered(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.{number}")
