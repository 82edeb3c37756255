"""Ranges of whole minutes; lines by level within them from the rollup, and alerts."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import sqlalchemy as sa
from fastapi import Query

from connectors.sql_schema import ALERTS, LEVEL_COLUMNS, TEMPLATE_MINUTES
from engine.api.pages import time_of
from engine.api.problems import ProblemError
from engine.api.services import Services
from foundation.time_text import NS_PER_S, iso_time, parse_time

MINUTE_NS = 60 * NS_PER_S
DEFAULT_MINUTES = 24 * 60
MAX_MINUTES = 400 * 24 * 60

LEVELS = tuple(name.removeprefix("level_") for name in LEVEL_COLUMNS)

Time = Annotated[str | None, Query(max_length=40, description="RFC 3339; rounded down to the minute.")]
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
    return max(0, start), end


def select_levels(start: int, end: int, region: str | None, *more: sa.ColumnElement[Any]) -> sa.Select[Any]:
    """Sums by level over the minutes of a range."""
    table = TEMPLATE_MINUTES.c
    query = sa.select(*more, *(sa.func.sum(table[name]).label(name) for name in LEVEL_COLUMNS))
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
