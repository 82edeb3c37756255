"""Which files a scan reads, in which order, and which of them are one log."""

import glob
import os
import re
from collections.abc import Sequence
from pathlib import Path

from connectors.base import SourceUnavailableError
from connectors.rotations import base_name
from engine.offline.scan import Input

_ROTATION = re.compile(r"[.-](\d[\dT:_-]*)(?:\.(?:gz|xz|zst))?$")
_SKIPPED = (".zip", ".png", ".jpg", ".gif", ".pdf", ".html", ".db", ".sqlite", ".journal", ".pyc", ".so", ".exe")
"""Files in folders that hold no lines of text."""


def inputs_of(paths: Sequence[str], baseline: Sequence[str]) -> list[Input]:
    """The files of a scan in the order in which they are read: of each log the baseline first, then oldest first.

    Raises:
        SourceUnavailableError: a path names no file.
    """
    now, past = _files(paths), _files(baseline)
    sources = {file: _source(file) for file in now}
    names = set(sources.values())
    learnt: dict[str, str] = {}
    for file in past:
        name = _source(file)
        alike = [n for n in names if os.path.basename(n) == os.path.basename(name)]
        # One log and one baseline belong together, regardless of their names.
        match = alike or (list(names) if len(names) == 1 else [])
        learnt[file] = match[0] if match else name
    found = [Input(file, learnt[file], _size(file), learn=True) for file in past]
    return found + [Input(file, sources[file], _size(file)) for file in now]


def _files(paths: Sequence[str]) -> list[str]:
    found: list[str] = []
    for path in paths:
        if path == "-":
            found.append(path)
            continue
        if Path(path).is_dir():
            names = (str(p) for p in Path(path).rglob("*") if p.is_file())
            inside = [n for n in names if not n.lower().endswith(_SKIPPED) and Path(n).stat().st_size]
        else:
            inside = (
                [path] if Path(path).is_file() else [n for n in glob.glob(path, recursive=True) if Path(n).is_file()]
            )
        if not inside:
            raise SourceUnavailableError(f"{path}: no such file, and no folder or pattern with files in it")
        found += sorted(inside, key=_age)
    return list(dict.fromkeys(found))


def _source(file: str) -> str:
    return "standard input" if file == "-" else base_name(file)


def _age(file: str) -> tuple[str, int, float, str]:
    """Sorts the rotations of one log from the oldest to the newest: by date, or the highest number first."""
    found = _ROTATION.search(file)
    if found is None:
        return base_name(file), 2, 0.0, file
    number = found[1]
    if number.isdecimal() and len(number) < 5:
        return base_name(file), 1, -float(number), file
    return base_name(file), 0, 0.0, number


def _size(file: str) -> int:
    return 0 if file == "-" else Path(file).stat().st_size
