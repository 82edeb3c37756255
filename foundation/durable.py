"""Files that appear complete or not at all, and stay after a power cut."""

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

PARTIAL = ".writing-"
"""Prefix of names that are not complete yet; a killed writer leaves one behind."""


def partial_path(folder: Path) -> Path:
    """A new name in `folder` under which something can be written before it is renamed."""
    # Not from `tempfile`, whose files only their owner may read: the reader may be another user.
    return folder / f"{PARTIAL}{secrets.token_hex(8)}"


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a file that takes the place of `path` when the block ends, and is removed if the block fails.

    Readers see the old content or the new one. The new content is on the disk when the block has ended.

    1. Write under another name in the same folder, and fsync.
    2. Rename over `path`.
    3. Fsync the folder, so that the rename outlives a power cut.

    Raises:
        OSError: the file cannot be written; `path` is unchanged unless only step 3 failed.
    """
    partial = partial_path(path.parent)
    try:
        with partial.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())  # 1
        partial.replace(path)  # 2
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)  # 3


def write(path: Path, content: bytes) -> None:
    """Replace a file's content; see `replacing`."""
    with replacing(path) as file:
        file.write(content)


def sync_folder(folder: Path) -> None:
    """Sync the names in a folder to the disk: new, renamed and removed ones."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some network file systems cannot sync a folder, and say so like this
            raise
    finally:
        os.close(descriptor)
