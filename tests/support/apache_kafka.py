"""A real Apache Kafka for tests: one process that is broker and controller (KRaft), with its log on disk."""

import base64
import os
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import (
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from connectors.broker import EmbeddedBroker
from connectors.ports import free_port
from tests.support.certificates import Authority
from tests.support.kafka_jars import KafkaMissingError, jars, java
from tests.support.processes import until

ANSWER_S = 60.0
USER, PASSWORD = "alice", "alice-secret"

# Quick to start, and small: the figures of a broker are not what the tests ask for.
_JVM = ("-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")

_SETTINGS = {
    "process.roles": "broker,controller",
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "PLAINTEXT",
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,SASL:SASL_PLAINTEXT,TLS:SSL,CONTROLLER:PLAINTEXT",
    "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-512",
    "listener.name.sasl.plain.sasl.jaas.config": (
        f'org.apache.kafka.common.security.plain.PlainLoginModule required user_{USER}="{PASSWORD}";'
    ),
    "listener.name.sasl.scram-sha-512.sasl.jaas.config": (
        "org.apache.kafka.common.security.scram.ScramLoginModule required;"
    ),
    "ssl.client.auth": "required",
    "auto.create.topics.enable": "false",
    # One of each internal topic's partitions, and no waiting for further members or brokers.
    "offsets.topic.num.partitions": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "1",
    "group.initial.rebalance.delay.ms": "0",
    # After a kill, the controller refuses the broker's return until its old session has ended.
    "broker.session.timeout.ms": "2000",
    "broker.heartbeat.interval.ms": "500",
    # Nothing old is deleted, however old the time of a message, unless a topic's own settings ask for it.
    "log.retention.ms": "-1",
    # Deletions, retention and compaction within the time of a test.
    "log.retention.check.interval.ms": "200",
    "log.initial.task.delay.ms": "200",
    "log.segment.delete.delay.ms": "100",
    "file.delete.delay.ms": "100",
    "log.cleaner.backoff.ms": "200",
}


class ApacheKafka(EmbeddedBroker):
    """A broker on 127.0.0.1 with one listener each for plain text, SASL (PLAIN and SCRAM-SHA-512) and mTLS.

    `stop` kills it, and a later `start` continues with the log that it left. The topics, the credentials and the
    cluster's id are in `folder`.

    Attributes:
        sasl_port: Port of SASL_PLAINTEXT, for `USER` with `PASSWORD`.
        tls_port: Port of SSL, for clients with a certificate of `authority`.
        authority: Signed the broker's certificate.
    """

    def __init__(self, folder: Path) -> None:
        """Leaves its storage to `format`, which a first start needs; see `new_kafka` and `three_brokers`.

        Raises:
            KafkaMissingError: there is no Kafka here.
        """
        folder.mkdir(parents=True, exist_ok=True)
        super().__init__(log_path=folder / "server.log")
        self.sasl_port, self.tls_port, self._controller_port = free_port(), free_port(), free_port()
        self.authority = Authority(folder / "certificates", "authority")
        self._folder = folder
        self._java = [java(), *_JVM, "-cp", f"{jars()}/*"]

    @property
    def _settings(self) -> Path:
        return self._folder / "server.properties"

    def format(self, cluster: str, number: int, brokers: Sequence["ApacheKafka"]) -> None:
        """Formats its storage, as broker `number` of the cluster of `brokers`."""
        self._write_settings(number, brokers)
        self._run("kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(self._settings))

    def create_replicated(self, name: str, replicas: int) -> None:
        """Makes a topic of one partition with several replicas."""
        admin = self._admin()
        admin.create_topics([NewTopic(name, 1, replicas)])[name].result(timeout=ANSWER_S)

    def members(self) -> list[int]:
        """Numbers of the brokers that take part now."""
        return sorted(self._admin().list_topics(timeout=ANSWER_S).brokers)

    def leader(self, name: str) -> int:
        """Number of the broker that leads partition 0; -1 while none does."""
        return int(self._admin().list_topics(name, timeout=ANSWER_S).topics[name].partitions[0].leader)

    def create_user(self) -> None:
        """Makes `USER` known to SCRAM; PLAIN knows it anyway."""
        credentials = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
        admin = self._admin()
        wanted = UserScramCredentialUpsertion(USER, credentials, PASSWORD.encode())
        admin.alter_user_scram_credentials([wanted])[USER].result(timeout=ANSWER_S)

    def create_topic(self, name: str, partitions: int = 1, **settings: str) -> None:
        """Makes a topic, and returns once the broker knows it; `settings` are topic settings with `_` for each dot."""
        admin = self._admin()
        if settings:
            config = {key.replace("_", "."): value for key, value in settings.items()}
            admin.create_topics([NewTopic(name, partitions, 1, config=config)])[name].result(timeout=ANSWER_S)
        else:
            super().create_topic(name, partitions)
        until(lambda: name in admin.list_topics(timeout=ANSWER_S).topics, f"the broker knows topic {name!r}")

    def delete_topic(self, name: str) -> None:
        """Deletes a topic, and returns once the broker does not know it any more; an unknown one is not an error."""
        super().delete_topic(name)
        admin = self._admin()
        deadline_s = time.monotonic() + ANSWER_S
        while name in admin.list_topics(timeout=ANSWER_S).topics:
            if time.monotonic() > deadline_s:
                raise TimeoutError(f"topic {name!r} is still there {ANSWER_S:g} s after its deletion")

    def add_partitions(self, name: str, total: int) -> None:
        """Gives a topic more partitions."""
        admin = self._admin()
        admin.create_partitions([NewPartitions(name, total)])[name].result(timeout=ANSWER_S)

    def set_topic(self, name: str, **settings: str) -> None:
        """Changes topic settings, with `_` for each dot."""
        entries = [
            ConfigEntry(key.replace("_", "."), value, incremental_operation=AlterConfigOpType.SET)
            for key, value in settings.items()
        ]
        resource = ConfigResource(ResourceType.TOPIC, name, incremental_configs=entries)
        admin = self._admin()
        admin.incremental_alter_configs([resource])[resource].result(timeout=ANSWER_S)

    def delete_before(self, topic: str, offset: int) -> None:
        """Deletes the first messages of partition 0, as retention does."""
        admin = self._admin()
        (deleted,) = admin.delete_records([TopicPartition(topic, 0, offset)]).values()
        deleted.result(timeout=ANSWER_S)

    def console(self, tool: str, *arguments: str) -> str:
        """What one of Kafka's own command-line programs prints."""
        return self._run(tool, *arguments)

    def _command(self) -> list[str]:
        return [*self._java, "kafka.Kafka", str(self._settings)]

    def _run(self, program: str, *arguments: str) -> str:
        done = subprocess.run(
            [*self._java, program, *arguments], capture_output=True, text=True, check=False, timeout=ANSWER_S
        )
        if done.returncode:
            raise RuntimeError(f"{program} ended with {done.returncode}: {done.stderr[-2000:]}")
        return done.stdout

    def _write_settings(self, number: int, brokers: Sequence["ApacheKafka"]) -> None:
        voters = ",".join(f"{i}@127.0.0.1:{each._controller_port}" for i, each in enumerate(brokers, 1))
        certificate, key = self.authority.issue("broker")
        store = self._folder / "certificates" / "broker.pem"
        store.write_bytes(key.read_bytes() + certificate.read_bytes())
        listeners = (
            f"PLAINTEXT://127.0.0.1:{self.port},SASL://127.0.0.1:{self.sasl_port},TLS://127.0.0.1:{self.tls_port}"
        )
        settings = {
            **_SETTINGS,
            "node.id": str(number),
            "offsets.topic.replication.factor": str(len(brokers)),
            "transaction.state.log.replication.factor": str(len(brokers)),
            "controller.quorum.voters": voters,
            "listeners": f"{listeners},CONTROLLER://127.0.0.1:{self._controller_port}",
            "advertised.listeners": listeners,
            "log.dirs": str(self._folder / "data"),
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(store),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(self.authority.certificate),
        }
        self._settings.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))


