"""The database is locked, full or down: one sentence, a state in `/health`, and nothing half-written."""

import sqlite3
import time
from contextlib import closing

import pytest
import sqlalchemy as sa

from connectors.sql_settings import SqlSettings
from engine.api.database import REPORTED_S
from tests.engine.api.conftest import alert
from tests.faults.test_database import PostgresServer

LABEL = {"label": "release 7"}


@pytest.fixture
def store(tmp_path, empty_database):
    path = tmp_path / "alerts.db"
    path.write_bytes(empty_database.read_bytes())
    return SqlSettings(url=f"sqlite:///{path}", connect_timeout_s=1)


@pytest.fixture
def client(log_in):
    return log_in("operator")


def states(client):
    health = client.get("/health")
    return health.status_code, health.json()["status"], health.json()["database"]


def mark(client):
    return client.post("/api/v1/markers", json=LABEL)


def check_refused(answer, part):
    """One sentence as a problem document."""
    assert answer.status_code == 503
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["retry-after"] == "5"
    detail = answer.json()["detail"]
    assert part in detail
    assert "\n" not in detail
    assert "INSERT" not in detail


def test_a_database_that_another_process_has_locked(client, add_alerts, tmp_path):
    add_alerts(alert("a", 1))
    with closing(sqlite3.connect(tmp_path / "alerts.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        started_s = time.monotonic()
        check_refused(mark(client), "database is locked")
        assert time.monotonic() - started_s < 4
        assert len(client.get("/api/v1/alerts").json()["items"]) == 1, "reading still works"
        assert states(client) == (200, "degraded", "not writable")
        other.execute("ROLLBACK")
    assert mark(client).status_code == 201
    assert states(client) == (200, "healthy", "ok")
    day = {"since": "2026-01-01T00:00:00Z", "until": "2027-01-01T00:00:00Z"}
    assert [m["label"] for m in client.get("/api/v1/markers", params=day).json()] == ["release 7"]


def test_a_write_that_failed_is_reported_for_a_minute(client, clock, tmp_path):
    with closing(sqlite3.connect(tmp_path / "alerts.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        check_refused(mark(client), "database is locked")
    clock.now_s += REPORTED_S - 1
    assert states(client) == (200, "degraded", "not writable")
    clock.now_s += 2
    assert states(client) == (200, "healthy", "ok"), "nobody has written since, so nothing is known"


def test_a_database_on_a_full_disk(client, services, add_alerts):
    add_alerts(alert("a", 1))
    engine = services.database._engine
    engine.dispose()

    def full(connection, _):
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages}")

    sa.event.listen(engine, "connect", full)
    answers = iter(lambda: mark(client), None)
    check_refused(next(a for a in answers if a.status_code != 201), "database or disk is full")
    assert states(client) == (200, "degraded", "not writable")
    assert len(client.get("/api/v1/alerts").json()["items"]) == 1
    sa.event.remove(engine, "connect", full)
    engine.dispose()
    assert mark(client).status_code == 201
    assert states(client) == (200, "healthy", "ok")


class TestPostgresql:
    pytestmark = pytest.mark.process

    @pytest.fixture
    def store(self, postgres_url):
        return SqlSettings(url=postgres_url)

    @pytest.mark.timeout(120)
    def test_a_server_that_is_killed_and_comes_back(self, client, add_alerts, postgres_url):
        add_alerts(alert("a", 1))
        assert mark(client).status_code == 201
        server = PostgresServer(postgres_url)
        server.kill()
        try:
            check_refused(mark(client), "connection")
            check_refused(client.get("/api/v1/alerts"), "connection")
            assert states(client) == (503, "unhealthy", "not readable")
        finally:
            server.start()
        assert len(client.get("/api/v1/alerts").json()["items"]) == 1
        assert mark(client).status_code == 201
        assert states(client) == (200, "healthy", "ok")
