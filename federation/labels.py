"""Labels that arrive late: a topic of ground truth, a topic of operators' feedback.

A document says what a session was::

    {"session": "blk_42", "anomalous": true, "time": "2026-01-31T12:00:00Z"}

`session` is the session key; for windows without one, `alert` is the id of the alert instead. `time`
says when this was found out, and where it is missing the message's own time counts; a later word on a
session replaces an earlier one of the same provenance. Further keys are not looked at.

One batch is taken over in these steps, so that a crash between any two loses nothing:

1. Read a batch and tell good documents from bad ones.
2. Deliver the bad ones to the dead letters, and wait for the acknowledgement.
3. Write the labels and the position behind them into the training store, in one transaction.
"""

import logging
from collections.abc import Callable
from datetime import datetime
from typing import Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field

from connectors.base import ConnectorError, DeadLetter, LineBatch, Sink, Source, SourcePartition
from connectors.dead_letters import to_records
from connectors.lines import RAW_BYTES
from connectors.registry import SinkSettings, SourceSettings, build_sink, build_source
from federation.base import FederationError
from federation.training_store import Label, TrainingStore

log = logging.getLogger(__name__)

FLUSH_S = 5.0
"""How long the dead letters may take to be acknowledged before the batch is read again."""


class FeedSettings(BaseModel):
    """One stream of labels."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    provenance: Literal["labels", "feedback"] = Field(
        "labels", description="`labels`: ground truth from elsewhere. `feedback`: operators' word, which wins over it."
    )
    source: SourceSettings = Field(description="Where the documents come from, one a line or message.")
    dead_letters: SinkSettings = Field(description="Where documents go that say nothing usable.")


class LabelFeed:
    """Reads one stream into the training store; used by one thread."""

    def __init__(
        self, settings: FeedSettings, store: TrainingStore, *, region: str, now_ns: Callable[[], int],
        source: Source | None = None, dead_letters: Sink | None = None,
    ) -> None:  # fmt: skip
        """Connects nowhere yet.

        Args:
            settings: See the class.
            store: Takes the labels, and remembers how far was read.
            region: Named in dead letters.
            now_ns: Wall clock.
            source: In place of the one that the settings name.
            dead_letters: In place of the ones that the settings name.
        """
        self._provenance = settings.provenance
        self._store = store
        self._region = region
        self._now_ns = now_ns
        self._source = source or build_source(settings.source)
        self._sink = dead_letters or build_sink(settings.dead_letters)
        self._readers: dict[str, SourcePartition] = {}
        self._opened = False

    def poll(self) -> int:
        """Takes over what is there now, a batch of each partition; how many labels were news.

        Raises:
            ConnectorError: source or dead letters cannot be used now; call again, nothing is lost.
            StoreError: the training store cannot be written; call again.
        """
        try:
            self._open()
            return sum(self._take(name, reader) for name, reader in list(self._readers.items()))
        except (ConnectorError, FederationError):
            # What was read and not saved has to be read again: from the saved position.
            self.close()
            raise

    def close(self) -> None:
        """Frees everything; the next `poll` opens it again."""
        for reader in self._readers.values():
            reader.close()
        self._readers = {}
        self._sink.close()
        self._opened = False

    def _open(self) -> None:
        if self._opened:
            return
        self._sink.open(None)
        for partition in self._source.partitions():
            self._readers[partition] = self._source.open(partition, self._store.position(self._feed(partition)))
        self._opened = True

    def _feed(self, partition: str) -> str:
        return f"{self._provenance} {partition}"

    def _take(self, partition: str, reader: SourcePartition) -> int:
        try:
            batch = reader.next_batch()  # 1
        except StopIteration:
            reader.close()
            del self._readers[partition]
            return 0
        if batch is None:
            return 0
        labels, letters = self._read(batch)
        if letters:
            log.warning("documents that are no labels went to the dead letters", extra={"count": len(letters)})
            self._sink.write(to_records(letters, partition=partition, region=self._region, time_ns=self._now_ns()))
            self._sink.flush(FLUSH_S)  # 2
        return self._store.label(labels, (self._feed(partition), reader.snapshot()))  # 3

    def _read(self, batch: LineBatch) -> tuple[list[Label], list[DeadLetter]]:
        labels, letters = [], list(batch.rejects)
        for i, position in enumerate(batch.positions.tolist()):
            raw = batch.line(i)
            try:
                labels.append(read_label(raw, self._provenance, batch.produced_ns))
            except ValueError as error:
                place = self._source.describe(batch.partition, position)
                letters.append(DeadLetter(place, f"no label: {error}", raw[:RAW_BYTES], len(raw)))
        return labels, letters


def read_label(raw: bytes, provenance: Literal["labels", "feedback"], produced_ns: int) -> Label:
    """The label that a document speaks of.

    Args:
        raw: The document; see the module.
        provenance: Of the feed.
        produced_ns: Time of the message, where the document names none.

    Raises:
        ValueError: it is none; the message says why, without repeating the document.
    """
    try:
        document = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise ValueError("not JSON") from error
    if not isinstance(document, dict):
        raise ValueError('not a JSON object with "session" and "anomalous"')
    key = document.get("session") or document.get("alert")
    if not isinstance(key, str) or not key:
        raise ValueError('neither "session" nor "alert" is a text')
    anomalous = document.get("anomalous")
    if not isinstance(anomalous, bool):
        raise ValueError('"anomalous" is neither true nor false')
    return Label(key, anomalous, provenance, _time_ns(document.get("time"), produced_ns))


def _time_ns(said: object, otherwise_ns: int) -> int:
    if said is None:
        return otherwise_ns
    try:
        time = datetime.fromisoformat(said if isinstance(said, str) else "")
    except ValueError as error:
        raise ValueError('"time" is no RFC 3339 time') from error
    if time.tzinfo is None:
        raise ValueError('"time" names no time zone')
    # Whole microseconds: a float of seconds would round.
    whole = int(time.replace(microsecond=0).timestamp())
    return whole * 10**9 + time.microsecond * 1000
