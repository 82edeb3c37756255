"""Labelled windows for the detection scenarios, parsed and cut by the engine's own steps."""

import csv
import lzma
import os
import re
import tarfile
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import zstandard
from numpy.typing import NDArray

from bench.harness import BenchError
from engine.corpus.data import DataError, Folders, find
from engine.offline.datasets import LabelledWindows, load_windows
from engine.offline.inputs import LogSpec
from engine.parsing.parse_settings import ParseSettings
from engine.steps.window import WindowSettings
from engine.windows.sessions import SessionWindows
from engine.windows.sliding import SlidingWindows
from engine.windows.timewindow import TimeWindows
from models.base import Templates, Windows, template_id

WHOLE_SESSIONS_S = 3e8
"""A gap longer than the log, so that a session is all lines of its block, as in the published figures."""
HALF = float(np.nextafter(0.5, 0))
"""A window is anomalous if more than this share of its lines is, that is half of them or more."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """Windows with labels and texts; `group` is the part of the data to which each belongs (n,)."""

    windows: Windows
    labels: NDArray[np.bool_]
    templates: Templates
    group: NDArray[np.int64]

    def take(self, index: NDArray[np.int64]) -> "Labelled":
        """The windows at `index`, in that order."""
        return Labelled(self.windows.take(index), self.labels[index], self.templates, self.group[index])


@cache
def hdfs_sessions() -> LabelledWindows:
    """The HDFS sample's sessions, complete ones only, in the order of their ends.

    Raises:
        BenchError: the sample is not on this machine.
    """
    try:
        files = find("hdfs-2pct")
        logs = [p for p in files.values() if p.suffix != ".csv"]
        labels = [p for p in files.values() if p.suffix == ".csv" and "label" in p.name]
        windows = SessionWindows(gap_s=WHOLE_SESSIONS_S, max_length=65_536, growth=())
        return load_windows(LogSpec(logs[0], labels[0]), ParseSettings(format="hdfs"), windows).closed()
    except DataError as error:
        raise BenchError(f"this scenario needs the HDFS sample: {error}") from error


def of_sessions(data: LabelledWindows) -> Labelled:
    """Without what only the engine needs."""
    return Labelled(data.windows, data.labels, data.templates, np.zeros(len(data), np.int64))


@cache
def deeplog_split() -> tuple[Labelled, Labelled]:
    """The DeepLog split: 4,855 normal sequences to train on; the abnormal ones and the sample's normals to test on.

    The split knows event numbers only, so the sample's templates are brought to the same 30 events.
    """
    texts = {
        row["EventId"]: row["EventTemplate"]
        for row in csv.DictReader(_file("hdfs/HDFS_templates.csv").read_text().splitlines())
    }
    events = {name: template_id(text) for name, text in texts.items()}
    templates = {events[name]: text for name, text in texts.items()}
    train, abnormal = (
        [
            [events[f"E{number}"] for number in line.split()]
            for line in lzma.open(_file(f"hdfs/deeplog_split/{f}.xz"), "rt")
        ]
        for f in ("hdfs_train", "hdfs_test_abnormal")
    )
    sample = hdfs_sessions()
    normal = sample.windows.take(np.flatnonzero(~sample.labels))
    event_of = {i: events[_event(text, texts)] for i, text in sample.templates.items() if i in set(normal.ids.tolist())}
    rows = [[event_of[i] for i in normal.row(w).tolist()] for w in range(len(normal))]
    test = Windows.of([*abnormal, *rows])
    labels = np.arange(len(test)) < len(abnormal)
    return (
        Labelled(Windows.of(train), np.zeros(len(train), bool), templates, np.zeros(len(train), np.int64)),
        Labelled(test, labels, templates, np.zeros(len(test), np.int64)),
    )


def _event(text: str, events: Mapping[str, str]) -> str:
    """The event whose pattern matches a template; of several, the one with most words of its own."""
    matching = [name for name, pattern in events.items() if re.fullmatch(_expression(pattern), text)]
    if not matching:
        raise BenchError(f"no event of HDFS_templates.csv matches the template {text!r}")
    return max(matching, key=lambda name: len(events[name].replace("<*>", "")))


def _expression(pattern: str) -> str:
    """A regular expression of an event pattern; what `<*>` represents may be nothing."""
    return r"\s*".join(".*" if part == "<*>" else re.escape(part.strip()) for part in re.split(r"(<\*>)", pattern))


@cache
def bgl_lines() -> Labelled:
    """BGL's 20,000 lines drawn at random, each a window of one line; the group is the template."""
    data = _read(_file("bgl/BGL_20k.log.xz"), "bgl", SlidingWindows(size=1, stride=1))
    _, group = np.unique(data.windows.ids, return_inverse=True)
    return Labelled(data.windows, data.labels, data.templates, group.astype(np.int64))


@cache
def iotdb(window: str) -> tuple[Labelled, tuple[str, ...], tuple[str, ...]]:
    """IoTDB's windows, the group being the scenario; the scenarios' names; and the node of each window.

    Args:
        window: `lines` for windows of 20 lines, `time` for windows of 5 s.
    """
    cut: WindowSettings = (
        SlidingWindows(size=20, stride=20) if window == "lines" else TimeWindows(length_s=5.0, slide_s=5.0)
    )
    parts: list[LabelledWindows] = []
    scenarios: list[str] = []
    nodes: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        with _file("iotdb_multilog.tar.zst").open("rb") as stream:
            with zstandard.ZstdDecompressor().stream_reader(stream) as raw, tarfile.open(fileobj=raw, mode="r|") as tar:
                tar.extractall(folder, filter="data")
        for log in sorted(Path(folder).glob("*/label*.log")):
            parts.append(_read(log, "iotdb", cut))
            scenarios.append(log.parent.name)
            nodes.append(log.stem)
    names = tuple(dict.fromkeys(scenarios))
    group = np.repeat([names.index(s) for s in scenarios], [len(p) for p in parts]).astype(np.int64)
    offsets = np.concatenate([[0], np.cumsum(np.concatenate([p.windows.lengths() for p in parts]))])
    windows = Windows(
        np.concatenate([p.windows.ids for p in parts]), offsets.astype(np.int64),
        np.concatenate([p.windows.closed for p in parts]),
    )  # fmt: skip
    templates = {i: text for p in parts for i, text in p.templates.items()}
    data = Labelled(windows, np.concatenate([p.labels for p in parts]), templates, group)
    return data, names, tuple(node for node, p in zip(nodes, parts, strict=True) for _ in range(len(p)))


def _read(log: Path, format: str, window: WindowSettings) -> LabelledWindows:
    spec = LogSpec(log, anomalous_share=HALF, supervised=False)
    try:
        return load_windows(spec, ParseSettings(format=format), window)
    except DataError as error:
        raise BenchError(str(error)) from error


def _file(path: str) -> Path:
    folder = Folders.of(os.environ).data
    if folder is None or not (folder / path).is_file():
        raise BenchError(f"this scenario needs {path} in the folder that DRIFTLINE_DATA_DIR names")
    return folder / path
