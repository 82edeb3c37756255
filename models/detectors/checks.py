"""The promises of a window detector, one function each; tests run every one over every detector.

Those of any model are in `models.training.model_checks`, and among `CHECKS` too. A check takes `make`, which
builds the detector again without weights, and `WindowWorkload`, a small labelled workload, and raises
AssertionError where the promise is broken.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.base import Templates, WindowDetector, Windows, template_id
from models.detectors.registry import build
from models.training.model_checks import Subject, promised

Make = Callable[[], WindowDetector]
_ROUNDING = 1e-5
_MEMORY_MIB = 256


@dataclass(frozen=True, slots=True)
class WindowWorkload:
    """A workload: windows, labels and the templates' texts."""

    windows: Windows
    labels: NDArray[np.bool_]
    templates: Templates


Check = Callable[[Make, WindowWorkload], None]


def make_workload(seed: int = 0, count: int = 150) -> WindowWorkload:
    """Sessions `open, write…, close`; the anomalous ones hold a failure or never close."""
    rng = np.random.default_rng(seed)
    texts = [
        "session <*> opened",
        "block <*> written",
        "block <*> read",
        "session <*> closed",
        "write of block <*> failed",
    ]
    ids = [template_id(t) for t in texts]
    rows, labels = [], np.arange(count) % 6 == 0
    for anomalous in labels.tolist():
        row = [0, *rng.integers(1, 3, rng.integers(2, 9)).tolist(), 3]
        if anomalous and rng.random() < 0.5:
            row.insert(int(rng.integers(1, len(row))), 4)
        elif anomalous:
            row.pop()
        rows.append([ids[t] for t in row])
    return WindowWorkload(Windows.of(rows), labels, dict(zip(ids, texts, strict=True)))


def fitted(make: Make, workload: WindowWorkload, seed: int = 0) -> WindowDetector:
    """The detector trained on the workload as its kind wants it."""
    detector = make()
    if detector.supervised:
        detector.fit(workload.windows, workload.labels, workload.templates, seed=seed)
    else:
        detector.fit(workload.windows.take(np.flatnonzero(~workload.labels)), None, workload.templates, seed=seed)
    detector.learn_templates(workload.templates)
    return detector


def check_input_is_untouched(make: Make, workload: WindowWorkload) -> None:
    """Neither fit nor score changes windows, labels or templates."""
    before = [
        a.copy() for a in (workload.windows.ids, workload.windows.offsets, workload.windows.closed, workload.labels)
    ]
    templates = dict(workload.templates)
    fitted(make, workload).score(workload.windows)
    after = (workload.windows.ids, workload.windows.offsets, workload.windows.closed, workload.labels)
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))
    assert templates == workload.templates


def check_scores_are_finite_and_ordered(make: Make, workload: WindowWorkload) -> None:
    """One finite float32 a window, in order, and anomalous windows score higher on the whole."""
    scores = fitted(make, workload).score(workload.windows)
    assert scores.dtype == np.float32
    assert scores.shape == (len(workload.windows),)
    assert np.isfinite(scores).all()
    assert scores.max() <= fitted(make, workload).highest_score
    assert scores[workload.labels].mean() > scores[~workload.labels].mean()


def check_batching_does_not_matter(make: Make, workload: WindowWorkload) -> None:
    """One at a time, shuffled and all together give equal scores."""
    detector = fitted(make, workload)
    together = detector.score(workload.windows)
    order = np.random.default_rng(1).permutation(len(workload.windows))
    single = [detector.score(workload.windows.take(np.array([i])))[0] for i in range(40)]
    np.testing.assert_allclose(single, together[:40], atol=_ROUNDING)
    np.testing.assert_allclose(detector.score(workload.windows.take(order)), together[order], atol=_ROUNDING)


def check_any_length(make: Make, workload: WindowWorkload) -> None:
    """Windows of 0, 1, 2 and 3,000 lines score, closed or growing; the empty one scores 0."""
    detector = fitted(make, workload)
    ids = np.array(list(workload.templates), np.int64)
    rows = [ids[np.arange(n) % len(ids)] for n in (0, 1, 2, 3_000)]
    scores = detector.score(Windows.of(rows * 2, [True] * 4 + [False] * 4))
    assert np.isfinite(scores).all()
    assert scores[0] == scores[4] == 0
    assert len(detector.score(Windows.of([]))) == 0


