"""Scenario serve-pages: how long the API's answers for each page of the console take, over a large store."""

import json
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import sqlalchemy as sa

from bench.harness import Outcome, Run, Scenario, Target
from connectors.sql_alert_hours import count_alerts
from connectors.sql_database import database_url, open_database
from connectors.sql_schema import (
    ALERTS,
    COUNT_COLUMNS,
    LEVEL_COLUMNS,
    SPANS,
    TEMPLATE_MINUTES,
    TEMPLATES,
    WINDOW_COLUMNS,
    alert_columns,
)
from connectors.sql_settings import SqlSettings
from foundation.documents.alert import SEVERITIES
from foundation.time_text import NS_PER_S, iso_time

DAYS = 30
DAY_S = 86_400
COUNTED_DAYS = 7
BATCH = 20_000
KINDS = ("new", "more", "fewer", "score")


def serve_pages(run: Run) -> Outcome:
    """Median and slowest page of the requests of each page, one after the other, in one process with the service.

    Alerts are spread over 30 days, counts of minutes over 7. Each request is warmed up once. `url` names an empty
    database of PostgreSQL that takes the place of SQLite.
    """
    from starlette.testclient import TestClient

    from engine.api.app import build_app
    from engine.api.services import Services
    from engine.api.settings import ServeSettings

    alerts, templates = run.setting("alerts", 1_000_000), run.setting("templates", 10_000)
    minutes, repeats = run.setting("rows_per_minute", 100), run.setting("repeats", 9)
    rng = np.random.default_rng(run.setting("seed", 0))
    now_s = time.time()
    with tempfile.TemporaryDirectory() as folder:
        url = run.setting("url", "") or f"sqlite:///{folder}/alerts.db"
        store = SqlSettings.model_validate({"url": url})
        _fill(run, store, rng, now_s, alerts, templates, minutes)
        services = Services.from_settings(ServeSettings(store=store, models=str(Path(folder) / "models")))
        try:
            services.accounts.create("bench", "admin", "correct horse battery")
            client = TestClient(build_app(services), base_url="http://127.0.0.1")
            login = {"name": "bench", "password": "correct horse battery"}
            client.post("/api/v1/session", json=login).raise_for_status()
            found = {}
            for name, address in _requests(client):
                found[name] = _median_ms(client, address, repeats)
                run.progress(name, len(found), 0)
        finally:
            services.database.close()
    slowest = max(found, key=lambda name: found[name])
    run.settings["slowest"] = slowest
    return Outcome(
        {"median_ms": statistics.median(found.values()), "slowest_ms": found[slowest]}, detail={"median_ms": found}
    )


def _median_ms(client: Any, address: str, repeats: int) -> float:
    times = []
    for _ in range(repeats + 1):
        started = time.perf_counter()
        client.get(address).raise_for_status()
        times.append(1e3 * (time.perf_counter() - started))
    return statistics.median(times[1:])


def _requests(client: Any) -> Iterator[tuple[str, str]]:
    """Name and address of each request that the pages make at their start."""
    yield "overview, 24 hours", "/api/v1/series"
    week = iso_time(int((time.time() - 7 * DAY_S) * NS_PER_S))
    yield "overview, 7 days", f"/api/v1/series?since={week}"
    yield "regions", "/api/v1/regions"
    yield "groups", "/api/v1/groups"
    day = iso_time(int((time.time() - DAY_S) * NS_PER_S))
    yield "groups, 24 hours", f"/api/v1/groups?since={day}"
    yield "alerts", "/api/v1/alerts"
    yield "alerts, critical and open", "/api/v1/alerts?severity=critical&status=open"
    yield "alerts, text", "/api/v1/alerts?text=number+77"
    first = client.get("/api/v1/alerts").json()["items"][0]
    yield "alert", f"/api/v1/alerts/{first['id']}"
    yield "group", f"/api/v1/groups/{first['group']}"
    yield "templates", "/api/v1/templates"
    identity = client.get("/api/v1/templates").json()["items"][0]["id"]
    yield "template", f"/api/v1/templates/{identity}?step_minutes=10"
    middle = iso_time(int((time.time() - DAY_S / 2) * NS_PER_S))
    end = iso_time(int(time.time() * NS_PER_S))
    ranges = f"since_a={day}&until_a={middle}&since_b={middle}&until_b={end}"
    yield "difference", f"/api/v1/templates/diff?{ranges}"
    yield "audit", "/api/v1/audit"


