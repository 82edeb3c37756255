"""The sixteen samples of loghub, 2,000 lines each, with the reference template of every line."""

import csv
import io
import os
import tarfile
from dataclasses import dataclass

from bench.harness import BenchError
from engine.corpus.data import Folders
from engine.formats.loghub import FORMAT_OF

ARCHIVE = "loghub_2k.tar.xz"


@dataclass(frozen=True, slots=True)
class LoghubSample:
    """One system: its raw lines, and the id of each line's reference template."""

    lines: list[bytes]
    events: list[str]


def samples() -> dict[str, LoghubSample]:
    """All samples by system.

    Raises:
        BenchError: the archive is not in the data folder.
    """
    folder = Folders.of(os.environ).data
    path = None if folder is None else folder / ARCHIVE
    if path is None or not path.is_file():
        raise BenchError(f"this scenario needs {ARCHIVE} in the folder that DRIFTLINE_DATA_DIR names")
    found = {}
    with tarfile.open(path) as archive:
        for system in FORMAT_OF:
            events = csv.DictReader(
                io.StringIO(_read(archive, f"{system}_2k.templates.csv").decode("utf-8", "replace"))
            )
            ids = [row["EventId"] for row in events]
            lines = [line.removesuffix(b"\r") for line in _read(archive, f"{system}_2k.log").split(b"\n")]
            found[system] = LoghubSample(lines[: len(ids)], ids)
    return found


def _read(archive: tarfile.TarFile, name: str) -> bytes:
    member = archive.extractfile(f"loghub_2k/{name}")
    if member is None:
        raise BenchError(f"{ARCHIVE} holds no {name}")
    with member:
        return member.read()
