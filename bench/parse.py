"""Scenario `parse-hdfs`: the parse step over a whole log in its real order, beside plain Drain3.

Both begin with nothing learnt, in every repetition. Drain3 gets the same masks and settings, and the
messages with their headers already taken off and decoded; Driftline gets raw bytes and gives event
time, session key and template id besides. The repetitions alternate, so that both meet the same
machine; medians count.
"""

import statistics
import time

import numpy as np
from drain3 import TemplateMiner  # type: ignore[import-untyped]
from drain3.masking import MaskingInstruction  # type: ignore[import-untyped]
from drain3.template_miner_config import TemplateMinerConfig  # type: ignore[import-untyped]
from numpy.typing import NDArray

from bench.harness import Outcome, Run
from bench.workloads import base_log
from connectors.base import LineBatch
from engine.parse import Parser, ParseSettings
from engine.parsing.templates import TemplateSettings


def parse_hdfs(run: Run) -> Outcome:
    """See the module. Settings: `lines` (0: all), `repeats`, `batch_lines`."""
    log = base_log()
    run.settings["data"] = log.origin
    count = run.setting("lines", 0)
    lines = log.data.split(b"\n")[:-1][: count or None]
    settings = ParseSettings(format="hdfs")
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
        seconds, reference = time_drain3(settings.templates, messages)
        peers.append(seconds)
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
        parser.parse(batch)
        clusters.append(parser.cluster)
    return time.perf_counter() - started, np.concatenate(clusters)


def time_drain3(settings: TemplateSettings, messages: list[str]) -> tuple[float, NDArray[np.int32]]:
    """Seconds for all messages through `TemplateMiner`, and their clusters."""
    config = TemplateMinerConfig()
    config.drain_sim_th, config.drain_depth = settings.similarity, settings.depth
    config.drain_max_children = settings.max_children
    config.masking_instructions = [MaskingInstruction(mask.pattern, mask.name) for mask in settings.masks]
    miner = TemplateMiner(config=config)
    started = time.perf_counter()
    clusters = [miner.add_log_message(message)["cluster_id"] for message in messages]
    return time.perf_counter() - started, np.array(clusters, np.int32)
