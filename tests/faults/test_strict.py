"""`driftline run --strict`: the exit code states whether the lines could be used."""

from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.process


@pytest.mark.parametrize(("bad", "code"), [(5, 0), (20, 1)])
def test_many_dead_letters_end_with_code_1_if_strict(
    launch: Any, log_lines: Any, tmp_path: Path, bad: int, code: int
) -> None:
    """One line in a hundred may be wrong."""
    lines = log_lines(1_000 - bad) + [b"of another format"] * bad
    log = tmp_path / "app.log"
    log.write_bytes(b"".join(line + b"\n" for line in lines))
    source, sinks = {"type": "file", "paths": [str(log)]}, [{"type": "memory"}]
    engine = launch(source, sinks, run=False).start("--strict")
    assert engine.end() == code
    summary = f"1,000 lines read: {bad} went to the dead letters, 0 have the time of reading"
    assert summary in engine.text()
    assert ("% of the latest lines go to the dead letters" in engine.text()) is bool(code)
    engine.sections["recovery"] = {"path": str(tmp_path / "another")}
    assert engine.start().end() == 0
