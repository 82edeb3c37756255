"""Scenarios `parse-*`: the parse step next to plain Drain3, over the same lines in the same order.

- `parse-hdfs`: one whole log.
- `parse-real`: several whole logs, each line once: every node of the IoTDB logs, the first 10,000 lines of
  BGL, each sample of loghub, HDFS.
- `parse-loghub`: the sixteen samples of loghub, each line once, their formats detected.
- `parse-loghub-repeated`: the same samples over and over: the cost of a line whose like was seen before.
- `parse-cold`: lines of which no two are alike, with words drawn from 50,000.

Both sides begin with nothing learnt for every log. Drain3 gets the same masks and settings, and decoded
messages without their headers; Driftline gets raw bytes and also gives event time, session key and fields.
Runs alternate, so that both meet the same machine; medians count. Seconds are seconds of the processor,
because each side is one thread and other processes should not count. Freed memory is kept, as in the
engine, and compiled code is loaded before. The peer whose time counts is Drain3 as it is; the clusters are
compared with Drain3 with the rule for antonyms (`bench.peers.guarded_drain`), which is slower.
"""

import io
import lzma
import os
import random
import statistics
import tarfile
import time
from collections.abc import Iterator

import numpy as np
import zstandard
from numpy.typing import NDArray

from bench.data.loghub import samples
from bench.data.workloads import base_log
from bench.harness import BenchError, Outcome, Run, Scenario, Target
from bench.peers.guarded_drain import miner_of
from connectors.base import LineBatch
from engine.corpus.data import Folders
from engine.formats.loghub import FORMAT_OF
from engine.formats.registry import find
from engine.parsing.template_rules import template_rules
from engine.parsing.template_settings import TemplateSettings
from engine.runtime.malloc import keep_freed_memory
from engine.steps.parse import Parser, ParseSettings

WORDS = 50_000
_WARM = [b"081109 203615 148 INFO dfs.DataNode: warm up %d" % i for i in range(3)]


def parse_hdfs(run: Run) -> Outcome:
    """See the module. Settings: `lines` (0: all), `repeats`, `batch_lines`."""
    log = base_log()
    run.settings["data"] = log.origin
    lines = log.data.split(b"\n")[:-1][: run.setting("lines", 0) or None]
    found = _Compared.of(run, "hdfs", "hdfs", lines, run.setting("repeats", 5))
    metrics = {"lines_per_s": len(lines) / found.ours, "ratio": found.ratio, "same_cluster_share": found.same}
    return Outcome(metrics | {"templates": found.templates}, {"drain3": {"lines_per_s": len(lines) / found.peers}})


def parse_real(run: Run) -> Outcome:
    """See the module. Settings: `repeats`, `batch_lines`, `nodes` of IoTDB (0: all), `detect`."""
    found = {}
    for name, format, lines in _real_logs(run.setting("nodes", 0)):
        given = "auto" if run.setting("detect", False) else format
        found[name] = _Compared.of(run, name, format, lines, run.setting("repeats", 1), given=given)
    return _over(found)


def parse_loghub(run: Run) -> Outcome:
    """See the module. Settings: `repeats`, `batch_lines`."""
    repeats = run.setting("repeats", 3)
    return _over({
        system: _Compared.of(run, system, FORMAT_OF[system], sample.lines, repeats, given="auto")
        for system, sample in samples().items()
    })  # fmt: skip


def parse_loghub_repeated(run: Run) -> Outcome:
    """See the module. Settings: `lines` of all samples together, `batch_lines`."""
    lines = run.setting("lines", 640_000)
    found = {}
    for system, sample in samples().items():
        times = max(1, lines // (len(FORMAT_OF) * len(sample.lines)))
        found[system] = _Compared.of(run, system, FORMAT_OF[system], sample.lines * times, 1, given="auto")
    return _over(found)


def parse_cold(run: Run) -> Outcome:
    """See the module. Settings: `lines` for Driftline, `peer_lines` for both, `batch_lines`."""
    keep_freed_memory()
    count, few = run.setting("lines", 1_000_000), run.setting("peer_lines", 20_000)
    compared = _Compared.of(run, "cold", "raw", list(cold_lines(few)), 1)
    lines = list(cold_lines(count))
    batches = cut(lines, run.setting("batch_lines", 4096))
    settings = ParseSettings.model_validate({"format": "raw", "templates": {"max_templates": 10 * count}})
    run.progress("cold, all lines", 0, 1)
    seconds = time_batches(settings, batches)
    tenth = max(1, len(seconds) // 10)
    slope = float(np.mean(seconds[-tenth:]) / np.mean(seconds[:tenth]))
    metrics = {
        "lines_per_s": count / sum(seconds),
        "ratio": compared.ratio,
        "slope": slope,
        "same_cluster_share": compared.same,
        "lines": count,
    }
    return Outcome(metrics, {"drain3": {"lines_per_s": few / compared.peers, "lines": few}})


def cold_lines(count: int, seed: int = 0) -> Iterator[bytes]:
    """Lines of 4 to 12 words, of which no two are alike."""
    rng = random.Random(seed)
    words = ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randrange(3, 11))) for _ in range(WORDS)]
    for _ in range(count):
        yield " ".join(rng.choices(words, k=rng.randrange(4, 13))).encode()