def check_memory_is_bounded(make: Make, workload: WindowWorkload) -> None:
    """Scoring two windows of 10,000 lines takes at most `_MEMORY_MIB` more than scoring one line does."""
    detector = fitted(make, workload)
    ids = np.array(list(workload.templates), np.int64)
    row = ids[np.arange(10_000) % len(ids)]
    detector.score(Windows.of([ids[:1]]))
    clear, status = Path("/proc/self/clear_refs"), Path("/proc/self/status")
    clear.write_text("5")  # the peak counts from now on; see proc(5)
    before = _peak_mib(status.read_text())
    detector.score(Windows.of([np.roll(row, i) for i in range(2)]))
    assert _peak_mib(status.read_text()) - before < _MEMORY_MIB


def _peak_mib(status: str) -> float:
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def check_unknown_template(make: Make, workload: WindowWorkload) -> None:
    """An id never learnt scores; after learning its text, batches with it still agree with single windows."""
    detector = fitted(make, workload)
    text = "disk <*> has vanished"
    strange = Windows.of([[*workload.windows.row(1).tolist(), template_id(text)], [template_id(text)]])
    assert np.isfinite(detector.score(strange)).all()
    detector.learn_templates({template_id(text): text})
    assert detector.knows(strange.ids).all()
    single = [detector.score(strange.take(np.array([i])))[0] for i in range(2)]
    np.testing.assert_allclose(detector.score(strange), single, atol=_ROUNDING)


def check_learning_leaves_scores(make: Make, workload: WindowWorkload) -> None:
    """Learning other templates, or the same ones again, changes no score."""
    detector = fitted(make, workload)
    scores = detector.score(workload.windows)
    texts = [f"subsystem {i} reports <*>" for i in range(50)]
    detector.learn_templates({template_id(t): t for t in texts} | dict(workload.templates))
    np.testing.assert_allclose(detector.score(workload.windows), scores, atol=_ROUNDING)


def check_explanation_adds_up(make: Make, workload: WindowWorkload) -> None:
    """Base and contributions of a window give its score, independently of the other windows; input is untouched."""
    detector = fitted(make, workload)
    strange = [*workload.windows.row(1).tolist(), template_id("disk <*> has vanished")]
    rows: list[list[int]] = [workload.windows.row(i).tolist() for i in range(12)]
    rows += [[], strange, workload.windows.row(2)[:1].tolist()]
    windows = Windows.of(rows, [i % 3 > 0 for i in range(len(rows))])
    before = windows.ids.copy()
    explanation = detector.explain(windows)
    assert np.array_equal(windows.ids, before)
    assert explanation.contributions.dtype == explanation.base.dtype == np.float32
    assert explanation.contributions.shape == windows.ids.shape
    total = np.concatenate([[0], np.cumsum(explanation.contributions, dtype=np.float64)])
    sums = explanation.base + total[windows.offsets[1:]] - total[windows.offsets[:-1]]
    scores = detector.score(windows)
    np.testing.assert_allclose(sums, scores, atol=0.01 * max(1.0, float(np.abs(scores).max())))
    last = detector.explain(windows.take(np.array([len(windows) - 1])))
    np.testing.assert_allclose(last.contributions, explanation.contributions[-1:], atol=1e-4)


def _subject(make: Make, workload: WindowWorkload) -> Subject[WindowDetector]:
    def output(detector: WindowDetector) -> NDArray[np.float32]:
        detector.learn_templates(workload.templates)
        return detector.score(workload.windows)

    return Subject(
        make=make,
        fitted=lambda seed: fitted(make, workload, seed),
        output=output,
        explain=lambda detector: detector.explain(workload.windows),
        build=lambda name, settings: build(name, settings, device="cpu"),
        learns=make().learns,
    )


CHECKS: tuple[Check, ...] = (
    *promised(_subject),
    check_input_is_untouched,
    check_scores_are_finite_and_ordered,
    check_batching_does_not_matter,
    check_any_length,
    check_memory_is_bounded,
    check_unknown_template,
    check_learning_leaves_scores,
    check_explanation_adds_up,
)
