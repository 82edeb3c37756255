"""Public log data sets: where they are looked for, and how they are fetched and checked.

`find` looks in the folder named by `DRIFTLINE_DATA_DIR`, then in the user's cache; `get` downloads
into the cache what neither holds, verified by size and sha256 before anything uses it. Data sets
are never part of Driftline itself: their licences stay with them.

Errors::

    DataError
    ├── UnknownDataSet   the catalogue has no such name
    ├── DataMissing      the files are in none of the folders
    └── DownloadFailed   no network, content that is not what the catalogue says, or not to be converted
"""

import csv
import hashlib
import importlib
import lzma
import os
import tarfile
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Progress = Callable[[int, int], None]
"""Called as (bytes so far, bytes in all) during the downloads of one data set."""

CHUNK_BYTES = 1 << 18
TIMEOUT_S = 30.0


class DataError(Exception):
    """Base of every error about data sets; the message is one sentence for the user."""


class UnknownDataSet(DataError):
    """The catalogue has no data set of that name."""


class DataMissing(DataError):
    """No folder that is looked in holds the data set."""


class DownloadFailed(DataError):
    """A download did not give the bytes that the catalogue promises, or they cannot be converted here."""


@dataclass(frozen=True, slots=True)
class Download:
    """A file at its public home; `path` is relative to the cache."""

    path: str
    url: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class DataSet:
    """One entry of the catalogue.

    Attributes:
        name: What the user types.
        description: One line: what it is, how much, which labels.
        licence: The terms, in a sentence.
        files: The files that the data set consists of, relative to a data folder.
        downloads: What is fetched to get them; the same files unless `convert` is set.
        convert: `module:function` that makes `files` from `downloads`, called with the folder; "".
        archive: A tar file that may hold `files` in their place in a data folder; "".
    """

    name: str
    description: str
    licence: str
    files: tuple[str, ...]
    downloads: tuple[Download, ...]
    convert: str = ""
    archive: str = ""


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


LOGHUB = "https://raw.githubusercontent.com/logpai/loghub/dd61d0952749ee7963bde24220d1be5ede023033"
LOGLEAD = "https://raw.githubusercontent.com/EvoTestOps/LogLead/b40a56e562ddd3176b82b608368dcf51aa48b8a1"
LOGHUB_LICENCE = "loghub: free for research and academic work; cite the paper, keep the notice."


def _loghub_2k(system: str, size_bytes: int, sha256: str) -> DataSet:
    """2,000 lines of one system out of loghub."""
    path = f"loghub_2k/{system}_2k.log"
    return DataSet(
        name=f"loghub-2k-{system.lower()}",
        description=f"2,000 raw lines of {system}, without session labels",
        licence=LOGHUB_LICENCE,
        files=(path,),
        downloads=(Download(path, f"{LOGHUB}/{system}/{system}_2k.log", size_bytes, sha256),),
        archive="loghub_2k.tar.xz",
    )


HDFS_2PCT = DataSet(
    name="hdfs-2pct",
    description="HDFS_v1, a 2 % sample by block in time order: 222,579 lines, 11,501 blocks labelled, 350 anomalous",
    licence="LogLead's sample (MIT) of loghub's HDFS_v1 (free for research and academic work; cite the paper).",
    files=("hdfs/HDFS_2pct.log.xz", "hdfs/HDFS_2pct_labels.csv"),
    downloads=(
        Download(
            "hdfs/hdfs_events_2percent.parquet",
            f"{LOGLEAD}/demo/samples/hdfs_events_2percent.parquet",
            3_748_033,
            "187ab43302502048ad28a072a3da307f9e625b494efff9a906d70f76f7c4090c",
        ),
        Download(
            "hdfs/hdfs_seqs_2percent.parquet",
            f"{LOGLEAD}/demo/samples/hdfs_seqs_2percent.parquet",
            132_266,
            "f492e6bdfacd6b1ee13b009280b6e135a0f052db00e2929e7d809bc2d6a47cb8",
        ),
    ),
    convert="engine.corpus.data:convert_loglead_hdfs",
)

