"""Classification scenarios: every line classifier on the seven-class set, split in three ways.

`--set labels=weak` takes the published labels, `corrected` the project's own (see
`engine.offline.labelled_lines`); a result is on one of them. Test lines choose nothing: what a
classifier searches or stops by is split off the training lines.

The peer `template_lookup` learns nothing from text: it remembers the class of each template, and
calls one that it never saw normal. A classifier is worth its training where it beats that.
"""

import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.data.workloads import cache_folder
from bench.harness import BenchError, Outcome, Run, Scenario, SettingError, Target
from engine.corpus.catalogue import SEVEN_CLASS
from engine.corpus.data import DataError, find
from engine.offline.labelled_lines import CORRECTED, read_labelled
from models.classify.base import CLASSES, NORMAL, LineClassifier, Lines
from models.classify.metrics import ClassFigures, class_figures
from models.classify.registry import CLASSIFIERS, build
from models.classify.scoring import LineScorer
from models.train_classifier import LabelledLines
from models.training.splits import by_group, stratified

TEST_SHARE = 0.2
SEARCHING = ("random_forest", "xgboost")
"""Classifiers that try other settings than the given ones, which costs a training for each."""
VARIANTS: dict[str, tuple[str, Mapping[str, Any]]] = {
    **{name: (name, {}) for name in CLASSIFIERS},
    "dann_bert_no_reversal": ("dann_bert", {"reversal": False}),
}
"""What is measured: name in the results → classifier and its settings."""
LOOKUP = "template_lookup"
REPEATS = 31
"""So many times the 32,000 lines are a million."""


@cache
def seven_class(labels: str) -> LabelledLines:
    """The distinct lines of the set, with the labels of that name.

    Raises:
        BenchError: the set is in no folder, or is damaged.
        SettingError: there are no such labels.
    """
    if labels not in ("weak", CORRECTED):
        raise SettingError(f"--set labels={labels}: known are weak, {CORRECTED}")
    try:
        (path,) = find(SEVEN_CLASS.name).values()
        return read_labelled(path, "" if labels == "weak" else labels)
    except DataError as error:
        raise BenchError(str(error)) from error


@dataclass(slots=True)
class ClassifierTally:
    """What one classifier did in the trials of a scenario, by the trial's name."""

    trials: dict[str, ClassFigures] = field(default_factory=dict)
    train_s: list[float] = field(default_factory=list)
    classify_s: list[float] = field(default_factory=list)

    def figures(self, each: bool) -> dict[str, float]:
        """Means over the trials, the sum of their confusion matrices, and with `each` the macro F1 of every trial."""
        tables = [t.table() for t in self.trials.values()]
        found = {
            name: float(np.mean([t[name] for t in tables if name in t]))
            for name in dict.fromkeys(n for t in tables for n in t)
        }
        macro = [t["macro_f1"] for t in tables]
        found |= {"macro_f1_std": float(np.std(macro)), "macro_f1_min": min(macro)}
        found |= {"train_s": float(np.mean(self.train_s)), "classify_s": float(np.mean(self.classify_s))}
        matrix = np.sum([t.matrix for t in self.trials.values()], axis=0)
        cells = ((a, b) for a in range(len(CLASSES)) for b in range(len(CLASSES)))
        found |= {f"confusion.{CLASSES[a]}.{CLASSES[b]}": int(matrix[a, b]) for a, b in cells if matrix[a, b]}
        if each:
            found |= {f"fold.{name}.macro_f1": t.macro_f1 for name, t in self.trials.items()}
        return found


def _chosen(run: Run) -> tuple[str, ...]:
    """The classifiers to measure: those of `--set classifiers=a,b`, all by default."""
    asked = tuple(run.setting("classifiers", ",".join(VARIANTS)).split(","))
    if unknown := sorted(set(asked) - set(VARIANTS)):
        raise SettingError(f"--set classifiers: {', '.join(unknown)} is not among {', '.join(VARIANTS)}")
    return asked


