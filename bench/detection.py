"""Scenario detect-hdfs-8020: detection on the HDFS sample, 80/20 by session at random, five seeds."""

import tempfile
import time
from functools import cache
from pathlib import Path

import numpy as np

from bench.harness import BenchError, Outcome, Run
from engine.corpus.data import DataError, find
from engine.corpus.datasets import LabelledWindows, LogSpec, load_windows, split_by_session
from engine.parse import ParseSettings
from engine.windows.sessions import SessionWindows
from models.metrics import Confusion, confusion
from models.training import TrainSettings, train

WHOLE_SESSIONS_S = 3e8
"""A gap longer than the log, so that a session is all lines of its block, as in the published figures."""
VARIANTS = {
    "bert_cnn": TrainSettings.model_validate({"detector": "bert_cnn"}),
    "event_counts": TrainSettings.model_validate({"detector": "event_counts"}),
    "event_counts_logistic": TrainSettings.model_validate(
        {"detector": "event_counts", "settings": {"head": "logistic"}}
    ),
}


@cache
def labelled_windows() -> LabelledWindows:
    """The HDFS sample's sessions as the engine parses and cuts them, complete ones only.

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


def detect_hdfs_8020(run: Run) -> Outcome:
    """Precision, recall and F1 on the test sessions, mean over seeds.

    Per seed: 20 % of the sessions are the test set; of the others a fifth is held out for early
    stopping and for the threshold, which the test set never touches.
    """
    seeds, share = run.setting("seeds", 5), run.setting("test_share", 0.2)
    data = labelled_windows()
    counted: dict[str, list[Confusion]] = {name: [] for name in VARIANTS}
    train_s, score_s = dict.fromkeys(VARIANTS, 0.0), dict.fromkeys(VARIANTS, 0.0)
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(seeds):
            test, rest = split_by_session(data, share, seed=seed)
            for name, settings in VARIANTS.items():
                start = time.perf_counter()
                trained = train(
                    rest.windows, rest.labels, rest.templates, settings.model_copy(update={"seed": seed}),
                    cache=Path(folder),
                )  # fmt: skip
                fitted = time.perf_counter()
                scores = trained.detector.score(test.windows)
                counted[name].append(confusion(scores, test.labels, trained.threshold))
                train_s[name] += (fitted - start) / seeds
                score_s[name] += (time.perf_counter() - fitted) / seeds
            run.progress("seeds", seed + 1, seeds)
    figures = {n: _figures(c) | {"train_s": train_s[n], "score_s": score_s[n]} for n, c in counted.items()}
    named = {f"{name}.{metric}": value for name, f in figures.items() for metric, value in f.items()}
    best, floors = figures["bert_cnn"], {n: f for n, f in figures.items() if n != "bert_cnn"}
    return Outcome({k: best[k] for k in ("precision", "recall", "f1", "f1_std")} | named, floors)


def _figures(counted: list[Confusion]) -> dict[str, float]:
    f1 = [c.f1 for c in counted]
    return {
        "precision": float(np.mean([c.precision for c in counted])),
        "recall": float(np.mean([c.recall for c in counted])),
        "f1": float(np.mean(f1)),
        "f1_std": float(np.std(f1)),
        "f1_min": min(f1),
    }
