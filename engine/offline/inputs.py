"""Files that commands read: logs named by paths, folders and globs, and whole files of labels."""

import glob
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from connectors.base import LineBatch
from connectors.file_content import DamagedFileError, RefusedFileError
from connectors.file_reader import identity, open_reader
from connectors.rotations import base_name, rotation_order
from engine.corpus.data import DataError

READ_BYTES = 1 << 20

STANDARD_INPUT = "-"
"""The name of standard input among those of logs."""

_DAMAGED = "data is damaged"

_LISTED = 3
"""Files that a sentence names, of those that are left out."""


class DatasetError(DataError):
    """A log or its labels cannot be used; the message is one sentence that names the file."""


@dataclass(frozen=True, slots=True)
class LogSpec:
    """A log and where its labels are.

    Attributes:
        log: A path, a folder or a glob, or several of them; plain or compressed. Every file is a stream of
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


@dataclass(frozen=True, slots=True)
class FoundLogs:
    """The files that names on a command line stand for.

    Attributes:
        files: Each file once; see `find_logs` for their order.
        skipped: A sentence for each folder or glob that also holds files that are not logs.
    """

    files: tuple[Path, ...]
    skipped: tuple[str, ...]


def find_logs(names: Sequence[str | Path]) -> FoundLogs:
    """The logs that paths, folders and globs name, in the order of the names.

    A folder stands for the files at any depth below it. Hidden and empty files in it, and files in a folder or glob
    that do not hold text, are left out. The files of a folder or glob come in the order of their paths, the
    rotations of a log from the oldest to the newest. A file that several names or links lead to is read once.

    Raises:
        DatasetError: a name has no file, or the file that it names is not a log.
    """
    found: dict[str, Path] = {}
    skipped: list[str] = []
    for name in names:
        if str(name) == STANDARD_INPUT:
            found.setdefault(STANDARD_INPUT, Path(STANDARD_INPUT))
            continue
        several = _several(name)
        reasons = {}
        for file in [Path(name)] if several is None else several:
            if reason := _unreadable(file):
                reasons[file] = reason
            else:
                found.setdefault(identity(file.stat()), file)
        if reasons and several is None:
            raise DatasetError(f"{name} {reasons[Path(name)]}")
        if reasons and len(reasons) == len(several or ()):
            raise DatasetError(f"{name}: no log in it: {_listed(reasons)}")
        if reasons:
            skipped.append(f"{name}: files that were left out: {_listed(reasons)}")
    logs: dict[str, int] = {}
    order = {file: logs.setdefault(base_name(str(file)), len(logs)) for file in found.values()}
    return FoundLogs(tuple(sorted(order, key=lambda file: (order[file], rotation_order(str(file))))), tuple(skipped))


def log_files(names: Sequence[str | Path]) -> tuple[Path, ...]:
    """The files of `find_logs`.

    Raises:
        DatasetError: see there.
    """
    return find_logs(names).files


def _several(name: str | Path) -> list[Path] | None:
    """The files of a folder or glob, at least one; None for the name of a file."""
    path = Path(name)
    if path.is_dir():
        inside = [p for p in path.rglob("*") if not any(part.startswith(".") for part in p.relative_to(path).parts)]
    elif path.exists():
        return None
    else:
        inside = [Path(p) for p in glob.glob(str(name), recursive=True)]
    files = [p for p in inside if p.is_file() and p.stat().st_size and p.suffix != ".html"]
    if not files:
        what = "the folder is empty, or its files are" if path.is_dir() else "no such file, folder or match"
        raise DatasetError(f"{name}: {what}")
    return sorted(files, key=lambda file: rotation_order(str(file)))


def _unreadable(file: Path) -> str:
    """Why a file is not read as a log; "" where it is."""
    if not file.is_file():  # a pipe: a look at its content would consume it
        return ""
    try:
        reader = open_reader(str(file), 0)
        try:
            reader.read(1)
        finally:
            reader.close()
    except RefusedFileError as error:
        return str(error)
    except OSError as error:
        return f"cannot be read: {error.strerror or error}"
    except DamagedFileError:
        return ""  # whatever reads it reports the place
    return ""


def _listed(reasons: Mapping[Path, str]) -> str:
    texts = [f"{file.name} {reason}" for file, reason in reasons.items()]
    more = f"; and {len(texts) - _LISTED} more" if len(texts) > _LISTED else ""
    return "; ".join(texts[:_LISTED]) + more


def damage_in(batch: LineBatch) -> str:
    """What is damaged in the archive that a batch was read from; "" where nothing is."""
    return next((r.reason for r in batch.rejects if _DAMAGED in r.reason), "")


def refusal_in(batch: LineBatch) -> str:
    """Why the file that a batch was read from is not a log; "" where it is one."""
    return next((r.reason for r in batch.rejects if not r.raw_bytes and _DAMAGED not in r.reason), "")


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
    return b"".join(_blocks(path))


def require_unpacked(path: Path, max_bytes: int) -> None:
    """Refuse a file that has more bytes once it is decompressed; it is never held as a whole.

    Raises:
        DataError: it has more, or is missing, truncated or damaged.
    """
    size = 0
    for block in _blocks(path):
        size += len(block)
        if size > max_bytes:
            raise DataError(f"{path.name} has more than {max_bytes:,} bytes once it is decompressed")


def _blocks(path: Path) -> Iterator[bytes]:
    try:
        reader = open_reader(str(path), 0)
        try:
            yield from iter(lambda: reader.read(READ_BYTES) or b"", b"")
        finally:
            reader.close()
    except DamagedFileError as error:
        raise DataError(f"{path} is truncated or damaged: {error}") from error
    except RefusedFileError as error:
        raise DataError(f"{path} {error}") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