def _new_id() -> str:
    return base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")


@contextmanager
def three_brokers(folder: Path) -> Iterator[list[ApacheKafka]]:
    """A running cluster of three; skips the test where Kafka is missing."""
    brokers = _formatted([folder / str(number) for number in (1, 2, 3)])
    try:
        with ThreadPoolExecutor(3) as pool:  # one alone has no quorum and would not answer
            list(pool.map(ApacheKafka.start, brokers))
        until(lambda: len(brokers[0].members()) == len(brokers), "all brokers have joined the cluster")
        yield brokers
    finally:
        for broker in brokers:
            broker.stop()


def new_kafka(folder: Path) -> ApacheKafka:
    """An Apache Kafka that is a cluster of its own, not yet started; skips the test where it is missing."""
    (broker,) = _formatted([folder])
    return broker


def _formatted(folders: Sequence[Path]) -> list[ApacheKafka]:
    """The brokers of a new cluster, not yet started."""
    try:
        brokers = [ApacheKafka(folder) for folder in folders]
    except KafkaMissingError as missing:
        pytest.skip(f"no Apache Kafka: {missing}; set KAFKA_HOME, or install Java 17 and Maven")
    cluster = _new_id()
    for number, broker in enumerate(brokers, 1):
        broker.format(cluster, number, brokers)
    return brokers


ONE = "one"
"""Parameter of the broker that is at hand, looked for when the first test needs it."""


def both_brokers(fixture: str) -> pytest.MarkDecorator:
    """Runs a test with a broker in `fixture`, see `tests/faults/conftest.py`.

    It is an Apache Kafka where there is one, and the embedded broker elsewhere; with `DRIFTLINE_BOTH_BROKERS` set, one
    after the other. These tests take minutes.
    """
    kinds = ["embedded", "apache"] if os.environ.get("DRIFTLINE_BOTH_BROKERS") else [ONE]
    return pytest.mark.parametrize(fixture, kinds, indirect=True)


def is_apache(kind: str) -> bool:
    """Whether a parameter of `both_brokers` stands for an Apache Kafka."""
    return kind == "apache" or (kind == ONE and _is_here())


@cache
def _is_here() -> bool:
    try:
        java()
        jars()
    except KafkaMissingError:
        return False
    return True


def main() -> None:
    """Run one for benchmarks (`python -m tests.support.apache_kafka`) until it is interrupted."""
    with tempfile.TemporaryDirectory(prefix="driftline-kafka-") as folder, new_kafka(Path(folder)) as broker:
        print(broker.brokers, flush=True)
        signal.sigwait({signal.SIGINT, signal.SIGTERM})


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    main()
