import json

import jsonschema
import numpy as np
import pytest
from confluent_kafka import Producer

from connectors.base import SinkUnavailableError, SourceUnavailableError
from connectors.memory import ABORT, FAIL, AbortedError, MemorySink, MemorySource
from federation.errors import StorageError
from federation.storage.labels import LabelFeedSettings, label_feed, read_label
from federation.storage.learning import Purpose
from federation.storage.training_store import Label, TrainingSettings, TrainingStore
from foundation.documents.schemas import schema
from models.base import Windows, template_id
from tests.support.fleet import until

GOOD = b'{"session": "s1", "anomalous": true, "time": "2026-01-31T12:00:00Z"}'
T_NS = 1_769_860_800 * 10**9
SETTINGS = LabelFeedSettings.model_validate({"source": {"type": "memory"}, "dead_letters": {"type": "memory"}})


@pytest.fixture
def store(tmp_path):
    settings = TrainingSettings(path=tmp_path / "training.db")
    with TrainingStore(settings.path, settings, now_ns=lambda: 1) as opened:
        yield opened


def feed(store, lines, delivered, **options):
    source = MemorySource({"t/0": lines}, **options) if isinstance(lines, list) else lines
    return label_feed(
        SETTINGS, store, region="eu", now_ns=lambda: 5, source=source, dead_letters=MemorySink(delivered)
    )  # fmt: skip


def labels_in(store, *sessions):
    """What the store holds about windows of these sessions."""
    texts = {template_id("t"): "t"}
    n = len(sessions)
    windows = Windows.of([[next(iter(texts))]] * n)
    store.add(
        windows, keys=sessions, ids=sessions, time_ns=np.zeros(n, np.int64), scores=np.zeros(n, np.float32),
        templates=texts,
    )  # fmt: skip
    sets = [store.learning_set(purpose) for purpose in Purpose]
    return sorted(pair for s in sets for pair in zip(s.labels.tolist(), s.provenance, strict=True))


def test_a_label_is_read():
    assert read_label(json.loads(GOOD), "labels", 3) == Label("s1", True, "labels", T_NS)
    assert read_label({"alert": "a1", "anomalous": False, "x": 1}, "feedback", 3) == Label("a1", False, "feedback", 3)
    later = read_label({"session": "s", "anomalous": True, "time": "2026-01-31T13:00:00.25+01:00"}, "labels", 0)
    assert later.time_ns == T_NS + 250_000_000


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"\xff\xfe", "not JSON"),
        (b"[1]", "not a JSON object"),
        (b"{}", '"anomalous" is missing'),
        (b'{"anomalous": true}', 'neither "session" nor "alert"'),
        (b'{"session": 7, "anomalous": true}', '"session" should be a valid string'),
        (b'{"session": "s"}', '"anomalous" is missing'),
        (b'{"session": "s", "anomalous": 1}', '"anomalous" should be a valid boolean'),
        (b'{"session": "s", "anomalous": true, "time": "yesterday"}', '"time" is not an RFC 3339 time'),
        (b'{"session": "s", "anomalous": true, "time": "9999-01-31T12:00:00Z"}', '"time" is before 1970 or after'),
        (b'{"session": "s", "anomalous": true, "time": "0001-01-31T12:00:00Z"}', '"time" is before 1970 or after'),
        (b'{"session": "s", "anomalous": true, "time": 12}', '"time" should be a valid string'),
        (b'{"session": "s", "anomalous": true, "time": "2026-01-31T12:00:00"}', '"time" has no time zone'),
    ],
)
def test_what_is_no_label_is_told(store, raw, says):
    delivered = []
    assert feed(store, [raw], delivered).poll() == 0
    assert says in delivered[0].document["reason"]


@pytest.mark.parametrize(
    "document",
    [
        json.loads(GOOD),
        {"alert": "a1", "anomalous": False, "x": 1},
        {"session": "s"},
        {"anomalous": True},
        {"session": 7},
        {"template": "login of <*>", "class": "security_anomaly"},
        {"template": "login of <*>", "class": "trouble"},
        {"template": "login of <*>", "session": "s", "anomalous": True},
        {"template": "", "class": "normal"},
    ],
)
def test_the_schema_and_the_reader_agree(document):
    valid = jsonschema.Draft202012Validator(schema("label")).is_valid(document)
    try:
        read_label(document, "labels", 0)
    except ValueError:
        assert not valid
    else:
        assert valid


