"""Detection scenarios: every detector on the same windows, thresholds chosen without a test label.

The threshold is fitted on held-out training windows (`auto`: the best F1 where they are labelled, else
a percentile of their scores) and then calibrated on the unlabelled stream of test windows, as in
service (docs/thresholds.md). A network's held-out windows are a fifth of the training windows, which
also stops its training; a detector that trains in seconds is cross-fitted (`folds` of
`TrainSettings`), so its threshold comes from all of them. Detectors that learn from normal windows
only are given no anomalous one to train on.
"""

import os
import tempfile
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.data.detection_data import Labelled, bgl_lines, deeplog_split, hdfs_sessions, iotdb, of_sessions
from bench.harness import Outcome, Run, Scenario, SettingError, Target
from bench.machine import peak_rss_bytes, reset_peak_rss
from engine.offline.datasets import split_by_session, split_by_time
from models.detectors.registry import DETECTORS, build
from models.thresholds.stream import StreamCalibrator
from models.train_detector import TrainSettings, train
from models.training.metrics import Confusion, confusion, highest_f1, roc_auc
from models.training.scoring import WindowScorer

PUBLISHED_NORMAL = 553_366
"""Normal sessions of the published test set; those of the 2 % sample stand for them, each 49 or 50 times."""
VARIANTS: Mapping[str, Mapping[str, Any]] = {
    **{name: {"detector": name} for name in DETECTORS},
    "bert_cnn": {"detector": "bert_cnn", "folds": 3},
    "event_counts": {"detector": "event_counts", "folds": 5},
    "event_counts_logistic": {"detector": "event_counts", "settings": {"head": "logistic"}, "folds": 5},
    "event_counts_boosted": {"detector": "event_counts", "settings": {"head": "boosted"}, "folds": 5},
    "logbert_supervised": {"detector": "logbert", "settings": {"head": "supervised"}},
}
"""Every registered detector with its defaults, those that train fast enough cross-fitted, and their other heads."""
SUPERVISED = tuple(n for n, v in VARIANTS.items() if build(v["detector"], v.get("settings"), device="cpu").supervised)
SLOW = tuple(n for n, v in VARIANTS.items() if "folds" not in v)
"""Detectors that are not cross-fitted, since one training takes a minute; `slow_seeds` limits their trials."""
EVERY_WINDOW = "every_window"
"""The peer that calls every window anomalous: where half of them are, its F1 is two thirds."""


@dataclass(slots=True)
class DetectorTally:
    """What one detector did in the trials of a scenario."""

    counted: list[Confusion] = field(default_factory=list)
    best_f1: list[float] = field(default_factory=list)
    fitted_f1: list[float] = field(default_factory=list)
    roc_auc: list[float] = field(default_factory=list)
    train_s: list[float] = field(default_factory=list)
    score_s: list[float] = field(default_factory=list)
    peak_mib: list[float] = field(default_factory=list)

    def figures(self) -> dict[str, float]:
        """Means over the trials, spread and worst of F1, seconds of one trial, most memory of all.

        `f1_best` is the F1 of the threshold that is best on the test windows: how much is lost by not
        knowing them, and what publications report that choose it so. `f1_fitted` is the F1 of the threshold
        as training left it, without calibration on the stream. `train_s` includes cross-fitting.
        """
        f1 = [c.f1 for c in self.counted]
        return {
            "trials": len(f1),
            "precision": float(np.mean([c.precision for c in self.counted])),
            "recall": float(np.mean([c.recall for c in self.counted])),
            "f1": float(np.mean(f1)), "f1_std": float(np.std(f1)), "f1_min": min(f1),
            "f1_best": float(np.mean(self.best_f1)), "f1_fitted": float(np.mean(self.fitted_f1)),
            "roc_auc": float(np.mean(self.roc_auc)),
            "train_s": float(np.mean(self.train_s)), "score_s": float(np.mean(self.score_s)),
            "peak_rss_mib": max(self.peak_mib),
        }  # fmt: skip


def _chosen(run: Run, known: Iterable[str]) -> tuple[str, ...]:
    """The detectors to measure: those of `--set detectors=a,b`, all by default."""
    names = tuple(known)
    asked = tuple(run.setting("detectors", ",".join(names)).split(","))
    if unknown := sorted(set(asked) - set(names)):
        raise SettingError(f"--set detectors: {', '.join(unknown)} is not among {', '.join(names)}")
    return asked


