"""How well a model distinguishes incidents from recent windows, without labels.

Incidents are made up inside recent windows without a label: a line of an error that the log has never had, a burst of
one line, a window that breaks off, and lines of one template that turn into errors. A model finds one if the changed
window is beyond all but `LEVEL` of the region's calibration windows, the unchanged one is not, and the changed one is
an alert. Both models are measured by their own scores of the same windows, so a lower threshold does not help: a
model that scores every window as strange finds no incident, and neither does one that scores no window as strange, or
one whose threshold is too high for them.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from federation.storage.learning import LearningSet
from models.base import Windows, template_id

LEVEL = 0.01
"""Share of the calibration windows that may be as strange as a finding, where there are enough of them."""

MIN_CALIBRATION = 40
"""With fewer calibration windows, the share would be above a twentieth: too many usual windows would be findings."""

MAX_INCIDENTS = 200
"""Far more than the gate's test needs; each costs four scores."""

ERRORS = (
    "fatal error: cannot write to <*>: no space left on device",
    "error: connection to <*> refused after <*> attempts",
    "out of memory: process <*> was killed",
    "exception in thread <*>: checksum mismatch, data is corrupt",
    "request <*> failed: permission denied",
)
"""Templates of the errors."""

_TEXTS = {template_id(text): text for text in ERRORS}
_BURST_LINES = 20

Change = Callable[[NDArray[np.int64], np.random.Generator], NDArray[np.int64]]
"""Makes an incident of the template ids of a window."""


def _error(row: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    return np.insert(row, int(rng.integers(len(row) + 1)), _any_error(rng))


def _burst(row: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    at = int(rng.integers(len(row)))
    return np.concatenate([row[:at], np.repeat(row[at], _BURST_LINES), row[at:]])


def _broken_off(row: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    return np.append(row[: (len(row) + 1) // 2], _any_error(rng))


def _failing(row: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    return np.where(row == row[int(rng.integers(len(row)))], _any_error(rng), row)


def _any_error(rng: np.random.Generator) -> int:
    return list(_TEXTS)[int(rng.integers(len(_TEXTS)))]


CHANGES: tuple[Change, ...] = (_error, _burst, _broken_off, _failing)


def recent_windows(holdout: LearningSet) -> LearningSet:
    """The newest windows without a label, at most `MAX_INCIDENTS`."""
    free = ~holdout.known & (holdout.windows.lengths() > 0)
    chosen = np.zeros(len(holdout), bool)
    chosen[np.flatnonzero(free)[-MAX_INCIDENTS:]] = True
    return holdout.subset(chosen)


def with_incidents(recent: LearningSet, seed: int) -> LearningSet:
    """The same windows, each with an incident; the kinds take turns."""
    rng = np.random.default_rng(seed)
    rows = [CHANGES[i % len(CHANGES)](recent.windows.row(i), rng) for i in range(len(recent))]
    windows = Windows.of(rows, recent.windows.closed.tolist())
    return LearningSet(windows, recent.labels, {**recent.templates, **_TEXTS}, recent.provenance)


def level_of(calibration: int) -> float:
    """The share of so many calibration windows that may be as strange as a finding: two of them, if that is more."""
    return max(LEVEL, 2 / calibration)


def tells_apart(
    calibration: NDArray[np.float32], recent: NDArray[np.float32], changed: NDArray[np.float32], threshold: float
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which incidents a model finds, and which recent windows it finds strange without one.

    Args:
        calibration: float32 (m,): its scores of normal calibration windows.
        recent: float32 (n,): its scores of the unchanged windows.
        changed: float32 (n,): its scores of the windows with an incident.
        threshold: Its threshold; an incident below it would raise no alert.

    Returns:
        bool (n,) each.
    """
    ordered = np.sort(calibration)
    strange, found = (
        (len(ordered) - np.searchsorted(ordered, scores, "left") + 1) / (len(ordered) + 1) <= level_of(len(ordered))
        for scores in (recent, changed)
    )
    return found & ~strange & (changed >= threshold), strange
