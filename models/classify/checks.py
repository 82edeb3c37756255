"""The promises of a line classifier, one function each; tests run every one over every classifier.

As in `models.detectors.checks`, a check takes `make`, which builds the classifier again without weights, and
`LineWorkload`, a small labelled workload, and raises AssertionError where the promise is broken.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.base import TrainingError
from models.classify.base import CLASSES, LineClassifier, Lines
from models.classify.registry import build
from models.training.model_checks import Subject, promised

Make = Callable[[], LineClassifier]
_ROUNDING = 1e-5
_WORDS = (
    "session opened for user", "authentication failure for invalid user", "kernel panic aborting process",
    "request took too long, queue is slow", "connection to host timed out", "invalid option in configuration file",
    "memory parity error in DIMM",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class LineWorkload:
    """A workload: lines of all classes, and which class each has."""

    lines: Lines
    labels: NDArray[np.int64]


Check = Callable[[Make, LineWorkload], None]


def make_workload(seed: int = 0, count: int = 98) -> LineWorkload:
    """Lines whose words determine their class, in two formats; every fourth is of a rare kind of template."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count, dtype=np.int64) % len(CLASSES)
    tails = ("", " on node <*>", " (code <*>)", " after restart")
    templates, messages = [], []
    for label in labels.tolist():
        template = _WORDS[label] + tails[int(rng.integers(len(tails)))]
        templates.append(template)
        messages.append(template.replace("<*>", rng.choice(["alpha", "beta", "<NUM>"])))
    return LineWorkload(
        Lines.of(
            messages,
            templates,
            levels=["info" if label == 0 else "error" for label in labels],
            formats=[("syslog", "json")[int(n)] for n in rng.integers(0, 2, count)],
            components=["core"] * count,
        ),
        labels,
    )


def fitted(make: Make, workload: LineWorkload, seed: int = 0) -> LineClassifier:
    """The classifier trained on the workload."""
    classifier = make()
    classifier.fit(workload.lines, workload.labels, seed=seed)
    return classifier


def check_input_is_untouched(make: Make, workload: LineWorkload) -> None:
    """Neither fit nor probabilities changes lines, labels or weights."""
    keys, labels, weights = workload.lines.keys(), workload.labels.copy(), np.arange(1.0, len(workload.labels) + 1)
    given = weights.copy()
    classifier = make()
    classifier.fit(workload.lines, workload.labels, weights=given, domains=workload.lines.formats)
    classifier.probabilities(workload.lines)
    assert workload.lines.keys() == keys
    assert np.array_equal(workload.labels, labels)
    assert np.array_equal(given, weights)


def check_probabilities_are_probabilities(make: Make, workload: LineWorkload) -> None:
    """Float32 (n, 7), finite, 0 to 1, rows with sum 1; most training lines get their class."""
    found = fitted(make, workload).probabilities(workload.lines)
    _assert_probabilities(found, len(workload.lines))
    assert (found.argmax(1) == workload.labels).mean() > 0.7


def _assert_probabilities(found: NDArray[np.float32], count: int) -> None:
    assert found.dtype == np.float32
    assert found.shape == (count, len(CLASSES))
    assert np.isfinite(found).all()
    assert ((found >= 0) & (found <= 1)).all()
    np.testing.assert_allclose(found.sum(1), 1, atol=_ROUNDING)


def check_batching_does_not_matter(make: Make, workload: LineWorkload) -> None:
    """One at a time, shuffled and all together give equal probabilities."""
    classifier = fitted(make, workload)
    together = classifier.probabilities(workload.lines)
    order = np.random.default_rng(1).permutation(len(workload.lines))
    single = [classifier.probabilities(workload.lines.take(np.array([i])))[0] for i in range(20)]
    np.testing.assert_allclose(single, together[:20], atol=_ROUNDING)
    np.testing.assert_allclose(classifier.probabilities(workload.lines.take(order)), together[order], atol=_ROUNDING)


def check_anything_is_classified(make: Make, workload: LineWorkload) -> None:
    """Templates never seen, empty texts, other alphabets, lone surrogates and a line of a megabyte are classified."""
    classifier = fitted(make, workload)
    strange = Lines.of(
        ["disk <*> vanished", "", "\u65e5\u672c\u8a9e \udce9\x00\x1b[31m", "ab 7 " * 200_000, "<*>" * 500]
    )
    _assert_probabilities(classifier.probabilities(strange), 5)
    assert len(classifier.explain(strange)) == 5
    assert classifier.probabilities(Lines.of([])).shape == (0, len(CLASSES))
    assert classifier.explain(Lines.of([])) == []


def check_bad_training_data_is_refused(make: Make, workload: LineWorkload) -> None:
    """No line, one class only, an unknown class, or a weight of zero: TrainingError."""
    none, ones = np.zeros(0, np.int64), np.ones(len(workload.lines), np.int64)
    attempts: list[tuple[Lines, NDArray[np.int64], NDArray[np.float64] | None]] = [
        (Lines.of([]), none, None),
        (workload.lines, ones, None),
        (workload.lines, workload.labels + len(CLASSES), None),
        (workload.lines, workload.labels, np.zeros(len(workload.lines))),
    ]
    for lines, labels, weights in attempts:
        try:
            make().fit(lines, labels, weights=weights)
        except TrainingError:
            continue
        raise AssertionError("data that cannot be trained on was accepted")


def check_few_lines_of_a_class(make: Make, workload: LineWorkload) -> None:
    """Classes with one line, and classes with none, do not stop the training."""
    few = np.concatenate([np.flatnonzero(workload.labels == 0)[:12], np.flatnonzero(workload.labels == 1)[:9], [2, 3]])
    classifier = make()
    classifier.fit(workload.lines.take(few), workload.labels[few])
    _assert_probabilities(classifier.probabilities(workload.lines), len(workload.lines))


def check_reasons(make: Make, workload: LineWorkload) -> None:
    """Every line has reasons as text, most important first, finite, and independent of the other lines."""
    classifier = fitted(make, workload)
    some = workload.lines.take(np.arange(6))
    found = classifier.explain(some)
    for reasons in found:
        assert reasons
        assert all(r.what for r in reasons)
        sizes = [abs(r.value) for r in reasons]
        assert np.isfinite(sizes).all()
        assert sizes == sorted(sizes, reverse=True)
    alone = classifier.explain(some.take(np.array([5])))[0]
    assert [r.what for r in alone] == [r.what for r in found[5]]
    np.testing.assert_allclose([r.value for r in alone], [r.value for r in found[5]], atol=1e-4)


def _subject(make: Make, workload: LineWorkload) -> Subject[LineClassifier]:
    return Subject(
        make=make,
        fitted=lambda seed: fitted(make, workload, seed),
        output=lambda classifier: classifier.probabilities(workload.lines),
        explain=lambda classifier: classifier.explain(workload.lines),
        build=lambda name, settings: build(name, settings, device="cpu"),
        learns=make().learns,
    )


CHECKS: tuple[Check, ...] = (
    *promised(_subject),
    check_input_is_untouched,
    check_probabilities_are_probabilities,
    check_batching_does_not_matter,
    check_anything_is_classified,
    check_bad_training_data_is_refused,
    check_few_lines_of_a_class,
    check_reasons,
)
