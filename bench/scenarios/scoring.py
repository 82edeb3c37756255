"""Scenario score-windows: BERT-CNN on one core, next to the plain convolution of the same network."""

import time
from collections.abc import Callable

import numpy as np
import torch

from bench.data.detection_data import hdfs_sessions
from bench.harness import Outcome, Run, Scenario, Target
from models.base import Templates, Windows
from models.detectors.bert_cnn import BertCnn, BertCnnNetwork, BertCnnSettings
from models.detectors.checks import make_workload
from models.text.ragged import marked, padded
from models.training.scoring import WindowScorer


def score_windows(run: Run) -> Outcome:
    """Windows per second without and with duplicates; the best of several alternating rounds.

    Without duplicates: every window is a different random row of the log's templates, and nothing
    is remembered from one round to the next. With duplicates: the log's own sessions through the
    scorer in service, which starts each round with an empty memory. `device` is `cpu` or `cuda`.
    """
    count, lines = run.setting("windows", 20_000), run.setting("lines", 20)
    rounds, batch = run.setting("rounds", 5), run.setting("batch_windows", 4096)
    encoder, plain_count = run.setting("encoder", "minilm"), run.setting("plain_windows", 2048)
    data = hdfs_sessions()
    detector = _detector(encoder, data.templates, run.setting("device", "cpu"))
    ids = np.fromiter(data.templates, np.int64, len(data.templates))
    rows = np.random.default_rng(0).choice(ids, (count, lines))
    fresh = Windows(rows.ravel(), np.arange(count + 1) * lines, np.ones(count, bool))
    few = fresh.take(np.arange(min(count, plain_count)))
    repeats = max(1, 100_000 // len(data.windows))
    sessions = data.windows.take(np.tile(np.arange(len(data.windows)), repeats))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    best = dict.fromkeys(("folded", "duplicates", "plain"), 0.0)
    try:
        detector.score(few)
        for done in range(rounds):
            scorer = WindowScorer(detector, 1, 0.5)
            best["folded"] = max(best["folded"], _rate(fresh, batch, detector.score))
            best["duplicates"] = max(best["duplicates"], _rate(sessions, batch, scorer.score))
            best["plain"] = max(best["plain"], _rate(few, 64, lambda w: _plain(detector, w)))
            run.progress("score", done + 1, rounds)
    finally:
        torch.set_num_threads(threads)
    apart = float(np.abs(detector.score(few) - _plain(detector, few)).max())
    metrics = {
        "windows_per_s": best["folded"],
        "windows_per_s_duplicates": best["duplicates"],
        "ratio": best["folded"] / best["plain"],
        "largest_difference": apart,
    }
    return Outcome(metrics, {"plain_convolution": {"windows_per_s": best["plain"]}})


def _detector(encoder: str, templates: Templates, device: str) -> BertCnn:
    """A detector of the default architecture; its training is short, since speed does not depend on it."""
    workload = make_workload()
    detector = BertCnn(BertCnnSettings.model_validate({"encoder": encoder, "training": {"epochs": 1}}), device=device)
    detector.fit(workload.windows, workload.labels, workload.templates)
    detector.learn_templates(templates)
    return detector


def _rate(windows: Windows, batch: int, score: Callable[[Windows], object]) -> float:
    parts = [windows.take(np.arange(a, min(a + batch, len(windows)))) for a in range(0, len(windows), batch)]
    start = time.perf_counter()
    for part in parts:
        score(part)
    return len(windows) / (time.perf_counter() - start)


def _plain(detector: BertCnn, windows: Windows) -> "np.ndarray[tuple[int], np.dtype[np.float32]]":
    """The same scores by convolutions over embeddings, all windows in one rectangle."""
    network, table = detector.network, detector.embeddings.table
    assert isinstance(network, BertCnnNetwork)
    tokens, offsets = marked(windows, table.lookup(windows.ids))
    rectangle, lengths = padded(tokens, offsets, np.arange(len(windows)), max(network.kernels))
    with torch.inference_mode():
        on = network.bias.device
        logits = network.plain(*(torch.from_numpy(part).to(on) for part in (table.vectors, rectangle, lengths)))
        scores: np.ndarray[tuple[int], np.dtype[np.float32]] = torch.sigmoid(logits).cpu().numpy()
        return scores


SCORE_WINDOWS = Scenario(
    "score-windows",
    "bert_cnn on one core: windows without duplicates, and with HDFS's own",
    score_windows,
    {
        "windows_per_s": Target(goal=25_000, floor=15_000, tolerance=0.15),
        "windows_per_s_duplicates": Target(goal=300_000, floor=100_000, tolerance=0.15),
    },
    detectors=("bert_cnn",),
)
