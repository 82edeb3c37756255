"""Dead letters as documents for any sink (a Kafka topic, a JSON-lines file, memory)."""

from collections.abc import Iterable

from connectors.base import DeadLetter, Record
from foundation.content_ids import document_id
from foundation.documents.base import SCHEMA_VERSION
from foundation.documents.dead_letter import DeadLetterDocument
from foundation.time_text import iso_millis


def dead_letter_id(letter: DeadLetter) -> str:
    """The same for the same line refused for the same reason, after a replay too."""
    return document_id(letter.place, letter.reason)


def to_records(letters: Iterable[DeadLetter], *, partition: str, region: str, time_ns: int) -> list[Record]:
    r"""One record a letter, keyed by partition so that a partition's letters keep their order.

    Args:
        letters: What was refused.
        partition: The source partition they came from.
        region: Name of this region.
        time_ns: Wall clock, ns since the epoch; goes into the document as UTC.

    Returns:
        Records whose documents are `DeadLetterDocument`s.
    """
    time = iso_millis(time_ns)
    documents: list[DeadLetterDocument] = [
        {
            "schema_version": SCHEMA_VERSION,
            "id": dead_letter_id(letter),
            "place": letter.place,
            "reason": letter.reason,
            "raw": letter.raw.decode("utf-8", "backslashreplace"),
            "raw_bytes": letter.raw_bytes,
            "partition": partition,
            "region": region,
            "time": time,
        }
        for letter in letters
    ]
    return [Record(document["id"], partition, document) for document in documents]