def _fill(
    run: Run, store: SqlSettings, rng: np.random.Generator, now_s: float, alerts: int, templates: int, minutes: int
) -> None:  # fmt: skip
    engine = open_database(database_url(store), store)
    texts = [f"module {i % 97} reports event number {i} on <*>" for i in range(templates)]
    ids = [f"{i:016x}" for i in range(templates)]
    seen = iso_time(int((now_s - DAYS * DAY_S) * NS_PER_S))
    rows: list[dict[str, Any]] = [
        {"region": "eu", "id": name, "text": text, "first_seen": seen, "last_seen": iso_time(int(now_s * NS_PER_S)),
         "example": text.replace("<*>", "disk 7")}
        for name, text in zip(ids, texts, strict=True)
    ]  # fmt: skip
    with engine.begin() as connection:
        connection.execute(TEMPLATES.insert(), rows)
        for done in range(0, alerts, BATCH):
            rows = list(_alerts(rng, now_s, done, min(BATCH, alerts - done), texts))
            count_alerts(connection, added=rows, removed=())
            connection.execute(ALERTS.insert(), rows)
            run.progress("alerts", done, alerts)
        last = int(now_s // 60)
        for minute in range(last - COUNTED_DAYS * 1_440, last):
            chosen = rng.choice(templates, min(minutes, templates), replace=False)
            connection.execute(TEMPLATE_MINUTES.insert(), [_counts(minute, ids[i], i) for i in chosen.tolist()])
        for span in SPANS:
            _add_up(connection, span, "''")
            if span > 1:
                _add_up(connection, span, "template")
        if engine.dialect.name == "postgresql":
            connection.exec_driver_sql("ANALYZE")  # as the server does by itself after some minutes
    engine.dispose()


def _add_up(connection: sa.Connection, span: int, template: str) -> None:
    """Fill the sums as the engine's sink does row by row."""
    start, zeros = f"minute / {span} * {span}", ", 0" * len(WINDOW_COLUMNS)
    names = ", ".join(("span", "minute", "region", "template", "lines", *COUNT_COLUMNS))
    lines, levels = " + ".join(LEVEL_COLUMNS), ", ".join(f"SUM({name})" for name in LEVEL_COLUMNS)
    connection.exec_driver_sql(
        f"INSERT INTO template_spans ({names}) SELECT {span}, {start}, region, {template}, "
        f"SUM({lines}), {levels}{zeros} FROM template_minutes "
        f"GROUP BY {start}, region{', template' if template == 'template' else ''}"
    )


def _alerts(
    rng: np.random.Generator, now_s: float, first: int, count: int, texts: list[str]
) -> Iterator[dict[str, Any]]:  # fmt: skip
    ages = rng.uniform(0, DAYS * DAY_S, count).tolist()
    choices = rng.integers(0, (len(texts), len(SEVERITIES), len(KINDS)), (count, 3)).tolist()
    for i, (age_s, (template, severity, kind)) in enumerate(zip(ages, choices, strict=True)):
        ended = iso_time(int((now_s - age_s) * NS_PER_S))
        text, name = texts[template], f"{first + i:032x}"
        document = {
            "id": name, "region": "eu", "source": "app.log", "session": "", "score": 0.9, "threshold": 0.5,
            "model": "bert_cnn", "version": 3, "first_position": 0, "last_position": 9, "first_time": ended,
            "last_time": ended, "created": ended, "group": f"{template % 2_000:016x}",
            "severity": SEVERITIES[severity], "summary": f"{KINDS[kind]}: {text}",
            "reasons": [{"kind": KINDS[kind], "template": text}], "lines": [text], "templates": [],
        }  # fmt: skip
        yield {**alert_columns(document), "id": name, "document": json.dumps(document)}


def _counts(minute: int, template: str, lines: int) -> dict[str, Any]:
    levels = dict.fromkeys(LEVEL_COLUMNS, 0) | {"level_info": 1 + lines % 50}
    return {"region": "eu", "partition": "app.log", "minute": minute, "part": 0, "template": template, **levels}


SERVE_PAGES = Scenario(
    "serve-pages",
    "Median time of the API's answers behind the pages of the console; 1,000,000 alerts, 10,000 templates",
    serve_pages,
    {
        "median_ms": Target(better="lower", goal=50, floor=200, tolerance=0.5),
        "slowest_ms": Target(better="lower", goal=200, tolerance=0.5),
    },
)
