from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.data.partition import by_key
from bench.data.region_stream import FleetStream, Policy, RegionPipeline, StartingModel, Stream, joined
from engine.drift.settings import DriftSettings
from federation.coordinator.schedule import ScheduleSettings
from federation.protocol.records import ModelSpec
from federation.round.settings import RoundSettings
from models.base import Windows, template_id
from models.detectors.registry import build

TEXTS = {template_id(t): t for t in ("open <*>", "read <*>", "write <*>", "close <*>", "error <*>", "retry <*>")}
SMALL = {
    "encoder": "hashing:16", "projection": 8, "filters": 8, "counts": 4, "mixed": 8, "kernels": (2,),
    "training": {"epochs": 30, "batch_size": 16},
}  # fmt: skip
SECOND = 10**9


@pytest.fixture(scope="module")
def stream() -> Stream:
    """60 windows to begin with, then 240 of which every other one holds a new, harmless template; one a second."""
    rng = np.random.default_rng(0)
    ids = list(TEXTS)
    labels = rng.random(300) < 0.25
    rows = []
    for i in range(300):
        row = rng.choice(ids[:4], 6).tolist()
        if i >= 60 and i % 2:
            row.insert(2, ids[5])
        if labels[i]:
            row.insert(3, ids[4])
        rows.append(row)
    time_ns = np.arange(300, dtype=np.int64) * SECOND
    return Stream(Windows.of(rows), labels, TEXTS, tuple(f"s{i}" for i in range(300)), time_ns, 60)


@pytest.fixture(scope="module")
def model(stream: Stream) -> StartingModel:
    detector = build("bert_cnn", SMALL, device="cpu")
    index = np.arange(60)
    detector.fit(stream.windows.take(index), stream.labels[index], TEXTS)
    spec = ModelSpec(
        name="m", version=1, kind="detector", detector="bert_cnn", settings=detector.settings(), extra=detector.extra()
    )
    return StartingModel(spec, detector.weights(), 0.5)


def policy(**changes: Any) -> Policy:
    drift = DriftSettings(block_windows=10, warmup_blocks=4, current_blocks=1, cooldown_windows=20)
    rounds = RoundSettings.model_validate({"passes": 1, "local_epochs": 5, "margin_region": 1.0})
    settings = {"drift": drift, "schedule": None, "rounds": rounds, "label_delay_s": 20.0, "tick_s": 5.0, **changes}
    return Policy(**settings)


def parts(stream: Stream) -> dict[str, Any]:
    return dict(zip(("eu", "us"), by_key(stream.keys, 2), strict=True))


def test_a_label_counts_from_its_arrival_and_not_before(stream: Stream, model: StartingModel, tmp_path: Path) -> None:
    region = RegionPipeline("eu", np.arange(300), stream, policy(), tmp_path)
    detector = build("bert_cnn", SMALL, device="cpu")
    detector.load_weights(model.weights, model.spec.extra)
    region.serve(detector, 1, 0.5)
    called = np.zeros(300, bool)
    assert (region.store.counts().windows, region.store.counts().unlabelled) == (60, 0)
    region.advance(79 * SECOND, called)
    assert (region.store.counts().windows, region.store.counts().unlabelled) == (80, 20)
    region.advance(99 * SECOND, called)
    assert (region.store.counts().windows, region.store.counts().unlabelled) == (100, 20)
    assert not called[100:].any()
    region.store.close()


def test_every_window_is_scored_once_by_the_model_that_serves(
    stream: Stream, model: StartingModel, tmp_path: Path
) -> None:
    course = FleetStream(parts(stream), stream, model, policy(drift=None), tmp_path).run()
    detector = build("bert_cnn", SMALL, device="cpu")
    detector.load_weights(model.weights, model.spec.extra)
    detector.learn_templates(TEXTS)
    index = np.arange(60, 300)
    np.testing.assert_array_equal(course.called[60:], detector.score(stream.windows.take(index)) >= 0.5)
    assert not course.called[:60].any()
    assert (course.rounds, course.published) == ([], 0)


def test_scheduled_rounds_renew_the_model(stream: Stream, model: StartingModel, tmp_path: Path) -> None:
    changed = policy(drift=None, schedule=ScheduleSettings(every_s=60.0))
    course = FleetStream(parts(stream), stream, model, changed, tmp_path).run()
    assert [round(since) for since, _, _ in course.rounds] == [60, 120, 180, 240]
    assert 1 <= course.published <= 4
    assert all("since the last round" in reason for _, reason, _ in course.rounds)


def test_drift_starts_a_round(stream: Stream, model: StartingModel, tmp_path: Path) -> None:
    plain = np.array([i for i in range(300) if i < 60 or i % 2 == 0])
    odd = np.array([i for i in range(60, 300) if i % 2])
    order = np.concatenate([np.tile(plain, 3), np.tile(odd, 2)])
    mixed = Stream(
        stream.windows.take(order), stream.labels[order], TEXTS, tuple(f"s{i}" for i in range(len(order))),
        np.arange(len(order), dtype=np.int64) * SECOND, 4,
    )  # fmt: skip
    drift = DriftSettings(detectors=("novelty", "jensen_shannon"), block_windows=10, warmup_blocks=4, current_blocks=1)
    changed = policy(drift=drift, schedule=ScheduleSettings(debounce_s=5.0, cool_down_s=30.0))
    course = FleetStream(parts(mixed), mixed, model, changed, tmp_path).run()
    assert course.rounds
    since, reason, _ = course.rounds[0]
    assert since > 3 * len(plain) - 10, "before, nothing changes"
    assert " in eu" in reason or " in us" in reason


def test_labels_that_contradict_the_model_start_a_round(stream: Stream, tmp_path: Path) -> None:
    blind = build("bert_cnn", SMALL, device="cpu")
    blind.fit(stream.windows.take(np.arange(60)), np.arange(60) < 1, TEXTS)
    spec = ModelSpec(
        name="m", version=1, kind="detector", detector="bert_cnn", settings=blind.settings(), extra=blind.extra()
    )
    changed = policy(schedule=ScheduleSettings(debounce_s=5.0, cool_down_s=30.0))
    course = FleetStream(parts(stream), stream, StartingModel(spec, blind.weights(), 1.0), changed, tmp_path).run()
    since, reason, _ = course.rounds[0]
    assert 20 < since < 60, "the labels of the first windows arrive after 20 s, and a quarter is anomalous"
    assert "corrections in " in reason or "mistakes in " in reason
    assert course.published


def test_fleets_apart_are_counted_together(stream: Stream, model: StartingModel, tmp_path: Path) -> None:
    whole = FleetStream(parts(stream), stream, model, policy(drift=None), tmp_path / "whole").run()
    apart = [
        FleetStream({n: p}, stream, model, policy(drift=None), tmp_path / n).run() for n, p in parts(stream).items()
    ]
    np.testing.assert_array_equal(joined(apart).called, whole.called)
