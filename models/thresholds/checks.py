"""The promises of a threshold rule, one function each; tests run every one over every entry of `RULES`.

A check takes the rule's name, scores of normal windows and scores of anomalous ones, and raises
AssertionError where the promise is broken.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from models.base import TrainingError
from models.thresholds.base import Threshold
from models.thresholds.registry import LABELLED, fit_threshold

Check = Callable[[str, NDArray[np.float32], NDArray[np.float32]], None]


def _fit(rule: str, normal: NDArray[np.float32], anomalous: NDArray[np.float32]) -> float:
    return fit_threshold(rule, *_both(normal, anomalous)).value


def _both(normal: NDArray[np.float32], anomalous: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    return np.concatenate([normal, anomalous]), np.arange(len(normal) + len(anomalous)) >= len(normal)


def check_float32_and_json(rule: str, normal: NDArray[np.float32], anomalous: NDArray[np.float32]) -> None:
    """The value is finite and a float32 number, and the record survives JSON."""
    found = fit_threshold(rule, *_both(normal, anomalous))
    assert np.isfinite(found.value)
    assert np.float32(found.value) == found.value
    assert Threshold.model_validate_json(found.model_dump_json()) == found


def check_order_does_not_matter(rule: str, normal: NDArray[np.float32], anomalous: NDArray[np.float32]) -> None:
    """Shuffled scores give the same threshold."""
    scores, labels = _both(normal, anomalous)
    order = np.random.default_rng(0).permutation(len(scores))
    np.testing.assert_allclose(
        fit_threshold(rule, scores[order], labels[order]).value, fit_threshold(rule, scores, labels).value, rtol=1e-5
    )


def check_shifted_scores_shift_the_threshold(
    rule: str, normal: NDArray[np.float32], anomalous: NDArray[np.float32]
) -> None:  # fmt: skip
    """Scores that are scaled by 8 and then shifted by 64 give the threshold scaled and shifted."""
    moved = _fit(rule, normal * np.float32(8) + np.float32(64), anomalous * np.float32(8) + np.float32(64))
    np.testing.assert_allclose(moved, _fit(rule, normal, anomalous) * 8 + 64, rtol=1e-2)


def check_higher_normal_scores_never_lower_it(
    rule: str, normal: NDArray[np.float32], anomalous: NDArray[np.float32]
) -> None:  # fmt: skip
    """Normal and anomalous scores that all rise do not lower the threshold."""
    assert _fit(rule, normal + np.float32(1), anomalous + np.float32(1)) >= _fit(rule, normal, anomalous)


def check_anomalies_do_not_raise_it(rule: str, normal: NDArray[np.float32], anomalous: NDArray[np.float32]) -> None:
    """Rules for normal scores ignore labelled anomalies; the others call the highest anomaly anomalous."""
    if rule in LABELLED:
        assert _fit(rule, normal, anomalous) <= anomalous.max()
    else:
        assert _fit(rule, normal, anomalous) == fit_threshold(rule, normal).value


def check_equal_scores_are_normal(rule: str, normal: NDArray[np.float32], anomalous: NDArray[np.float32]) -> None:
    """Where all normal scores are equal, none of them is anomalous."""
    same = np.full_like(normal, normal[0])
    assert (same < _fit(rule, same, np.full_like(anomalous, normal.max() + 1))).all()


def check_bad_scores_are_refused(rule: str, normal: NDArray[np.float32], anomalous: NDArray[np.float32]) -> None:
    """No score, NaN, infinity, an unknown setting, and a threshold that no score can reach raise TrainingError."""
    scores, labels = _both(normal, anomalous)
    attempts: tuple[Callable[[], object], ...] = (
        lambda: fit_threshold(rule, scores[:0], labels[:0]),
        lambda: fit_threshold(rule, np.append(scores, np.float32(np.nan)), np.append(labels, False)),
        lambda: fit_threshold(rule, np.append(scores, np.float32(np.inf)), np.append(labels, False)),
        lambda: fit_threshold(rule, scores, labels, {"magic": 1.0}),
        lambda: fit_threshold(rule, scores, labels, highest=float(scores.min()) - 1),
    )
    for attempt in attempts:
        try:
            attempt()
        except TrainingError:
            continue
        raise AssertionError(f"threshold rule {rule} accepted scores or settings that it cannot use")


CHECKS: tuple[Check, ...] = (
    check_float32_and_json,
    check_order_does_not_matter,
    check_shifted_scores_shift_the_threshold,
    check_higher_normal_scores_never_lower_it,
    check_anomalies_do_not_raise_it,
    check_equal_scores_are_normal,
    check_bad_scores_are_refused,
)
