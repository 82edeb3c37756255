"""Scores counted in buckets: a sketch of their distribution that can be added up and taken apart exactly.

Ten buckets for each power of ten from 0.001 to 1,000, and one on each side for what lies outside. A quantile is off by
at most 13 % of its value within these limits. Counts per bucket have the form of a histogram of fixed edges, so the sum
of two sketches is the sketch of all their scores, and the difference of two versions of one can be added to a sum.
"""

from collections import Counter
from collections.abc import Mapping

PER_DECADE = 10
LOWEST = 1e-3
DECADES = 6

EDGES = tuple(LOWEST * 10 ** (i / PER_DECADE) for i in range(PER_DECADE * DECADES + 1))
"""A score is in bucket i if `EDGES[i - 1]` <= score < `EDGES[i]`; the first and the last bucket have all the others."""

BUCKETS = len(EDGES) + 1


def text_of(counts: Mapping[int, int]) -> str:
    """Return a sketch as a column has it: `bucket:count` for each bucket with scores, in order."""
    return " ".join(f"{bucket}:{counts[bucket]}" for bucket in sorted(counts) if counts[bucket])


def counts_of(text: str) -> Counter[int]:
    """Return the counts of a text of `text_of`."""
    pairs = (item.split(":") for item in text.split())
    return Counter({int(bucket): int(count) for bucket, count in pairs})


def quantile(counts: Mapping[int, int], share: float) -> float | None:
    """Return the score below which a share of all lie, from 0 to 1; None for a sketch without scores."""
    total = sum(counts.values())
    if not total:
        return None
    rank, seen = share * (total - 1), 0
    for bucket in sorted(counts):
        seen += counts[bucket]
        if seen > rank:
            return _middle(bucket)
    return _middle(max(counts))


def _middle(bucket: int) -> float:
    """A score of the bucket: the geometric mean of its edges, or the edge of an outer one."""
    if bucket == 0:
        return 0.0
    if bucket == BUCKETS - 1:
        return EDGES[-1]
    return float(f"{(EDGES[bucket - 1] * EDGES[bucket]) ** 0.5:.3g}")
