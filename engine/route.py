"""Route: which shard windows a line, for flows in which a session's lines cross partitions."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from engine.records import ParsedLines
from connectors.base import LineBatch


def by_session(parsed: ParsedLines, shards: int) -> Iterator[tuple[str, ParsedLines]]:
    """Splits a batch so that all lines of a session go to one shard.

    Every shard gets its part, be it empty: the templates announced go to all. A part holds the raw
    bytes of its own lines only, since it is about to cross a process border.
    """
    shard = parsed.session.view(np.uint64) % np.uint64(shards)
    for i in range(shards):
        yield str(i), _take(parsed, np.flatnonzero(shard == i))


def _take(parsed: ParsedLines, index: NDArray[np.int64]) -> ParsedLines:
    lines = parsed.lines
    kept = parsed.rows[index]
    starts = np.concatenate([[0], lines.ends[:-1] + 1]) if len(lines) else np.zeros(0, np.int64)
    lengths = lines.ends[kept] - starts[kept] + 1
    ends = np.cumsum(lengths) - 1
    moved = (ends - lengths + 1) - starts[kept]
    view = memoryview(lines.data)
    data = b"".join([view[a:b] for a, b in zip(starts[kept].tolist(), (lines.ends[kept] + 1).tolist(), strict=True)])
    part = LineBatch(
        lines.partition, data, ends, lines.positions[kept], lines.read_ns, lines.produced_ns,
        traceparent=lines.traceparent,
    )  # fmt: skip
    return ParsedLines(
        part,
        np.arange(len(index), dtype=np.int32),
        parsed.time_ns[index],
        parsed.template[index],
        parsed.session[index],
        (parsed.key_start[index] + moved).astype(np.int32),
        (parsed.key_end[index] + moved).astype(np.int32),
        parsed.templates,
        (),
    )
