"""Files that several processes make at the same moment, as engine, node and commands of one region may."""

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from federation.coordinator.ledger import Ledger
from federation.errors import StorageError
from federation.storage import sqlite as transaction
from federation.storage.training_store import TrainingSettings, TrainingStore


def ledger(path: Path) -> None:
    Ledger(path).close()


def training_store(path: Path) -> None:
    settings = TrainingSettings.model_validate({"path": path})
    TrainingStore(settings.path, settings, now_ns=lambda: 1).close()


@pytest.mark.parametrize("make", [ledger, training_store])
def test_a_file_that_another_process_is_making_just_now_is_waited_for(
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

    monkeypatch.setattr(transaction.time, "sleep", sleep)
    make(tmp_path / "file.db")
    assert pauses == [transaction.LOOK_S] * 3
    other.close()


def test_a_file_that_stays_locked_is_a_sentence_in_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = sqlite3.connect(tmp_path / "file.db", isolation_level=None)
    other.execute("CREATE TABLE t (x)")
    other.execute("BEGIN IMMEDIATE")  # as one does that switches the file over
    seconds = iter(range(0, 1000, 10))
    monkeypatch.setattr(transaction.time, "monotonic", lambda: float(next(seconds)))
    monkeypatch.setattr(transaction.time, "sleep", lambda _: None)
    with pytest.raises(StorageError, match="database is locked"):
        ledger(tmp_path / "file.db")
    other.close()
