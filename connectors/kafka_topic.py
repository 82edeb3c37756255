"""The identity of a topic, compared with the one that a saved position belongs to.

A topic that was deleted and created again has the same name and other lines, so offsets of the old one are wrong in it.
The brokers give each topic an id. A `TopicWatch` asks for it at the start and every few seconds during reading.
"""

import threading
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient

from connectors.base import PositionLostError, SourceUnavailableError, State
from connectors.kafka_reader import Mark
from connectors.kafka_settings import Connection, KafkaSettings, build_client
from foundation.content_ids import digest

WATCH_S = 2.0
"""Pause between two looks at the topic: how long its deletion, or a new partition, may go unnoticed."""

DELETED_LOOKS = 2
"""Looks that must miss the topic: a broker that is just starting may not know it yet."""

ANSWER_S = 5.0
"""How long the brokers may take to answer."""

_NO_ID = "AAAAAAAAAAAAAAAAAAAAAA"
"""The id of zeros, from brokers that know none."""


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic as the brokers describe it at one moment.

    Attributes:
        cluster: Id of the cluster, "" where the brokers give none.
        id: Id of the topic, "" where the brokers give none.
        partitions: Numbers of the partitions, ascending.
        deleted: Whether the topic existed before and does not now.
    """

    cluster: str
    id: str
    partitions: tuple[int, ...]
    deleted: bool = False

    def state(self) -> State:
        """Its identity as plain data, for a saved position."""
        return {"cluster": self.cluster, "id": self.id}

    def is_other(self, saved: State) -> bool:
        """Whether the saved position belongs to another topic, by its id or else by the cluster's."""
        if self.id and saved["id"]:
            return bool(self.id != saved["id"])
        return bool(self.cluster != saved["cluster"])


class TopicWatch:
    """Looks at a topic every `WATCH_S`, from a thread of its own while a reader is open.

    Attributes:
        topic: The topic at the last look; None before the brokers have answered.
        down: Why the brokers did not answer the last look, "" where they did. A client that fetches learns much later
            that a broker hangs.
        listed: Numbers of the partitions when the source was listed; empty before.
    """

    def __init__(self, settings: KafkaSettings) -> None:
        self.topic: Topic | None = None
        self.down = ""
        self.listed: frozenset[int] = frozenset()
        self._reported: frozenset[int] = frozenset()
        self._settings = settings
        self._connection = Connection(settings.brokers)
        self._cluster = ""
        self._readers = self._missed = 0
        self._stop = threading.Event()

    def look(self) -> Topic:
        """Ask the brokers now.

        Raises:
            SourceUnavailableError: they do not answer, or the topic does not exist.
        """
        try:
            found = self._ask()
        except KafkaException as error:
            raise SourceUnavailableError(self._sentence(error.args[0])) from error
        self.topic = found
        return found

    def news(self) -> list[int]:
        """New partitions since the source was listed; each is returned once."""
        topic = self.topic
        if topic is None or not self.listed:
            return []
        news = frozenset(topic.partitions) - self.listed - self._reported
        self._reported |= news
        return sorted(news)

    def join(self) -> None:
        """Count a reader that was opened; the first one starts the thread."""
        self._readers += 1
        if self._readers == 1:
            self._stop = threading.Event()
            threading.Thread(target=self._follow, args=(self._stop,), name="kafka-topic", daemon=True).start()

    def leave(self) -> None:
        """Count a reader that was closed; the last one stops the thread."""
        self._readers -= 1
        if not self._readers:
            self._stop.set()

    def _follow(self, stop: threading.Event) -> None:
        while not stop.is_set():
            try:
                self._look_again()
                self.down = ""
            except KafkaException as error:
                self.down = error.args[0].str()
            stop.wait(WATCH_S)

    def _look_again(self) -> None:
        try:
            self.topic = self._ask()
            self._missed = 0
        except KafkaException as error:
            before = self.topic
            if before is None or error.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise
            self._missed += 1
            if self._missed < DELETED_LOOKS:
                return
            self.topic = Topic(before.cluster, before.id, before.partitions, deleted=True)

    @cached_property
    def _client(self) -> AdminClient:
        client: AdminClient = build_client(AdminClient, self._settings, self._connection.error_options())
        return client

    def _ask(self) -> Topic:
        client, name = self._client, self._settings.topic
        client.poll(0)  # serves the callback of errors, which would pile up
        if not self._cluster:
            self._cluster = client.describe_cluster(request_timeout=ANSWER_S).result().cluster_id or ""
        found: Any = client.describe_topics(TopicCollection([name]), request_timeout=ANSWER_S)[name].result()
        identity = str(found.topic_id)
        numbers = sorted(partition.id for partition in found.partitions)
        return Topic(self._cluster, "" if identity == _NO_ID else identity, tuple(numbers))

    def _sentence(self, error: KafkaError) -> str:
        if error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
            return f"Kafka topic {self._settings.topic!r} on {self._settings.brokers} cannot be used: {error.str()}"
        return self._connection.no_answer(self._client, error)


