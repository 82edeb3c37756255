"""The thirteen backgrounds: ten real public logs in their own order, and three generated ones.

| name | log | past + now | why it is here |
|---|---|---|---|
| hdfs | HDFS_v1, 2 % of the blocks, anomalous blocks left out | 60,000 + 8,000 | batch jobs: phases of hours |
| bgl | Blue Gene/L, the first lines, no alert among them | 6,000 + 4,000 | floods of one template from single nodes |
| iotdb-1, iotdb-2 | leader of an IoTDB cluster until its first injection | 60 % + 40 % | start-up, debug, 300 lines/s |
| iotdb-3 | a follower of an IoTDB cluster until its first injection | 60 % + 40 % | the same, shorter |
| openstack | nova, 15 minutes | 1,200 + 800 | requests with durations, request ids |
| openssh | sshd under constant attack | 1,200 + 800 | failures are the ordinary state |
| apache | an error log of two days | 1,200 + 800 | six templates, half of them errors |
| spark | one executor, 30 seconds | 1,200 + 800 | phases within seconds |
| healthapp | an application of a phone, three hours | 1,200 + 800 | user activity, a change of day |
| access, syslog | generated, constant rates | 20,000 + 6,000 | suits the simplest detectors |
| service | generated, JSON, day and night, five days | 32,000 + 8,000 | numbers, levels and pods as columns |

Of loghub's samples, Linux and Thunderbird are not used: each holds the boot of a machine in its last
part, which a good detector reports. Zookeeper, Proxifier and HPC are not in the order of time.
"""

import csv
import lzma
import os
import re
import tarfile
import tempfile
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from random import Random

import numpy as np
import zstandard
from numpy.typing import NDArray

from bench.harness import BenchError
from bench.incidents.base import Background, Group, System
from bench.incidents.generated import GENERATORS
from bench.incidents.stamps import Stamp
from bench.incidents.systems_generated import ACCESS_SYSTEM, SERVICE_SYSTEM, SYSLOG_SYSTEM
from bench.incidents.systems_real import (
    APACHE_SYSTEM,
    BGL_SYSTEM,
    HDFS_SYSTEM,
    HEALTHAPP_SYSTEM,
    IOTDB_FOLLOWER,
    IOTDB_LEADER,
    OPENSSH_SYSTEM,
    OPENSTACK_SYSTEM,
    SPARK_SYSTEM,
)
from engine.corpus.data import Folders

Builder = Callable[[str, int], Background]
HDFS_LINES, HDFS_PAST = 68_000, 60_000
REAL_SHARE = 0.6
"""The share of a real log that is its past."""


def background(name: str, seed: int = 0) -> Background:
    """The background of that name.

    Args:
        name: A key of `BACKGROUNDS`.
        seed: Which instance of a generated log; real logs exist once.

    Raises:
        BenchError: no background of that name, or its log is not on this machine.
    """
    if name not in BACKGROUNDS:
        raise BenchError(f"no background {name!r}; known are: {', '.join(BACKGROUNDS)}")
    return _build(name, seed if name in GENERATORS else 0)


@cache
def _build(name: str, seed: int) -> Background:
    return BACKGROUNDS[name](name, seed)


def _generated(group: Group, lines: int, past: int, system: System) -> Builder:
    def build(name: str, seed: int) -> Background:
        made = GENERATORS[name](Random(f"{name}-{seed}"), lines)
        times, texts = zip(*made, strict=True)
        return Background(name, group, texts, np.array(times), past, system)

    return build


def _real(read: Callable[[], Iterable[str]], system: System, past: int | None = None) -> Builder:
    def build(name: str, seed: int) -> Background:
        lines = tuple(line.rstrip("\r\n") for line in read())
        cut = round(len(lines) * REAL_SHARE) if past is None else past
        return Background(name, "real", lines, _times(lines, system.stamp), cut, system)

    return build


