"""Where the model store keeps its files: a local folder, durable to the last byte, or an fsspec URL."""

import contextlib
import fcntl
import os
import shutil
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path

from foundation import durable
from foundation.extras import require
from models.base import ModelStoreError

STALE_S = 86_400.0
"""What a publisher began to write so long ago belongs to one that was killed; no publication takes a day."""

BLOCK_BYTES = 1 << 20

Files = Callable[[int], Mapping[str, bytes]]
"""The files of a version, by name, in the order of writing, once its number is known."""


class Folder(ABC):
    """Files by path relative to the store; every failure of the other side is an OSError."""

    @abstractmethod
    def children(self, path: str) -> list[str]:
        """Names in a folder, sorted; none if there is no such folder."""

    @abstractmethod
    def exists(self, path: str) -> bool:
        """Whether there is such a file."""

    @abstractmethod
    def read(self, path: str) -> bytes:
        """A file's content."""

    @abstractmethod
    def size(self, path: str) -> int:
        """A file's size in bytes."""

    @abstractmethod
    def blocks(self, path: str) -> Iterator[bytes]:
        """A file's content in blocks of at most `BLOCK_BYTES`."""

    @abstractmethod
    def remove_version(self, name: str, version: int) -> None:
        """Removes a version, which is not listed from then on."""

    @abstractmethod
    def replace(self, path: str, data: bytes) -> None:
        """Writes a file so that readers see the old content or the new, nothing between."""

    @abstractmethod
    def add_version(self, name: str, files: Files) -> int:
        """Adds the next free version of a model as a whole; what fails leaves nothing to be seen."""

    @abstractmethod
    def locked(self, name: str) -> AbstractContextManager[None]:
        """Keeps other holders of the same lock out, where the storage can do that."""

    def _next(self, name: str) -> int:
        return max((int(c) for c in self.children(name) if c.isdecimal()), default=0) + 1


class LocalFolder(Folder):
    """A folder on a local or shared POSIX file system."""

    def __init__(self, root: Path) -> None:
        self._root = root.expanduser()

    def __str__(self) -> str:
        return str(self._root)

    def children(self, path: str) -> list[str]:
        """See `Folder.children`."""
        folder = self._root / path
        return sorted(p.name for p in folder.iterdir()) if folder.is_dir() else []

    def exists(self, path: str) -> bool:
        """See `Folder.exists`."""
        return (self._root / path).is_file()

    def read(self, path: str) -> bytes:
        """See `Folder.read`."""
        return (self._root / path).read_bytes()

    def size(self, path: str) -> int:
        """See `Folder.size`."""
        return (self._root / path).stat().st_size

    def blocks(self, path: str) -> Iterator[bytes]:
        """See `Folder.blocks`."""
        with (self._root / path).open("rb") as file:
            yield from iter(lambda: file.read(BLOCK_BYTES), b"")

    def remove_version(self, name: str, version: int) -> None:
        """See `Folder.remove_version`: renamed first, so that no reader sees half of it."""
        hidden = durable.partial_path(self._root / name)
        (self._root / name / str(version)).rename(hidden)
        shutil.rmtree(hidden)

    def replace(self, path: str, data: bytes) -> None:
        """See `Folder.replace`; on the disk when it returns."""
        durable.write(self._root / path, data)

    def add_version(self, name: str, files: Files) -> int:
        """See `Folder.add_version`; on the disk when it returns."""
        folder = self._root / name
        folder.mkdir(parents=True, exist_ok=True)
        _remove_stale(folder)
        hidden = durable.partial_path(folder)
        hidden.mkdir()
        try:
            while True:
                version = self._next(name)
                for file, data in files(version).items():
                    durable.write(hidden / file, data)
                with contextlib.suppress(FileExistsError):
                    # A version's folder is never empty, so renaming over an existing one fails.
                    _rename_folder(hidden, folder / str(version))
                    break
        except OSError:
            shutil.rmtree(hidden, ignore_errors=True)
            raise
        durable.sync_folder(folder)
        return version

    @contextlib.contextmanager
    def locked(self, name: str) -> Iterator[None]:
        """See `Folder.locked`: an advisory lock, freed by the system if the holder dies."""
        (self._root / name).mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._root / name / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


