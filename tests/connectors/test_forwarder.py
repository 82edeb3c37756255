"""Files to packed messages: how lines are gathered, what is saved, and what is refused."""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from connectors import forwarder as module
from connectors.base import SettingsError
from connectors.broker import EmbeddedBroker
from connectors.checks import drain
from connectors.files import FileSettings
from connectors.forwarder import Forwarder, ForwardError, ForwardKafkaSettings, ForwardSettings
from connectors.kafka_source import KafkaSource, KafkaSourceSettings


class FakeError:
    def str(self) -> str:
        return "too large"


class FakeProducer:
    """Acknowledges everything at once, or refuses it."""

    def __init__(self, options: dict[str, Any]) -> None:
        self.options = options
        self.sent: list[tuple[str, bytes]] = []
        self.error: FakeError | None = None
        self.full = 0
        self._reports: list[Callable[..., None]] = []

    def produce(self, topic: str, value: bytes, key: str, on_delivery: Callable[..., None]) -> None:
        if self.full:
            self.full -= 1
            raise BufferError
        self.sent.append((key, value))
        self._reports.append(on_delivery)

    def poll(self, _timeout_s: float) -> None:
        while self._reports:
            self._reports.pop()(self.error, None)

    flush = poll


class Clock:
    """Moves when the forwarder pauses."""

    def __init__(self, stop_s: float) -> None:
        self.now_s = 0.0
        self.stop_s = stop_s
        self.paused: Callable[[], None] = lambda: None

    def wait(self, seconds: float) -> None:
        self.now_s += seconds
        self.paused()

    def stopped(self) -> bool:
        return self.now_s >= self.stop_s


@pytest.fixture
def producer(monkeypatch: pytest.MonkeyPatch) -> FakeProducer:
    fake = FakeProducer({})
    monkeypatch.setattr(module, "build_client", lambda kind, settings, options: fake)
    return fake


def settings_of(folder: Path, **changes: Any) -> ForwardSettings:
    files = FileSettings(paths=(str(folder / "*.log"),), follow=changes.pop("follow", False))
    kafka = ForwardKafkaSettings(brokers=changes.pop("brokers", "b:1"), topic=changes.pop("topic", "t"))
    return ForwardSettings(files=files, kafka=kafka, state=folder / "state" / "places.json", **changes)


def forwarder_of(settings: ForwardSettings, clock: Clock | None = None) -> Forwarder:
    clock = clock or Clock(5.0)
    return Forwarder(settings, stopped=clock.stopped, wait=clock.wait, monotonic_s=lambda: clock.now_s)


def test_lines_of_a_file_are_gathered_by_number(tmp_path: Path, producer: FakeProducer) -> None:
    (tmp_path / "a.log").write_bytes(b"1\n2\n3\n4\n5")
    (tmp_path / "b.log").write_bytes(b"x\n\n")
    done = forwarder_of(settings_of(tmp_path, max_lines=2))
    done.run()
    a, b = (str(tmp_path / name) for name in ("a.log", "b.log"))
    assert sorted(producer.sent) == [(a, b"1\n2"), (a, b"3\n4"), (a, b"5"), (b, b"x\n\n")]
    assert (done.lines, done.messages) == (7, 4)


def test_lines_are_gathered_by_size_and_longer_ones_are_reported(
    tmp_path: Path, producer: FakeProducer, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "a.log").write_bytes(b"1234\n1234\n1\n" + b"x" * 11 + b"\n1\n")
    forwarder_of(settings_of(tmp_path, max_bytes=10)).run()
    assert [value for _, value in producer.sent] == [b"1234\n1234", b"1\n1"]
    assert "not sent" in caplog.text
    assert "line of 11 bytes is longer" in caplog.text


def test_lines_are_sent_once_they_are_old_enough(tmp_path: Path, producer: FakeProducer) -> None:
    (tmp_path / "a.log").write_bytes(b"1\n2\n")
    clock = Clock(0.6)
    seen: list[tuple[float, int]] = []
    clock.paused = lambda: seen.append((round(clock.now_s, 2), len(producer.sent)))
    forwarder_of(settings_of(tmp_path, follow=True, max_age_s=0.5), clock).run()
    assert [value for _, value in producer.sent] == [b"1\n2"]
    assert {sent for at, sent in seen if at < 0.5} == {0}
    assert {sent for at, sent in seen if at > 0.55} == {1}


