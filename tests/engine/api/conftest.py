"""A service over a store with a few alerts, and a client for each role."""

import itertools
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from argon2 import PasswordHasher
from fastapi import FastAPI
from starlette.testclient import TestClient

from connectors.base import Record
from connectors.sql import SqlSink
from connectors.sql_settings import SqlSettings
from engine.api.accounts import ROLES
from engine.api.app import build_app
from engine.api.auth import CSRF_HEADER
from engine.api.database import Database
from engine.api.services import Services
from engine.api.settings import ServeSettings
from foundation.content_ids import document_id
from foundation.time_text import NS_PER_S, iso_time

START_NS = 1_780_000_000 * NS_PER_S
PASSWORD = "correct horse battery"


class Clock:
    """Wall and monotonic clock of a test, moved by hand."""

    def __init__(self) -> None:
        self.now_s = 100_000.0

    def wall_ns(self) -> int:
        return START_NS + int(self.now_s * NS_PER_S)

    def monotonic_s(self) -> float:
        return self.now_s


def at(second: float) -> str:
    return iso_time(START_NS + int(second * NS_PER_S))


def alert(name: str, second: float, **changes):
    """An alert document whose window ended at a second and that was made then."""
    document = {
        "schema_version": 1, "id": document_id(name), "region": "eu", "source": "app.log", "session": "s1",
        "score": 0.9, "threshold": 0.5, "model": "bert_cnn", "version": 3, "first_position": 1, "last_position": 2,
        "first_place": "app.log, byte 1", "last_place": "app.log, byte 2", "first_time": at(second - 5),
        "last_time": at(second), "line_count": 2, "closed": True,
        "templates": [{"id": "0" * 16, "text": "disk <*> failed", "count": 2}], "lines": ["disk 1 failed"],
        "lines_omitted": 1, "explanation": None, "classification": None, "repeats": 0, "group": "00000000000000aa",
        "group_count": 1, "summary": "a new line", "severity": "high",
        "reasons": [{"kind": "new", "template": "disk <*> failed"}], "created": at(second), "traceparent": "",
    }  # fmt: skip
    return {**document, **changes}


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with all tables; each test gets a copy, because making them costs more than most requests."""
    path = tmp_path_factory.mktemp("database") / "alerts.db"
    Database(SqlSettings(url=f"sqlite:///{path}")).close()
    return path


@pytest.fixture
def store(tmp_path: Path, empty_database: Path) -> SqlSettings:
    shutil.copy(empty_database, tmp_path / "alerts.db")
    return SqlSettings(url=f"sqlite:///{tmp_path}/alerts.db")


@pytest.fixture
def serve_settings(store: SqlSettings, tmp_path: Path) -> ServeSettings:
    """Settings of the service; test files override what they need."""
    return ServeSettings(store=store, jobs={"path": str(tmp_path / "jobs")})


@pytest.fixture
def services(serve_settings: ServeSettings, clock: Clock) -> Iterator[Services]:
    made = Services.from_settings(
        serve_settings, now_ns=clock.wall_ns, monotonic_s=clock.monotonic_s,
        hasher=PasswordHasher(time_cost=1, memory_cost=8, parallelism=1),
    )  # fmt: skip
    yield made
    made.database.close()


@pytest.fixture
def add_alerts(services: Services, store: SqlSettings) -> Callable[..., None]:
    """Store alert documents as an engine does."""

    def add(*documents) -> None:
        sink = SqlSink(store)
        sink.open(None)
        sink.write([Record(d["id"], "", d) for d in documents])
        sink.flush(5)
        sink.close()

    return add


@pytest.fixture
def app(services: Services) -> FastAPI:
    return build_app(services)


def new_client(app: FastAPI) -> TestClient:
    return TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False)


_NAMES = itertools.count(1)


@pytest.fixture
def log_in(app: FastAPI, services: Services) -> Callable[[str], TestClient]:
    """A client that is logged in as a new user with a role."""

    def made(role: str) -> TestClient:
        name = f"{role}{next(_NAMES)}"
        services.accounts.create(name, role, PASSWORD)
        client = new_client(app)
        found = client.post("/api/v1/session", json={"name": name, "password": PASSWORD})
        client.headers[CSRF_HEADER] = found.json()["csrf_token"]
        return client

    return made


@pytest.fixture
def clients(app: FastAPI, log_in) -> dict[str, TestClient]:
    return {"": new_client(app), **{role: log_in(role) for role in ROLES}}
