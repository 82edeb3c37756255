"""Names that rotation gives to a log's files."""

import os
import re
from collections.abc import Iterable, Iterator

ROTATED = re.compile(r"^(?P<base>.+?)(?:[.-](?P<number>\d[\dT:_-]*))?(?:\.(?:gz|bz2|xz|zst|lz4))?$")
"""A rotated file's name: the log's own name, a number or date, and perhaps a compression."""


def base_name(path: str) -> str:
    """The path without the suffixes that rotation adds: `/a/x.log.2.gz` → `/a/x.log`."""
    folder, name = os.path.split(path)
    match = ROTATED.match(name)
    return os.path.join(folder, match["base"] if match else name)


def rotation_order(path: str) -> tuple[str, int, float, str]:
    """Sorts the files of a log from the oldest to the newest: dates, then numbers from the highest, then the log."""
    match = ROTATED.match(os.path.basename(path))
    number = match["number"] if match else None
    if number is None:
        return base_name(path), 2, 0.0, path
    if number.isdecimal() and len(number) < 5:
        return base_name(path), 1, -float(number), path
    return base_name(path), 0, 0.0, number


def rotations(path: str) -> Iterator[tuple[str, os.stat_result]]:
    """Files next to the path that rotation made of it, by name."""
    folder, name = os.path.split(path)
    try:
        names = sorted(os.listdir(folder or "."))
    except OSError:
        return iter(())
    return stats_of(os.path.join(folder, n) for n in names if n != name and base_name(n) == name)


def stats_of(paths: Iterable[str]) -> Iterator[tuple[str, os.stat_result]]:
    """Each path that is there, with its state."""
    for path in paths:
        try:
            yield path, os.stat(path)
        except OSError:
            continue  # removed or compressed between listing and looking
