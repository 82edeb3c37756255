"""Many open windows, saved as a log of parts: each snapshot writes what changed, and a share of the rest.

All of a million windows at once take more than a second to write. A part is a file with what changed since the part
before it: new lines of windows that grew, and all of those that are new. It also holds all of the next slots of a
sweep over the table, which takes about as much space, and at least a `MOST_PARTS`-th of all. Once the sweep has
passed every slot, the parts before it hold nothing that no later one holds. So parts are written and deleted, never
merged, and together they take about twice the space of the windows.

Nothing is lost to a crash:

1. A part is on the disk before `save` returns what refers to it.
2. Bytewax saves that with the positions of the sources, and finishes the epoch.
3. Sources read into the next epoch only after that. At the end of the stream two states may follow the one that is
   saved. So the parts of the latest `STATES` states stay, and `save` deletes the others.
4. `load` deletes what a killed process wrote after its last finished epoch.

A table with few windows is saved whole, without files.
"""

import errno
import mmap
import re
import secrets
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.windows import table_parts
from engine.windows.session_table import COUNT, GREW, REPLACED, UNCHANGED, SessionTable
from engine.windows.state_codec import pack, unpack
from engine.windows.window_base import NoRoomForWindowsError, WindowStateError
from foundation import durable

SMALL = 10_000
"""Windows up to which a snapshot is one piece: 2 MiB and 15 ms."""

MOST_PARTS = 32
"""Parts that hold the table if nothing changes any more."""

STATES = 3
"""States whose parts stay: the new one, and the two before it."""

_GROWN_SHARE = 3
"""About how many windows that grew by a line take the space of a whole one."""

FOLDERS = "windows-*"
"""Names of the folders with parts, one for each log."""

_NAME = re.compile("windows-[0-9a-f]{16}")


def folder_of(state: bytes) -> str | None:
    """Name of the folder with the parts that a windower's snapshot refers to; None where it is whole.

    Raises:
        WindowStateError: the bytes are not a snapshot.
    """
    saved = unpack(state)[0]["log"]
    return None if saved is None else _name_of(saved)


def _name_of(saved: dict[str, Any]) -> str:
    """Name of the folder of a reference; files of a folder elsewhere would be taken for parts and deleted."""
    name = str(saved["folder"])
    if not _NAME.fullmatch(name):
        raise WindowStateError(f"window state refers to the folder {name!r}, which holds no parts of windows")
    return name


class TableLog:
    """What one table was saved as."""

    def __init__(self, folder: Path | None) -> None:
        """Keeps parts in a new folder within `folder`; None: every snapshot is one piece."""
        self._within = folder
        self._folder: Path | None = None
        self._parts: deque[tuple[int, int]] = deque()  # number, and slots that the sweep passed
        self._sweep_at = self._size = self._number = 0
        self._held: NDArray[np.int32] = np.zeros(0, np.int32)
        """Lines of each slot's window in the parts."""
        self._files: set[Path] = set()
        self._needed: deque[set[Path]] = deque(maxlen=STATES)
        """Those of the files that the latest states refer to."""
        self.written_bytes = 0

    def save(self, table: SessionTable) -> tuple[dict[str, Any] | None, dict[str, NDArray[Any]]]:
        """Save the table, which from then on counts as unchanged.

        Returns:
            What `load` needs: the reference to the parts, JSON-compatible, or None and the table as arrays.

        Raises:
            NoRoomForWindowsError: the disk is full.
            OSError: the part cannot be written.
        """
        self.written_bytes = 0
        whole: dict[str, NDArray[Any]] = {}
        if self._within is None or len(table) <= SMALL:
            self._parts.clear()
            whole = table_parts.dump(table, table.used())
        elif not self._parts or table.change.any():
            self._write(table)
        table.change[:] = UNCHANGED
        self._delete_unneeded()
        return self._reference(), whole

    def _reference(self) -> dict[str, Any] | None:
        if self._folder is None or not self._parts:
            return None
        return {"folder": self._folder.name, "size": self._size, "sweep_at": self._sweep_at, "parts": list(self._parts)}

    def _write(self, table: SessionTable) -> None:
        """Writes the next part, and leaves out the parts that it makes superfluous."""
        size = self._size = len(table.rows)
        self._held.resize(size, refcheck=False)
        whole, grown = table.change == REPLACED, table.change == GREW
        swept = int(np.count_nonzero(whole)) + int(np.count_nonzero(grown)) // _GROWN_SHARE
        swept = min(max(swept, -(-size // MOST_PARTS)), size) if self._parts else size
        whole[(self._sweep_at + np.arange(swept)) % size] = True
        slots, more = whole.nonzero()[0], (grown & ~whole).nonzero()[0]
        content = pack({}, table_parts.dump_part(table, slots, more, self._held[more]))
        self._store(self._number, content)
        for written in (slots, more):
            self._held[written] = table.rows[written, COUNT]
        self.written_bytes = len(content)
        self._parts.append((self._number, swept))
        self._number += 1
        self._sweep_at = (self._sweep_at + swept) % size
        while sum(slots for _, slots in self._parts) - self._parts[0][1] >= size:
            self._parts.popleft()

    def _store(self, number: int, content: bytes) -> None:
        try:
            durable.write(self._path(number), content)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise NoRoomForWindowsError(f"{self._within}: {error.strerror}") from error

    def _path(self, number: int) -> Path:
        if self._folder is None:
            if self._within is None:
                raise WindowStateError("the saved windows are in a recovery folder, but the engine runs without one")
            self._folder = self._within / FOLDERS.replace("*", secrets.token_hex(8))
            self._folder.mkdir(mode=0o700)
            durable.sync_folder(self._within)
        return self._folder / f"{number:09}.part"

    def _delete_unneeded(self) -> None:
        self._needed.append({self._path(number) for number, _ in self._parts})
        self._files |= self._needed[-1]
        for path in self._files.difference(*self._needed):
            path.unlink(missing_ok=True)
            self._files.remove(path)

    def load(
        self, table: SessionTable, saved: dict[str, Any] | None, whole: dict[str, NDArray[Any]], *, deadlines: bool
    ) -> None:
        """Fill an empty table with what `save` returned.

        Raises:
            WindowStateError: a part is missing or damaged.
        """
        if saved is None:
            table_parts.load(table, whole)
        else:
            self._load_parts(table, saved)
        table.change[:] = UNCHANGED
        if deadlines:
            table.remind(table.used())

    def _load_parts(self, table: SessionTable, saved: dict[str, Any]) -> None:
        if self._within is not None:
            self._folder = self._within / _name_of(saved)
        self._parts = deque((number, swept) for number, swept in saved["parts"])
        self._size, self._sweep_at, self._number = saved["size"], saved["sweep_at"], self._parts[-1][0] + 1
        table_parts.load_parts(table, [self._read(number) for number, _ in self._parts], self._size)
        self._held = table.rows[:, COUNT].astype(np.int32)
        self._files = set(self._path(0).parent.iterdir())
        self._delete_unneeded()

    def _read(self, number: int) -> dict[str, NDArray[Any]]:
        path = self._path(number)
        try:
            with path.open("rb") as file:
                return unpack(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))[1]
        except (OSError, ValueError) as error:
            raise WindowStateError(f"{path}: saved windows cannot be read: {error}") from error
