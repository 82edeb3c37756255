"""How few labels a detector needs if they are chosen well: `driftline ask` against labels at random.

A share of the training windows is labelled, in rounds as in service: the first questions are chosen by the scores of
`event_counts`, which needs no label; each further round by the scores of the detector trained on the answers so far. An
answer labels all windows with the same templates, for chosen and for random windows alike. The detector is
`event_counts` with gradient-boosted trees, trained on the labelled windows only; its threshold is a probability of one
half, so none of the few labels is spent on a threshold.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.data.detection_data import Labelled, bgl_lines, hdfs_sessions, iotdb, of_sessions
from bench.harness import Outcome, Run, Scenario, Target
from engine.offline.datasets import split_by_session, split_by_time
from models.base import WindowDetector
from models.detectors.registry import build
from models.training.label_queries import alike, choose_queries, uncertainties
from models.training.metrics import confusion

THRESHOLD = 0.5
TEST_SHARE = 0.2
FOLDS = 2
"""IoTDB: half of the scenarios are labelled, and the other half is tested on."""
ROUNDS = 4

Split = tuple[Labelled, Labelled]


def _hdfs_8020(seed: int) -> Split:
    test, learn = split_by_session(hdfs_sessions(), TEST_SHARE, seed=seed)
    return of_sessions(learn), of_sessions(test)


def _hdfs_chrono(seed: int) -> Split:
    learn, test = split_by_time(hdfs_sessions(), TEST_SHARE)
    return of_sessions(learn), of_sessions(test)


def _bgl_lines(seed: int) -> Split:
    data = bgl_lines()
    return _divided(data, np.random.default_rng(seed).random(len(data.windows)) < TEST_SHARE)


def _bgl_new_templates(seed: int) -> Split:
    data = bgl_lines()
    groups = np.random.default_rng(seed).permutation(np.unique(data.group))
    return _divided(data, np.isin(data.group, groups[: round(TEST_SHARE * len(groups))]))


def _iotdb(seed: int) -> Split:
    data, scenarios, _ = iotdb("lines")
    order = np.random.default_rng(0).permutation(len(scenarios))
    return _divided(data, np.isin(data.group, np.array_split(order, FOLDS)[seed % FOLDS]))


def _divided(data: Labelled, test: NDArray[np.bool_]) -> Split:
    return data.take(np.flatnonzero(~test)), data.take(np.flatnonzero(test))


SETS: Mapping[str, Callable[[int], Split]] = {
    "hdfs_8020": _hdfs_8020,
    "hdfs_chrono": _hdfs_chrono,
    "bgl_lines": _bgl_lines,
    "bgl_new_templates": _bgl_new_templates,
    "iotdb_lines": _iotdb,
}
"""Training and test windows by seed; the protocols of the `detect-*` scenarios."""


@dataclass(slots=True)
class Oracle:
    """Answers from the true labels, and what is labelled by them.

    Attributes:
        asked: Number of answers.
        known: bool (n,): labelled windows.
        labels: bool (n,): their labels, as answered for the window that was shown.
    """

    data: Labelled
    asked: int
    known: NDArray[np.bool_]
    labels: NDArray[np.bool_]

    @staticmethod
    def of(data: Labelled) -> "Oracle":
        """Nothing is asked yet."""
        n = len(data.labels)
        return Oracle(data, 0, np.zeros(n, bool), np.zeros(n, bool))

    def ask(self, window: int, like: NDArray[np.int64]) -> None:
        """Label all windows that are like one."""
        self.asked += 1
        self.known[like], self.labels[like] = True, self.data.labels[window]

    def trained(self, seed: int) -> WindowDetector:
        """The boosted detector on the labelled windows, `event_counts` without labels while one class is missing."""
        known = np.flatnonzero(self.known)
        labels = self.labels[known]
        both = labels.any() and not labels.all()
        detector = build("event_counts", {"head": "boosted"} if both else {})
        windows = self.data.windows.take(known) if both else self.data.windows
        detector.fit(windows, labels if both else None, self.data.templates, seed=seed)
        detector.learn_templates(self.data.templates)
        return detector


def ask_chosen(data: Labelled, budget: int, seed: int) -> Oracle:
    """Spend the budget as `driftline ask` does."""
    oracle = Oracle.of(data)
    for number in range(1, ROUNDS + 1):
        detector = oracle.trained(seed)
        scores = detector.score(data.windows)
        limit = THRESHOLD if detector.supervised else float(np.percentile(scores, 99))
        left = budget * number // ROUNDS - oracle.asked
        for query in choose_queries(data.windows, uncertainties(scores, limit), left, answered=oracle.known):
            oracle.ask(query.window, query.like)
    return oracle


def ask_random(data: Labelled, budget: int, seed: int) -> Oracle:
    """Spend the budget on windows drawn at random, each of which labels all that are like it."""
    oracle = Oracle.of(data)
    _, group = alike(data.windows)
    for window in np.random.default_rng(seed).permutation(len(data.labels))[:budget].tolist():
        oracle.ask(window, np.flatnonzero(group == group[window]))
    return oracle


def ask_everything(data: Labelled, budget: int, seed: int) -> Oracle:
    """The labels of all windows, whatever the budget."""
    n = len(data.labels)
    return Oracle(data, n, np.ones(n, bool), data.labels)


CHOICES: Mapping[str, Callable[[Labelled, int, int], Oracle]] = {
    "chosen": ask_chosen,
    "random": ask_random,
    "all_labels": ask_everything,
}
"""Ways to spend a budget of labels."""


def _f1(test: Labelled, oracle: Oracle, seed: int) -> float:
    """F1 on the test windows of the detector that the answers train; 0 while they are of one class only."""
    detector = oracle.trained(seed)
    if not detector.supervised:
        return 0.0
    detector.learn_templates(test.templates)
    return confusion(detector.score(test.windows), test.labels, THRESHOLD).f1


def ask_labels(run: Run) -> Outcome:
    """F1 with a share of the labels, chosen or at random, and with all of them, on each data set."""
    share, seeds = run.setting("share", 0.02), run.setting("seeds", 3)
    sets = run.setting("sets", ",".join(SETS)).split(",")
    found: dict[str, dict[str, float]] = {name: {} for name in CHOICES}
    for number, name in enumerate(sets):
        trials: dict[str, list[float]] = {choice: [] for choice in CHOICES}
        asked = 0
        for seed in range(seeds):
            learn, test = SETS[name](seed)
            for choice, spend in CHOICES.items():
                oracle = spend(learn, round(share * len(learn.labels)), seed)
                trials[choice].append(_f1(test, oracle, seed))
                asked = max(asked, oracle.asked) if choice == "chosen" else asked
        for choice, values in trials.items():
            found[choice] |= {f"{name}.f1": float(np.mean(values)), f"{name}.f1_std": float(np.std(values))}
        found["chosen"][f"{name}.answers"] = asked
        run.progress("sets", number + 1, len(sets))
    for figures in found.values():
        figures["mean_f1"] = float(np.mean([figures[f"{name}.f1"] for name in sets]))
        hdfs_and_bgl = [figures[f"{name}.f1"] for name in sets if name != "iotdb_lines"]
        figures["mean_f1_without_iotdb"] = float(np.mean(hdfs_and_bgl)) if hdfs_and_bgl else 0.0
    return Outcome(found.pop("chosen"), found)


ASK_LABELS = Scenario(
    "ask-labels",
    "Detection with 2 % of the labels, chosen by `driftline ask` or at random, and with all labels",
    ask_labels,
    {"mean_f1": Target(goal=0.93, tolerance=0.02), "mean_f1_without_iotdb": Target(goal=0.93, tolerance=0.02)},
    detectors=("event_counts",),
)
