"""Lines, alerts and markers on one axis, and the health of regions."""

import json
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.ports import free_port
from connectors.sql_schema import SPANS
from engine.api.minutes import pieces, spans_of
from engine.api.settings import ServeSettings
from engine.clock import SystemClock
from engine.telemetry.endpoints import Endpoints
from engine.telemetry.health import Health
from engine.telemetry.metrics import Metrics
from federation.storage.training_store import TrainingSettings, TrainingStore
from foundation.time_text import NS_PER_S
from models.base import Windows
from tests.engine.api.conftest import START_NS, alert, at
from tests.engine.api.test_models_and_rounds import COORDINATOR
from tests.engine.api.test_questions import USUAL, publish_version
from tests.engine.api.test_region import REGION
from tests.engine.api.test_templates import A, B, count, minute, row  # noqa: F401
from tests.support.coordinator_process import publish_round
from tests.support.documents import drift_document

SINCE = {"since": minute(0), "until": minute(10)}


@pytest.fixture
def port():
    return free_port()


@pytest.fixture
def serve_settings(tmp_path, port):
    """A service of a region and a coordinator; the region's SQL sink is the store."""
    text = REGION.format(folder=tmp_path).replace("bert_cnn", "floor").replace("serve = false", f"port = {port}")
    (tmp_path / "region.toml").write_text(text, "utf-8")
    (tmp_path / "coordinator.toml").write_text(COORDINATOR.format(base=tmp_path), "utf-8")
    return ServeSettings(
        region=tmp_path / "region.toml", coordinator=tmp_path / "coordinator.toml", models=f"{tmp_path}/store"
    )


def series(client, **parameters):
    return client.get("/api/v1/series", params={**SINCE, **parameters}).json()