class RemoteFolder(Folder):
    """Any fsspec file system; an upload is atomic on object stores; they have no locks."""

    def __init__(self, url: str) -> None:
        require("remote", "a model store at a URL")
        import fsspec  # type: ignore[import-untyped]

        try:
            self._fs, self._root = fsspec.core.url_to_fs(url)
        except (ImportError, ValueError) as error:
            raise ModelStoreError(f"the model store {url} cannot be opened: {error}") from error
        self._url = url

    def __str__(self) -> str:
        return self._url

    def _at(self, path: str) -> str:
        return f"{self._root.rstrip('/')}/{path}".rstrip("/")

    def children(self, path: str) -> list[str]:
        """See `Folder.children`."""
        # Listings may be cached by fsspec; a follower has to see what others publish.
        self._fs.invalidate_cache()
        if not self._fs.isdir(self._at(path)):
            return []
        return sorted(str(p).rstrip("/").rsplit("/", 1)[-1] for p in self._fs.ls(self._at(path), detail=False))

    def exists(self, path: str) -> bool:
        """See `Folder.exists`."""
        self._fs.invalidate_cache()
        return bool(self._fs.isfile(self._at(path)))

    def read(self, path: str) -> bytes:
        """See `Folder.read`."""
        return bytes(self._fs.cat_file(self._at(path)))

    def size(self, path: str) -> int:
        """See `Folder.size`."""
        return int(self._fs.size(self._at(path)))

    def blocks(self, path: str) -> Iterator[bytes]:
        """See `Folder.blocks`."""
        with self._fs.open(self._at(path), "rb") as file:
            yield from iter(lambda: file.read(BLOCK_BYTES), b"")

    def remove_version(self, name: str, version: int) -> None:
        """See `Folder.remove_version`: the card goes first, without which a version is not listed."""
        self._fs.rm_file(self._at(f"{name}/{version}/card.json"))
        self._fs.rm(self._at(f"{name}/{version}"), recursive=True)

    def replace(self, path: str, data: bytes) -> None:
        """See `Folder.replace`: one upload."""
        self._fs.pipe_file(self._at(path), data)

    def add_version(self, name: str, files: Files) -> int:
        """See `Folder.add_version`. The claim is a file that is created exclusively."""
        while True:
            version = self._next(name)
            self._fs.makedirs(self._at(f"{name}/{version}"), exist_ok=True)
            with contextlib.suppress(FileExistsError):
                self._fs.pipe_file(self._at(f"{name}/{version}/claim"), b"\n", mode="create")
                break
        for file, data in files(version).items():
            self._fs.pipe_file(self._at(f"{name}/{version}/{file}"), data)
        return version

    @contextlib.contextmanager
    def locked(self, name: str) -> Iterator[None]:
        """No lock: of two publishers at the same moment, the later upload of the pointer remains."""
        yield


def _remove_stale(folder: Path) -> None:
    """Removes what killed publishers left; of no use to anybody, so what cannot be removed stays."""
    for left in folder.glob(f"{durable.PARTIAL}*"):
        with contextlib.suppress(OSError):
            if time.time() - left.stat().st_mtime > STALE_S:
                shutil.rmtree(left) if left.is_dir() else left.unlink()


def _rename_folder(source: Path, target: Path) -> None:
    try:
        os.rename(source, target)
    except OSError as error:
        if target.exists():
            raise FileExistsError(str(target)) from error
        raise


def folder_at(url: str) -> Folder:
    """The folder at a path or fsspec URL."""
    remote = "://" in url and not url.startswith("file://")
    return RemoteFolder(url) if remote else LocalFolder(Path(url.removeprefix("file://")))
