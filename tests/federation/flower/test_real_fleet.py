"""Rounds over real processes with the real trainer: torch, stores on disk, and detectors that are published."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.runtime.federation_wiring import trainer_build
from engine.settings import RegionSettings
from federation.protocol.records import Weights
from federation.round.result import RoundResult
from federation.round.round_files import read_steps
from federation.storage.learning import Purpose
from federation.storage.training_store import Label, TrainingSettings, TrainingStore
from models.storage.store import ModelStore, Notes
from models.thresholds.base import Threshold
from tests.federation.protocol.test_output_templates import Start, ids, loaded, made, started
from tests.support.fleet import REGIONS, RunningFleet

pytestmark = pytest.mark.process

WINDOWS = 120


def region_settings(region: str, home: Path) -> RegionSettings:
    written = {"type": "jsonl", "path": str(home / "written.jsonl")}
    return RegionSettings.model_validate(
        {
            "region": region, "source": {"type": "file", "paths": [str(home / "none.log")]}, "sinks": [written],
            "parse": {"format": "hdfs"}, "window": {"kind": "session", "gap_s": 60},
            "model": {"store": str(home / "models"), "device": "cpu"}, "dead_letters": written,
            "recovery": {"path": str(home / "state")}, "training": {"path": str(home / "training.db")},
            "node": {"folder": str(home / "node"), "encoders": ["hashing:64"]},
        }
    )  # fmt: skip


def fill(region: str, settings: TrainingSettings) -> None:
    """Windows of the region's own templates, as its engine would have handed them over, and their labels."""
    own = made(region, WINDOWS, REGIONS.index(region))
    keys = [f"{region} {i}" for i in range(WINDOWS)]
    with TrainingStore(settings.path, settings, now_ns=time.time_ns) as store:
        store.add(
            own.windows, keys=keys, ids=keys, time_ns=np.arange(WINDOWS) * 1_000_000_000,
            scores=np.zeros(WINDOWS, np.float32), templates=own.templates,
        )  # fmt: skip
        store.label(Label(key, bool(bad), "labels", 0) for key, bad in zip(keys, own.labels, strict=True))


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningFleet]:
    folder = tmp_path_factory.mktemp("real")
    regions = {region: region_settings(region, folder / region) for region in REGIONS}
    for region, settings in regions.items():
        assert settings.training is not None
        fill(region, settings.training)
    builds = {region: trainer_build(settings) for region, settings in regions.items()}
    with RunningFleet(folder, builds=builds, node=lambda region: {"job_limit_s": 120.0}) as running:
        yield running


def ran(fleet: RunningFleet, start: Start, **changes: Any) -> RoundResult:
    result = fleet.run(start, **changes)
    assert (result.participants, result.refusals, result.missing) == (REGIONS, (), ())
    assert [f.region for f in result.figures] == list(REGIONS)
    for held in result.figures:
        assert sum(held.current) == sum(held.candidate) == held_out(fleet, held.region)
    assert moved(start[1], result.weights)
    return result


def moved(old: Weights, new: Weights) -> bool:
    return any(not np.array_equal(old[name], new[name]) for name in old if name != "vocabulary")


def held_out(fleet: RunningFleet, region: str) -> int:
    settings = region_settings(region, fleet.folder / region).training
    assert settings is not None
    with TrainingStore(settings.path, settings, now_ns=time.time_ns) as store:
        return len(store.learning_set(Purpose.HOLDOUT))


def published_scores(folder: Path, start: Start, result: RoundResult) -> tuple[Weights, np.ndarray]:
    """What an engine gets that takes the round's version from the store."""
    models = ModelStore(folder)
    models.publish("m", loaded(*start), Notes(threshold=Threshold(rule="percentile", value=0.4)))
    notes = Notes(threshold=Threshold(rule="auto", value=result.threshold))
    version = models.publish_weights(models.card("m"), result.weights, notes)
    detector, own = models.load("m", version, device="cpu").detector, made("eu", 20, 50)
    detector.learn_templates(own.templates)
    return detector.weights(), detector.score(own.windows)


def test_bert_cnn(fleet: RunningFleet, tmp_path: Path) -> None:
    start = started("bert_cnn")
    result = ran(fleet, start, passes=2, local_epochs=2, cross_fit=False)
    names = [step.name for step in read_steps(fleet.folder / "rounds" / result.round_id)]
    assert names == ["hello", "pass", "pass", "threshold", "gate"]
    weights, scores = published_scores(tmp_path, start, result)
    assert weights.keys() == start[1].keys()
    assert np.isfinite(scores).all()
    assert np.ptp(scores) > 0


@pytest.mark.parametrize("mode", ["none", "secagg"])
def test_deeplog_gets_outputs_for_the_templates_of_all_regions(fleet: RunningFleet, tmp_path: Path, mode: str) -> None:
    start = started("deeplog")
    result = ran(fleet, start, passes=1, local_epochs=6, cross_fit=False, privacy={"mode": mode})
    steps = {step.name: step.figures for step in read_steps(fleet.folder / "rounds" / result.round_id)}
    assert list(steps) == ["hello", "templates", "pass", "threshold", "gate"]
    expected = {"known": 6, "new": 12, "dropped": 0, "present": "ap eu us"}
    assert {name: steps["templates"][name] for name in expected} == expected
    weights, scores = published_scores(tmp_path, start, result)
    new = sorted(identity for region in REGIONS for identity in ids(region)[1:-1])
    assert weights["vocabulary"].tolist() == [*start[1]["vocabulary"].tolist(), *new]
    untouched = loaded(*start)
    own = made("eu", 20, 50)
    untouched.learn_templates(own.templates)
    normal = ~own.labels
    assert scores[normal].mean() < untouched.score(own.windows)[normal].mean()
