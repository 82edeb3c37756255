"""Documents of the rollup with one row."""

from connectors.base import Record
from connectors.count_rows import CountsDocument, ScoreCounts
from foundation.time_text import NS_PER_S

MINUTE_NS = 60 * NS_PER_S


def counts_record(
    partition: str, minute: int, part: int, template: str, counts: tuple[int, ...], scores: ScoreCounts = (),
    *, region: str = "eu", text: str = "", example: str = "", last_ns: int | None = None,
) -> Record:  # fmt: skip
    """A row of a partition, seen at the start of its minute; without a text it is of windows."""
    first_ns = minute * MINUTE_NS
    document: CountsDocument = {
        "region": region, "partition": partition, "rows": [(minute, part, template, counts, scores)],
        "templates": [(template, text, first_ns, first_ns if last_ns is None else last_ns, example)] if text else [],
    }  # fmt: skip
    return Record(f"{region}/{partition}/{minute}/{part}/{template}", partition, document)
