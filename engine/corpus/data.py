"""Public log data sets: where they are looked for, and how they are fetched and checked.

`find` looks in the folder named by `DRIFTLINE_DATA_DIR`, then in the user's cache; `get` downloads
into the cache what neither holds, verified by size and sha256 before anything uses it. Data sets
are never part of Driftline itself: their licences stay with them.

Errors::

    DataError
    ├── UnknownDataSetError   the catalogue has no such name
    ├── DataMissingError      the files are in none of the folders
    └── DownloadFailedError   no network, content that is not what the catalogue lists, or not to be converted
"""

import hashlib
import importlib
import os
import tarfile
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from engine.corpus.catalogue import CATALOGUE, DataSet, Download
from foundation import durable
from foundation.errors import DriftlineError

Progress = Callable[[int, int], None]
"""Called as (bytes so far, bytes in all) during the downloads of one data set."""

CHUNK_BYTES = 1 << 18
TIMEOUT_S = 30.0


class DataError(DriftlineError):
    """Base of every error about data sets; the message is one sentence for the user."""


class UnknownDataSetError(DataError):
    """The catalogue has no data set of that name."""


class DataMissingError(DataError):
    """No folder that is looked in holds the data set."""


class DownloadFailedError(DataError):
    """A download did not give the bytes that the catalogue promises, or they cannot be converted here."""


@dataclass(frozen=True, slots=True)
class Folders:
    """Where data sets may lie: the user's own folder (may be absent), and the cache."""

    data: Path | None
    cache: Path

    @staticmethod
    def of(environ: Mapping[str, str]) -> "Folders":
        """The folders that the environment names: DRIFTLINE_DATA_DIR, XDG_CACHE_HOME."""
        own = environ.get("DRIFTLINE_DATA_DIR")
        cache = environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
        return Folders(Path(own) if own else None, Path(cache) / "driftline")


def data_set(name: str) -> DataSet:
    """The catalogue's entry.

    Raises:
        UnknownDataSetError: no data set has that name.
    """
    if name not in CATALOGUE:
        raise UnknownDataSetError(f"no data set {name!r}; known are: {', '.join(CATALOGUE)}")
    return CATALOGUE[name]


def find(name: str, folders: Folders | None = None) -> dict[str, Path]:
    """The files of a data set by file name, from the first folder that holds all of them.

    Args:
        name: A name in `CATALOGUE`.
        folders: Where to look; what the environment names if None.

    Raises:
        UnknownDataSetError: no data set has that name.
        DataMissingError: no folder holds it; the message names the place of each file.
    """
    entry = data_set(name)
    folders = Folders.of(os.environ) if folders is None else folders
    for folder in filter(None, (folders.data, folders.cache)):
        if all((folder / path).is_file() for path in entry.files):
            return {Path(path).name: folder / path for path in entry.files}
    if entry.archive and folders.data is not None and (folders.data / entry.archive).is_file():
        _unpack(folders.data / entry.archive, entry.files, folders.cache)
        return {Path(path).name: folders.cache / path for path in entry.files}
    raise DataMissingError(f"the data set {name} is not on this machine; {_by_hand(entry, folders)}")


def get(name: str, progress: Progress | None = None, folders: Folders | None = None) -> dict[str, Path]:
    """Like `find`, but downloads into the cache what is in no folder.

    A download cut short is resumed by the next call. Files appear under their names only complete
    and verified.

    Raises:
        UnknownDataSetError: no data set has that name.
        DownloadFailedError: no network, wrong bytes, or a package for the conversion is missing; the
            message names the place of each file.
    """
    folders = Folders.of(os.environ) if folders is None else folders
    try:
        return find(name, folders)
    except DataMissingError:
        entry = data_set(name)
    total = sum(download.size_bytes for download in entry.downloads)
    before = 0
    try:
        for download in entry.downloads:
            _fetch(download, folders.cache, _shifted(progress, before, total))
            before += download.size_bytes
    except OSError as error:
        raise DownloadFailedError(f"{name} could not be downloaded ({error}); {_by_hand(entry, folders)}") from error
    if entry.convert:
        module, _, function = entry.convert.partition(":")
        getattr(importlib.import_module(module), function)(folders.cache)
    return find(name, folders)


def _shifted(progress: Progress | None, before: int, total: int) -> Callable[[int], None]:
    """Progress of one file as progress of the whole data set."""
    return lambda done: None if progress is None else progress(before + done, total)


def _put(home: str, downloads: list[Download], cache: Path) -> str:
    """Where the files of one home belong; many are named together."""
    *others, last = downloads
    if len(others) < 2:
        return ", ".join(f"put {download.url} at {cache / download.path}" for download in downloads)
    names = ", ".join(Path(download.path).name for download in others)
    return f"put {names} and {Path(last.path).name} from {home} in {(cache / last.path).parent}"


def _by_hand(entry: DataSet, folders: Folders) -> str:
    """What the user can do without a network."""
    homes: dict[str, list[Download]] = {}
    for download in entry.downloads:
        homes.setdefault(download.url.rpartition("/")[0], []).append(download)
    steps = ", ".join(_put(home, downloads, folders.cache) for home, downloads in homes.items())
    looked = "" if folders.data is None else f" ({folders.data}, which it names now, has none)"
    return f"{steps} and try again, or set DRIFTLINE_DATA_DIR to a folder with {' and '.join(entry.files)}{looked}"


def _fetch(download: Download, folder: Path, progress: Callable[[int], None]) -> None:
    """Downloads one file next to its name, checks it, renames it; resumes what is there."""
    target = folder / download.path
    if target.is_file() and _sha256(target) == download.sha256:
        return
    partial = target.with_name(target.name + ".part")
    partial.parent.mkdir(parents=True, exist_ok=True)
    have = partial.stat().st_size if partial.exists() else 0
    if have != download.size_bytes:
        _stream(download, partial, have if have < download.size_bytes else 0, progress)
    size, digest = partial.stat().st_size, _sha256(partial)
    if size != download.size_bytes or digest != download.sha256:
        if size >= download.size_bytes:
            partial.unlink()
        expected = f"{download.size_bytes} bytes with sha256 {download.sha256}"
        raise DownloadFailedError(
            f"{download.url} gave {size} bytes with sha256 {digest}, expected {expected}; try again"
        )
    partial.replace(target)


def _stream(download: Download, partial: Path, have: int, progress: Callable[[int], None]) -> None:
    """Appends the rest of the file, or starts over where the server does not resume."""
    request = urllib.request.Request(download.url, headers={"Range": f"bytes={have}-"} if have else {})
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:
        done = have if response.status == 206 else 0
        with partial.open("ab" if done else "wb") as out:
            # A server that sends more than was promised must not fill the disk.
            while done <= download.size_bytes and (chunk := response.read(CHUNK_BYTES)):
                out.write(chunk)
                done += len(chunk)
                progress(done)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _unpack(archive: Path, members: tuple[str, ...], folder: Path) -> None:
    """Takes members out of a tar file, each appearing under its name only complete."""
    with tarfile.open(archive) as tar:
        for member in members:
            try:
                content = tar.extractfile(member)
            except KeyError:
                content = None
            if content is None:
                raise DataMissingError(f"{archive} holds no file {member}")
            write_whole(folder / member, content.read())


def write_whole(path: Path, content: bytes) -> None:
    """Writes a file that appears under its name only complete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    durable.write(path, content)
