"""Debian packages unpacked into a folder, without installing them and without root."""

import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

LIBRARIES = (
    "usr/lib/x86_64-linux-gnu", "usr/lib/aarch64-linux-gnu", "lib/x86_64-linux-gnu", "usr/lib", "usr/lib/syslog-ng",
    "usr/lib/freeradius",
)  # fmt: skip
_URI = re.compile(r"^'[^']+' (?P<name>[^_]+)_(?P<version>[^_]+)_")


class PackageError(Exception):
    """A package cannot be fetched; the message names it."""


def unpack(packages: Sequence[str], cache: Path, root: Path) -> None:
    """Fetch packages and what they depend on that is not installed, and unpack all of them.

    Args:
        packages: Names in Debian's archive.
        cache: Folder for the files of packages, used again by later calls.
        root: Folder that gets their contents.

    Raises:
        PackageError: apt does not know a package or cannot fetch it.
    """
    listed = _output(["apt-get", "-qq", "--print-uris", "-y", "--no-install-recommends", "install", *packages], cache)
    wanted = [f"{found['name']}={found['version'].replace('%3a', ':')}" for found in map(_URI.match, listed) if found]
    for package in wanted:
        name, _, version = package.partition("=")
        file = next(cache.glob(f"{name}_{version.replace(':', '%3a')}_*.deb"), None)
        if file is None:
            _output(["apt-get", "-qq", "download", package], cache)
            file = next(cache.glob(f"{name}_{version.replace(':', '%3a')}_*.deb"))
        _output(["dpkg-deb", "-x", str(file), str(root)], cache)


def environment(root: Path) -> Mapping[str, str]:
    """The environment of programs that were unpacked into `root`."""
    folders = [str(root / folder) for folder in ("usr/sbin", "usr/bin", "sbin", "bin")]
    libraries = [str(root / folder) for folder in LIBRARIES if (root / folder).is_dir()]
    path, library = ":".join([*folders, os.environ.get("PATH", "")]), ":".join(libraries)
    return {**os.environ, "PATH": path, "LD_LIBRARY_PATH": library, "TZ": "UTC", "LC_ALL": "C"}


def _output(command: list[str], folder: Path) -> list[str]:
    ran = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    if ran.returncode:
        lines = ran.stderr.strip().splitlines() or [f"exit code {ran.returncode}"]
        raise PackageError(f"{' '.join(command)}: {lines[-1]}")
    return ran.stdout.splitlines()
