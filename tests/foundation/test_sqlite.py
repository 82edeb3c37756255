"""SQLite files: created by several processes at the same moment, and transactions that end as a whole."""

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from connectors.sql import SqlSink
from connectors.sql_settings import SqlSettings
from federation.coordinator.ledger import Ledger
from federation.errors import StorageError
from federation.storage.training_store import TrainingSettings, TrainingStore
from foundation import sqlite


def ledger(path: Path) -> None:
    Ledger(path).close()


def training_store(path: Path) -> None:
    settings = TrainingSettings.model_validate({"path": path})
    TrainingStore(settings.path, settings, now_ns=lambda: 1).close()


def sql_sink(path: Path) -> None:
    sink = SqlSink(SqlSettings.model_validate({"url": f"sqlite:///{path}"}))
    sink.open(None)
    sink.close()


@pytest.mark.parametrize("make", [ledger, training_store, sql_sink])
def test_file_that_another_process_is_creating_is_waited_for(
    make: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = sqlite3.connect(tmp_path / "file.db", isolation_level=None)
    other.execute("CREATE TABLE t (x)")
    other.execute("BEGIN IMMEDIATE")  # as one does that switches the file over
    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            other.execute("ROLLBACK")

    monkeypatch.setattr(sqlite.time, "sleep", sleep)
    make(tmp_path / "file.db")
    assert pauses == [sqlite.LOOK_S] * 3
    other.close()


def test_file_that_stays_locked_is_an_error_in_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = sqlite3.connect(tmp_path / "file.db", isolation_level=None)
    other.execute("CREATE TABLE t (x)")
    other.execute("BEGIN IMMEDIATE")  # as one does that switches the file over
    seconds = iter(range(0, 1000, 10))
    monkeypatch.setattr(sqlite.time, "monotonic", lambda: float(next(seconds)))
    monkeypatch.setattr(sqlite.time, "sleep", lambda _: None)
    with pytest.raises(StorageError, match="database is locked"):
        ledger(tmp_path / "file.db")
    other.close()


def test_failed_transaction_changes_nothing(tmp_path: Path) -> None:
    database = sqlite.connect(tmp_path / "new" / "file.db", 1.0, "FULL", "CREATE TABLE t (x)")

    def insert_and_fail() -> None:
        with sqlite.immediate(database):
            database.execute("INSERT INTO t VALUES (1)")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        insert_and_fail()
    with sqlite.immediate(database):
        database.execute("INSERT INTO t VALUES (2)")
    assert database.execute("SELECT x FROM t").fetchall() == [(2,)]
    database.close()


def test_readers_see_the_state_before_an_open_transaction(tmp_path: Path) -> None:
    writer, reader = (sqlite.connect(tmp_path / "file.db", 0.0, "NORMAL") for _ in range(2))
    writer.execute("CREATE TABLE t (x)")
    with sqlite.immediate(writer):
        writer.execute("INSERT INTO t VALUES (1)")
        assert reader.execute("SELECT count(*) FROM t").fetchone() == (0,)
    assert reader.execute("SELECT count(*) FROM t").fetchone() == (1,)
    writer.close()
    reader.close()


def test_schema_that_fails_is_an_error_and_frees_the_file(tmp_path: Path) -> None:
    with pytest.raises(sqlite3.OperationalError, match="syntax error"):
        sqlite.connect(tmp_path / "file.db", 0.0, "FULL", "CREATE NOTHING")
    sqlite.connect(tmp_path / "file.db", 0.0, "FULL", "CREATE TABLE t (x)").close()
