import errno
import json
import os
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest

from models.base import ModelStoreError, NotTrainedError, WindowDetector
from models.classify.registry import build as build_classifier
from models.detectors.checks import WindowWorkload, fitted
from models.detectors.registry import build
from models.storage.store import ModelNotes, ModelStore, Notes
from models.thresholds.base import Threshold

NOTES = Notes(threshold=Threshold(rule="percentile", value=0.5), metrics={"validation": {"f1": 1.0}}, seed=3)


@pytest.fixture
def detector(workload: WindowWorkload) -> WindowDetector:
    return fitted(lambda: build("event_counts"), workload)


@pytest.fixture(params=["local", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ModelStore:
    url = str(tmp_path / "store") if request.param == "local" else f"memory://{uuid4().hex}"
    return ModelStore(url, now=lambda: datetime(2026, 1, 2, tzinfo=UTC))


def test_publish_and_load(store: ModelStore, detector: WindowDetector, workload: WindowWorkload) -> None:
    assert store.current("floor") is None
    assert store.names() == []
    assert store.publish("floor", detector, NOTES) == 1
    stored = store.load("floor")
    stored.detector.learn_templates(workload.templates)
    assert np.array_equal(stored.detector.score(workload.windows), detector.score(workload.windows))
    assert stored.card == store.verify("floor", 1)
    assert stored.card.threshold.value == 0.5
    assert (stored.card.parent, stored.card.detector, stored.card.seed) == (None, "event_counts", 3)
    assert store.names() == ["floor"]


def test_versions_rise_and_roll_back(store: ModelStore, detector: WindowDetector) -> None:
    assert [store.publish("floor", detector, NOTES) for _ in range(3)] == [1, 2, 3]
    assert store.card("floor", 3).parent == 2
    assert store.rollback("floor") == 2
    assert store.publish("floor", detector, NOTES) == 4
    assert store.card("floor").parent == 2
    assert store.rollback("floor") == 2
    assert store.rollback("floor") == 1
    with pytest.raises(ModelStoreError, match="no version before 1"):
        store.rollback("floor")
    assert store.rollback("floor", to=3) == 3
    with pytest.raises(ModelStoreError, match="version 9 of floor is missing"):
        store.rollback("floor", to=9)
    assert store.current("floor") == 3
    assert store.versions("floor") == [1, 2, 3, 4]


def test_candidate_is_not_followed_until_promoted(store: ModelStore, detector: WindowDetector) -> None:
    store.publish("floor", detector, NOTES)
    assert store.publish("floor", detector, NOTES, make_current=False) == 2
    assert store.current("floor") == 1
    store.promote("floor", 2)
    assert store.current("floor") == 2


def test_nothing_is_stored_without_weights(store: ModelStore) -> None:
    with pytest.raises(NotTrainedError):
        store.publish("floor", build("event_counts"), NOTES)
    assert store.versions("floor") == []


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden", "a b"])
def test_names(store: ModelStore, detector: WindowDetector, name: str) -> None:
    with pytest.raises(ModelStoreError, match="cannot be the name"):
        store.publish(name, detector, NOTES)


def spoil_weights(folder: Path) -> None:
    file = folder / "1" / "weights.safetensors"
    file.write_bytes(file.read_bytes()[:-5])


def spoil_card(folder: Path) -> None:
    file = folder / "1" / "card.json"
    file.write_bytes(file.read_bytes().replace(b"0.5", b"0.1"))


SPOILERS: list[tuple[Callable[[Path], object], str]] = [
    (spoil_weights, "half-written or changed"),
    (lambda f: (f / "1" / "weights.safetensors").unlink(), "half-written"),
    (lambda f: (f / "1" / "card.json").unlink(), "missing or half-written"),
    (spoil_card, "changed after it was published"),
    (lambda f: (f / "current").write_text("{"), "is damaged"),
    (lambda f: (f / "current").write_text('{"version": "1", "card_sha256": ""}'), "is damaged"),
]


@pytest.mark.parametrize(("spoil", "words"), SPOILERS)
def test_damage_is_refused_in_a_sentence(
    tmp_path: Path, detector: WindowDetector, spoil: Callable[[Path], object], words: str
) -> None:
    store = ModelStore(tmp_path)
    store.publish("floor", detector, NOTES)
    spoil(tmp_path / "floor")
    with pytest.raises(ModelStoreError, match=words) as caught:
        store.load("floor")
    assert "\n" not in str(caught.value)


def test_rollback_mends_a_damaged_pointer(tmp_path: Path, detector: WindowDetector) -> None:
    store = ModelStore(tmp_path)
    store.publish("floor", detector, NOTES)
    (tmp_path / "floor" / "current").write_text("{")
    with pytest.raises(ModelStoreError, match="damaged"):
        store.current("floor")
    assert store.rollback("floor", to=1) == 1
    assert store.current("floor") == 1


def test_what_does_not_fit_is_refused_in_the_same_words_every_time(tmp_path: Path, detector: WindowDetector) -> None:
    store = ModelStore(tmp_path)
    store.publish("floor", detector, NOTES, make_current=False)
    card = tmp_path / "floor" / "1" / "card.json"
    content = json.loads(card.read_text())
    card.write_text(json.dumps({**content, "settings": {"head": "logistic"}}))
    said = set()
    for _ in range(20):
        with pytest.raises(ModelStoreError, match="cannot be used here") as caught:
            store.load("floor", 1)
        said.add(str(caught.value))
    assert len(said) == 1


def test_another_architecture_or_encoder_is_refused(tmp_path: Path, small_cnn: Any, workload: WindowWorkload) -> None:
    store = ModelStore(tmp_path)
    store.publish("cnn", fitted(small_cnn, workload), NOTES)
    card = tmp_path / "cnn" / "1" / "card.json"
    content = json.loads(card.read_text())
    for change, words in (
        ({"settings": content["settings"] | {"filters": 9}}, "are not those of this bert_cnn"),
        ({"settings": content["settings"] | {"encoder": "hashing:48"}}, "trained on encoder hashing:32"),
        ({"detector": "oracle"}, "known are bert_cnn, deeplog, event_counts"),
        ({"settings": {"colour": 1}}, "colour"),
    ):
        card.write_text(json.dumps(content | change))
        (tmp_path / "cnn" / "current").unlink(missing_ok=True)
        with pytest.raises(ModelStoreError, match=words):
            store.load("cnn", 1)


@pytest.mark.parametrize("failing", ["fsync", "rename", "replace", "pointer"])
def test_a_full_disk_leaves_nothing_to_see(
    tmp_path: Path, detector: WindowDetector, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    store = ModelStore(tmp_path)
    store.publish("floor", detector, NOTES)

    def full(*args: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    replace = os.replace

    def full_for_the_pointer(source: Path, target: Path) -> None:
        return full() if target.name == "current" else replace(source, target)

    with monkeypatch.context() as patch:
        if failing == "pointer":
            patch.setattr(os, "replace", full_for_the_pointer)
        else:
            patch.setattr(os, failing, full)
        with pytest.raises(ModelStoreError, match="No space left"):
            store.publish("floor", detector, NOTES)
    assert store.current("floor") == 1
    store.verify("floor")
    # Where the pointer alone failed, the version is whole and only not followed.
    assert store.versions("floor") == ([1, 2] if failing == "pointer" else [1])
    assert not list(tmp_path.rglob(".writing-*"))
    assert store.publish("floor", detector, NOTES) == store.versions("floor")[-1]


def test_concurrent_publishers_get_different_versions(tmp_path: Path, detector: WindowDetector) -> None:
    versions: list[int] = []

    def publish() -> None:
        versions.extend(ModelStore(tmp_path).publish("floor", detector, NOTES) for _ in range(5))

    threads = [threading.Thread(target=publish) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    store = ModelStore(tmp_path)
    assert sorted(versions) == list(range(1, 21)) == store.versions("floor")
    assert store.current("floor") == 20
    for version in versions:
        assert store.verify("floor", version).version == version


def test_a_killed_publisher_leaves_nothing_to_see(tmp_path: Path, detector: WindowDetector) -> None:
    store = ModelStore(tmp_path)
    store.publish("floor", detector, NOTES)
    (tmp_path / "floor" / ".writing-0123").mkdir()
    (tmp_path / "floor" / "2").mkdir()
    assert store.versions("floor") == [1]
    assert store.publish("floor", detector, NOTES) in (2, 3)


def test_what_a_killed_publisher_left_is_removed_after_a_day(tmp_path: Path, detector: WindowDetector) -> None:
    store = ModelStore(tmp_path)
    store.publish("floor", detector, NOTES)
    for name, age_s in ((".writing-old", 90_000), (".writing-new", 80_000)):
        folder = tmp_path / "floor" / name
        folder.mkdir()
        (folder / "weights.safetensors").write_bytes(b"half")
        os.utime(folder, (time.time() - age_s,) * 2)
    pointer = tmp_path / "floor" / ".writing-pointer"
    pointer.write_bytes(b"{}")
    os.utime(pointer, (0, 0))
    store.publish("floor", detector, NOTES)
    assert [p.name for p in (tmp_path / "floor").glob(".writing-*")] == [".writing-new"]


def test_others_may_read(tmp_path: Path, detector: WindowDetector) -> None:
    ModelStore(tmp_path).publish("floor", detector, NOTES)
    assert (tmp_path / "floor" / "1").stat().st_mode & 0o055 == 0o055 & ~_umask()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_an_unknown_kind_of_url() -> None:
    with pytest.raises(ModelStoreError, match="cannot be opened"):
        ModelStore("nowhere://x")


def test_other_weights_of_the_same_architecture_need_no_model(
    store: ModelStore, detector: WindowDetector, workload: WindowWorkload
) -> None:
    store.publish("floor", detector, NOTES)
    base = store.any_card("floor")
    weights = store.weights("floor", 1)
    assert {k: v.tolist() for k, v in weights.items()} == {k: v.tolist() for k, v in detector.weights().items()}
    other = NOTES.model_copy(update={"round": 7, "participants": ("eu", "us")})
    assert store.publish_weights(base, weights, other) == 2
    stored = store.load("floor")
    assert (stored.card.parent, stored.card.round, stored.card.participants) == (1, 7, ("eu", "us"))
    stored.detector.learn_templates(workload.templates)
    assert np.array_equal(stored.detector.score(workload.windows), detector.score(workload.windows))
    assert store.rollback_target("floor") == 1
    assert store.current("floor") == 2


def test_a_name_belongs_to_one_kind_of_model(tmp_path, detector):
    store = ModelStore(tmp_path / "s")
    with pytest.raises(ModelStoreError, match="the name 'bert_cnn' belongs to bert_cnn, and this is event_counts"):
        store.publish("bert_cnn", detector, NOTES)
    assert store.names() == []
    store.publish("mine", build_classifier("rules"), ModelNotes())
    with pytest.raises(ModelStoreError, match="the name 'mine' belongs to rules, and this is event_counts"):
        store.publish("mine", detector, NOTES)
    assert store.versions("mine") == [1]


def test_single_regions_keep_an_earlier_version(store: ModelStore, detector: WindowDetector) -> None:
    store.publish("floor", detector, NOTES)
    base, weights = store.any_card("floor"), store.weights("floor", 1)
    store.publish_weights(base, weights, NOTES, over=1, held={"ap": 1})
    assert [store.current("floor", region) for region in ("", "eu", "ap")] == [2, 2, 1]
    store.publish_weights(base, weights, NOTES, held={"ap": 1, "eu": 2})
    store.promote("floor", 2)
    assert store.held("floor") == {"ap": 1}, "what eu kept is current now"
    store.promote("floor", 1)
    assert store.held("floor") == {}
    store.promote("floor", 3, {"us": 2})
    assert (store.current("floor"), store.current("floor", "us"), store.reached("floor")) == (3, 2, 3)
    with pytest.raises(ModelStoreError, match="version 9 of floor is missing"):
        store.promote("floor", 3, {"us": 9})


@pytest.mark.parametrize("raw", [b"[]", b"{}", b'{"version": 1, "card_sha256": "a", "held": {"eu": "1"}}', b"null"])
def test_a_damaged_pointer_is_refused(tmp_path: Path, detector: WindowDetector, raw: bytes) -> None:
    store = ModelStore(tmp_path)
    store.publish("floor", detector, NOTES)
    (tmp_path / "floor" / "current").write_bytes(raw)
    with pytest.raises(ModelStoreError, match="is damaged"):
        store.current("floor")


def test_pruning_keeps_what_is_in_use(store: ModelStore, detector: WindowDetector) -> None:
    for _ in range(8):
        store.publish("floor", detector, NOTES)
    store.publish("floor", detector, NOTES, make_current=False)  # 9, a candidate
    store.promote("floor", 6, held={"eu": 2})
    assert store.prune("floor", 1) == [1, 3, 4, 7, 8]
    assert store.versions("floor") == [2, 5, 6, 9]
    assert store.rollback("floor") == 5
    assert store.publish("floor", detector, NOTES) == 10
    assert store.prune("floor", 100) == []


def test_pruning_an_unknown_model_is_an_error(store: ModelStore) -> None:
    with pytest.raises(ModelStoreError, match="holds no published model 'floor'"):
        store.prune("floor", 3)


@pytest.mark.parametrize(
    ("file", "reads"),
    [
        ("weights.safetensors", ModelStore.verify),
        ("weights.safetensors", ModelStore.load),
        ("card.json", ModelStore.load),
    ],
)
def test_files_that_are_too_large_are_refused_unread(
    tmp_path: Path, detector: WindowDetector, file: str, reads: Callable[..., object], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ModelStore(tmp_path)
    store.publish("floor", detector, NOTES)
    path = tmp_path / "floor" / "1" / file
    with path.open("r+b") as grown:
        grown.truncate(1 << 40)  # sparse: a terabyte that takes no room

    def unread(self: object, path: str) -> bytes:
        assert not path.endswith(file)
        return (tmp_path / path).read_bytes()

    monkeypatch.setattr("models.storage.store_backends.LocalFolder.read", unread)
    with pytest.raises(ModelStoreError, match=r"has 1,099,511,627,776 bytes"):
        reads(store, "floor")


def test_cards_without_a_size_are_read(tmp_path: Path, detector: WindowDetector) -> None:
    store = ModelStore(tmp_path)
    store.publish("floor", detector, NOTES, make_current=False)
    path = tmp_path / "floor" / "1" / "card.json"
    card = json.loads(path.read_text())
    assert card.pop("weights_bytes") == (tmp_path / "floor" / "1" / "weights.safetensors").stat().st_size
    path.write_text(json.dumps(card))
    assert store.load("floor", 1).card.weights_bytes is None
