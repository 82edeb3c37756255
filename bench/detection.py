"""Detection scenarios: every detector on the same windows, thresholds fixed without the test windows.

In every scenario a fifth of the training windows is held out for early stopping and for the
threshold. Where they are labelled, all detectors get the threshold with the best F1 on them; where
there are only normal ones, the 99.8th percentile of their scores. Detectors that learn from normal
windows only are given no anomalous one to train on.
"""

import tempfile
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.detection_data import Labelled, bgl_lines, deeplog_split, hdfs_sessions, iotdb, of_sessions
from bench.harness import Outcome, Run, SettingError
from engine.corpus.datasets import split_by_session, split_by_time
from models.metrics import Confusion, confusion
from models.scoring import WindowScorer
from models.training import TrainSettings, train

NORMAL_WEIGHT = 49.63
"""Each normal session of the 2 % sample stands for so many of the published test set's 553,366."""
VARIANTS: Mapping[str, Mapping[str, Any]] = {
    "bert_cnn": {"detector": "bert_cnn"},
    "logbert_supervised": {"detector": "logbert", "settings": {"head": "supervised"}},
    "event_counts_logistic": {"detector": "event_counts", "settings": {"head": "logistic"}},
    "logbert": {"detector": "logbert"},
    "deeplog": {"detector": "deeplog"},
    "lstm_autoencoder": {"detector": "lstm_autoencoder"},
    "event_counts": {"detector": "event_counts"},
}
SUPERVISED = ("bert_cnn", "logbert_supervised", "event_counts_logistic")
FROM_NORMAL = {"threshold": "percentile", "threshold_settings": {"percent": 99.8}}


@dataclass(slots=True)
class Tally:
    """What one detector did in the trials of a scenario."""

    counted: list[Confusion] = field(default_factory=list)
    train_s: list[float] = field(default_factory=list)
    score_s: list[float] = field(default_factory=list)

    def figures(self) -> dict[str, float]:
        """Means over the trials, spread and worst of F1, seconds of one trial."""
        f1 = [c.f1 for c in self.counted]
        return {
            "precision": float(np.mean([c.precision for c in self.counted])),
            "recall": float(np.mean([c.recall for c in self.counted])),
            "f1": float(np.mean(f1)), "f1_std": float(np.std(f1)), "f1_min": min(f1),
            "train_s": float(np.mean(self.train_s)), "score_s": float(np.mean(self.score_s)),
        }  # fmt: skip


def _chosen(run: Run, known: Iterable[str]) -> tuple[str, ...]:
    """The detectors to measure: those of `--set detectors=a,b`, all by default."""
    names = tuple(known)
    asked = tuple(run.setting("detectors", ",".join(names)).split(","))
    if unknown := sorted(set(asked) - set(names)):
        raise SettingError(f"--set detectors: {', '.join(unknown)} is not among {', '.join(names)}")
    return asked


def _trial(
    tallies: Mapping[str, Tally], learn: Labelled, test: Labelled, threshold: Mapping[str, Any], seed: int,
    cache: Path, weights: NDArray[np.float64] | None = None,
) -> None:  # fmt: skip
    """Trains every detector on `learn`, scores `test`, and adds what came of it to the tallies."""
    labels = learn.labels if learn.labels.any() else None
    for name, tally in tallies.items():
        settings = TrainSettings.model_validate({**VARIANTS[name], **threshold, "seed": seed})
        start = time.perf_counter()
        trained = train(learn.windows, labels, learn.templates, settings, cache=cache)
        fitted = time.perf_counter()
        scorer = WindowScorer(trained.detector, 0, trained.threshold)
        scorer.learn_templates(test.templates)
        scores = scorer.score(test.windows)
        tally.counted.append(confusion(scores, test.labels, trained.threshold, weights))
        tally.train_s.append(fitted - start)
        tally.score_s.append(time.perf_counter() - fitted)


def _outcome(tallies: Mapping[str, Tally], headline: str = "") -> Outcome:
    figures = {name: tally.figures() for name, tally in tallies.items()}
    metrics = {f"{name}.{metric}": value for name, f in figures.items() for metric, value in f.items()}
    if headline in figures:
        metrics |= {k: figures[headline][k] for k in ("precision", "recall", "f1", "f1_std")}
    return Outcome(metrics)