def test_a_later_start_continues_behind_what_was_sent(tmp_path: Path, producer: FakeProducer) -> None:
    log = tmp_path / "a.log"
    log.write_bytes(b"1\n2\n")
    settings = settings_of(tmp_path, follow=True)
    forwarder_of(settings, Clock(0.1)).run()
    with log.open("ab") as file:
        file.write(b"3\n")
    producer.full = 2
    forwarder_of(settings, Clock(0.1)).run()
    assert [value for _, value in producer.sent] == [b"1\n2", b"3"]


def test_places_are_not_saved_before_the_brokers_acknowledge(tmp_path: Path, producer: FakeProducer) -> None:
    (tmp_path / "a.log").write_bytes(b"1\n")
    producer.error = FakeError()
    with pytest.raises(ForwardError, match=r"topic 't' on b:1 refuses a message: too large"):
        forwarder_of(settings_of(tmp_path)).run()
    assert not (tmp_path / "state" / "places.json").exists()


def test_what_cannot_work_is_one_sentence(tmp_path: Path, producer: FakeProducer) -> None:
    with pytest.raises(SettingsError, match="nothing to read at"):
        forwarder_of(settings_of(tmp_path)).run()
    settings = settings_of(tmp_path)
    (tmp_path / "a.log").write_bytes(b"1\n")
    for damaged in (b"{", b"[]"):
        settings.state.write_bytes(damaged)
        with pytest.raises(ForwardError, match=r"places\.json does not hold places in files"):
            forwarder_of(settings).run()
    settings.state.write_bytes(orjson.dumps({}))
    with module._locked(settings.state), pytest.raises(ForwardError, match="is used by another"):
        forwarder_of(settings).run()
    (tmp_path / "file").touch()
    with pytest.raises(ForwardError, match=r"cannot be kept in .*file/places"):
        forwarder_of(settings.model_copy(update={"state": tmp_path / "file" / "places"})).run()


def test_a_stop_ends_it_while_the_queue_is_full(
    tmp_path: Path, producer: FakeProducer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "a.log").write_bytes(b"1\n2\n")
    clock = Clock(5.0)

    def produce(*_: object, **__: object) -> None:
        if producer.sent:
            raise BufferError
        producer.sent.append(("", b""))

    monkeypatch.setattr(producer, "produce", produce)
    monkeypatch.setattr(producer, "flush", clock.wait)
    with pytest.raises(ForwardError, match="brokers b:1 do not acknowledge; the lines since the last saved places"):
        forwarder_of(settings_of(tmp_path, max_lines=1), clock).run()
    assert "have not acknowledged 1 messages: no answer" in caplog.text
    assert clock.now_s < 5.0 + module.STOP_S + 1.0


def test_places_that_cannot_be_saved_end_it_with_one_sentence(
    tmp_path: Path, producer: FakeProducer, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.log").write_bytes(b"1\n")

    def full(_file: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ForwardError, match=r"places\.json: No space left on device; the lines since"):
        forwarder_of(settings_of(tmp_path)).run()
    assert [value for _, value in producer.sent] == [b"1"]


@pytest.mark.process
def test_the_kafka_source_reads_the_same_lines(
    tmp_path: Path, embedded_broker: EmbeddedBroker, new_topic: Callable[..., str]
) -> None:
    topic = new_topic()
    lines = [b"line %d" % i if i % 7 else b"" for i in range(3000)]
    (tmp_path / "a.log").write_bytes(b"\n".join(lines) + b"\n")
    settings = settings_of(tmp_path, brokers=embedded_broker.brokers, topic=topic, max_lines=100)
    done = forwarder_of(settings)
    done.run()
    assert (done.lines, done.messages) == (3000, 30)
    source = KafkaSource(KafkaSourceSettings(brokers=embedded_broker.brokers, topic=topic, stop_at_end=True))
    reader = source.open(f"{topic}/0", None)
    assert [batch.line(i) for batch in drain(reader) for i in range(len(batch))] == lines
    reader.close()