class _Compared:
    """Seconds of both sides over one log, and how far their clusters agree."""

    def __init__(self, ours: list[float], peers: list[float], same: float, lines: int, templates: int) -> None:
        self.ours, self.peers = statistics.median(ours), statistics.median(peers)
        self.same, self.lines, self.templates = same, lines, templates

    @property
    def ratio(self) -> float:
        return self.peers / self.ours

    @staticmethod
    def of(run: Run, name: str, format: str, lines: list[bytes], repeats: int, *, given: str = "") -> "_Compared":
        """Measures one log; `given` is the format in Driftline's settings, the log's own by default."""
        keep_freed_memory()
        settings = ParseSettings(format=given or format)
        plain = ParseSettings(format=format)
        rules = template_rules(find(format), plain)
        batches = cut(lines, run.setting("batch_lines", 4096))
        time_parser(settings, cut(_WARM, 10))
        messages = _messages(plain, batches)
        ours, peers = [], []
        for i in range(repeats):
            run.progress(name, 2 * i, 2 * repeats)
            seconds, clusters = time_parser(settings, batches)
            ours.append(seconds)
            run.progress(f"{name}, drain3", 2 * i + 1, 2 * repeats)
            peers.append(time_drain3(rules, messages)[0])
        _, reference = time_drain3(rules, messages, guarded=True)
        same = float(np.mean(clusters == reference)) if len(clusters) == len(reference) else 0.0
        return _Compared(ours, peers, same, len(lines), int(reference.max()))


def _over(found: dict[str, _Compared]) -> Outcome:
    """The mean over logs, and the worst of them."""
    lines, ours = sum(f.lines for f in found.values()), sum(f.ours for f in found.values())
    peers = sum(f.peers for f in found.values())
    ratios = {name: f.ratio for name, f in found.items()}
    metrics: dict[str, float] = {
        "lines_per_s": lines / ours,
        "ratio": statistics.mean(ratios.values()),
        "ratio_min": min(ratios.values()),
        "same_cluster_share": sum(f.same * f.lines for f in found.values()) / lines,
        "lines": lines,
    }
    metrics |= {f"ratio_{name.lower()}": ratio for name, ratio in ratios.items()}
    return Outcome(metrics, {"drain3": {"lines_per_s": lines / peers, "lines": lines}})


def _real_logs(nodes: int) -> Iterator[tuple[str, str, list[bytes]]]:
    """Name, format and lines of every whole log in the data folder."""
    folder = Folders.of(os.environ).data
    if folder is None:
        raise BenchError("this scenario needs the logs in the folder that DRIFTLINE_DATA_DIR names")
    yield "hdfs", "hdfs", base_log().data.split(b"\n")[:-1]
    bgl = lzma.decompress((folder / "bgl" / "BGL_first10k.log.xz").read_bytes())
    yield "bgl", "bgl", bgl.removesuffix(b"\n").split(b"\n")
    for system, sample in samples().items():
        yield system, FORMAT_OF[system], sample.lines
    with (folder / "iotdb_multilog.tar.zst").open("rb") as file:
        data = io.BytesIO(zstandard.ZstdDecompressor().stream_reader(file).read())
    with tarfile.open(fileobj=data) as archive:
        logs = [m for m in archive.getmembers() if m.isfile() and not m.name.endswith("inject.log")]
        for member in logs[: nodes or None]:
            opened = archive.extractfile(member)
            text = b"" if opened is None else opened.read()
            if text.count(b"\n") > 1000:
                yield f"iotdb-{member.name}", "iotdb", text.removesuffix(b"\n").split(b"\n")