CATALOGUE: dict[str, DataSet] = {
    "hdfs-2pct": HDFS_2PCT,
    "loghub-2k-android": _loghub_2k(
        "Android", 279_076, "47641549915e662ff590291df266a45f635eedca7c5f1b41a4fa853fe5d2f409"
    ),
    "loghub-2k-apache": _loghub_2k(
        "Apache", 171_239, "c7efa3eb686e3a96bd2f8f4457b2a7887e9cf2f3649327f1b4e87af841363ce8"
    ),
    "loghub-2k-bgl": _loghub_2k("BGL", 317_150, "2a819ea540909db682005c9cf948387a40729b5c2e9f19d430e29ce704825496"),
    "loghub-2k-hdfs": _loghub_2k("HDFS", 287_848, "7c967000980c086ed55fa6544ba4f05fe66d44622795e890c68caf8bbb635035"),
    "loghub-2k-hpc": _loghub_2k("HPC", 151_178, "826e5957b461e65780a8bda5c186c2fcf90fd6c1863721ef9c1ccfa9ada86f88"),
    "loghub-2k-hadoop": _loghub_2k(
        "Hadoop", 384_948, "9ecaeb807d50d5fb5a20982ea66f1c8d32545259a51ce7456c1ab78db0509732"
    ),
    "loghub-2k-healthapp": _loghub_2k(
        "HealthApp", 187_456, "95ec36322f5db1e6faaab764c568b67023d7d6733793106289dbf30516fc13ee"
    ),
    "loghub-2k-linux": _loghub_2k("Linux", 216_485, "b3e20bc1afe732ab1bf3ed1de4bf9c809e4194e02f7dea911d918e5342e8e173"),
    "loghub-2k-mac": _loghub_2k("Mac", 319_414, "d9ea495488728d8c989dc942fca3324a3cc7b19b0a6f409a5fd568ad547fd931"),
    "loghub-2k-openssh": _loghub_2k(
        "OpenSSH", 225_216, "1e4912727fa88245113d41b16a0cd25ceadba7f931e1c406542885b91254264f"
    ),
    "loghub-2k-openstack": _loghub_2k(
        "OpenStack", 595_119, "025a1bc64ff5b2ef4a4bda6c4ad5c5c5f18478b71cd1ad2b0676e01625629f2f"
    ),
    "loghub-2k-proxifier": _loghub_2k(
        "Proxifier", 236_962, "94b6a9d98d76e7ad7841ed10caa463cd4e638a229b92a220a2bf1707552adbb9"
    ),
    "loghub-2k-spark": _loghub_2k("Spark", 196_268, "2e8b9a37fc5c238253e0b8e18a8bd5e489671def91767ae1192d28c8e1f95901"),
    "loghub-2k-thunderbird": _loghub_2k(
        "Thunderbird", 325_192, "903bbfa61c34d4803e4adcb0d726ff2eeb9a2e11971243269a2035fa6c3bbeb0"
    ),
    "loghub-2k-windows": _loghub_2k(
        "Windows", 285_433, "372fb809464a6d6016e599e9272d7cf1e8b644f25c90c7f76f19c936362456d0"
    ),
    "loghub-2k-zookeeper": _loghub_2k(
        "Zookeeper", 279_891, "e40e0af5ef9eb6e4097200f260b9d1f626b3676f861a432e87977242e75543d8"
    ),
}


def data_set(name: str) -> DataSet:
    """The catalogue's entry.

    Raises:
        UnknownDataSet: there is none of that name.
    """
    if name not in CATALOGUE:
        raise UnknownDataSet(f"no data set {name!r}; known are: {', '.join(CATALOGUE)}")
    return CATALOGUE[name]


def find(name: str, folders: Folders | None = None) -> dict[str, Path]:
    """The files of a data set by file name, from the first folder that holds all of them.

    Args:
        name: A name in `CATALOGUE`.
        folders: Where to look; what the environment names if None.

    Raises:
        UnknownDataSet: there is none of that name.
        DataMissing: no folder holds it; the message says which file to put where.
    """
    entry = data_set(name)
    folders = Folders.of(os.environ) if folders is None else folders
    for folder in filter(None, (folders.data, folders.cache)):
        if all((folder / path).is_file() for path in entry.files):
            return {Path(path).name: folder / path for path in entry.files}
    if entry.archive and folders.data is not None and (folders.data / entry.archive).is_file():
        _unpack(folders.data / entry.archive, entry.files, folders.cache)
        return {Path(path).name: folders.cache / path for path in entry.files}
    raise DataMissing(f"the data set {name} is not there; {_by_hand(entry, folders)}")


