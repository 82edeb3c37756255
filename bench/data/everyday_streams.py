"""Streams of real logs, and one with a daily rhythm, with a known change at a known place.

A log that is too short is continued by runs of its own lines, taken from anywhere in it: its bursts stay as
they are, and nothing in it changes for good.
"""

import lzma
import os
import tarfile
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import zstandard
from numpy.typing import NDArray

from bench.harness import BenchError
from engine.corpus.data import Folders
from engine.offline.datasets import load_windows
from engine.offline.inputs import LogSpec
from engine.parsing.parse_settings import ParseSettings
from engine.windows.sliding import SlidingWindows
from models.base import Windows, template_id

SIZE, STRIDE = 20, 10
"""Lines of a window, and lines from one window to the next: the defaults of `[window]`."""

_RUN_LINES = (200, 1_000)
"""Lines of the stream that a run lasts."""
_SYSTEMS = ("Apache", "HPC", "Hadoop", "Linux", "OpenSSH", "OpenStack", "Spark", "Zookeeper")
_DAY_S = 86_400
LINES_A_DAY = 120_000
DAYS = 4

Ids = NDArray[np.int64]


class NoTemplateError(BenchError):
    """A log has no template that a change could be made of."""


@dataclass(frozen=True, slots=True)
class StreamLines:
    """Parsed lines in order.

    Attributes:
        ids: int64 (n,): template of each line.
        time_ns: int64 (n,): event time, not descending.
        texts: By template.
    """

    ids: Ids
    time_ns: Ids
    texts: Mapping[int, str]

    def windows(self) -> tuple[Windows, Ids]:
        """Sliding windows, and the event time of each one's last line."""
        starts = np.arange(0, len(self.ids) - SIZE + 1, STRIDE)
        places = starts[:, None] + np.arange(SIZE)
        offsets = np.arange(len(starts) + 1, dtype=np.int64) * SIZE
        return Windows(self.ids[places].ravel(), offsets, np.ones(len(starts), bool)), self.time_ns[starts + SIZE - 1]

    def shares(self, start: int, stop: int) -> dict[int, float]:
        """The share of the windows in lines `start` to `stop` that hold each template."""
        windows, _ = StreamLines(self.ids[start:stop], self.time_ns[start:stop], self.texts).windows()
        pairs = np.unique(np.stack([np.repeat(np.arange(len(windows)), SIZE), windows.ids], 1), axis=0)
        found, counts = np.unique(pairs[:, 1], return_counts=True)
        return dict(zip(found.tolist(), (counts / len(windows)).tolist(), strict=True))


@dataclass(frozen=True, slots=True)
class StreamChange:
    """What changes in a stream, and the templates that a good event names."""

    lines: StreamLines
    carriers: frozenset[int]


def everyday_logs(lines: int, seed: int) -> dict[str, StreamLines]:
    """Streams without a change, by name; `lines` each, fewer for HDFS if its sample is shorter.

    Raises:
        BenchError: a log is not in the data folder.
    """
    parsed = _parsed()
    rng = np.random.default_rng(seed)
    made = {name: _continued(parsed[name], lines, rng) for name in ("hdfs", "bgl", "iotdb")}
    made["loghub"] = _mixed([parsed[name] for name in _SYSTEMS], lines, rng)
    return made


def system_lines(name: str) -> StreamLines:
    """The parsed sample of one of loghub's systems.

    Raises:
        BenchError: a log is not in the data folder.
    """
    return _parsed()[name]


