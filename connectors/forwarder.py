"""Tail files and produce their lines to Kafka, several in a message: for hosts without a collector.

1. Lines of a file are gathered until there are `max_lines` of them, they fill `max_bytes`, or the first one is
   `max_age_s` old. Then they become one message, separated by line ends, with the file's path as its key: the lines
   of a file keep their order.
2. Every `SAVE_S`, what was gathered is sent, and once the brokers have acknowledged everything, the places in the
   files are saved.

A process that is killed continues from the saved places and sends the lines behind them again: at least once.
"""

import fcntl
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import orjson
from confluent_kafka import KafkaError, Producer
from pydantic import BaseModel, ConfigDict, Field

from connectors.base import ConnectorError, LineBatch, SourceUnavailableError, State
from connectors.files import FileSettings, FileSource
from connectors.kafka_settings import Connection, KafkaSettings, build_client
from connectors.kafka_sink import FIXED_OPTIONS
from foundation import durable

log = logging.getLogger(__name__)

SAVE_S = 1.0
"""Pause between two savings of the places: how much is sent again after a kill."""

IDLE_S = 0.02
"""Pause where no file has news."""

REPORT_S = 30.0
"""Pause between two warnings that the brokers do not acknowledge."""

STOP_S = 5.0
"""Silence of the brokers after which a stop no longer waits for them: containers are often killed after 10 s."""


class ForwardError(ConnectorError):
    """Forwarding cannot go on; the message states what to change."""


class ForwardKafkaSettings(KafkaSettings):
    """The topic that lines are sent to."""

    compression: Literal["none", "gzip", "snappy", "lz4", "zstd"] = Field("lz4", description="Compression of batches.")