def detect_hdfs_8020(run: Run) -> Outcome:
    """HDFS sessions: a fifth drawn at random is the test set, once for every seed."""
    seeds, share = run.setting("seeds", 5), run.setting("test_share", 0.2)
    tallies = {name: Tally() for name in _chosen(run, VARIANTS)}
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(seeds):
            test, learn = split_by_session(hdfs_sessions(), share, seed=seed)
            _trial(tallies, of_sessions(learn), of_sessions(test), {"threshold": "best_f1"}, seed, Path(folder))
            run.progress("seeds", seed + 1, seeds)
    return _outcome(tallies, "bert_cnn")


def detect_hdfs_deeplog(run: Run) -> Outcome:
    """The DeepLog split: trained on 4,855 normal sessions, normal test sessions weighted to the published count."""
    seeds = run.setting("seeds", 1)
    tallies = {name: Tally() for name in _chosen(run, [n for n in VARIANTS if n not in SUPERVISED])}
    learn, test = deeplog_split()
    weights = np.where(test.labels, 1.0, NORMAL_WEIGHT)
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(seeds):
            _trial(tallies, learn, test, FROM_NORMAL, seed, Path(folder), weights)
            run.progress("seeds", seed + 1, seeds)
    return _outcome(tallies)


def detect_hdfs_chrono(run: Run) -> Outcome:
    """HDFS sessions in time order: trained on the first share, tested on all later ones without retraining."""
    first = run.setting("train_share", 0.2)
    tallies = {name: Tally() for name in _chosen(run, VARIANTS)}
    learn, test = split_by_time(hdfs_sessions(), first)
    with tempfile.TemporaryDirectory() as folder:
        _trial(tallies, of_sessions(learn), of_sessions(test), {"threshold": "best_f1"}, 0, Path(folder))
    return _outcome(tallies)


def detect_bgl_lines(run: Run) -> Outcome:
    """BGL line by line: split at random, and by template, so that no test template was seen in training.

    Metrics of the second split are under `<detector>.new_templates.f1` and so on.
    """
    seeds, share = run.setting("seeds", 3), run.setting("test_share", 0.2)
    names = _chosen(run, VARIANTS)
    at_random = {name: Tally() for name in names}
    by_template = {name: Tally() for name in names}
    data = bgl_lines()
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(seeds):
            rng = np.random.default_rng(seed)
            groups = np.unique(data.group)
            drawn = rng.random(len(data.windows)) < share
            apart = np.isin(data.group, rng.permutation(groups)[: round(share * len(groups))])
            for tallies, test in ((at_random, drawn), (by_template, apart)):
                learn = data.take(np.flatnonzero(~test))
                _trial(tallies, learn, data.take(np.flatnonzero(test)), {"threshold": "best_f1"}, seed, Path(folder))
            run.progress("seeds", seed + 1, seeds)
    later = _outcome(by_template).metrics
    return Outcome(
        {**_outcome(at_random).metrics, **{k.replace(".", ".new_templates.", 1): v for k, v in later.items()}}
    )


def detect_iotdb(run: Run) -> Outcome:
    """IoTDB under fault injection: three times four scenarios are left out of training and tested on.

    `window` is `lines` (20 lines) or `time` (5 s); a window is anomalous if half of its lines or
    more lie inside an injection. At most `train_windows` windows are trained on, drawn at random.
    """
    data, scenarios = iotdb(run.setting("window", "lines"))
    most = run.setting("train_windows", 6000)
    tallies = {name: Tally() for name in _chosen(run, VARIANTS)}
    order = np.random.default_rng(0).permutation(len(scenarios))
    folds = np.array_split(order, run.setting("folds", 3))
    with tempfile.TemporaryDirectory() as folder:
        for number, fold in enumerate(folds):
            test = np.isin(data.group, fold)
            some = np.random.default_rng(number).permutation(np.flatnonzero(~test))[:most]
            learn = data.take(np.sort(some))
            _trial(tallies, learn, data.take(np.flatnonzero(test)), {"threshold": "best_f1"}, number, Path(folder))
            run.progress("folds", number + 1, len(folds))
    return _outcome(tallies)