@dataclass(slots=True)
class Tallies:
    """The tallies of the detectors measured, and that of the peer which calls every window anomalous."""

    of: Mapping[str, DetectorTally]
    every_window: DetectorTally = field(default_factory=DetectorTally)

    @staticmethod
    def for_detectors(names: Iterable[str]) -> "Tallies":
        """Empty tallies."""
        return Tallies({name: DetectorTally() for name in names})

    def trial(
        self, learn: Labelled, test: Labelled, seed: int, cache: Path, *,
        stream: NDArray[np.int64] | None = None, slow: bool = True, blocks: bool = False,
    ) -> None:  # fmt: skip
        """Train every detector on `learn`, score `test`, and add what came of it.

        `stream` (m,) are the indexes of the test windows in the order in which they arrive, some of them often; by
        default each arrives once, in order.
        """
        labels = learn.labels if learn.labels.any() else None
        stream = np.arange(len(test.labels)) if stream is None else stream
        truth = test.labels[stream]
        self.every_window.counted.append(confusion(np.ones(len(truth), np.float32), truth, 0.0))
        for name, tally in self.of.items():
            if name in SLOW and not slow:
                continue
            variant = VARIANTS[name]
            settings = TrainSettings.model_validate({**variant, "blocks": blocks, "seed": seed})
            reset_peak_rss()
            start = time.perf_counter()
            trained = train(learn.windows, labels, learn.templates, settings, cache=cache)
            fitted = time.perf_counter()
            tally.peak_mib.append(peak_rss_bytes(os.getpid()) / (1 << 20))
            scorer = WindowScorer(trained.detector, 0, trained.threshold)
            scorer.learn_templates(test.templates)
            scores = scorer.score(test.windows)[stream]
            tally.score_s.append(time.perf_counter() - fitted)
            tally.train_s.append(fitted - start)
            thresholds = StreamCalibrator(trained.notes.threshold).update(scores)
            tally.counted.append(confusion(scores, truth, thresholds))
            tally.fitted_f1.append(confusion(scores, truth, trained.threshold).f1)
            tally.best_f1.append(highest_f1(scores, truth))
            tally.roc_auc.append(roc_auc(scores, truth))

    def outcome(self, headline: str = "") -> Outcome:
        """Metrics under the detectors' names; those of `headline` without its name as well."""
        figures = {name: tally.figures() for name, tally in self.of.items() if tally.counted}
        metrics = {f"{name}.{metric}": value for name, f in figures.items() for metric, value in f.items()}
        if headline in figures:
            metrics |= {k: figures[headline][k] for k in ("precision", "recall", "f1", "f1_std")}
        counted = self.every_window.counted
        peer = {k: float(np.mean([getattr(c, k) for c in counted])) for k in ("f1", "precision", "recall")}
        return Outcome(metrics, {EVERY_WINDOW: peer})


def detect_hdfs_8020(run: Run) -> Outcome:
    """HDFS sessions: a fifth drawn at random is the test set, once for every seed."""
    seeds, share = run.setting("seeds", 5), run.setting("test_share", 0.2)
    slow_seeds = run.setting("slow_seeds", 5)
    tallies = Tallies.for_detectors(_chosen(run, VARIANTS))
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(seeds):
            test, learn = split_by_session(hdfs_sessions(), share, seed=seed)
            tallies.trial(of_sessions(learn), of_sessions(test), seed, Path(folder), slow=seed < slow_seeds)
            run.progress("seeds", seed + 1, seeds)
    return tallies.outcome("bert_cnn")


def detect_hdfs_deeplog(run: Run) -> Outcome:
    """The DeepLog split: trained on 4,855 normal sessions, normal test sessions repeated to the published count."""
    seeds = run.setting("seeds", 1)
    tallies = Tallies.for_detectors(_chosen(run, [n for n in VARIANTS if n not in SUPERVISED]))
    learn, test = deeplog_split()
    abnormal, normal = np.flatnonzero(test.labels), np.flatnonzero(~test.labels)
    # The published files hold the abnormal sessions first; a stream has them among the normal ones.
    stream = np.random.default_rng(0).permutation(np.append(abnormal, np.resize(normal, PUBLISHED_NORMAL)))
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(seeds):
            tallies.trial(learn, test, seed, Path(folder), stream=stream)
            run.progress("seeds", seed + 1, seeds)
    return tallies.outcome()


def detect_hdfs_chrono(run: Run) -> Outcome:
    """HDFS sessions in time order: trained on the first share, tested on all later ones without retraining."""
    first, seeds = run.setting("train_share", 0.2), run.setting("seeds", 1)
    tallies = Tallies.for_detectors(_chosen(run, VARIANTS))
    learn, test = split_by_time(hdfs_sessions(), first)
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(seeds):
            tallies.trial(of_sessions(learn), of_sessions(test), seed, Path(folder))
            run.progress("seeds", seed + 1, seeds)
    return tallies.outcome()