class Bookmark:
    """The topic and the last message behind a position, saved with it and compared when it is resumed.

    The id shows that a topic was created again. The last message shows what ids do not: a partition that was cut (by an
    unclean election) and filled again, and a new topic on brokers that give no ids.
    """

    def __init__(self, settings: KafkaSettings, number: int, resume: State) -> None:
        self._where = f"topic {settings.topic!r} partition {number}"
        self._brokers = settings.brokers
        self._offset: int | None = resume.get("offset")
        self._saved: State | None = resume.get("topic")
        self._last: tuple[int, str] | None = tuple(resume["last"]) if "last" in resume else None
        self._unchecked = self._last is not None
        self._message: Mark | None = None
        self._seen: Topic | None = None

    @property
    def last_offset(self) -> int | None:
        """Offset of the last message of the saved position, while it is still to be compared."""
        return self._last[0] if self._last is not None and self._unchecked else None

    def forget_last(self) -> None:
        """Compare no message: retention has deleted the last one."""
        self._unchecked = False

    def check_topic(self, topic: Topic | None) -> None:
        """Compare the topic with the one that the position belongs to.

        Raises:
            PositionLostError: they differ, or the topic was deleted.
        """
        if topic is None or topic is self._seen:
            return
        if topic.deleted:
            raise PositionLostError(f"{self._where} on {self._brokers}: the topic was deleted. {_WAY_ON}")
        if self._saved is not None and topic.is_other(self._saved):
            raise PositionLostError(
                f"{self._where} on {self._brokers}: offset {self._offset} is of another topic of this name "
                f"(id {self._saved['id'] or 'unknown'} in cluster {self._saved['cluster'] or 'unknown'}, now "
                f"{topic.id or 'unknown'} in {topic.cluster or 'unknown'}). {_WAY_ON}"
            )
        self._seen = topic
        self._saved = topic.state()

    def is_known(self, first: Mark) -> bool:
        """Whether the first message read is the last one of the saved position, which is compared with it once.

        Raises:
            PositionLostError: they differ.
        """
        self._unchecked = False
        if self._last is None or first.offset != self._last[0]:  # compacted since
            return False
        if _digest(first) != self._last[1]:
            raise PositionLostError(
                f"{self._where} on {self._brokers}: offset {self._last[0]} holds another message than the one that was "
                f"read there, so the topic was cut and filled again. {_WAY_ON}"
            )
        return True

    def passed(self, message: Mark, offset: int) -> None:
        """Remember the last message that was handed out; `offset` is the next one."""
        self._message, self._offset = message, offset

    def state(self) -> State:
        """Plain data to save next to the offset; a resumed last message stays valid while nothing is read."""
        found: State = {} if self._saved is None else {"topic": self._saved}
        if self._message is not None:
            return {**found, "last": [self._message.offset, _digest(self._message)]}
        return found if self._last is None else {**found, "last": list(self._last)}


_WAY_ON = (
    "Reading on would skip or repeat lines: restore the topic, or start without the saved state (another "
    "recovery.path), which reads it from source.start."
)


def _digest(message: Mark) -> str:
    """Short, because it is saved with every snapshot; the time tells equal lines apart."""
    return digest(b"%d " % message.time_ms + message.value, 8).hex()