@given(st.integers(0, 10_000), st.integers(1, 10_000), st.integers(0, 3_000))
def test_a_range_is_cut_into_rows_without_gap_or_overlap(start, length, step):
    end = start + length
    spans = spans_of(start, step) if step else SPANS
    found = list(pieces(start, end, spans))
    assert [first for _, first, _ in found] + [end] == [start] + [last for _, _, last in found]
    for span, first, last in found:
        assert first % span == last % span == 0
        assert not step or all((m - start) // step == (m + span - 1 - start) // step for m in range(first, last, span))
    assert sum(last - first for span, first, last in found if span == 1) < 120 or spans == (1,)


def test_every_part_of_a_range_has_its_lines_and_alerts(log_in, count, add_alerts):  # noqa: F811
    count(row(A, 0, 3, errors=1), row(B, 0, 1), row(B, 4, 2), row(A, 10, 9), row(A, 3, 5, region="us"))
    offset = (START_NS // (60 * NS_PER_S) + 1) * 60 - START_NS / NS_PER_S
    add_alerts(
        alert("a", offset + 61, score=0.7), alert("b", offset + 90, score=0.8, severity="low", reasons=[]),
        alert("c", offset + 700), alert("d", offset + 70, region="us", classification={"class": "security_anomaly"}),
    )  # fmt: skip
    client = log_in("operator")
    client.post(f"/api/v1/alerts/{alert('a', 0)['id']}/feedback", json={"answer": "right"})
    found = series(client)
    assert (found["since"], found["step_minutes"], len(found["points"])) == (minute(0), 1, 10)
    assert (found["lines"], found["alerts"], found["answered"]) == (11, 3, 1)
    first, second, *_ = found["points"]
    assert (first["time"], first["lines"], first["levels"], first["alerts"]) == (
        minute(0),
        4,
        {"info": 3, "error": 1},
        0,
    )
    assert (second["alerts"], second["highest_score"], first["highest_score"]) == (3, 0.9, None)
    assert found["kinds"] == {"new": 1, "score": 1, "security_anomaly": 1}
    assert (found["severities"], found["regions"]) == ({"high": 2, "low": 1}, {"eu": 2, "us": 1})
    assert (series(client, region="us")["lines"], series(client, region="us")["alerts"]) == (5, 1)


def test_long_ranges_have_longer_parts_that_add_up(log_in, count, add_alerts):  # noqa: F811
    count(*(row(A, offset, offset + 1) for offset in range(0, 3_000, 100)))
    add_alerts(*(alert(str(i), 3_000 * i + 300) for i in range(50)))
    client = log_in("viewer")
    whole = {"since": at(0), "until": minute(3_100)}
    for points in (500, 60, 7, 1):
        found = series(client, **whole, points=points)
        assert len(found["points"]) <= points + 1
        assert sum(p["lines"] for p in found["points"]) == found["lines"] == sum(range(1, 3_001, 100))
        assert sum(p["alerts"] for p in found["points"]) == found["alerts"] == 50
    assert client.get("/api/v1/series", params={"since": minute(2), "until": minute(1)}).status_code == 422


def test_markers_come_from_deploys_drift_rounds_versions_and_rollbacks(log_in, tmp_path, clock):
    publish_round(tmp_path)
    publish_version(tmp_path, [USUAL], clock.wall_ns)
    publish_version(tmp_path, [USUAL], clock.wall_ns)
    event = drift_document(time=at(clock.now_s - 60))
    (tmp_path / "drift.jsonl").write_text(json.dumps(event) + "\n", "utf-8")
    client = log_in("operator")
    clock.now_s += 1
    made = client.post("/api/v1/markers", json={"label": "release 7"})
    assert made.status_code == 201
    clock.now_s += 1
    found = client.get("/api/v1/markers").json()
    assert [(m["kind"], m["label"]) for m in found] == [
        ("drift", "drift: novelty"), ("version", "floor version 1"), ("version", "floor version 2"),
        ("deploy", "release 7"),
    ]  # fmt: skip
    round_time = {"since": "2026-01-31T00:00:00Z", "until": "2026-02-02T00:00:00Z"}
    (ended,) = client.get("/api/v1/markers", params=round_time).json()
    assert (ended["kind"], ended["label"]) == ("round", "round 1: published")
    assert client.delete(f"/api/v1/markers/{made.json()['id']}").status_code == 204
    assert client.delete(f"/api/v1/markers/{made.json()['id']}").status_code == 404
    assert log_in("viewer").post("/api/v1/markers", json={"label": "x"}).status_code == 403
    assert client.post("/api/v1/markers", json={"label": "x", "time": "soon"}).status_code == 422


def test_the_times_of_two_versions_are_compared(log_in, tmp_path, clock, count):  # noqa: F811
    now = int(clock.now_s // 60)
    count(row(A, now - 50, 6), row(B, now - 50, 1), row(A, now - 25, 40), row(A, now - 5, 50))
    for age_minutes in (60, 30, 10):
        publish_version(tmp_path, [USUAL], lambda age=age_minutes: clock.wall_ns() - age * 60 * NS_PER_S)
    client = log_in("viewer")
    diff = client.get("/api/v1/templates/diff", params={"version_a": 1, "version_b": 2}).json()
    assert (diff["lines_before"], diff["lines_after"]) == (7, 40)
    assert [(c["id"], c["kind"]) for c in diff["changes"]] == [(A, "more"), (B, "gone")]
    only = client.get("/api/v1/templates/diff", params={"version_a": 1, "version_b": 3, "kind": "gone"}).json()
    assert ([c["id"] for c in only["changes"]], only["lines_after"], only["kinds"]["more"]) == ([B], 50, 1)
    for wrong in (
        {"version_a": 1, "version_b": 9},
        {"version_a": 1},
        {**{"version_a": 1, "version_b": 2}, "since_a": at(0)},
    ):
        assert client.get("/api/v1/templates/diff", params=wrong).status_code == 422


def test_a_region_shows_its_lag_model_blind_spots_and_labels(log_in, tmp_path, clock, count):  # noqa: F811
    now = int(clock.now_s // 60)
    count(row(A, now - 30, 60), row(A, now - 20, 10, region="us"))
    publish_version(tmp_path, [USUAL], lambda: clock.wall_ns() - 20 * 60 * NS_PER_S)
    count(row(B, now - 10, 20), row(B, now - 2_000, 5))
    count(row(B, now - 9, 20))
    training = tmp_path / "training.db"
    with TrainingStore(training, TrainingSettings(path=training), now_ns=time.time_ns) as store:
        store.add(
            Windows.of([np.array([7])]), keys=["s"], ids=["w"], time_ns=np.array([1]),
            scores=np.array([0.9], np.float32), templates={7: "x"},
        )  # fmt: skip
    eu, us = log_in("viewer").get("/api/v1/regions").json()
    assert (eu["name"], eu["lines"], us["name"], us["lines"]) == ("eu", 100, "us", 10)
    assert eu["last_line"][:16] == minute(now - 9)[:16]
    assert 0 < eu["lag_s"] < 660
    assert (eu["model"]["name"], eu["model"]["version"], round(eu["model"]["age_s"])) == ("floor", 1, 1200)
    assert eu["blind"] == {"templates": 0, "lines": 0, "share": 0.0}, "B was first seen before the model"
    assert (eu["labels"]["windows"], eu["labels"]["unlabelled"], us["labels"]) == (1, 1, None)
    assert (eu["workers"], us["workers"]) == ([], None)


def test_lines_of_templates_newer_than_the_model_are_a_blind_spot(log_in, tmp_path, clock, count):  # noqa: F811
    now = int(clock.now_s // 60)
    publish_version(tmp_path, [USUAL], lambda: clock.wall_ns() - 20 * 60 * NS_PER_S)
    count(row(A, now - 30, 60), row(B, now - 10, 20))
    (eu,) = log_in("viewer").get("/api/v1/regions").json()
    assert eu["blind"] == {"templates": 1, "lines": 20, "share": 0.25}


@pytest.mark.parametrize("region", ["eu", "other"])
def test_workers_of_the_regions_engine_report_themselves(log_in, port, region):
    metrics, health = Metrics(), Health(SystemClock(), 30)
    metrics.engine.info({"region": region, "worker": "0", "version": "1"})
    metrics.lines.inc(70)
    metrics.late_lines.inc(3)
    metrics.count_bad_lines(["cannot be decoded", "cannot be decoded", "too long: 5"])
    metrics.source_lag.labels("a").set(4)
    metrics.source_lag.labels("b").set(5)
    health.fail("sinks", "the broker is down")
    endpoints = Endpoints(health, metrics, "127.0.0.1", port)
    try:
        (eu,) = log_in("viewer").get("/api/v1/regions").json()
    finally:
        endpoints.close()
    if region == "other":
        assert eu["workers"] == []
        return
    (worker,) = eu["workers"]
    assert (worker["worker"], worker["ready"], worker["lines"], worker["late"], worker["lag"]) == (0, False, 70, 3, 9)
    assert worker["dead_letters"] == {"cannot be decoded": 2, "too long": 1}
    assert "sinks: the broker is down" in worker["wrong"]
    assert worker["version"] is None