@dataclass(frozen=True, slots=True)
class Trial:
    """One split: rows of the set with the number of lines of each that belong to the part."""

    name: str
    learn: NDArray[np.float64]
    test: NDArray[np.float64]
    seed: int = 0


def _run(run: Run, data: LabelledLines, trials: list[Trial], *, searched: int = 0, each: bool = False) -> Outcome:
    """Measures the chosen classifiers in every trial, with this many candidates where they search."""
    tallies = {name: ClassifierTally() for name in _chosen(run)}
    candidates, lookup = run.setting("candidates", searched), ClassifierTally()
    done = 0
    for trial in trials:
        _look_up(lookup, data, trial)
        for name, tally in tallies.items():
            _measure(tally, name, data, trial, candidates)
            done += 1
            run.progress(f"{trial.name} {name}", done, len(trials) * len(tallies))
    figures = {name: tally.figures(each) for name, tally in tallies.items()}
    metrics = {f"{name}.{metric}": value for name, f in figures.items() for metric, value in f.items()}
    return Outcome(metrics, {LOOKUP: lookup.figures(each)})


def _look_up(tally: ClassifierTally, data: LabelledLines, trial: Trial) -> None:
    """Gives the lines of the trial's second part the class that their template has in the first."""
    learn, test = np.flatnonzero(trial.learn), np.flatnonzero(trial.test)
    templates = data.lines.templates
    start = time.perf_counter()
    known = {templates[i]: int(data.labels[i]) for i in learn.tolist()}
    learnt = time.perf_counter()
    given = np.array([known.get(templates[i], NORMAL) for i in test.tolist()])
    tally.classify_s.append(time.perf_counter() - learnt)
    tally.train_s.append(learnt - start)
    tally.trials[trial.name] = class_figures(data.labels[test], given, trial.test[test])


def _measure(tally: ClassifierTally, name: str, data: LabelledLines, trial: Trial, candidates: int) -> None:
    """Trains on the lines of the trial's first part and classifies those of its second."""
    learn, test = np.flatnonzero(trial.learn), np.flatnonzero(trial.test)
    some = data.take(learn)
    classifier = _build(name, cache_folder(), candidates)
    start = time.perf_counter()
    classifier.fit(some.lines, some.labels, weights=trial.learn[learn], domains=some.domains, seed=trial.seed)
    fitted = time.perf_counter()
    given = classifier.probabilities(data.lines.take(test)).argmax(1)
    tally.classify_s.append(time.perf_counter() - fitted)
    tally.train_s.append(fitted - start)
    tally.trials[trial.name] = class_figures(data.labels[test], given, trial.test[test])


def _build(name: str, cache: Path, candidates: int | None = None) -> LineClassifier:
    classifier, settings = VARIANTS[name]
    if candidates is not None and classifier in SEARCHING:
        settings = {"candidates": candidates, **settings}
    return build(classifier, settings, cache=cache)


def classify_seven_random(run: Run) -> Outcome:
    """A fifth of the lines of each class, drawn at random, is the test set, once for every seed."""
    data, seeds = seven_class(run.setting("labels", "weak")), run.setting("seeds", 5)
    rows = np.repeat(np.arange(len(data.lines)), data.weights.astype(np.int64))
    trials = []
    for seed in range(seeds):
        learn, test = stratified(data.labels[rows], TEST_SHARE, seed)
        count = [np.bincount(rows[part], minlength=len(data.lines)).astype(np.float64) for part in (learn, test)]
        trials.append(Trial(f"seed {seed}", count[0], count[1], seed))
    return _run(run, data, trials, searched=4)


def classify_seven_template(run: Run) -> Outcome:
    """A fifth of the templates of each class, with all their lines, is the test set, once for every seed."""
    data, seeds = seven_class(run.setting("labels", "weak")), run.setting("seeds", 3)
    trials = []
    for seed in range(seeds):
        _, test = by_group(data.labels, data.lines.templates, TEST_SHARE, seed)
        held = np.isin(np.arange(len(data.lines)), test)
        trials.append(Trial(f"seed {seed}", data.weights * ~held, data.weights * held, seed))
    return _run(run, data, trials)


