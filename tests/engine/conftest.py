"""Hand-made records and parts that several of the engine's tests build on."""

import lzma
import os
import random
import tarfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from connectors.base import LineBatch
from engine.records import NO_SESSION, ParsedLines, ScoredWindows, WindowBatch
from engine.steps.parse import Parser
from models.base import Windows, template_id
from tests.support.parsing import Answers, expected, feed, make_batch, mutate, new_parser


@dataclass(frozen=True, slots=True)
class W:
    """One window of a hand-made batch; positions and times follow from its place where not given."""

    rows: tuple[int, ...] = (1, 2)
    score: float = 0.0
    key: str = "s"
    partition: str = "p"
    closed: bool = False
    time_ns: int = 0
    first: int = 0
    last: int = 1
    session: int | None = None

    def session_id(self) -> int:
        return self.session if self.session is not None else template_id(self.key)


def _windows(*windows: W, traceparent: str = "") -> WindowBatch:
    def column(values: Sequence[int]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        return np.array(values, np.int64)

    times = column([w.time_ns for w in windows])
    return WindowBatch(
        Windows.of([w.rows for w in windows], [w.closed for w in windows]),
        tuple(w.partition for w in windows),
        column([w.session_id() for w in windows]),
        tuple(w.key for w in windows),
        column([w.first for w in windows]),
        column([w.last for w in windows]),
        times,
        times,
        times,
        times,
        traceparent,
    )


def _scored(*windows: W, threshold: float = 0.5, version: int = 1, traceparent: str = "") -> ScoredWindows:
    scores = np.array([w.score for w in windows], np.float32)
    return ScoredWindows(_windows(*windows, traceparent=traceparent), scores, "model", version, threshold)


@pytest.fixture(scope="session")
def window() -> type[W]:
    """One window, described by what a test cares about."""
    return W


@pytest.fixture(scope="session")
def window_batch() -> Callable[..., WindowBatch]:
    """A `WindowBatch` of hand-made windows."""
    return _windows


@pytest.fixture(scope="session")
def scored() -> Callable[..., ScoredWindows]:
    """`ScoredWindows` of hand-made windows."""
    return _scored


def _lines(lines: Sequence[bytes], partition: str = "p", first: int = 0) -> LineBatch:
    data = b"".join(line + b"\n" for line in lines)
    ends = np.cumsum([len(line) + 1 for line in lines], dtype=np.int64) - 1
    return LineBatch(partition, data, ends, np.arange(first, first + len(lines), dtype=np.int64), 7, 5)


def _parsed(
    lines: Sequence[tuple[bytes, bytes]], *, partition: str = "p", first: int = 0, good: Sequence[int] | None = None
) -> ParsedLines:
    batch = _lines([key + b"|" + text for key, text in lines], partition, first)
    rows = list(range(len(lines))) if good is None else list(good)
    starts = np.concatenate([[0], batch.ends[:-1] + 1]) if lines else np.zeros(0, np.int64)
    sessions = [template_id(lines[i][0].decode("latin-1")) if lines[i][0] else NO_SESSION for i in rows]
    ids = {template_id(text.decode("latin-1")): text.decode("latin-1") for _, text in lines}
    return ParsedLines(
        batch,
        np.array(rows, np.int32),
        np.array(rows, np.int64) * 10,
        np.array([template_id(lines[i][1].decode("latin-1")) for i in rows], np.int64),
        np.array(sessions, np.int64),
        starts[rows].astype(np.int32),
        np.array([int(starts[i]) + len(lines[i][0]) for i in rows], np.int32),
        ids,
        (),
    )


@pytest.fixture(scope="session")
def line_batch() -> Callable[..., LineBatch]:
    """A `LineBatch` of the lines given."""
    return _lines


@pytest.fixture(scope="session")
def parsed_lines() -> Callable[..., ParsedLines]:
    """`ParsedLines` from (session key, text) pairs; `good` names the lines that parsed, else all."""
    return _parsed


@pytest.fixture(scope="session")
def batch_of() -> Callable[..., LineBatch]:
    return make_batch


@pytest.fixture(scope="session")
def answers_of() -> Callable[..., Answers]:
    return feed


@pytest.fixture(scope="session")
def parser_of() -> Callable[..., Parser]:
    return new_parser


@pytest.fixture(scope="session")
def plain_answers_of() -> Callable[..., Answers]:
    return expected


@pytest.fixture(scope="session")
def mutated() -> Callable[[bytes, random.Random], bytes]:
    return mutate


@pytest.fixture(scope="session")
def corpus() -> Callable[[str], list[bytes]]:
    """Lines of a real log by name (`hdfs`, `bgl`, `iotdb`, or a loghub system); skips without the data."""
    folder = os.environ.get("DRIFTLINE_DATA_DIR")
    if not folder or not Path(folder).is_dir():
        pytest.skip("DRIFTLINE_DATA_DIR names no folder with the log data sets")
    root = Path(folder)

    def load(name: str) -> list[bytes]:
        if name in {"hdfs", "bgl"}:
            with lzma.open(root / {"hdfs": "hdfs/HDFS_2pct.log.xz", "bgl": "bgl/BGL_20k.log.xz"}[name]) as file:
                data = file.read()
        else:
            with tarfile.open(root / "loghub_2k.tar.xz") as archive:
                member = archive.extractfile(f"loghub_2k/{name}_2k.log")
                assert member is not None
                data = member.read()
        lines = data.split(b"\n")
        return lines[:-1] if not lines[-1] else lines

    return load
