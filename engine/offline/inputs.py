"""Files that commands read: logs named by paths, folders and globs, and whole files of labels."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from connectors.base import ConnectorError
from connectors.file_content import DamagedFileError, RefusedFileError
from connectors.file_reader import open_reader
from connectors.files import FileSettings, FileSource
from engine.corpus.data import DataError

READ_BYTES = 1 << 20


class DatasetError(DataError):
    """A log or its labels cannot be used; the message is one sentence that names the file."""


@dataclass(frozen=True, slots=True)
class LogSpec:
    """A log and where its labels are.

    Attributes:
        log: A path, a folder or a glob, or several of them; plain, .gz, .bz2, .xz or .zst. Every file is a stream of
            its own.
        labels: A file (see `engine.offline.label_files`), or `column:NAME` for a column of the log itself;
            None: the label column that some formats have.
        anomalous_share: With labels of records: a window is anomalous if more than this share of its
            records is; 0 means any record.
        supervised: Whether labels of both classes are needed; if not, and there are none, every
            window counts as normal.
    """

    log: str | Path | tuple[str | Path, ...]
    labels: str | Path | None = None
    anomalous_share: float = 0.0
    supervised: bool = True

    def __str__(self) -> str:
        return ", ".join(map(str, self.names))

    @property
    def names(self) -> tuple[str | Path, ...]:
        """The paths, folders and globs."""
        return self.log if isinstance(self.log, tuple) else (self.log,)

    @property
    def title(self) -> str:
        """The log as model cards and reports name it: the names of its files or folders, without their place."""
        return ", ".join(Path(name).name for name in self.names)


def log_files(names: Sequence[str | Path]) -> tuple[Path, ...]:
    """The files that paths, folders and globs name, each once, in the order of the names.

    Files of a folder or a glob come in the order of their paths.

    Raises:
        DatasetError: a name has no file.
    """
    found: dict[Path, None] = {}
    for name in names:
        try:
            files = FileSource(FileSettings(paths=(str(name),), follow_links=True)).files()
        except (ConnectorError, OSError) as error:
            raise DatasetError(f"{name}: cannot be read: {error}") from error
        if not files:
            raise DatasetError(f"{name}: no such file" if not Path(name).is_dir() else f"{name}: the folder is empty")
        found |= {Path(file): None for file in files}
    return tuple(found)


def sha256(paths: Sequence[Path]) -> str:
    """Of the bytes of all files, one after the other, as hex."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while block := file.read(READ_BYTES):
                digest.update(block)
    return digest.hexdigest()


def read_whole(path: Path) -> bytes:
    """The content of a file, decompressed where its name ends in .gz, .bz2, .xz or .zst.

    Raises:
        DataError: the file is missing, truncated or damaged.
    """
    try:
        reader = open_reader(str(path), 0)
        try:
            return b"".join(iter(lambda: reader.read(READ_BYTES) or b"", b""))
        finally:
            reader.close()
    except DamagedFileError as error:
        raise DataError(f"{path} is truncated or damaged: {error}") from error
    except RefusedFileError as error:
        raise DataError(f"{path} {error}") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
