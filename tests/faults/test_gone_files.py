"""Files that come and go, as those of containers: the engine keeps nothing of those that are gone."""

from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.process

FILES = 40


def test_the_state_of_deleted_files_is_dropped(launch: Any, log_lines: Any, until: Any, tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    lines = log_lines(FILES * 50)
    for i in range(FILES):
        (folder / f"{i}.log").write_bytes(b"".join(line + b"\n" for line in lines[i::FILES]))
    engine = launch(
        {"type": "file", "paths": [str(folder)], "follow": True, "rescan_s": 0.1, "forget_s": 0.3},
        [{"type": "memory"}],
        window={"gap_s": 100_000, "idle_s": 100_000},
    )
    until(lambda: engine.metric("driftline_lines_total") >= len(lines), "all lines are read")
    until(lambda: engine.metric("driftline_open_sessions") > 0, "sessions are open")
    before = engine.metric("driftline_snapshot_bytes")
    assert before > 0
    for i in range(1, FILES):
        (folder / f"{i}.log").unlink()
    until(lambda: engine.text().count("is gone and is forgotten") == FILES - 1, "the files are forgotten")
    (folder / "0.log").unlink()
    until(lambda: engine.metric("driftline_open_sessions") == 0, "their windows end")
    assert engine.drain() == 0
    engine.start()
    (folder / "new.log").write_bytes(lines[0] + b"\n")
    until(lambda: engine.metric("driftline_lines_total") == 1, "the engine continues")
    assert engine.drain() == 0
