"""Not-a-number and infinity are fed where floats come in, and come out nowhere."""

import contextlib
import importlib.util
import inspect
import math
import pkgutil
from pathlib import Path

import numpy as np
import pytest
from pydantic import BaseModel, ValidationError

import connectors
import engine
import federation
import models
from engine.formats.time_values import time_ns
from engine.records import WindowBatch
from engine.steps.parse import ParseSettings
from engine.steps.score import Gatherer, ScoreSettings, finite_scores
from engine.telemetry.metrics import Metrics

ODD = [math.nan, math.inf, -math.inf]


@pytest.mark.parametrize("value", ODD)
def test_metrics_keep_numbers_only(value):
    metrics = Metrics()
    metrics.latency_seconds.observe(0.5)
    metrics.latency_seconds.observe(value)
    metrics.score.observe_all(np.array([0.25, value, 0.5], np.float32))
    metrics.open_sessions.set(7)
    metrics.open_sessions.set(value)
    metrics.source_lag.labels("app.log").set(3)
    metrics.source_lag.labels("app.log").set(value)
    page = metrics.expose()[1].decode()
    samples = [line.rsplit(" ", 1)[1] for line in page.splitlines() if line.startswith("driftline_")]
    assert samples
    assert not {"NaN", "+Inf", "-Inf"} & set(samples)
    assert "driftline_score_sum 0.75" in page
    assert "driftline_open_sessions 7.0" in page


def test_scores_become_numbers(caplog):
    found = finite_scores(np.array([0.1, *ODD, 0.9], np.float32), 0.5)
    assert np.isfinite(found).all()
    assert (found >= 0.5).tolist() == [False, False, True, False, True]
    assert "no number as the score of 1 windows of 5" in caplog.text
    same = np.array([0.1, 0.2], np.float32)
    assert finite_scores(same, 0.5) is same


class OddModel:
    """Gives not-a-number for every window."""

    name, version, threshold = "odd", 1, 0.5

    def get(self):
        return self

    def score(self, windows):
        return np.full(len(windows), np.nan, np.float32)


def test_windows_are_scored_by_numbers(windows_of, manual_clock):
    gatherer = Gatherer(ScoreSettings(max_windows=1), OddModel(), manual_clock)
    (scored,) = gatherer.add([windows_of(3)])
    assert np.isfinite(scored.score).all()
    assert (scored.score < scored.threshold).all()


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_times_and_documents(text, parser_of, batch_of):
    assert time_ns(float(text), None) is None
    line = f'{{"time":"2024-03-10T06:25:01Z","msg":"a","ts":{text},"n":{text}}}'.encode()
    for format in ("auto", "json"):
        parsed = parser_of(ParseSettings(format=format)).parse(batch_of([line]))
        assert len(parsed) + len(parsed.good.bad) == 1
        assert all(moment > 0 for moment in parsed.good.time_ns.tolist())


@pytest.fixture
def manual_clock():
    from engine.clock import ManualClock

    return ManualClock()


@pytest.fixture
def windows_of():
    from models.base import Windows

    def make(count):
        columns = np.zeros(count, np.int64)
        windows = Windows(np.arange(count, dtype=np.int64), np.arange(count + 1, dtype=np.int64), np.ones(count, bool))
        names = ("first", "last", "first_ns", "last_ns", "ready_ns", "produced_ns")
        return WindowBatch(
            windows, ("p",) * count, columns, ("",) * count, traceparent="", **dict.fromkeys(names, columns)
        )

    return make


def models_of_settings() -> list[type[BaseModel]]:
    """The models of settings and requests, of all packages."""
    found: dict[str, type[BaseModel]] = {}
    for package in (connectors, engine, federation, models):
        for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
            spec = importlib.util.find_spec(module.name)
            if module.ispkg or spec is None or "BaseModel)" not in Path(str(spec.origin)).read_text("utf-8"):
                continue
            for name, model in vars(importlib.import_module(module.name)).items():
                given = name.endswith(("Settings", "Request", "Conditions", "Suppression"))
                if given and inspect.isclass(model) and issubclass(model, BaseModel):
                    found[f"{model.__module__}.{name}"] = model
    return list(found.values())


def test_no_setting_and_no_request_takes_not_a_number():
    taken = []
    settings = models_of_settings()
    for model in settings:
        for name, field in model.model_fields.items():
            if "float" in str(field.annotation):
                with contextlib.suppress(ValidationError):
                    model.__pydantic_validator__.validate_assignment(model.model_construct(), name, float("nan"))
                    taken.append(f"{model.__name__}.{name}")
    assert len(settings) > 40
    assert not taken
