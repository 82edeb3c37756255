"""Quantiles of the scores of windows over time, from the sketches of the rollup."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Annotated

import sqlalchemy as sa
from pydantic import BaseModel, Field

from connectors.sql_schema import SCORE_SPANS, TEMPLATE_MINUTES
from connectors.sql_settings import ALL_TEMPLATES
from engine.api.minutes import part_of, pieces
from engine.api.services import Services
from foundation.score_buckets import counts_of, quantile


class ScoreQuantiles(BaseModel):
    """Scores of all windows of a part, within 13 % of the value."""

    median: float
    p90: float
    p99: float


Scores = Annotated[ScoreQuantiles | None, Field(description="Of its windows; null without any.")]


def quantiles_of(counts: Mapping[int, int]) -> ScoreQuantiles | None:
    """Return the quantiles of a sketch; None for one without scores."""
    median, p90, p99 = (quantile(counts, share) for share in (0.5, 0.9, 0.99))
    if median is None or p90 is None or p99 is None:
        return None
    return ScoreQuantiles(median=median, p90=p90, p99=p99)


def scores_by_part(
    services: Services, start: int, end: int, region: str | None, template: str, step: int, spans: Sequence[int]
) -> Mapping[int, Counter[int]]:  # fmt: skip
    """Sketch of each part of a range that has windows.

    Args:
        services: The running service.
        start: First minute.
        end: The minute behind the last one.
        region: Only its windows.
        template: Only windows with a line of it; `ALL_TEMPLATES` for every window.
        step: Minutes of a part.
        spans: See `pieces`.
    """
    found: dict[int, Counter[int]] = defaultdict(Counter)
    for span, first, last in pieces(start, end, spans):
        if span == 1 and template != ALL_TEMPLATES:
            for minute, text in _texts(services, first, last, region, template):
                found[(minute - start) // step].update(counts_of(text))
            continue
        table = SCORE_SPANS.c
        part, windows = part_of(start, step), sa.func.sum(table.windows)
        query = sa.select(part, table.bucket, windows).select_from(SCORE_SPANS).group_by(part, table.bucket)
        query = query.where(table.span == span, table.template == template, table.minute >= first, table.minute < last)
        query = query if region is None else query.where(table.region == region)
        for number, bucket, count in services.database.tuples(query):
            found[number][bucket] += int(count)
    return found


def _texts(
    services: Services, start: int, end: int, region: str | None, template: str
) -> Sequence[tuple[int, str]]:  # fmt: skip
    table = TEMPLATE_MINUTES.c
    query = sa.select(table.minute, table.scores).where(table.template == template, table.scores != "")
    query = query.where(table.minute >= start, table.minute < end)
    return services.database.tuples(query if region is None else query.where(table.region == region))