def _times(lines: tuple[str, ...], stamp: Stamp) -> NDArray[np.float64]:
    """The times of the lines, a line without one at the time of the line ahead of it; never decreasing."""
    times = np.empty(len(lines))
    last = next((time for time in map(stamp.time, lines) if time is not None), 0.0)
    for row, line in enumerate(lines):
        time = stamp.time(line)
        last = last if time is None else max(last, time)
        times[row] = last
    return times


def _file(path: str) -> Path:
    folder = Folders.of(os.environ).data
    if folder is None or not (folder / path).is_file():
        raise BenchError(f"the incident benchmark needs {path} in the folder that DRIFTLINE_DATA_DIR names")
    return folder / path


def _hdfs() -> list[str]:
    rows = csv.DictReader(_file("hdfs/HDFS_2pct_labels.csv").read_text().splitlines())
    bad = {row["BlockId"] for row in rows if row["Label"] == "Anomaly"}
    block = re.compile(r"blk_-?\d+")
    lines = []
    for line in lzma.open(_file("hdfs/HDFS_2pct.log.xz"), "rt"):
        if bad.isdisjoint(block.findall(line)):
            lines.append(line)
            if len(lines) == HDFS_LINES:
                break
    return lines


def _bgl() -> list[str]:
    return lzma.open(_file("bgl/BGL_first10k.log.xz"), "rt").readlines()


def _loghub(system: str) -> Callable[[], list[str]]:
    def read() -> list[str]:
        with tarfile.open(_file("loghub_2k.tar.xz")) as archive:
            member = archive.extractfile(f"loghub_2k/{system}_2k.log")
            assert member is not None
            return member.read().decode("utf-8").splitlines()

    return read


def _iotdb(scenario: str, node: int) -> Callable[[], list[str]]:
    """A node's lines until the first one inside an injection, without the data set's label."""

    def read() -> list[str]:
        text = (_iotdb_folder() / scenario / f"label{node}.log").read_text("utf-8", errors="replace")
        lines = []
        for line in text.splitlines():
            if not line.startswith("- "):
                break
            lines.append(line[2:])
        return lines

    return read


@cache
def _iotdb_folder() -> Path:
    keep = tempfile.TemporaryDirectory()
    _KEPT.append(keep)
    with _file("iotdb_multilog.tar.zst").open("rb") as stream:
        with zstandard.ZstdDecompressor().stream_reader(stream) as raw, tarfile.open(fileobj=raw, mode="r|") as tar:
            tar.extractall(keep.name, filter="data")
    return Path(keep.name)


_KEPT: list[tempfile.TemporaryDirectory[str]] = []
BACKGROUNDS: Mapping[str, Builder] = {
    "hdfs": _real(_hdfs, HDFS_SYSTEM, HDFS_PAST),
    "bgl": _real(_bgl, BGL_SYSTEM),
    "iotdb-1": _real(_iotdb("shutdown_leader", 1), IOTDB_LEADER),
    "iotdb-2": _real(_iotdb("flush_multi", 1), IOTDB_LEADER),
    "iotdb-3": _real(_iotdb("network3_leader", 2), IOTDB_FOLLOWER),
    "openstack": _real(_loghub("OpenStack"), OPENSTACK_SYSTEM),
    "openssh": _real(_loghub("OpenSSH"), OPENSSH_SYSTEM),
    "apache": _real(_loghub("Apache"), APACHE_SYSTEM),
    "spark": _real(_loghub("Spark"), SPARK_SYSTEM),
    "healthapp": _real(_loghub("HealthApp"), HEALTHAPP_SYSTEM),
    "access": _generated("stationary", 26_000, 20_000, ACCESS_SYSTEM),
    "syslog": _generated("stationary", 26_000, 20_000, SYSLOG_SYSTEM),
    "service": _generated("daily", 40_000, 32_000, SERVICE_SYSTEM),
}
