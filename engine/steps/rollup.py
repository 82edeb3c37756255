"""Rollup: exact counts of lines and windows per minute of event time and template.

A row is known by its partition, minute, part and template, and its counts are absolute. They are kept with the
recovery state and written again after a crash, so a replay ends with the same numbers. Lines, windows and alerts come
at different times, so each has minutes of its own; see `engine.parsing.minute_counts`.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import compress
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from connectors.count_rows import ScoreCounts
from connectors.sql_settings import SqlSettings
from engine.parsing.minute_counts import MinuteCounts, MinuteRow
from engine.records import DecidedWindows
from foundation.documents.alert import AlertDocument
from foundation.score_buckets import BUCKETS, EDGES
from foundation.time_text import parse_time

LEVELS = 7
"""Columns of lines: those without a level, then the levels from trace to fatal."""

WINDOWS, ANOMALOUS, ALERTS, FIRST_BUCKET = range(4)
"""Columns of windows; from the last on one for each bucket of scores."""

WINDOW_COLUMNS = FIRST_BUCKET + BUCKETS
_BUCKETS = range(BUCKETS)
_NONE = -1


class RollupSettings(BaseModel):
    """Counts per minute and template, for the console and the API."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    store: SqlSettings | None = Field(None, description="Database of the counts; the region's SQL sink if not set.")
    flush_s: Annotated[float, Field(gt=0)] = Field(
        10.0, description="Seconds between two updates of the minutes that are still open."
    )
    late_minutes: Annotated[int, Field(ge=0, le=60)] = Field(
        5, description="Minutes of event time for which counts stay in memory. Later lines are counted separately."
    )
    keep_days: Annotated[float, Field(gt=0)] = Field(
        14.0, description="Days of event time after which the counts of a minute are deleted. Those of its hour remain."
    )
    keep_hourly_days: Annotated[float, Field(gt=0)] = Field(
        90.0, description="The same for the counts of an hour. Those of its day remain."
    )
    keep_daily_days: Annotated[float, Field(gt=0)] = Field(
        730.0, description="The same for the counts of a day, and for templates that were not seen since."
    )


class WindowRollup:
    """Counts the windows and the alerts of each partition.

    Their rows have names of partitions of their own, because windows of one partition may be in several shards, and
    their minutes are closed at other moments than those of its lines.
    """

    def __init__(self, late_minutes: int, snapshot: Mapping[str, Any] | None = None) -> None:
        """Begin without counts, or continue from the result of `snapshot`."""
        self._late = late_minutes
        saved = snapshot or {}
        self._counts = {name: MinuteCounts(late_minutes, WINDOW_COLUMNS, saved[name]) for name in saved}

    def add_windows(self, shard: str, decided: DecidedWindows) -> None:
        """Count windows once for each of their templates, and once for all."""
        batch, scores = decided.scored.batch, decided.scored.score
        columns = np.empty((len(scores), 3), np.int32)
        columns[:, 0] = WINDOWS
        columns[:, 1] = np.where(decided.anomalous, ANOMALOUS, _NONE)
        columns[:, 2] = FIRST_BUCKET + np.searchsorted(EDGES, scores, side="right")
        for partition, rows in _by_partition(batch.partition):
            windows = batch.windows if rows is None else batch.windows.take(rows)
            time_ns, column = (batch.last_ns, columns) if rows is None else (batch.last_ns[rows], columns[rows])
            self._of(f"{partition} (windows {shard})").add_windows(time_ns, windows.ids, windows.offsets, column)

    def add_alert(self, shard: str, alert: AlertDocument) -> None:
        """Count an alert that is sent once for each of its templates, and once for all."""
        ids = np.array([int(template["id"], 16) for template in alert["templates"]], np.uint64).astype(np.int64)
        time_ns = np.array([parse_time(alert["last_time"])])
        column, offsets = np.array([[ALERTS, _NONE, _NONE]], np.int32), np.array([0, len(ids)])
        self._of(f"{alert['source']} (alerts {shard})").add_windows(time_ns, ids, offsets, column)

    def changed(self) -> Iterator[tuple[str, MinuteRow]]:
        """Every row that has changed since the last call, with the name of its partition."""
        return ((name, row) for name, counts in self._counts.items() for row in counts.changed())

    def closed(self) -> Iterator[tuple[str, MinuteRow]]:
        """The rows of closed minutes that were not returned yet, with the name of their partition."""
        return ((name, row) for name, counts in self._counts.items() for row in counts.closed())

    def snapshot(self) -> dict[str, Any]:
        """Plain data from which the constructor continues; call it with no closed rows waiting."""
        return {name: counts.snapshot() for name, counts in self._counts.items()}

    def _of(self, name: str) -> MinuteCounts:
        counts = self._counts.get(name)
        if counts is None:
            counts = self._counts[name] = MinuteCounts(self._late, WINDOW_COLUMNS)
        return counts


def scores_of(counts: Sequence[int]) -> ScoreCounts:
    """Return the scores of a row of windows."""
    of_buckets = counts[FIRST_BUCKET:]
    return tuple(zip(compress(_BUCKETS, of_buckets), compress(of_buckets, of_buckets), strict=True))


def _by_partition(partitions: Sequence[str]) -> Iterator[tuple[str, NDArray[np.int64] | None]]:
    """The partitions of windows, each with its rows in order; None for all rows."""
    names = set(partitions)
    if len(names) == 1:
        yield partitions[0], None
        return
    every = np.array(partitions)
    for name in sorted(names):
        yield name, np.flatnonzero(every == name)
