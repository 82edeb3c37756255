"""Labels next to a node: read while it runs, in spite of a source that fails, until it stops."""

import json
import logging
import threading
import time
from types import SimpleNamespace

from connectors.base import SourceUnavailableError
from engine.runtime import label_ingest as late_labels
from engine.runtime.label_ingest import follow, label_feeds
from federation.storage.labels import LabelFeedSettings
from federation.storage.training_store import TrainingSettings, TrainingStore

LABEL = json.dumps({"session": "s1", "anomalous": True})


class Patience(threading.Event):
    """Does not wait, and asks to stop after this many pauses."""

    def __init__(self, pauses):
        super().__init__()
        self.left = pauses
        self.asked = []

    def wait(self, timeout=None):
        self.asked.append(timeout)
        self.left -= 1
        if self.left <= 0:
            self.set()
        return self.is_set()


class Feed:
    """Returns the given items, one per poll."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.closed = False

    def poll(self):
        answer = self.answers.pop(0) if self.answers else 0
        if isinstance(answer, Exception):
            raise answer
        return answer

    def close(self):
        self.closed = True


def test_a_feed_that_fails_is_told_of_once_and_tried_again(caplog):
    gone = SourceUnavailableError("no broker")
    failing, good = Feed(gone, gone, 3, 0), Feed(1, 0, 1, 0)
    stop = Patience(4)
    with caplog.at_level(logging.INFO, "engine.runtime.label_ingest"):
        follow([failing, good], stop)
    assert [r.message for r in caplog.records] == ["labels cannot be read: no broker", "labels are read again"]
    assert stop.asked == [0.0, 5.0, 0.0, 0.5]
    assert failing.answers == good.answers == []
    assert failing.closed
    assert good.closed


def test_labels_come_into_the_store_while_the_node_runs(tmp_path):
    training = TrainingSettings(path=tmp_path / "training.db")
    source = {"type": "memory", "lines": [LABEL]}
    feed = LabelFeedSettings.model_validate({"source": source, "dead_letters": {"type": "memory"}})
    stop = threading.Event()
    deadline_s = time.monotonic() + 100
    with (
        label_feeds(SimpleNamespace(region="eu", training=training, labels=(feed,)), stop),
        TrainingStore(training.path, training, now_ns=time.time_ns) as store,
    ):
        while not store.counts().labels:
            assert time.monotonic() < deadline_s
    assert stop.is_set()


def test_without_feeds_there_is_nothing_to_read(tmp_path):
    stop = threading.Event()
    with label_feeds(SimpleNamespace(training=None, labels=()), stop):
        pass
    assert not stop.is_set()


def test_a_store_that_cannot_be_opened_is_tried_again(tmp_path):
    training = TrainingSettings(path=tmp_path / "training.db")
    training.path.mkdir()
    stop = Patience(2)
    with label_feeds(SimpleNamespace(region="eu", training=training, labels=("feed",)), stop):
        deadline_s = time.monotonic() + 100
        while not stop.is_set() and time.monotonic() < deadline_s:
            time.sleep(0.01)
        assert stop.asked == [5.0, 5.0]


def test_whatever_breaks_beside_a_node_labels_are_read_on(tmp_path, monkeypatch, caplog):
    training = TrainingSettings(path=tmp_path / "training.db")
    feed = {"source": {"type": "memory"}, "dead_letters": {"type": "memory"}}
    settings = SimpleNamespace(region="eu", training=training, labels=(LabelFeedSettings.model_validate(feed),))
    stop, answers, heard = threading.Event(), [ZeroDivisionError("division by zero"), OSError(24, "no more files")], []

    def broken(feeds, stop):
        if answers:
            raise answers.pop()
        heard.append(len(feeds))
        stop.set()

    monkeypatch.setattr(late_labels, "follow", broken)
    monkeypatch.setattr(late_labels, "RETRY_S", 0.01)
    with label_feeds(settings, stop):
        assert stop.wait(100)
    assert heard == [1]
    assert caplog.text.count("labels cannot be kept") == 2
    assert "ZeroDivisionError" in caplog.text