def get(name: str, progress: Progress | None = None, folders: Folders | None = None) -> dict[str, Path]:
    """Like `find`, but downloads into the cache what is in no folder.

    A download cut short is resumed by the next call. Files appear under their names only complete
    and verified.

    Raises:
        UnknownDataSet: there is none of that name.
        DownloadFailed: no network, wrong bytes, or a package for the conversion is missing; the
            message says which file to put where.
    """
    folders = Folders.of(os.environ) if folders is None else folders
    try:
        return find(name, folders)
    except DataMissing:
        entry = data_set(name)
    total = sum(download.size_bytes for download in entry.downloads)
    before = 0
    try:
        for download in entry.downloads:
            _fetch(download, folders.cache, _shifted(progress, before, total))
            before += download.size_bytes
    except OSError as error:
        raise DownloadFailed(f"{name} could not be downloaded ({error}); {_by_hand(entry, folders)}") from error
    if entry.convert:
        module, _, function = entry.convert.partition(":")
        getattr(importlib.import_module(module), function)(folders.cache)
    return find(name, folders)


def _shifted(progress: Progress | None, before: int, total: int) -> Callable[[int], None]:
    """Progress of one file as progress of the whole data set."""
    return lambda done: None if progress is None else progress(before + done, total)


def _by_hand(entry: DataSet, folders: Folders) -> str:
    """What the user can do without a network."""
    steps = ", ".join(f"put {download.url} at {folders.cache / download.path}" for download in entry.downloads)
    looked = "" if folders.data is None else f" ({folders.data}, which it names now, has none)"
    return f"{steps} and try again, or set DRIFTLINE_DATA_DIR to a folder with {' and '.join(entry.files)}{looked}"


def _fetch(download: Download, folder: Path, progress: Callable[[int], None]) -> None:
    """Downloads one file beside its name, checks it, renames it; resumes what is there."""
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
        raise DownloadFailed(f"{download.url} gave {size} bytes with sha256 {digest}, expected {expected}; try again")
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
                raise DataMissing(f"{archive} holds no file {member}")
            _write_whole(folder / member, content.read())


def _write_whole(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{os.getpid()}")
    partial.write_bytes(content)
    partial.replace(path)


LINE_COLUMNS = ("date", "time", "id", "level", "component", "m_message")
"""Columns of LogLead's HDFS sample that make up the raw line, joined by single spaces."""


def convert_loglead_hdfs(folder: Path) -> None:
    """Makes the raw log and the label file of `HDFS_2PCT` from the two parquet files in `folder`.

    Raises:
        DownloadFailed: pyarrow is not installed, or the files lack a column.
    """
    try:
        parquet: Any = importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise DownloadFailed(
            "converting hdfs-2pct needs pyarrow, which is not installed; install driftline[data] and try again"
        ) from error
    try:
        lines = parquet.read_table(folder / HDFS_2PCT.downloads[0].path, columns=list(LINE_COLUMNS)).to_pydict()
        labels = parquet.read_table(folder / HDFS_2PCT.downloads[1].path).to_pydict()
        rows = zip(*(lines[column] for column in LINE_COLUMNS), strict=True)
        pairs = list(zip(labels["seq_id"], labels["anomaly"], strict=True))
    except KeyError as error:
        raise DownloadFailed(f"the parquet files of hdfs-2pct have no column {error}") from error
    log = "".join(f"{' '.join(row)}\n" for row in rows).encode()
    table = "BlockId,Label\n" + "".join(f"{block},{'Anomaly' if bad else 'Normal'}\n" for block, bad in pairs)
    _write_whole(folder / HDFS_2PCT.files[1], table.encode())
    _write_whole(folder / HDFS_2PCT.files[0], lzma.compress(log, preset=6))


def read_labels(path: Path) -> dict[str, bool]:
    """Session key → anomalous, from a CSV file with the header `BlockId,Label`.

    Labels are `Normal` or `Anomaly`, or 0 or 1.

    Raises:
        DataError: the file is missing, has another header, or a label that is none of these.
    """
    meaning = {"normal": False, "anomaly": True, "0": False, "1": True}
    try:
        with path.open(newline="") as file:
            rows = csv.reader(file)
            header = next(rows, [])
            if header != ["BlockId", "Label"]:
                raise DataError(f"{path}: the first line is {','.join(header)!r}, expected 'BlockId,Label'")
            labels = {}
            for row in rows:
                if len(row) != 2 or row[1].lower() not in meaning:
                    raise DataError(
                        f"{path}, line {rows.line_num}: {','.join(row)!r} is no session key with Normal or Anomaly"
                    )
                labels[row[0]] = meaning[row[1].lower()]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"the label file {path} cannot be read: {error}") from error
    return labels
