import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from federation.storage.labels import read_label
from federation.storage.learning import LineSet, Purpose
from federation.storage.line_classes import TemplateClass, line_set
from federation.storage.training_store import TrainingSettings, TrainingStore
from models.base import Windows, template_id
from models.classify.base import CLASSES
from tests.federation.storage.test_training_store import KEY

WEAK = "Failed password for <*> from <*>"
STRANGE = "zzz <*> qqq"


def opened(folder, now_ns=lambda: 1, **changes):
    settings = TrainingSettings(path=folder / "training.db", **changes)
    return TrainingStore(settings.path, settings, now_ns=now_ns)


def put(store, texts):
    ids = [template_id(text) for text in texts]
    store.add(
        Windows.of([ids]), keys=["s"], ids=[f"w{len(texts)}"], time_ns=np.zeros(1, np.int64),
        scores=np.zeros(1, np.float32), templates=dict(zip(ids, texts, strict=True)),
    )  # fmt: skip


def classes(found: LineSet) -> dict[str, tuple[str, str, float]]:
    return {
        text: (CLASSES[label], provenance, round(weight, 2))
        for text, label, provenance, weight in zip(
            found.lines.templates, found.labels.tolist(), found.provenance, found.weights.tolist(), strict=True
        )
    }


def both(store) -> dict[str, tuple[str, str, float]]:
    return classes(store.line_set(Purpose.TRAIN)) | classes(store.line_set(Purpose.HOLDOUT))


def said(text, kind, provenance="labels", time_ns=1):
    return TemplateClass(text, kind, provenance, time_ns)


def test_rules_say_what_they_are_sure_of_and_abstain_from_the_rest(tmp_path):
    with opened(tmp_path) as store:
        put(store, [WEAK, STRANGE])
        (kind, provenance, weight) = both(store)[WEAK]
        assert (kind, provenance) == ("security_anomaly", "rules")
        assert 0.5 <= weight < 1
        assert STRANGE not in both(store)


@pytest.mark.parametrize("key", [None, KEY])
def test_what_people_say_counts_before_the_rules_whenever_it_comes(tmp_path, key):
    with opened(tmp_path, key=key) as store:
        assert store.label([said(WEAK, "normal")]) == 1
        put(store, [WEAK, STRANGE])
        assert store.label([said(STRANGE, "hardware_issue")]) == 1
        assert both(store) == {WEAK: ("normal", "labels", 1.0), STRANGE: ("hardware_issue", "labels", 1.0)}
        assert store.label([said(WEAK, "normal")]) == 0
        store.label([said(WEAK, "config_error", "feedback"), said(WEAK, "system_failure", "labels", 9)])
        assert both(store)[WEAK] == ("config_error", "feedback", 1.0)
        store.label([said(WEAK, "network_anomaly", "feedback", 0)])
        assert both(store)[WEAK] == ("config_error", "feedback", 1.0)


def test_a_template_serves_the_same_purpose_in_every_region(tmp_path):
    texts = [f"Failed password for user {word} <*>" for word in "abcdefghijklmnopqrstuvwxyz"]
    found = []
    for name, key in (("eu", None), ("us", KEY)):
        (tmp_path / name).mkdir()
        with opened(tmp_path / name, key=key) as store:
            put(store, texts)
            found.append([store.line_set(purpose).lines.templates for purpose in (Purpose.TRAIN, Purpose.HOLDOUT)])
    assert found[0] == found[1]
    assert sorted(found[0][0] + found[0][1]) == texts
    assert 0 < len(found[0][1]) < len(texts) / 2


def test_classes_are_bounded_and_the_oldest_go_first(tmp_path):
    clock = iter(range(1, 10_000))
    with opened(tmp_path, now_ns=lambda: next(clock), max_labels=100) as store:
        store.label([said(f"text {i}", "normal") for i in range(130)])
        put(store, [f"text {i}" for i in range(130)])
        found = both(store)
    assert len(found) == 100
    assert "text 29" not in found
    assert "text 30" in found


def test_labels_of_sessions_and_of_templates_come_on_one_feed():
    document = {"template": WEAK, "class": "network_anomaly", "time": "1970-01-01T00:00:01Z", "session": 7}
    assert read_label(document, "feedback", 3) == said(WEAK, "network_anomaly", "feedback", 10**9)
    for wrong, says in (
        ({"template": "", "class": "normal"}, '"template" should have at least 1 character'),
        ({"template": 7, "class": "normal"}, '"template" should be a valid string'),
        ({"template": "t", "session": "s", "anomalous": True}, '"class" is missing'),
        ({"template": "t", "class": "trouble"}, "\"class\" should be 'normal', 'security_anomaly'"),
    ):
        with pytest.raises(ValueError, match=says):
            read_label(wrong, "labels", 0)


@given(st.lists(st.text(max_size=12), max_size=20), st.randoms(use_true_random=False))
@settings(max_examples=25)
def test_a_line_set_does_not_depend_on_the_order_of_texts(texts, random):
    named = {text: (CLASSES[len(text) % len(CLASSES)], "labels") for text in texts}
    parts = [line_set(texts, named, purpose) for purpose in (Purpose.TRAIN, Purpose.HOLDOUT)]
    assert sorted(t for p in parts for t in p.lines.templates) == sorted(set(texts))
    random.shuffle(texts)
    assert line_set(texts, named, Purpose.TRAIN).lines == parts[0].lines
