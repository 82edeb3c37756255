"""Documents of the rollup: rows of one partition, as tuples, because there may be a row for a dozen lines."""

from typing import TypedDict

ScoreCounts = tuple[tuple[int, int], ...]
"""Bucket of `foundation.score_buckets` and number of scores in it, by bucket, none of them 0."""

CountRow = tuple[int, int, str, tuple[int, ...], ScoreCounts]
"""Minute, part, template, counts in the order of `connectors.sql_schema.COUNT_COLUMNS`, and scores."""

SeenTemplate = tuple[str, str, int, int, str]
"""Template, its text, event time of the earliest and latest line in ns, and an example line or ""."""


class CountsDocument(TypedDict):
    """Absolute counts of a partition; a later document replaces the rows that both have."""

    region: str
    partition: str
    rows: list[CountRow]
    templates: list[SeenTemplate]
