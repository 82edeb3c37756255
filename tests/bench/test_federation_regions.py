import numpy as np
import pytest
from numpy.typing import NDArray

import bench.scenarios.federation_regions as scenarios
from bench.data.detection_data import Labelled
from bench.harness import Run
from engine.offline.datasets import LabelledWindows
from models.base import Windows, template_id

TEXTS = {template_id(t): t for t in ("open <*>", "read <*>", "write <*>", "close <*>", "error <*>")}
SETTINGS = {"encoder": "hashing:16", "passes": "1", "local_epochs": "2"}


def made(count: int) -> tuple[Windows, NDArray[np.bool_]]:
    rng = np.random.default_rng(0)
    ids = list(TEXTS)
    labels = rng.random(count) < 0.3
    rows = [[*rng.choice(ids[:4], 5).tolist(), *([ids[4]] if anomalous else [])] for anomalous in labels.tolist()]
    return Windows.of(rows), labels


def test_nodes_as_regions_are_judged_on_scenarios_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    windows, labels = made(180)
    data = Labelled(windows, labels, TEXTS, np.repeat([0, 1, 2], 60))
    nodes = tuple(f"label{1 + i % 2}" for i in range(180))
    monkeypatch.setattr(scenarios, "iotdb", lambda window: (data, ("a", "b", "c"), nodes))
    found = scenarios.federate_iotdb(Run(overrides=SETTINGS)).metrics
    assert set(found) == {f"{w}.{m}" for w in ("first", "local", "federated", "central") for m in ("f1", "f1_min")}
    assert all(0 < found[f"{way}.f1"] <= 1 for way in ("first", "local", "federated", "central"))


def test_virtual_regions_and_hostile_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    windows, labels = made(400)
    times = np.arange(400, dtype=np.int64)
    keys, whole = tuple(f"s{i}" for i in range(400)), np.zeros(400, bool)
    sessions = LabelledWindows(windows, labels, TEXTS, keys, times, times, whole, 400, 0, 0, 0, 0)
    monkeypatch.setattr(scenarios, "hdfs_sessions", lambda: sessions)
    changes = {**SETTINGS, "regions": "6", "hostile": "2", "alpha": "5", "strategies": "fedavg"}
    found = scenarios.federate_simulated(Run(overrides=changes)).metrics
    assert found["fedavg.participants"] == 6
    assert found["fedavg.hostile.participants"] == 4
    assert found["fedavg.hostile.refusals"] == 2
    assert found["fedavg.f1"] > 0
