"""How the pause at a swap is read off the alerts, and the event that starts the round."""

import pytest
from pydantic import TypeAdapter

from bench.harness import BenchError
from bench.scenarios.drift_to_swap import drift_event, swap_pause_ms
from foundation.documents.drift_event import DriftEventDocument


def test_the_event_that_starts_the_round_is_one_that_a_coordinator_accepts() -> None:
    event = drift_event(1)
    assert TypeAdapter(DriftEventDocument).validate_python(event, strict=True) == event


def _alerts(*stamps: tuple[int, int]) -> list[tuple[int, dict[str, int]]]:
    return [(ms, {"version": version}) for ms, version in stamps]


def test_the_silence_before_the_first_alert_of_the_new_version_counts_beyond_the_usual_ones() -> None:
    old = [(10 * n, 2) for n in range(50)]
    new = [(490 + 40 + 10 * n, 3) for n in range(50)]
    assert swap_pause_ms(_alerts(*old, *new), 3) == pytest.approx(30)


def test_no_longer_silence_than_usual_is_no_pause() -> None:
    old = [(10 * n, 2) for n in range(50)]
    new = [(500 + 10 * n, 3) for n in range(50)]
    assert swap_pause_ms(_alerts((0, 1), *old, *new), 3) == 0


def test_alerts_of_earlier_versions_do_not_count() -> None:
    stamps = [(0, 1), (5000, 1), (6000, 2), (6010, 2), (6040, 3), (6050, 3)]
    assert swap_pause_ms(_alerts(*stamps), 3) == pytest.approx(20)


def test_without_an_alert_of_the_old_version_there_is_nothing_to_measure() -> None:
    with pytest.raises(BenchError, match="no alert of version 2"):
        swap_pause_ms(_alerts((0, 3), (10, 3)), 3)
