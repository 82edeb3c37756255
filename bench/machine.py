"""Notes on the machine that a result was measured on; nothing that names the host or a path."""

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from foundation.version import VERSION

LIBRARIES = ("bytewax", "confluent-kafka", "drain3", "numpy", "orjson", "torch", "transformers")


def describe_machine() -> dict[str, Any]:
    """CPU model, usable cores, memory in bytes, versions, and the load before the run."""
    return {
        "cpu": _field("/proc/cpuinfo", "model name") or platform.processor() or platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "system": f"{platform.system()} {platform.machine()}",
        "python": ".".join(map(str, sys.version_info[:3])),
        "libraries": {name: found for name in LIBRARIES if (found := _version(name))} | {"driftline": VERSION},
        "load_1min": round(os.getloadavg()[0], 2),
    }


def process_tree(root_pid: int) -> list[int]:
    """`root_pid` and all its living descendants; empty if it is gone."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (stat := _stat(int(entry.name))):
            children.setdefault(int(stat[1]), []).append(int(entry.name))
    if _stat(root_pid) is None:
        return []
    tree = [root_pid]
    for pid in tree:
        tree.extend(children.get(pid, ()))
    return tree


def cpu_seconds(pid: int) -> float:
    """User and system CPU time that a process has used so far; 0 if it is gone."""
    stat = _stat(pid)
    return (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK") if stat else 0.0


def rss_bytes(pid: int) -> int:
    """Resident memory of a process now, in bytes; 0 if it is gone."""
    value = _field(f"/proc/{pid}/status", "VmRSS")
    return int(value.split()[0]) * 1024 if value else 0


def peak_rss_bytes(pid: int) -> int:
    """The most resident memory a process has held so far, in bytes; 0 if it is gone."""
    value = _field(f"/proc/{pid}/status", "VmHWM")
    return int(value.split()[0]) * 1024 if value else 0


def reset_peak_rss() -> None:
    """Lets `peak_rss_bytes` of this process count from now on."""
    Path("/proc/self/clear_refs").write_text("5")  # see proc(5)


def _stat(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat behind the command's name, or None if the process is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return None


def _field(path: str, name: str) -> str:
    """The value of the first `name : value` line of a /proc file, or ""."""
    try:
        text = Path(path).read_text(errors="replace")
    except OSError:
        return ""
    for line in text.splitlines():
        key, colon, value = line.partition(":")
        if colon and key.strip() == name:
            return value.strip()
    return ""


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return ""