def classify_seven_source(run: Run) -> Outcome:
    """Each of the 16 systems in its turn is the test set, and the other 15 are trained on."""
    data = seven_class(run.setting("labels", "weak"))
    sources = np.array(data.domains)
    trials = []
    for source in dict.fromkeys(data.domains):
        held = sources == source
        # Lines of another system that are equal to lines of this one would tell its classes beforehand.
        known = np.isin(data.lines.templates, sorted({t for t, h in zip(data.lines.templates, held, strict=True) if h}))
        trials.append(Trial(source, data.weights * ~known, data.weights * held))
    return _run(run, data, trials, each=True)


def classify_lines(run: Run) -> Outcome:
    """Training on all lines and classifying them, in seconds, and lines a second with and without the memory.

    Every classifier starts without any encoded text. `file_s` is the file from a cold memory, but
    with the texts that training encoded; `uncached_lines_per_s` counts distinct lines that need all
    work, encoding included; `cached_lines_per_s` is a million lines, all of them seen before.
    """
    data = seven_class(run.setting("labels", CORRECTED))
    rows = np.repeat(np.arange(len(data.lines)), data.weights.astype(np.int64))
    rows = np.random.default_rng(0).permutation(rows)
    lines = data.lines.take(rows)
    figures: dict[str, float] = {}
    names = _chosen(run)
    for number, name in enumerate(names):
        figures |= {f"{name}.{metric}": value for metric, value in _speeds(name, data, lines).items()}
        run.progress(name, number + 1, len(names))
    together = sum(figures[f"{name}.train_s"] for name in names)
    slowest = max(figures[f"{name}.file_s"] for name in names)
    return Outcome({"train_s": together, "file_s": slowest, **figures})


def _speeds(name: str, data: LabelledLines, lines: Lines) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        classifier = _build(name, Path(folder))
        train_s = _seconds(lambda: classifier.fit(data.lines, data.labels, weights=data.weights, domains=data.domains))
        file_s = _seconds(lambda: LineScorer(classifier).probabilities(lines))
        strange = _strange(data.lines.take(np.arange(0, len(data.lines), 8)))
        uncached_s = _seconds(lambda: classifier.probabilities(strange))
        scorer = LineScorer(classifier)
        scorer.probabilities(data.lines)
        cached_s = _seconds(lambda: [scorer.probabilities(lines) for _ in range(REPEATS)])
    return {
        "train_s": train_s, "file_s": file_s, "uncached_lines_per_s": len(strange) / uncached_s,
        "cached_lines_per_s": len(lines) * REPEATS / cached_s,
    }  # fmt: skip


def _strange(lines: Lines) -> Lines:
    """Lines like these that no memory holds."""
    return Lines.of([f"{m} again" for m in lines.messages], [f"{t} again" for t in lines.templates])


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


CLASSIFY_SEVEN_RANDOM = Scenario(
    "classify-seven-random",
    "Seven classes of log lines, a stratified fifth of the lines as test set, five seeds",
    classify_seven_random,
    {"xgboost.macro_f1": Target(goal=0.97, tolerance=0.01), "random_forest.macro_f1": Target(tolerance=0.01)},
)

CLASSIFY_SEVEN_TEMPLATE = Scenario(
    "classify-seven-template",
    "Seven classes of log lines, a fifth of each class's templates as test set, so that no template was seen",
    classify_seven_template,
    {"xgboost.macro_f1": Target(tolerance=0.05)},
)

CLASSIFY_SEVEN_SOURCE = Scenario(
    "classify-seven-source",
    "Seven classes of log lines, each of the 16 systems in turn as test set",
    classify_seven_source,
    {"xgboost.macro_f1": Target(tolerance=0.05)},
)

CLASSIFY_LINES = Scenario(
    "classify-lines",
    "Seconds to train all line classifiers and to classify 32,000 lines, and lines a second, cached and uncached",
    classify_lines,
    {
        "train_s": Target(better="lower", goal=900, tolerance=0.2),
        "file_s": Target(better="lower", goal=30, tolerance=0.2),
    },
)
