"""A stream of JSON documents that must not lose one: what is read, and how far, is kept in one transaction.

One batch is taken over in these steps, so that a crash between any two loses nothing:

1. Read a batch and tell good documents from bad ones.
2. Deliver the bad ones to the dead letters, and wait for the acknowledgement.
3. Hand the good ones over together with the position behind them; whoever takes them writes both at once.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import orjson

from connectors.base import ConnectorError, DeadLetter, LineBatch, Sink, Source, SourcePartition
from connectors.dead_letters import to_records
from connectors.line_splitter import RAW_BYTES
from federation.errors import FederationError
from models.base import ModelError

log = logging.getLogger(__name__)

T = TypeVar("T")

FLUSH_S = 5.0
"""How long the dead letters may take to be acknowledged before the batch is read again."""

Position = dict[str, Any]
"""A place in a stream, as a source's `snapshot` gives it."""


@dataclass(frozen=True, slots=True)
class FeedHandler(Generic[T]):
    """What a feed does with its documents.

    Attributes:
        name: Of the feed; its partitions' positions are kept under it.
        parse: A document and its message's time (ns) → what it says; ValueError says why it says nothing.
        take: What was said, and (partition's name, position) to be kept in the same transaction → how much was news.
        position: Partition's name → the position kept last, None where there is none.
    """

    name: str
    parse: Callable[[dict[str, Any], int], T]
    take: Callable[[Sequence[T], tuple[str, Position]], int]
    position: Callable[[str], Position | None]


class DocumentFeed(Generic[T]):
    """Reads a stream; used by one thread."""

    def __init__(
        self, source: Source, dead_letters: Sink, reader: FeedHandler[T], *, region: str, now_ns: Callable[[], int]
    ) -> None:
        """Connects nowhere yet.

        Args:
            source: Of the documents, one a line or message.
            dead_letters: Takes what is none.
            reader: See the class.
            region: Named in dead letters.
            now_ns: Wall clock.
        """
        self._source = source
        self._sink = dead_letters
        self._reader = reader
        self._region = region
        self._now_ns = now_ns
        self._partitions: dict[str, SourcePartition] = {}
        self._opened = False

    def poll(self) -> int:
        """Takes over what is there now, a batch of each partition; how much was news.

        Raises:
            ConnectorError: source or dead letters cannot be used now; call again, nothing is lost.
            FederationError, ModelError: what was read cannot be kept now; call again, nothing is lost.
        """
        try:
            self._open()
            return sum(self._take(name, partition) for name, partition in list(self._partitions.items()))
        except (ConnectorError, FederationError, ModelError):
            # What was read and not kept has to be read again: from the position kept last.
            self.close()
            raise

    def close(self) -> None:
        """Frees everything; the next `poll` opens it again."""
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
            self._partitions[name] = self._source.open(name, self._reader.position(self._place(name)))
        self._opened = True

    def _place(self, partition: str) -> str:
        return f"{self._reader.name} {partition}"

    def _take(self, name: str, partition: SourcePartition) -> int:
        try:
            batch = partition.next_batch()  # 1
        except StopIteration:
            partition.close()
            del self._partitions[name]
            return 0
        if batch is None:
            return 0
        said, letters = self._read(batch)
        if letters:
            log.warning("%s: documents that say nothing usable went to the dead letters: %d", name, len(letters))
            self._sink.write(to_records(letters, partition=name, region=self._region, time_ns=self._now_ns()))
            self._sink.flush(FLUSH_S)  # 2
        return self._reader.take(said, (self._place(name), partition.snapshot()))  # 3

    def _read(self, batch: LineBatch) -> tuple[list[T], list[DeadLetter]]:
        said, letters = [], list(batch.rejects)
        for i, position in enumerate(batch.positions.tolist()):
            raw = batch.line(i)
            try:
                said.append(self._reader.parse(_document(raw), batch.produced_ns))
            except ValueError as error:
                place = self._source.describe(batch.partition, position)
                reason = f"not usable for {self._reader.name}: {error}"
                letters.append(DeadLetter(place, reason, raw[:RAW_BYTES], len(raw)))
        return said, letters


def _document(raw: bytes) -> dict[str, Any]:
    try:
        document = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise ValueError("not JSON") from error
    if not isinstance(document, dict):
        raise ValueError("not a JSON object")
    return document
