"""How the pause at a swap is read off the alerts, and the event that starts the round."""

import numpy as np
import pytest
from pydantic import TypeAdapter

from bench.harness import BenchError
from bench.processes.alert_delays import swap_pause_ms
from bench.scenarios.drift_to_swap import drift_event
from foundation.documents.drift_event import DriftEventDocument


def test_the_event_that_starts_the_round_is_one_that_a_coordinator_accepts() -> None:
    event = drift_event(1)
    assert TypeAdapter(DriftEventDocument).validate_python(event, strict=True) == event


def _pause(*alerts: tuple[int, int, int]) -> float:
    """Of the swap to version 3; each alert as (sent in ms, its delay in ms, version)."""
    sent_ms, delay_ms, versions = np.array(alerts, np.int64).T
    return swap_pause_ms(sent_ms, delay_ms, versions, 3)


OLD = [(100 * n, 10, 2) for n in range(50)]
NEW = [(5000 + 100 * n, 10, 3) for n in range(50)]


def test_the_longest_delay_near_the_first_alert_of_the_new_version_counts_beyond_the_usual_ones() -> None:
    assert _pause(*OLD, (5000, 40, 3), *NEW) == pytest.approx(30)


def test_a_silence_of_the_log_is_no_pause() -> None:
    assert _pause(*OLD, *((sent + 3000, delay, version) for sent, delay, version in NEW)) == 0


def test_delays_long_before_and_after_the_swap_do_not_count() -> None:
    assert _pause((0, 900, 2), *OLD, *NEW, (9900, 900, 3)) == 0


def test_alerts_of_earlier_versions_do_not_count() -> None:
    assert _pause((4900, 900, 1), *OLD, *NEW) == 0


def test_without_an_alert_of_the_old_version_there_is_nothing_to_measure() -> None:
    with pytest.raises(BenchError, match="no alert of version 2"):
        _pause(*NEW)
