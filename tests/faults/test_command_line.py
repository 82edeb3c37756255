"""What a user can get wrong before the engine runs: one sentence, exit code 2, no traceback."""

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.process

Change = Callable[[dict[str, Any]], object]

FAULTS: dict[str, tuple[Change, tuple[str, ...]]] = {
    "unknown key": (lambda s: s["window"].update(gap_seconds=5), ("window.gap_seconds: unknown key", "gap_s")),
    "unknown section": (lambda s: s.update(windows={"kind": "session"}), ("windows: unknown key", "window")),
    "wrong type": (lambda s: s["window"].update(gap_s="long"), ("window.gap_s", "number", "'long'")),
    "out of range": (lambda s: s["recovery"].update(snapshot_s=0), ("recovery.snapshot_s", "greater than 0", "got 0")),
    "missing key": (lambda s: s["source"].pop("paths"), ("source.paths: missing",)),
    "unknown format": (lambda s: s["parse"].update(format="hfds"), ("parse.format", "hfds", "hdfs")),
    "unknown source": (lambda s: s["source"].update(type="kafak"), ("source", "kafak", "kafka")),
    "recovery in a file": (lambda s: s["recovery"].update(path="/dev/null/x"), ("recovery.path", "/dev/null/x")),
    "no such database": (lambda s: s["sinks"][0].update(type="sql", url="mysql://x/y"), ("mysql", "postgresql")),
}


@pytest.mark.parametrize("name", FAULTS)
def test_fault_in_the_file(name: str, launch: Any, tmp_path: Path) -> None:
    change, words = FAULTS[name]
    log = tmp_path / "app.log"
    log.write_bytes(b"")
    engine = launch({"type": "file", "paths": [str(log)]}, [{"type": "jsonl", "path": str(tmp_path / "a")}], run=False)
    change(engine.sections)
    if engine.sections["sinks"][0]["type"] == "sql":
        del engine.sections["sinks"][0]["path"]
    assert engine.start().end() == 2
    _one_sentence(engine, *words)


def _one_sentence(engine: Any, *words: str) -> None:
    lines = [line for line in engine.text().splitlines() if not line.startswith('{"time"')]
    assert len(lines) == 1, engine.text()
    assert lines[0].startswith("driftline: ")
    for word in words:
        assert word in lines[0]


def test_missing_file(launch: Any, tmp_path: Path) -> None:
    engine = launch({"type": "file", "paths": ["x"]}, [{"type": "jsonl", "path": "a"}], run=False)
    engine.write = lambda: None
    assert engine.start().end() == 2
    _one_sentence(engine, str(engine.region), "no such file")


def test_no_toml(launch: Any) -> None:
    engine = launch({"type": "file", "paths": ["x"]}, [{"type": "jsonl", "path": "a"}], run=False)
    engine.region.write_text("region = eu-west\n")
    engine.write = lambda: None
    assert engine.start().end() == 2
    _one_sentence(engine, str(engine.region), "not valid TOML", "line 1")


def test_port_in_use(launch: Any, tmp_path: Path) -> None:
    (tmp_path / "app.log").write_bytes(b"")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        source = {"type": "file", "paths": [str(tmp_path / "app.log")]}
        engine = launch(source, [{"type": "jsonl", "path": str(tmp_path / "a")}], telemetry={"port": port})
        assert engine.end() == 2
    _one_sentence(engine, str(port), "in use")


def test_missing_model_is_waited_for_and_said(launch: Any, until: Any, tmp_path: Path) -> None:
    (tmp_path / "app.log").write_bytes(b"")
    source = {"type": "file", "paths": [str(tmp_path / "app.log")]}
    engine = launch(
        source, [{"type": "jsonl", "path": str(tmp_path / "a")}], model={"store": str(tmp_path / "nowhere")}
    )
    until(lambda: "model: the store holds no such model yet" in engine.wrong(), "/readyz misses the model")
    assert engine.drain() == 0
    assert "Traceback" not in engine.text()
