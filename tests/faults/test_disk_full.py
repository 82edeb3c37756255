"""No room left: on the recovery folder, under the alert store, under the model store."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from models.base import ModelStoreError
from models.storage.store import ModelStore, Notes
from models.text.embeddings import embedding_cache

pytestmark = pytest.mark.process

LINES = 20_000


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """Mounts file systems in memory of this many KiB."""
    mounted: list[Path] = []

    def mount(kib: int) -> Path:
        folder = tmp_path / f"disk{len(mounted)}"
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={kib}k", "driftline-test", str(folder)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"a small disk cannot be mounted here (root may): {done.stderr.strip()}")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Takes every byte that is left; gives the file that holds them."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"\0" * 4096)
        except OSError:
            return filler


def _starts(lines: list[bytes]) -> list[int]:
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line) + 1)
    return starts


def test_full_recovery_folder(
    small_disk: Any, launch: Any, log_lines: Any, expected: Any, until: Any, stored: Any, agree: Any, tmp_path: Path
) -> None:
    lines, log, disk = log_lines(LINES), tmp_path / "app.log", small_disk(4096)
    log.write_bytes(b"".join(line + b"\n" for line in lines[:10_000]))
    engine = launch(
        {"type": "file", "paths": [str(log)], "follow": True, "rescan_s": 0.1},
        [{"type": "sql", "url": f"sqlite:///{tmp_path / 'alerts.db'}"}],
        workers=2, recovery={"path": str(disk / "recovery")},
    )  # fmt: skip
    workers = (0, 1)
    until(lambda: sum(engine.metric("driftline_lines_total", i) for i in workers) >= 10_000, "the first half")
    filler = fill(disk)
    with log.open("ab") as file:
        file.write(b"".join(line + b"\n" for line in lines[10_000:]))
    until(lambda: "it is restarted" in engine.text(), "a worker ends because its snapshot cannot be written")
    said = until(
        lambda: [line for line in engine.text().splitlines() if "recovery.path" in line and "No space left" in line],
        "the reason is said",
    )  # fmt: skip
    assert str(disk / "recovery") in said[0]
    assert engine.process.poll() is None, "the supervisor gave up"
    filler.unlink()
    wanted = expected(lines, str(log), _starts(lines).__getitem__)
    until(lambda: len(stored(tmp_path / "alerts.db")) >= len(wanted), "all alerts are stored")
    until(lambda: all(engine.ready(i).get("status") == "ok" for i in workers), "/readyz is content")
    assert engine.drain() == 0
    agree(stored(tmp_path / "alerts.db"), wanted, once=True)


def test_recovery_folder_cannot_even_be_made(small_disk: Any, launch: Any, tmp_path: Path) -> None:
    disk = small_disk(256)
    (tmp_path / "app.log").write_bytes(b"")
    filler = fill(disk)
    for room in (0, 4096, 8192, 16_384):
        os.truncate(filler, max(0, filler.stat().st_size - room))
        engine = launch(
            {"type": "file", "paths": [str(tmp_path / "app.log")]}, [{"type": "jsonl", "path": str(tmp_path / "a")}],
            recovery={"path": str(disk / "recovery")},
        )  # fmt: skip
        assert engine.end() == 1
        assert "cannot be written: No space left on device" in engine.text()
        assert "Traceback" not in engine.text()
    filler.unlink()
    assert engine.start().end() == 0


def test_full_alert_store(
    small_disk: Any, launch: Any, log_lines: Any, expected: Any, until: Any, stored: Any, agree: Any, tmp_path: Path
) -> None:
    lines, log, disk = log_lines(LINES), tmp_path / "app.log", small_disk(2048)
    log.write_bytes(b"".join(line + b"\n" for line in lines[:100]))
    database = disk / "alerts.db"
    engine = launch(
        {"type": "file", "paths": [str(log)], "follow": True, "rescan_s": 0.1},
        [{"type": "sql", "url": f"sqlite:///{database}"}],
    )
    until(lambda: engine.ready().get("status") == "ok", "the engine is ready")
    filler = fill(disk)
    with log.open("ab") as file:
        file.write(b"".join(line + b"\n" for line in lines[100:]))
    said = until(lambda: "sinks: 0-sql: " in (wrong := engine.wrong()) and wrong, "/readyz says that the store fails")
    assert "full" in said
    assert str(database) in said
    assert engine.metric("driftline_sink_errors_total") >= 1
    os.truncate(filler, 0)
    wanted = expected(lines, str(log), _starts(lines).__getitem__)
    until(lambda: len(stored(database)) >= len(wanted), "all alerts are stored")
    until(lambda: engine.ready().get("status") == "ok", "/readyz is content again")
    assert engine.drain() == 0
    agree(stored(database), wanted, once=True)


def test_full_model_store_shows_no_half_version(small_disk: Any, trained: Path) -> None:
    disk = small_disk(64)
    model = ModelStore(trained).load("event_counts", 1, cache=embedding_cache())
    store = ModelStore(disk / "models")
    notes = Notes(threshold=model.card.threshold)
    assert store.publish("event_counts", model.detector, notes) == 1
    filler = fill(disk)
    with pytest.raises(ModelStoreError, match="No space left"):
        store.publish("event_counts", model.detector, notes)
    assert store.versions("event_counts") == [1]
    assert store.verify("event_counts").version == 1
    filler.unlink()
    assert store.publish("event_counts", model.detector, notes) == 2
    assert store.verify("event_counts").version == 2
