"""A stream of JSON documents without loss: documents and position are stored in one transaction.

A batch is processed in these steps, so that a crash between any two loses nothing:

1. Read a batch, and separate valid documents from invalid ones.
2. Deliver the invalid ones to the dead letters, and wait for the acknowledgement.
3. Store the valid ones together with the position behind them.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import orjson

from connectors.base import ConnectorError, DeadLetter, LineBatch, Sink, Source, SourcePartition
from connectors.dead_letters import to_records
from federation.errors import FederationError
from models.base import ModelError

log = logging.getLogger(__name__)

T = TypeVar("T")

FLUSH_S = 5.0
"""Time limit for the acknowledgement of dead letters, after which the batch is read again."""

Position = dict[str, Any]
"""A position in a stream, as a source's `snapshot` returns it."""


@dataclass(frozen=True, slots=True)
class FeedHandler(Generic[T]):
    """What a feed does with its documents.

    Attributes:
        name: Name of the feed, under which the positions of its partitions are stored.
        parse: (document, time of its message in ns) → record; raises ValueError with the reason if it is invalid.
        store: (records, (partition's name, position)) → number of new records; stores both in one transaction.
        position: Partition's name → the position stored last, or None.
    """

    name: str
    parse: Callable[[dict[str, Any], int], T]
    store: Callable[[Sequence[T], tuple[str, Position]], int]
    position: Callable[[str], Position | None]


class DocumentFeed(Generic[T]):
    """Reads a stream; used by one thread."""

    def __init__(
        self, source: Source, dead_letters: Sink, handler: FeedHandler[T], *, region: str, now_ns: Callable[[], int]
    ) -> None:
        """Connect to nothing yet.

        Args:
            source: Source of the documents, one per line or message.
            dead_letters: Sink for invalid documents.
            handler: See the class.
            region: Region named in dead letters.
            now_ns: Wall clock.
        """
        self._source = source
        self._sink = dead_letters
        self._handler = handler
        self._region = region
        self._now_ns = now_ns
        self._partitions: dict[str, SourcePartition] = {}
        self._opened = False

    def poll(self) -> int:
        """Process a batch of each partition and return the number of new records.

        Raises:
            ConnectorError: source or dead letters cannot be used now; call again, nothing is lost.
            FederationError, ModelError: the records cannot be stored now; call again, nothing is lost.
        """
        try:
            self._open()
            return sum(self._process(name, partition) for name, partition in list(self._partitions.items()))
        except (ConnectorError, FederationError, ModelError):
            # Documents that were read and not stored are read again, from the position stored last.
            self.close()
            raise

    def close(self) -> None:
        """Close source and sink; the next `poll` opens them again."""
        for partition in self._partitions.values():
            partition.close()
        self._partitions = {}
        self._sink.close()
        self._opened = False

    def _open(self) -> None:
        if self._opened:
            return
        self._sink.open(None)
        for name in self._source.partitions():
            self._partitions[name] = self._source.open(name, self._handler.position(self._position_name(name)))
        self._opened = True

    def _position_name(self, partition: str) -> str:
        return f"{self._handler.name} {partition}"

    def _process(self, name: str, partition: SourcePartition) -> int:
        try:
            batch = partition.next_batch()  # 1
        except StopIteration:
            partition.close()
            del self._partitions[name]
            return 0
        if batch is None:
            return 0
        records, letters = self._parse(batch)
        if letters:
            log.warning("%s: %d invalid documents were delivered to the dead letters", name, len(letters))
            self._sink.write(to_records(letters, partition=name, region=self._region, time_ns=self._now_ns()))
            self._sink.flush(FLUSH_S)  # 2
        return self._handler.store(records, (self._position_name(name), partition.snapshot()))  # 3

    def _parse(self, batch: LineBatch) -> tuple[list[T], list[DeadLetter]]:
        records, letters = [], list(batch.rejects)
        for i in range(len(batch)):
            try:
                records.append(self._handler.parse(_document(batch.line(i)), batch.produced_ns))
            except ValueError as error:
                reason = f"not usable for {self._handler.name}: {error}"
                letters.append(batch.dead_letter(i, reason, self._source.describe))
        return records, letters


def _document(raw: bytes) -> dict[str, Any]:
    try:
        document = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise ValueError("not JSON") from error
    if not isinstance(document, dict):
        raise ValueError("not a JSON object")
    return document