def daily_rhythm(days: int = DAYS, seed: int = 0) -> StreamLines:
    """Web traffic by day, batch jobs by night, and what runs always; the rate of lines varies with the hour."""
    rng = np.random.default_rng(seed)
    seconds = np.arange(days * _DAY_S)
    hour = seconds / 3_600 % 24
    busy = 0.5 - 0.45 * np.cos(2 * np.pi * (hour - 3) / 24)  # least at three at night, most at three in the afternoon
    count = rng.poisson(busy / busy.mean() * LINES_A_DAY / _DAY_S)
    at = np.repeat(seconds, count)
    kinds = {"web": 12, "batch": 6, "base": 10}
    names = [f"{kind} {chr(97 + i)} event <*>" for kind, n in kinds.items() for i in range(n)]
    weights = np.random.default_rng(1).dirichlet(np.ones(len(names)) * 2)
    web, batch = np.array([[name.startswith(kind) for name in names] for kind in ("web", "batch")])
    ids = np.array([template_id(name) for name in names])
    drawn = np.empty(len(at), np.int64)
    hours = (at // 600).astype(np.int64)  # shares vary from one ten minutes to the next
    for part in np.unique(hours).tolist():
        here = np.flatnonzero(hours == part)
        level = busy[at[here[0]]]
        shares = weights * np.where(web, level, np.where(batch, (1 - level) ** 3, 0.5))
        shares *= rng.gamma(50, 1 / 50, len(shares))
        drawn[here] = ids[rng.choice(len(names), len(here), p=shares / shares.sum())]
    return StreamLines(drawn, at.astype(np.int64) * 10**9, dict(zip(ids.tolist(), names, strict=True)))


# --- changes -------------------------------------------------------------------------------------


def new_component(lines: StreamLines, at: int) -> StreamChange:
    """Three new templates make up 5 % of the lines."""
    texts = {template_id(t): t for t in ("pool <*> leased to <IP>", "pool <*> renewed", "pool <*> returned by <IP>")}
    return StreamChange(_inserted(lines, at, list(texts), 0.05, texts), frozenset(texts))


def vanished(lines: StreamLines, at: int) -> StreamChange:
    """A template that about a fifth of the windows held is gone."""
    chosen = _with_share(lines, at, 0.19)
    keep = (np.arange(len(lines.ids)) < at) | (lines.ids != chosen)
    return StreamChange(StreamLines(lines.ids[keep], lines.time_ns[keep], lines.texts), frozenset([chosen]))


def tripled(lines: StreamLines, at: int) -> StreamChange:
    """Three times as many windows hold a template that about a sixth of them held."""
    chosen = _with_share(lines, at, 0.15)
    share = lines.shares(0, at)[chosen]
    rate = 1 - (1 - min(3 * share, 0.9)) ** (1 / SIZE) - (1 - (1 - share) ** (1 / SIZE))
    return StreamChange(_inserted(lines, at, [chosen], rate, {}), frozenset([chosen]))


def renamed(lines: StreamLines, at: int) -> StreamChange:
    """A release words a template differently."""
    chosen = _with_share(lines, at, 0.3)
    text = f"worker reports: {lines.texts[chosen]}"
    ids = np.where((np.arange(len(lines.ids)) >= at) & (lines.ids == chosen), template_id(text), lines.ids)
    changed = replace(lines, ids=ids, texts={**lines.texts, template_id(text): text})
    return StreamChange(changed, frozenset([chosen, template_id(text)]))


CHANGES: Mapping[str, Callable[[StreamLines, int], StreamChange]] = {
    "new_component": new_component,
    "vanished": vanished,
    "tripled": tripled,
    "renamed": renamed,
}


def _with_share(lines: StreamLines, at: int, wanted: float) -> int:
    """The template whose share of the windows before `at` is nearest to `wanted`, and that comes afterwards too."""
    before, after = lines.shares(0, at), lines.shares(at, len(lines.ids))
    # Only of templates that do not come or go by themselves: else the log's own change would be found.
    steady = {
        t: share
        for t, share in before.items()
        if 0.5 * share <= after.get(t, 0.0) <= 2 * share and wanted / 2 <= share <= 3 * wanted
    }
    if not steady:
        raise NoTemplateError(f"no template of this log is in about {wanted:.0%} of the windows all along")
    return min(steady, key=lambda template: abs(steady[template] - wanted))


def _inserted(lines: StreamLines, at: int, ids: Sequence[int], rate: float, texts: Mapping[int, str]) -> StreamLines:
    """The lines with others put among those from `at` on: `rate` of what is there then."""
    rng = np.random.default_rng(at)
    more = rng.binomial(1, min(0.9, rate / (1 - rate)), len(lines.ids) - at).astype(bool)
    places = at + np.flatnonzero(more)
    new = rng.choice(np.array(ids), len(places))
    return StreamLines(
        np.insert(lines.ids, places, new), np.insert(lines.time_ns, places, lines.time_ns[places]),
        {**lines.texts, **texts},
    )  # fmt: skip


# --- logs ----------------------------------------------------------------------------------------


def _continued(lines: StreamLines, n: int, rng: np.random.Generator, others: int = 0) -> StreamLines:
    """`n` lines in runs of the log's own, from anywhere in it; shorter ones where it shares a stream with others."""
    parts, have = [], 0
    while have < n:
        length = int(rng.integers(*_RUN_LINES)) // (1 + others)
        start = int(rng.integers(0, len(lines.ids) - length))
        parts.append(lines.ids[start : start + length])
        have += length
    return StreamLines(np.concatenate(parts)[:n], _even(n), lines.texts)


def _mixed(logs: Sequence[StreamLines], n: int, rng: np.random.Generator) -> StreamLines:
    """`n` lines of several systems that log at the same time, each in short runs."""
    sources = [_continued(log, n // len(logs) + _RUN_LINES[1], rng, len(logs) - 1).ids for log in logs]
    places = [0] * len(sources)
    parts, have = [], 0
    while have < n:
        system, length = int(rng.integers(len(sources))), int(rng.integers(1, 30))
        if places[system] + length > len(sources[system]):
            places[system] = 0
        parts.append(sources[system][places[system] : places[system] + length])
        places[system] += length
        have += length
    texts = {template: text for log in logs for template, text in log.texts.items()}
    return StreamLines(np.concatenate(parts)[:n], _even(n), texts)


def _even(n: int) -> Ids:
    return np.arange(n, dtype=np.int64) * 720_000_000  # 120,000 lines a day


@cache
def _parsed() -> dict[str, StreamLines]:
    folder = Folders.of(os.environ).data
    names = ("hdfs/HDFS_2pct.log.xz", "bgl/BGL_first10k.log.xz", "iotdb_multilog.tar.zst", "loghub_2k.tar.xz")
    if folder is None or not all((folder / name).is_file() for name in names):
        raise BenchError(f"this scenario needs {', '.join(names)} in the folder that DRIFTLINE_DATA_DIR names")
    found = {"hdfs": _read(folder / names[0], "hdfs"), "bgl": _read(folder / names[1], "bgl")}
    with tempfile.TemporaryDirectory() as name:
        target = Path(name)
        with (folder / names[2]).open("rb") as stream:
            with zstandard.ZstdDecompressor().stream_reader(stream) as raw, tarfile.open(fileobj=raw, mode="r|") as tar:
                tar.extractall(target, filter="data")
        found["iotdb"] = _read(sorted(target.glob("*/label1.log"))[0], "iotdb")
        with lzma.open(folder / names[3]) as raw_2k, tarfile.open(fileobj=raw_2k) as tar:
            tar.extractall(target, filter="data")
        found |= {system: _read(target / "loghub_2k" / f"{system}_2k.log", "auto") for system in _SYSTEMS}
    return found


def _read(path: Path, format: str) -> StreamLines:
    data = load_windows(LogSpec(path, supervised=False), ParseSettings(format=format), SlidingWindows(size=1, stride=1))
    return StreamLines(data.windows.ids.astype(np.int64), np.maximum.accumulate(data.last_ns), dict(data.templates))