class ForwardSettings(BaseModel):
    """Everything that `driftline forward` needs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    files: FileSettings = Field(description="The files, as in a region's `[source]` of type `file`.")
    kafka: ForwardKafkaSettings = Field(description="The brokers and the topic.")
    state: Path = Field(Path("forward.json"), description="File in which the places in the files are kept.")
    max_lines: int = Field(500, ge=1, description="Maximum number of lines in one message.")
    max_bytes: int = Field(
        900_000, ge=1, description="Maximum size of a message; longer lines are not sent. Brokers take 1 MB by default."
    )
    max_age_s: float = Field(0.2, ge=0, description="Time after which gathered lines are sent, in seconds.")


@dataclass(slots=True)
class _Pack:
    """Lines of one file that wait for others; `since_s` is when the first of them was read."""

    since_s: float
    lines: list[bytes] = field(default_factory=list)
    size: int = 0


class Forwarder:
    """See the module.

    Attributes:
        lines: How many lines were sent.
        messages: In how many messages.
    """

    def __init__(
        self, settings: ForwardSettings, *, stopped: Callable[[], bool], wait: Callable[[float], object],
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        """Take what asks whether to stop, and what pauses for seconds."""
        self.lines = self.messages = 0
        self._settings = settings
        self._stopped = stopped
        self._wait = wait
        self._monotonic_s = monotonic_s
        self._connection = Connection(settings.kafka.brokers)
        self._packs: dict[str, _Pack] = {}
        self._unacknowledged = 0
        self._refused: KafkaError | None = None

    def run(self) -> None:
        """Forward until the files end, or until a stop is asked for; then send and save what was read.

        Raises:
            SettingsError: there is no such file, or librdkafka refuses an option.
            ForwardError: a message was refused for good, the saved places cannot be read, or another process uses them.
        """
        files = self._settings.files.model_copy(update={"max_line_bytes": self._settings.max_bytes})
        with _locked(self._settings.state) as saved:
            source = FileSource(files)
            producer = build_client(Producer, self._settings.kafka, self._options())
            (name,) = source.partitions()
            reader = source.open(name, saved)
            try:
                self._follow(reader, producer)
            finally:
                reader.close()

    def _options(self) -> dict[str, Any]:
        return {
            "compression.type": self._settings.kafka.compression,
            "linger.ms": 5,
            **self._connection.options(),
            **FIXED_OPTIONS,
            "message.max.bytes": self._settings.max_bytes + 10_000,
        }

    def _follow(self, reader: Any, producer: Producer) -> None:
        saved_s, state = self._monotonic_s(), None
        while True:
            ended = self._stopped()
            try:
                batch = None if ended else reader.next_batch()
            except SourceUnavailableError as error:
                log.warning("%s", error)
                batch = None
            except StopIteration:
                batch, ended = None, True
            if batch is not None:
                self._gather(batch, producer)
            now_s = self._monotonic_s()
            self._send_due(producer, now_s)
            producer.poll(0)
            self._check()
            if ended or now_s >= saved_s + SAVE_S:
                self._send_due(producer, float("inf"))
                self._await_acknowledgement(producer)
                if (place := reader.snapshot()) != state:
                    self._save(place)
                    state = place
                saved_s = self._monotonic_s()
            if ended:
                return
            if batch is None:
                self._wait(IDLE_S)

    def _gather(self, batch: LineBatch, producer: Producer) -> None:
        for letter in batch.rejects:
            log.warning("not sent: %s: %s", letter.place, letter.reason)
        start, key = 0, batch.partition
        for end in batch.ends.tolist():
            line = batch.data[start:end]
            start = end + 1
            pack = self._packs.get(key)
            if pack is not None and pack.size + len(line) + 1 > self._settings.max_bytes:
                self._send(key, producer)
                pack = None
            if pack is None:
                pack = self._packs[key] = _Pack(self._monotonic_s())
            pack.lines.append(line)
            pack.size += len(line) + 1
            if len(pack.lines) >= self._settings.max_lines:
                self._send(key, producer)

    def _send_due(self, producer: Producer, now_s: float) -> None:
        for key in [key for key, pack in self._packs.items() if now_s >= pack.since_s + self._settings.max_age_s]:
            self._send(key, producer)

    def _send(self, key: str, producer: Producer) -> None:
        """Hands the gathered lines of a file to librdkafka; waits where its queue is full."""
        pack = self._packs.pop(key)
        value = b"\n".join(pack.lines)
        if not pack.lines[-1]:
            value += b"\n"  # an empty last line would be lost
        while True:
            try:
                producer.produce(self._settings.kafka.topic, value, key=key, on_delivery=self._report)
                break
            except BufferError:
                self._await_acknowledgement(producer)
        self._unacknowledged += 1
        self.lines += len(pack.lines)
        self.messages += 1

    def _report(self, error: KafkaError | None, _message: object) -> None:
        self._unacknowledged -= 1
        if error is not None:
            self._refused = error

    def _check(self) -> None:
        if self._refused is not None:
            kafka = self._settings.kafka
            raise ForwardError(
                f"Kafka topic {kafka.topic!r} on {kafka.brokers} refuses a message: {self._refused.str()}. Nothing "
                f"behind the places in {self._settings.state} is lost; correct the cause and start again."
            )

    def _save(self, place: State) -> None:
        try:
            durable.write(self._settings.state, orjson.dumps(place))
        except OSError as error:
            raise ForwardError(
                f"the places in the files cannot be kept in {self._settings.state}: {error.strerror}; the lines since "
                "the last saved places are sent again at the next start"
            ) from error

    def _await_acknowledgement(self, producer: Producer) -> None:
        reported_s = answered_s = self._monotonic_s()
        while unacknowledged := self._unacknowledged:
            producer.flush(0.1)
            self._check()
            now_s, stopped = self._monotonic_s(), self._stopped()
            if self._unacknowledged < unacknowledged:
                answered_s = now_s
            if now_s >= reported_s + REPORT_S or (stopped and now_s >= answered_s + STOP_S):
                reported_s = now_s
                log.warning(
                    "Kafka brokers %s have not acknowledged %d messages: %s", self._settings.kafka.brokers,
                    self._unacknowledged, self._connection.down or self._connection.last_error or "no answer",
                )  # fmt: skip
                if stopped:
                    raise ForwardError(
                        f"Kafka brokers {self._settings.kafka.brokers} do not acknowledge; the lines since the last "
                        "saved places are sent again at the next start"
                    )


@contextmanager
def _locked(path: Path) -> Iterator[dict[str, Any] | None]:
    """The places that were saved, None where none were; no other process may use them within the block."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = path.with_name(path.name + ".lock").open("w")
    except OSError as error:
        raise ForwardError(f"the places in the files cannot be kept in {path}: {error.strerror}") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ForwardError(f"{path} is used by another `driftline forward`: give each its own --state") from error
        try:
            saved = orjson.loads(path.read_bytes()) if path.exists() else None
            if not isinstance(saved, dict | None):
                raise ValueError("not an object")
        except ValueError as error:
            raise ForwardError(
                f"{path} does not hold places in files ({error}); remove it to read the files from their beginning"
            ) from error
        yield saved
