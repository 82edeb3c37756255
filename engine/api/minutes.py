"""Ranges of whole minutes, and the counts of the rollup within them, from rows as long as the range allows.

A range is cut into whole days and hours, whose rows are sums, and the minutes that are left at its ends. So an answer
is exact and reads few rows. Where the rows of minutes are deleted, a range and its parts are whole hours or days.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

import sqlalchemy as sa
from fastapi import Query

from connectors.sql_schema import (
    ALERTS,
    COUNT_COLUMNS,
    LEVEL_COLUMNS,
    SPANS,
    TEMPLATE_MINUTES,
    TEMPLATE_SPANS,
)
from connectors.sql_settings import ALL_TEMPLATES
from engine.api.pages import time_of
from engine.api.problems import ProblemError
from engine.api.services import Services
from foundation.time_text import NS_PER_S, iso_time, parse_time

MINUTE_NS = 60 * NS_PER_S
DEFAULT_MINUTES = 24 * 60
MAX_MINUTES = 400 * 24 * 60

LEVELS = tuple(name.removeprefix("level_") for name in LEVEL_COLUMNS)

Time = Annotated[
    str | None,
    Query(max_length=40, description="RFC 3339; rounded to the minute, or to what the retention has left."),
]
RegionName = Annotated[str | None, Query(max_length=256, description="Only lines of this region.")]


def minute_range(services: Services, since: str | None, until: str | None) -> tuple[int, int]:
    """First minute, and the minute behind the last one.

    Raises:
        ProblemError: a time is not valid, or the range is empty or too long.
    """
    end = -(-parse_time(time_of("until", until) or services.now()) // MINUTE_NS)
    start = parse_time(time_of("since", since)) // MINUTE_NS if since else end - DEFAULT_MINUTES
    if not start < end:
        raise ProblemError(422, "since must be before until")
    if end - start > MAX_MINUTES:
        raise ProblemError(422, f"the range is longer than {MAX_MINUTES // 1_440} days")
    start = max(0, start)
    first = row_minutes(services, start)
    last = row_minutes(services, end - 1) if first > 1 else 1
    return start - start % first, end + -end % last


def row_minutes(services: Services, minute: int) -> int:
    """Length of the shortest rows that have the counts of a minute: 1, or longer where shorter rows are deleted."""
    counted = TEMPLATE_MINUTES.c
    query = sa.select(sa.func.min(counted.minute).label("oldest")).where(counted.part == 0)
    oldest = services.database.rows(query)[0]["oldest"]
    table, length = TEMPLATE_SPANS.c, 1
    for span in (60, 1_440):
        if oldest is None or minute >= oldest:
            break
        query = sa.select(sa.func.min(table.minute).label("oldest"))
        longer = services.database.rows(query.where(table.span == span))[0]["oldest"]
        if longer is not None and longer + span <= oldest:
            length = span
        oldest = longer
    return length


def spans_of(start: int, step: int) -> tuple[int, ...]:
    """Lengths of rows of which none is in two parts of a range, the longest first.

    Args:
        start: First minute of the range and of its first part.
        step: Minutes of a part.
    """
    return tuple(span for span in SPANS if step % span == 0 and start % span == 0)


def pieces(start: int, end: int, spans: Sequence[int] = SPANS) -> Iterator[tuple[int, int, int]]:
    """Cut a range into rows.

    Args:
        start: First minute.
        end: The minute behind the last one.
        spans: Lengths of rows, the longest first and 1 last.

    Yields:
        Length of a row in minutes, and first minute and end of the part of the range that such rows cover.
    """
    span, *shorter = spans
    first, last = -(-start // span) * span, end // span * span
    if first >= last:
        if shorter:
            yield from pieces(start, end, shorter)
        return
    if start < first:
        yield from pieces(start, first, shorter)
    yield span, first, last
    if last < end:
        yield from pieces(last, end, shorter)


def rows_within(
    start: int, end: int, region: str | None, names: Sequence[str] | sa.Select[Any] | None = None, *,
    spans: Sequence[int] = SPANS,
) -> sa.Subquery:  # fmt: skip
    """Rows with `template`, `minute`, `lines` and every column of `COUNT_COLUMNS`, of every template.

    Args:
        start: First minute.
        end: The minute behind the last one.
        region: Only its rows.
        names: Only rows of these templates; `(ALL_TEMPLATES,)` for the sums over all.
        spans: See `pieces`.
    """
    return sa.union_all(*(
        _rows(span, first, last, region, names) for span, first, last in pieces(start, end, spans)
    )).subquery()  # fmt: skip


def _rows(
    span: int, start: int, end: int, region: str | None, names: Sequence[str] | sa.Select[Any] | None
) -> sa.Select[Any]:  # fmt: skip
    summed = span > 1 or names == (ALL_TEMPLATES,)
    table = TEMPLATE_SPANS.c if summed else TEMPLATE_MINUTES.c
    lines = table.lines if summed else sum((table[name] for name in LEVEL_COLUMNS[1:]), table[LEVEL_COLUMNS[0]])
    query = sa.select(table.template, table.minute, lines.label("lines"), *(table[name] for name in COUNT_COLUMNS))
    if summed:
        query = query.where(table.span == span)
    if names is None:
        query = query.where(table.template != ALL_TEMPLATES)
    elif isinstance(names, sa.Select):
        query = query.where(table.template.in_(names))
    else:
        query = query.where(table.template.in_(names) if len(names) > 1 else table.template == names[0])
    query = query.where(table.minute >= start, table.minute < end)
    return query if region is None else query.where(table.region == region)


def alerts_within(start: int, end: int, region: str | None) -> list[sa.ColumnElement[bool]]:
    """Conditions on alerts: the last line is in a range."""
    time = ALERTS.c.last_time
    conditions = [time >= minute_text(start), time < minute_text(end)]
    return conditions if region is None else [*conditions, ALERTS.c.region == region]


def part_of(start: int, step: int) -> sa.ColumnElement[Any]:
    """Number of the part of a range that a minute is in; `//` of integers in both databases."""
    # As literals: PostgreSQL takes an expression with parameters for another one in GROUP BY.
    return sa.literal_column(f"((minute - {start:d}) / {step:d})")


def sums(rows: sa.Subquery) -> list[sa.ColumnElement[Any]]:
    """Sums of every column of counts."""
    return [sa.func.sum(rows.c[name]).label(name) for name in COUNT_COLUMNS]


def levels_of(row: Mapping[str, Any]) -> list[int]:
    """Return the lines of a row by level, in the order of `LEVELS`."""
    # PostgreSQL gives sums of BIGINT as NUMERIC.
    return [int(row[name] or 0) for name in LEVEL_COLUMNS]


def by_level(counts: Sequence[int]) -> dict[str, int]:
    """Return lines by the name of their level, without levels that have none."""
    return {name: count for name, count in zip(LEVELS, counts, strict=True) if count}


def minute_text(minute: int) -> str:
    """Return the start of a minute as the store has times."""
    return iso_time(minute * MINUTE_NS)
