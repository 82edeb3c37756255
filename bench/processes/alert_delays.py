"""How long alerts take after the line that completes their window, and how long a hot swap makes them wait."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.harness import BenchError
from bench.processes.engine_process import MAX_LENGTH
from connectors.kafka_source import LINE_BITS

NEAR_MS = 1_000
"""Alerts of this time before and after the first one of a version are those that its swap can delay."""


def completing_lines(alerts: Sequence[Mapping[str, Any]], data: bytes, gap_s: float) -> NDArray[np.int64]:
    """int64 (n,): index of the line of an HDFS log that completed each alert's window; beyond the log if none did.

    A growth step, and a window of full length, is completed by its own last line; a session that
    paused by the first line whose event time lies more than the gap behind the session's last one.
    """
    latest_s = np.maximum.accumulate(event_seconds(data))
    completing = []
    for alert in alerts:
        last = int(alert["last_position"]) >> LINE_BITS
        if alert["closed"] and alert["line_count"] < MAX_LENGTH:
            last = int(np.searchsorted(latest_s, seconds_of(alert["last_time"]) + gap_s, side="right"))
        completing.append(last)
    return np.array(completing, np.int64)


def swap_pause_ms(
    sent_ms: NDArray[np.int64], delay_ms: NDArray[np.int64], versions: NDArray[np.int64], version: int
) -> float:
    """Longest delay of an alert near the swap to `version`, beyond the delays that there are anyhow.

    Delays and not silences, because a log itself falls silent: sessions of HDFS end in bursts.

    Args:
        sent_ms: When each alert was sent.
        delay_ms: From the line that completed its window.
        versions: Of the model that scored it.
        version: The new version.

    Returns:
        The longest delay within `NEAR_MS` of the first alert of the version, less the 99th percentile of the other
        alerts of this version and the one before; 0 where it is not longer.

    Raises:
        BenchError: one of the two versions has no alert.
    """
    both = (versions == version) | (versions == version - 1)
    sent_ms, delay_ms, versions = sent_ms[both], delay_ms[both], versions[both]
    if len(np.unique(versions)) < 2:
        raise BenchError(f"no alert of version {version - 1} came before the first of version {version}")
    near = np.abs(sent_ms - sent_ms[versions == version].min()) <= NEAR_MS
    usual_ms = np.percentile(delay_ms[~near], 99) if not near.all() else 0.0
    return float(max(0.0, delay_ms[near].max() - usual_ms))


def seconds_of(text: str) -> float:
    """Seconds since the epoch of an alert's time."""
    return float(np.datetime64(text.rstrip("Z"), "ns").astype(np.int64)) / 1e9


def event_seconds(data: bytes) -> NDArray[np.int64]:
    """int64 (n,): event time of each HDFS line, seconds since the epoch."""
    array = np.frombuffer(data, np.uint8)
    starts = np.concatenate([[0], np.flatnonzero(array == ord("\n")) + 1])[:-1]
    digits = array[starts[:, None] + np.arange(13)].astype(np.int64) - ord("0")
    years, months, days, hours, minutes, seconds = (
        digits[:, at] * 10 + digits[:, at + 1] for at in (0, 2, 4, 7, 9, 11)
    )
    month = (years + 30) * 12 + months - 1
    day = month.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64) + days - 1
    return np.asarray(((day * 24 + hours) * 60 + minutes) * 60 + seconds, np.int64)