def test_good_ones_are_stored_and_bad_ones_are_dead_letters(store):
    delivered = []
    reader = feed(store, [GOOD, b"nonsense", b'{"session": "s2", "anomalous": false}'], delivered)
    assert reader.poll() == 2
    assert [r.document["place"] for r in delivered] == ["t/0:1"]
    assert delivered[0].document["reason"] == "not usable for labels memory: not JSON"
    assert delivered[0].document["raw"] == "nonsense"
    assert delivered[0].document["region"] == "eu"
    assert labels_in(store, "s1", "s2") == [(False, "labels"), (True, "labels")]
    assert reader.poll() == 0


def test_reading_goes_on_behind_what_was_saved(store):
    lines = [GOOD, b"bad", GOOD.replace(b"s1", b"s2"), b"bad again"]
    delivered = []
    first = feed(store, lines, delivered, batch_lines=2)
    assert first.poll() == 1
    first.close()
    assert feed(store, lines, delivered, batch_lines=2).poll() == 1
    assert [r.document["raw"] for r in delivered] == ["bad", "bad again"]


def test_a_source_that_fails_for_a_while_costs_nothing(store):
    delivered = []
    reader = feed(store, MemorySource({"t/0": [GOOD, FAIL, GOOD.replace(b"s1", b"s2")]}), delivered)
    news = 0
    failures = 0
    for _ in range(5):
        try:
            news += reader.poll()
        except SourceUnavailableError:
            failures += 1
    assert (news, failures) == (2, 1)


def test_without_the_dead_letters_nothing_is_passed_over(store):
    sink = MemorySink()
    reader = label_feed(
        SETTINGS, store, region="eu", now_ns=lambda: 5, source=MemorySource({"t/0": [b"bad", GOOD]}), dead_letters=sink
    )
    sink.fail_after = 0
    with pytest.raises(SinkUnavailableError):
        reader.poll()
    assert store.counts().labels == 0
    assert store.position("labels memory t/0") is None
    sink.refusing = False
    assert reader.poll() == 1
    assert len(sink.delivered) == 1


def test_a_crash_between_dead_letters_and_labels_repeats_the_same_dead_letter(store, monkeypatch):
    delivered = []
    lines = [b"bad", GOOD]

    def crash(*_):
        raise StorageError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(store, "label", crash)
        with pytest.raises(StorageError):
            feed(store, lines, delivered).poll()
    assert feed(store, lines, delivered).poll() == 1
    assert len({r.id for r in delivered}) == 1


def test_an_aborted_reader_starts_over(store):
    source = MemorySource({"t/0": [GOOD, ABORT, GOOD.replace(b"s1", b"s2")]})
    delivered = []
    assert feed(store, source, delivered).poll() == 1
    with pytest.raises(AbortedError):
        feed(store, source, delivered).poll()
    after = feed(store, source, delivered)
    assert after.poll() + after.poll() == 1
    assert labels_in(store, "s1", "s2") == [(True, "labels"), (True, "labels")]


@pytest.mark.process
def test_labels_come_over_kafka(store, broker, new_topic):
    topic = new_topic()
    kafka = {"type": "kafka", "brokers": broker.brokers, "topic": topic, "stop_at_end": True}
    settings = LabelFeedSettings.model_validate({**SETTINGS.model_dump(), "provenance": "feedback", "source": kafka})
    producer = Producer({"bootstrap.servers": broker.brokers})
    for i in range(100):
        document = {"session": f"s{i}", "anomalous": i % 2 == 0}
        producer.produce(topic, b"broken" if i == 50 else json.dumps(document).encode(), partition=0)
    assert producer.flush(100) == 0
    sink = MemorySink()
    reader = label_feed(settings, store, region="eu", now_ns=lambda: 1, dead_letters=sink)
    news: list[int] = []
    until("all labels are there", lambda: news.append(reader.poll()) or store.counts().labels >= 99)
    reader.close()
    assert sum(news) == 99
    assert [r.document["place"] for r in sink.delivered] == [f"{topic}/0/50"]
    assert store.counts().labels == 99
    assert store.latest_label_ns() == 1


def test_two_feeds_of_one_kind_keep_their_places_apart(store, tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(GOOD.replace(b"s1", name.encode()) + b"\n")
        source = {"type": "file", "paths": [str(tmp_path / name)]}
        settings = LabelFeedSettings.model_validate({**SETTINGS.model_dump(), "source": source})
        reader = label_feed(settings, store, region="eu", now_ns=lambda: 1)
        assert sum(reader.poll() for _ in range(3)) == 1
        reader.close()
