"""Scenarios `parse-hdfs` and `parse-loghub`: the parse step next to plain Drain3.

`parse-hdfs` is one whole log in its real order. `parse-loghub` repeats the sixteen samples of loghub
one after the other, sources of different formats in one stream each, with detection and the places
of all header fields; its peer gets the messages and knows their formats.

Both begin with nothing learnt, in every repetition. Drain3 gets the same masks and settings, and the
messages with their headers already taken off and decoded; Driftline gets raw bytes and gives event
time, session key and template id besides. The repetitions alternate, so that both meet the same
machine; medians count. Freed memory is kept, as in the engine. The peer whose time counts is Drain3 as
it is; that the clusters are the same is shown against Drain3 with the guard of
`engine.parsing.antonyms`, which is slower.
"""

import statistics
import time

import numpy as np
from drain3 import TemplateMiner  # type: ignore[import-untyped]
from drain3.masking import MaskingInstruction  # type: ignore[import-untyped]
from drain3.template_miner_config import TemplateMinerConfig  # type: ignore[import-untyped]
from numpy.typing import NDArray

from bench.data.loghub import samples
from bench.data.workloads import base_log
from bench.harness import Outcome, Run, Scenario, Target
from connectors.base import LineBatch
from engine.formats.loghub import FORMAT_OF
from engine.formats.registry import find
from engine.parsing.antonyms import GuardedDrain
from engine.parsing.format_router import template_rules
from engine.parsing.templates import TemplateSettings
from engine.runtime.malloc import keep_freed_memory
from engine.steps.parse import Parser, ParseSettings


def parse_hdfs(run: Run) -> Outcome:
    """See the module. Settings: `lines` (0: all), `repeats`, `batch_lines`."""
    keep_freed_memory()
    log = base_log()
    run.settings["data"] = log.origin
    count = run.setting("lines", 0)
    lines = log.data.split(b"\n")[:-1][: count or None]
    settings = ParseSettings(format="hdfs")
    rules = template_rules(find(settings.format), settings)
    batches = cut(lines, run.setting("batch_lines", 4096))
    repeats = run.setting("repeats", 5)
    messages = [line.split(b": ", 1)[1].decode() for line in lines]
    ours, peers = [], []
    same = 0.0
    for i in range(repeats):
        run.progress("parse", i, repeats)
        seconds, clusters = time_parser(settings, batches)
        ours.append(seconds)
        run.progress("drain3", i, repeats)
        seconds, _ = time_drain3(rules, messages)
        peers.append(seconds)
        run.progress("drain3, guarded", i, repeats)
        _, reference = time_drain3(rules, messages, guarded=True)
        same = float(np.mean(clusters == reference))
    fast, slow = statistics.median(ours), statistics.median(peers)
    return Outcome(
        {
            "lines_per_s": len(lines) / fast,
            "ratio": slow / fast,
            "same_cluster_share": same,
            "templates": int(reference.max()),
        },
        {"drain3": {"lines_per_s": len(lines) / slow}},
    )


def parse_loghub(run: Run) -> Outcome:
    """See the module. Settings: `lines` over all samples, `peer_lines`, `batch_lines`."""
    keep_freed_memory()
    found = samples()
    lines, peer_lines = run.setting("lines", 5_000_000), run.setting("peer_lines", 320_000)
    batch_lines = run.setting("batch_lines", 4096)
    ours = peers = 0.0
    read = done = same = compared = 0
    for i, (system, sample) in enumerate(found.items()):
        run.progress(system, i, len(found))
        repeats = max(1, lines // (len(found) * len(sample.lines)))
        batches = cut(sample.lines * repeats, batch_lines)
        seconds, clusters = time_parser(ParseSettings(format="auto"), batches)
        ours, read = ours + seconds, read + repeats * len(sample.lines)
        repeats = max(1, peer_lines // (len(found) * len(sample.lines)))
        settings = ParseSettings(format=FORMAT_OF[system])
        alone = Parser(settings, lambda partition, position: f"{partition}/{position}")
        messages = [alone.take_apart(line, batches[0].read_ns).message for line in sample.lines] * repeats
        rules = template_rules(find(settings.format), settings)
        seconds, _ = time_drain3(rules, messages)
        peers, done = peers + seconds, done + len(messages)
        _, reference = time_drain3(rules, messages, guarded=True)
        common = min(len(reference), len(clusters))
        same += int(np.sum(clusters[:common] == reference[:common]))
        compared += common
    speed, peer_speed = read / ours, done / peers
    metrics = {"lines_per_s": speed, "ratio": speed / peer_speed, "same_cluster_share": same / compared, "lines": read}
    return Outcome(metrics, {"drain3": {"lines_per_s": peer_speed, "lines": done}})


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
    """Seconds for all batches, and Drain's cluster of every line."""
    parser = Parser(settings, lambda partition, position: f"{partition}/{position}")
    clusters = []
    started = time.perf_counter()
    for batch in batches:
        clusters.append(parser.parse(batch).cluster)
    return time.perf_counter() - started, np.concatenate(clusters)


def time_drain3(
    settings: TemplateSettings, messages: list[str], *, guarded: bool = False
) -> tuple[float, NDArray[np.int32]]:
    """Seconds for all messages through `TemplateMiner`, and their clusters."""
    config = TemplateMinerConfig()
    config.drain_sim_th, config.drain_depth = settings.similarity, settings.depth
    config.drain_max_children = settings.max_children
    config.masking_instructions = [MaskingInstruction(mask.pattern, mask.name) for mask in settings.masks]
    miner = TemplateMiner(config=config)
    if guarded:
        miner.drain = GuardedDrain(depth=settings.depth, sim_th=settings.similarity, max_children=settings.max_children)
    started = time.perf_counter()
    clusters = [miner.add_log_message(message)["cluster_id"] for message in messages]
    return time.perf_counter() - started, np.array(clusters, np.int32)


PARSE_HDFS = Scenario(
    "parse-hdfs",
    "Header, timestamp, session key and template id of the HDFS sample in real order, next to plain Drain3",
    parse_hdfs,
    {
        "lines_per_s": Target(tolerance=0.15),
        "ratio": Target(goal=15, floor=10, tolerance=0.15),
        "same_cluster_share": Target(goal=1.0, floor=0.9999, tolerance=0.0001),
    },
)

PARSE_LOGHUB = Scenario(
    "parse-loghub",
    "Sixteen formats, each detected, with header fields and template ids, next to plain Drain3 with the same masks",
    parse_loghub,
    {
        "lines_per_s": Target(tolerance=0.15),
        "ratio": Target(goal=10, floor=5, tolerance=0.15),
        "same_cluster_share": Target(goal=1.0, floor=0.9999, tolerance=0.0001),
    },
)
