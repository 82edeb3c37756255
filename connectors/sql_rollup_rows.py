"""Rows of minutes replaced in the database, and what they changed by added to the sums that they are in.

Columns are added up as arrays, because a stream that is read at full speed has a row for a dozen lines.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from connectors.count_rows import ScoreCounts
from connectors.sql_bulk import Changes, upsert_rows
from connectors.sql_schema import (
    COUNT_COLUMNS,
    LEVEL_COLUMNS,
    SCORE_SPANS,
    SPANS,
    TEMPLATE_MINUTES,
    TEMPLATE_SPANS,
)
from connectors.sql_settings import ALL_TEMPLATES
from foundation.score_buckets import BUCKETS, counts_of

MINUTES_READ = 500
"""Minutes that are looked up at once."""

Key = tuple[str, str, int, int, str]
"""Region, partition, minute, part and template, the key of `TEMPLATE_MINUTES`."""

Counted = tuple[tuple[int, ...], ScoreCounts]
"""Counts in the order of `COUNT_COLUMNS`, and scores."""

_LEVELS = len(LEVEL_COLUMNS)


def store_minutes(connection: sa.Connection, minutes: Mapping[Key, Counted]) -> None:
    """Replace rows of minutes, and bring the sums of hours, days and all templates up to date.

    Args:
        connection: In a transaction that no other writer of these rows is in.
        minutes: Absolute counts; at least one row.
    """
    keys = sorted(minutes)
    before = _stored(connection, keys)
    sums = _Sums(keys)
    upsert_rows(connection, TEMPLATE_MINUTES, [_minute_row(key, minutes[key]) for key in keys], _replaced)
    upsert_rows(connection, TEMPLATE_SPANS, [*sums.of_counts(_changes(keys, minutes, before))], _ADD_COUNTS)
    scores = _score_changes(keys, minutes, before)
    if len(scores):
        upsert_rows(connection, SCORE_SPANS, [*sums.of_scores(scores)], _ADD_SCORES)


class _Sums:
    """The sums that some rows of minutes are part of: those of their template and those of all templates."""

    def __init__(self, keys: Sequence[Key]) -> None:
        # Numbered in order, so that what is sorted by number is sorted as the keys of the tables are.
        self._names = sorted({(key[0], name) for key in keys for name in (key[4], ALL_TEMPLATES)})
        number = {name: i for i, name in enumerate(self._names)}
        self._template = np.array([number[key[0], key[4]] for key in keys], np.int64)
        self._all = np.array([number[key[0], ALL_TEMPLATES] for key in keys], np.int64)
        self._minute = np.array([key[2] for key in keys], np.int64)

    def of_counts(self, changes: NDArray[np.int64]) -> Iterator[tuple[Any, ...]]:
        """Rows to add to `TEMPLATE_SPANS`, in the order of its key.

        Args:
            changes: int64 (n, columns): by how much each row has grown.
        """
        # A window is in a row for each of its templates, and once in a row of its own; a line is in one row.
        rows = np.flatnonzero(self._template != self._all)
        lines = changes[rows]
        lines[:, _LEVELS:] = 0
        name = np.concatenate([self._template, self._all[rows]])
        minute = np.concatenate([self._minute, self._minute[rows]])
        for span, start, found, counts in self._added_up(name, 1, minute, np.concatenate([changes, lines])):
            yield span, start, *self._names[found], sum(counts[:_LEVELS]), *counts

    def of_scores(self, changes: NDArray[np.int64]) -> Iterator[tuple[Any, ...]]:
        """Rows to add to `SCORE_SPANS`, in the order of its key.

        Args:
            changes: int64 (n, 3): place of the row, bucket, and by how much its number of scores has grown.
        """
        place, bucket, windows = changes.T
        code = self._template[place] * BUCKETS + bucket
        for span, start, found, (grown,) in self._added_up(code, BUCKETS, self._minute[place], windows[:, None]):
            if grown:
                yield span, start, *self._names[found // BUCKETS], found % BUCKETS, grown

    def _added_up(
        self, code: NDArray[np.int64], codes: int, minute: NDArray[np.int64], values: NDArray[np.int64]
    ) -> Iterator[tuple[int, int, int, list[int]]]:
        """Sums of values by span, first minute and code, in this order.

        Args:
            code: int64 (n,): number of a name, multiplied by `codes`, and what is less than `codes`.
            codes: See `code`.
            minute: int64 (n,).
            values: int64 (n, k).
        """
        for span in sorted(SPANS):
            rows = np.arange(len(code)) if span > 1 else np.flatnonzero(np.isin(code // codes, self._all))
            if not len(rows):
                continue
            start, of_rows = minute[rows] - minute[rows] % span, code[rows]
            order = np.lexsort((of_rows, start))
            start, of_rows = start[order], of_rows[order]
            first = np.flatnonzero((np.diff(start, prepend=-1) != 0) | (np.diff(of_rows, prepend=-1) != 0))
            added = np.add.reduceat(values[rows][order], first)
            for columns in zip(start[first].tolist(), of_rows[first].tolist(), added.tolist(), strict=True):
                yield span, *columns


def _changes(
    keys: Sequence[Key], minutes: Mapping[Key, Counted], before: Mapping[Key, Sequence[Any]]
) -> NDArray[np.int64]:
    """By how much each row has grown, int64 (n, columns)."""
    found = np.array([minutes[key][0] for key in keys], np.int64)
    known = [i for i, key in enumerate(keys) if key in before] if before else []
    if known:
        found[known] -= np.array([before[keys[i]][:-1] for i in known], np.int64)
    return found


def _score_changes(
    keys: Sequence[Key], minutes: Mapping[Key, Counted], before: Mapping[Key, Sequence[Any]]
) -> NDArray[np.int64]:
    """Place of a row, bucket, and by how much its number of scores has grown, int64 (n, 3)."""
    found: list[tuple[int, int, int]] = []
    for i, key in enumerate(keys):
        for bucket, windows in minutes[key][1]:
            found.append((i, bucket, windows))
        if key in before and before[key][-1]:
            found += [(i, bucket, -windows) for bucket, windows in counts_of(before[key][-1]).items()]
    return np.array(found, np.int64).reshape(-1, 3)


def _stored(connection: sa.Connection, keys: Sequence[Key]) -> dict[Key, Sequence[Any]]:
    """Counts and scores of the rows that the database has.

    Other parts of the same minutes come with them: a query for each part would cost more than all its rows.
    """
    table = TEMPLATE_MINUTES.c
    minutes: dict[tuple[str, str], set[int]] = {}
    for region, partition, minute, _, _ in keys:
        minutes.setdefault((region, partition), set()).add(minute)
    columns = [table[name] for name in ("minute", "part", "template", *COUNT_COLUMNS, "scores")]
    found: dict[Key, Sequence[Any]] = {}
    for (region, partition), wanted in minutes.items():
        every = sorted(wanted)
        for i in range(0, len(every), MINUTES_READ):
            of_part = table.minute.in_(every[i : i + MINUTES_READ])
            query = sa.select(*columns).where(table.region == region, table.partition == partition, of_part)
            for minute, part, template, *values in connection.execute(query):
                found[region, partition, minute, part, template] = values
    return found


def _minute_row(key: Key, counted: Counted) -> tuple[Any, ...]:
    counts, scores = counted
    return *key, *counts, " ".join([f"{bucket}:{windows}" for bucket, windows in scores])


def _replaced(excluded: Any) -> dict[str, Any]:
    return {name: excluded[name] for name in (*COUNT_COLUMNS, "scores")}


def _added(table: sa.Table) -> Changes:
    names = [column.name for column in table.columns if not column.primary_key]
    return lambda excluded: {name: table.c[name] + excluded[name] for name in names}


_ADD_COUNTS, _ADD_SCORES = _added(TEMPLATE_SPANS), _added(SCORE_SPANS)
