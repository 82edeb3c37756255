"""How another version judges alerts: lost, gained and the same, and sessions by threshold."""

import numpy as np
import pytest

from engine.api.settings import ServeSettings
from engine.offline.rescore import sessions_by_threshold
from federation.storage.answers import AnswerStore
from federation.storage.training_store import TrainingSettings
from foundation.time_text import iso_time
from models.base import Windows
from tests.engine.api.conftest import alert
from tests.engine.api.test_questions import BROKEN, RETRIED, TEXTS, USUAL, publish_version
from tests.engine.api.test_region import REGION

DAY_NS = 86_400 * 1_000_000_000
ROWS = [USUAL] * 6 + [BROKEN] * 3 + [RETRIED]


@pytest.fixture
def serve_settings(tmp_path):
    path = tmp_path / "region.toml"
    path.write_text(REGION.format(folder=tmp_path).replace("bert_cnn", "floor"), "utf-8")
    return ServeSettings(region=path)


@pytest.fixture
def stored(tmp_path, clock):
    """Ten windows, one a day, with session keys k0 to k9."""
    path = tmp_path / "training.db"
    with AnswerStore(path, TrainingSettings(path=path), now_ns=clock.wall_ns) as store:
        store.add(
            Windows.of(ROWS), keys=[f"k{i}" for i in range(10)], ids=[f"{i:032x}" for i in range(10)],
            time_ns=np.arange(10, dtype=np.int64) * DAY_NS, scores=np.zeros(10, np.float32), templates=TEXTS,
        )  # fmt: skip
        yield store


def raised(number, rows, day, session=""):
    """An alert about a window, which the model `floor` raised."""
    templates = [{"id": "0" * 16, "text": TEXTS[t], "count": rows.count(t)} for t in dict.fromkeys(rows)]
    return {
        **alert("x", 0), "id": f"{number:032x}", "model": "floor", "session": session, "templates": templates,
        "first_time": iso_time(day * DAY_NS), "last_time": iso_time(day * DAY_NS),
    }  # fmt: skip


def test_alerts_are_lost_gained_or_the_same(log_in, stored, tmp_path, clock, add_alerts):
    publish_version(tmp_path, [USUAL, RETRIED], clock.wall_ns)
    publish_version(tmp_path, [USUAL, BROKEN], clock.wall_ns)
    # Of the stored broken windows two raised an alert; a third alert is about a window that is not stored, and that
    # neither version knows.
    add_alerts(raised(6, BROKEN, 6, "k6"), raised(7, BROKEN, 7, "k7"), raised(99, [*USUAL, *BROKEN], 5, "z"))
    client = log_in("viewer")
    found = client.get("/api/v1/models/floor/replay", params={"a": 1, "b": 2}).json()
    assert (found["alerts"], found["same"], found["lost"], found["neither"]) == (3, 1, 2, 0), found
    assert (found["gained"], found["approximate"], found["windows"]) == (1, 1, 3)
    assert (found["since"], found["days"]) == (iso_time(5 * DAY_NS), 4.0)
    listed = [(item["change"], item["id"][-2:], item["alert"]) for item in found["items"]]
    assert listed == [("lost", "07", True), ("lost", "06", True), ("gained", "09", False)]
    assert found["items"][-1]["title"] == "retry <NUM>"
    assert found["items"][-1]["score_b"] >= found["threshold_b"] > found["items"][0]["score_b"]
    dots = found["scores"]
    assert [dot["a"] for dot in dots] == sorted(dot["a"] for dot in dots)
    raised_by_b = sum(dot["b"] >= found["threshold_b"] and dot["alert"] for dot in dots)
    assert (len(dots), sum(dot["alert"] for dot in dots), raised_by_b) == (6, 3, found["same"])
    counts = [point["sessions"] for point in found["points"]]
    assert counts[-1] == 6, "every session reaches the lowest score"
    assert counts == sorted(set(counts))
    back = client.get("/api/v1/models/floor/replay", params={"a": 2, "b": 1, "alerts": 1}).json()
    assert (back["alerts"], back["gained"], back["lost"], back["windows"]) == (1, 2, 0, 2), "the last alert is of day 7"


def test_only_versions_of_the_regions_model_are_replayed(log_in, stored, tmp_path, clock):
    client = log_in("viewer")
    assert client.get("/api/v1/models/other/replay", params={"a": 1, "b": 2}).status_code == 409
    assert client.get("/api/v1/models/floor/replay", params={"a": 1, "b": 2}).status_code == 404
    publish_version(tmp_path, [USUAL], clock.wall_ns)
    found = client.get("/api/v1/models/floor/replay", params={"a": 1, "b": 1}).json()
    assert (found["alerts"], found["windows"], found["items"]) == (0, 10, [])
    assert [dot["a"] == dot["b"] for dot in found["scores"]] == [True] * 10


def test_sessions_by_threshold_count_a_session_once():
    scores = np.array([0.9, 0.5, 0.5, 0.1], np.float32)
    points = sessions_by_threshold([b"a", b"a", b"b", b"c"], scores, 10)
    assert [(round(point.threshold, 1), point.sessions) for point in points] == [(0.9, 1), (0.5, 2), (0.1, 3)]
    assert sessions_by_threshold([], scores[:0], 10) == []
    many = np.arange(1_000, dtype=np.float32)
    few = sessions_by_threshold([str(i).encode() for i in range(1_000)], many, 50)
    assert (len(few), few[0].sessions, few[-1].sessions) == (50, 1, 1_000)
