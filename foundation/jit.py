"""Compiles loops to machine code, once for each machine and version, and keeps the result on disk.

The package's own folder may be read-only, and Numba checks one source file only to decide whether a
stored result is still valid. So results lie in a folder of their own: in `DRIFTLINE_CACHE_DIR`, the
user's cache folder, or the folder for temporary files, whichever can be written first, under a name
that depends on all sources of a group of loops and on the versions of Python and Numba.
"""

import fcntl
import hashlib
import logging
import os
import stat
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import llvmlite.binding  # type: ignore[import-untyped]
import numba

log = logging.getLogger(__name__)

_njit: Any = numba.njit  # Its declared types leave out some of its options.
_OPTIONS: dict[str, Any] = {"nogil": True, "_nrt": False, "error_model": "numpy", "no_rewrites": True}
"""Loops allocate nothing: without counts of references, and without wrappers for Python where none is
needed, they compile in less than half the time."""


def loop(function: Callable[..., Any]) -> Any:
    """Compiles a function that other compiled functions call; it is stored with them.

    Python cannot call it: `stored(function.py_func, ...)` can be called instead.
    """
    return _njit(no_cpython_wrapper=True, no_cfunc_wrapper=True, **_OPTIONS)(function)


def stored(function: Callable[..., Any], folder: Path) -> Any:
    """Compiles a function that Python calls, and stores it in `folder` with all that it calls."""
    config: Any = numba.config
    before, config.CACHE_DIR = config.CACHE_DIR, str(folder)
    try:
        return _njit(no_cfunc_wrapper=True, cache=True, **_OPTIONS)(function)
    finally:
        config.CACHE_DIR = before


def folder_for(sources: Iterable[Path]) -> Path:
    """Where the code compiled from `sources` lies; the folder exists and can be written.

    Raises:
        OSError: no folder can be written.
    """
    processor = llvmlite.binding.get_host_cpu_name()  # a home folder may be shared by machines
    digest = hashlib.blake2b(f"{sys.version} {numba.__version__} {processor}".encode(), digest_size=8)
    for source in (Path(__file__), *sources):
        digest.update(f"{source} {source.stat().st_mtime_ns}".encode())  # Numba asks for the same path and time
        digest.update(source.read_bytes())
    places, shared = _places(), Path(tempfile.gettempdir()) / f"driftline-{os.getuid()}"
    for place in (*places, shared):
        folder = place / "compiled" / digest.hexdigest()
        try:
            place.mkdir(mode=0o700, parents=True, exist_ok=True)
            if place == shared and not _only_mine(place):
                continue
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{os.getpid()}.try").touch()
            (folder / f"{os.getpid()}.try").unlink()
        except OSError:
            continue
        return folder
    raise OSError(f"no folder for compiled code can be written: tried {', '.join(map(str, (*places, shared)))}")


def _places() -> list[Path]:
    """The folders that the environment names."""
    places = [Path(given)] if (given := os.environ.get("DRIFTLINE_CACHE_DIR")) else []
    if cache := os.environ.get("XDG_CACHE_HOME"):
        return [*places, Path(cache) / "driftline"]
    with suppress(RuntimeError):  # a user without an entry and without HOME, as in some containers
        places.append(Path.home() / ".cache" / "driftline")
    return places


def _only_mine(folder: Path) -> bool:
    """Whether no other user can write to a folder: stored code is run when it is loaded."""
    found = folder.lstat()
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o022


@contextmanager
def compiling(what: str, folder: Path, time_words: str) -> Iterator[bool]:
    """Reports what is compiled within the block, unless this machine did it before; yields whether it has to be."""
    done = folder / f"{what}.done"
    with (folder / f"{what}.lock").open("w") as lock:
        if not done.exists():
            fcntl.flock(lock, fcntl.LOCK_EX)  # of several processes one compiles, and the others wait for it
        if done.exists():
            yield False
            return
        yield from _reported(what, done, time_words)


def _reported(what: str, done: Path, time_words: str) -> Iterator[bool]:
    log.warning("compiling the %s for this machine; this happens once and takes about %s", what, time_words)
    started_s = time.monotonic()
    yield True
    done.touch()
    log.warning("compiled the %s in %.0f s; the result is kept in %s", what, time.monotonic() - started_s, done.parent)