def _messages(settings: ParseSettings, batches: list[LineBatch]) -> list[str]:
    """The messages of the lines that count as records, in order."""
    parser, found = Parser(settings, lambda partition, position: f"{partition}/{position}"), []
    for batch in batches:
        parsed = parser.parse(batch)
        found += [parsed.fields(row).message for row in parsed.good.rows.tolist()]
    return found


def cut(lines: list[bytes], batch_lines: int) -> list[LineBatch]:
    """The lines as the batches that a source would hand out."""
    batches = []
    now = time.time_ns()
    for first in range(0, len(lines), batch_lines):
        part = lines[first : first + batch_lines]
        ends = np.cumsum([len(line) + 1 for line in part], dtype=np.int64) - 1
        positions = np.arange(first, first + len(part), dtype=np.int64)
        batches.append(LineBatch("bench", b"\n".join(part) + b"\n", ends, positions, now, now))
    return batches


def time_parser(settings: ParseSettings, batches: list[LineBatch]) -> tuple[float, NDArray[np.int32]]:
    """Seconds for all batches, and Drain's cluster of every record."""
    parser = Parser(settings, lambda partition, position: f"{partition}/{position}")
    clusters = []
    started = time.process_time()
    for batch in batches:
        clusters.append(parser.parse(batch).cluster)
    return time.process_time() - started, np.concatenate(clusters)


def time_batches(settings: ParseSettings, batches: list[LineBatch]) -> list[float]:
    """Seconds for each batch."""
    parser = Parser(settings, lambda partition, position: f"{partition}/{position}")
    seconds = []
    for batch in batches:
        started = time.process_time()
        parser.parse(batch)
        seconds.append(time.process_time() - started)
    return seconds


def time_drain3(
    settings: TemplateSettings, messages: list[str], *, guarded: bool = False
) -> tuple[float, NDArray[np.int32]]:
    """Seconds for all messages through `TemplateMiner`, and their clusters."""
    miner = miner_of(settings, guarded=guarded)
    started = time.process_time()
    clusters = [miner.add_log_message(message)["cluster_id"] for message in messages]
    return time.process_time() - started, np.array(clusters, np.int32)


_SAME = Target(goal=1.0, floor=0.9999, tolerance=0.0001)

PARSE_HDFS = Scenario(
    "parse-hdfs",
    "Header, timestamp, session key and template id of the HDFS sample in real order, next to plain Drain3",
    parse_hdfs,
    {
        "lines_per_s": Target(tolerance=0.15),
        "ratio": Target(goal=15, floor=10, tolerance=0.15),
        "same_cluster_share": _SAME,
    },
)

PARSE_REAL = Scenario(
    "parse-real",
    "Whole real logs, each line once and in order, next to plain Drain3 with the same masks",
    parse_real,
    {
        "lines_per_s": Target(tolerance=0.15),
        "ratio": Target(goal=20, floor=10, tolerance=0.15),
        "ratio_min": Target(goal=10, floor=5, tolerance=0.15),
        "same_cluster_share": _SAME,
    },
)

PARSE_COLD = Scenario(
    "parse-cold",
    "No two lines alike, words drawn from 50,000, next to plain Drain3; the cost of a line over a million",
    parse_cold,
    {
        "lines_per_s": Target(tolerance=0.15),
        "ratio": Target(goal=15, floor=5, tolerance=0.15),
        "slope": Target(better="lower", goal=1.2, floor=2.0, tolerance=0.15),
        "same_cluster_share": _SAME,
    },
)

PARSE_LOGHUB = Scenario(
    "parse-loghub",
    "Sixteen formats, each detected, lines once, with header fields and template ids, next to plain Drain3",
    parse_loghub,
    {
        "lines_per_s": Target(tolerance=0.15),
        "ratio": Target(goal=10, floor=5, tolerance=0.15),
        "same_cluster_share": _SAME,
    },
)

PARSE_LOGHUB_REPEATED = Scenario(
    "parse-loghub-repeated",
    "The sixteen samples over and over: lines whose like was seen before, next to plain Drain3",
    parse_loghub_repeated,
    {"lines_per_s": Target(tolerance=0.15), "ratio": Target(tolerance=0.15), "same_cluster_share": _SAME},
)