def detect_bgl_lines(run: Run) -> Outcome:
    """BGL line by line: split at random, and by template, so that no test template was seen in training.

    Metrics of the second split are under `<detector>.new_templates.f1` and so on.
    """
    seeds, share = run.setting("seeds", 3), run.setting("test_share", 0.2)
    slow_seeds = run.setting("slow_seeds", 3)
    names = _chosen(run, VARIANTS)
    at_random, by_template = Tallies.for_detectors(names), Tallies.for_detectors(names)
    data = bgl_lines()
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(seeds):
            rng = np.random.default_rng(seed)
            groups = np.unique(data.group)
            drawn = rng.random(len(data.windows)) < share
            apart = np.isin(data.group, rng.permutation(groups)[: round(share * len(groups))])
            for tallies, test in ((at_random, drawn), (by_template, apart)):
                learn, judged = data.take(np.flatnonzero(~test)), data.take(np.flatnonzero(test))
                tallies.trial(learn, judged, seed, Path(folder), slow=seed < slow_seeds)
            run.progress("seeds", seed + 1, seeds)
    known, new = at_random.outcome(), by_template.outcome()
    return Outcome(
        {**known.metrics, **{k.replace(".", ".new_templates.", 1): v for k, v in new.metrics.items()}},
        {
            EVERY_WINDOW: {
                **known.peers[EVERY_WINDOW],
                **{f"new_templates.{k}": v for k, v in new.peers[EVERY_WINDOW].items()},
            }
        },
    )


def detect_iotdb(run: Run) -> Outcome:
    """IoTDB under fault injection: three times four scenarios are left out of training and tested on.

    Windows are cut from each node's own log in the order of its lines. `window` is `lines` (20
    lines) or `time` (5 s); a window is anomalous if half of its lines or more lie inside an
    injection. At most `train_windows` windows are trained on, drawn at random.
    """
    data, scenarios, _ = iotdb(run.setting("window", "lines"))
    most = run.setting("train_windows", 1500)
    tallies = Tallies.for_detectors(_chosen(run, VARIANTS))
    order = np.random.default_rng(0).permutation(len(scenarios))
    folds = np.array_split(order, run.setting("folds", 3))
    with tempfile.TemporaryDirectory() as folder:
        for number, fold in enumerate(folds):
            test = np.isin(data.group, fold)
            some = np.random.default_rng(number).permutation(np.flatnonzero(~test))[:most]
            learn = data.take(np.sort(some))
            tallies.trial(learn, data.take(np.flatnonzero(test)), number, Path(folder), blocks=True)
            run.progress("folds", number + 1, len(folds))
    return tallies.outcome()


_DEEPLOG_SPLIT_GOALS = {"deeplog.f1": 0.91, "logbert.f1": 0.95, "event_counts.f1": 0.988}
DETECT_HDFS_8020 = Scenario(
    "detect-hdfs-8020",
    "Detection on the HDFS sample, 80/20 by session, five seeds",
    detect_hdfs_8020,
    {"f1": Target(goal=0.995, floor=0.98, tolerance=0.005), "f1_std": Target(better="lower", tolerance=1.0)},
    detectors=tuple(DETECTORS),
)

DETECT_HDFS_DEEPLOG = Scenario(
    "detect-hdfs-deeplog",
    "The DeepLog split of HDFS: trained on 4,855 normal sessions, tested on 16,838 abnormal and repeated normals",
    detect_hdfs_deeplog,
    {name: Target(goal=goal, tolerance=0.01) for name, goal in _DEEPLOG_SPLIT_GOALS.items()},
    detectors=tuple(dict.fromkeys(VARIANTS[n]["detector"] for n in VARIANTS if n not in SUPERVISED)),
)

DETECT_HDFS_CHRONO = Scenario(
    "detect-hdfs-chrono",
    "The HDFS sample in time order: trained on the first fifth, tested on the rest without retraining",
    detect_hdfs_chrono,
    {"bert_cnn.f1": Target(tolerance=0.05)},
    detectors=tuple(DETECTORS),
)

DETECT_BGL_LINES = Scenario(
    "detect-bgl-lines",
    "BGL line by line, split at random and by template, so that memorised templates do not count",
    detect_bgl_lines,
    {"bert_cnn.f1": Target(tolerance=0.01), "bert_cnn.new_templates.f1": Target(tolerance=0.05)},
    detectors=tuple(DETECTORS),
)

DETECT_IOTDB = Scenario(
    "detect-iotdb",
    "IoTDB under fault injection, windows of 20 lines or 5 s, scenarios left out of training",
    detect_iotdb,
    {"bert_cnn.f1": Target(tolerance=0.05)},
    detectors=tuple(DETECTORS),
)
