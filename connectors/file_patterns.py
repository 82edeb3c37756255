"""Files that a path, a directory or a glob names."""

import glob
import os
import re

_WILDCARDS = re.compile(r"[*?\[]")


def nothing_at(pattern: str) -> str:
    """Why a pattern matches nothing, and what to do about it."""
    if matches(pattern, links=True):
        return f"nothing to read at {pattern!r} but symbolic links: set `follow_links = true` to read them."
    return (
        f"nothing to read at {pattern!r}: no such file, directory or match. "
        "Correct `paths`, or set `follow = true` to wait for it."
    )


def matches(pattern: str, *, links: bool) -> list[str]:
    """The files that a path, directory or glob names; `links` includes those behind symbolic links below it."""
    if os.path.isdir(pattern):
        with os.scandir(pattern) as entries:
            return [e.path for e in entries if e.is_file(follow_symlinks=links) and not e.name.startswith(".")]
    if os.path.exists(pattern):
        return [pattern]
    found = (p for p in glob.iglob(pattern, recursive=True) if os.path.isfile(p))
    return list(found) if links else [p for p in found if not _behind_link(p, pattern)]


def _behind_link(path: str, pattern: str) -> bool:
    """Whether a part of the path that a wildcard matched is a symbolic link."""
    fixed = os.path.dirname(_WILDCARDS.split(pattern, maxsplit=1)[0])
    while len(path) > len(fixed):
        if os.path.islink(path):
            return True
        path = os.path.dirname(path)
    return False
