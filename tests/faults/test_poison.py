"""A line that takes its worker down, by a signal or by standing still: found, rejected, and nothing else lost."""

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from connectors.ports import free_port

pytestmark = pytest.mark.process

# Stands for a fault in compiled code, which no test can plant in the real parser.
FAULTY_PARSER = """
import os, signal, sys, time
if "--worker" in sys.argv:
    from engine.steps.parse import Parser
    parse = Parser.parse
    def faulty(self, batch):
        if b"POISON-KILL" in batch.data:
            os.kill(os.getpid(), signal.SIGSEGV)
        if b"POISON-STUCK" in batch.data:
            time.sleep(3600)
        return parse(self, batch)
    Parser.parse = faulty
"""


@pytest.fixture
def faulty_parser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "faulty"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(FAULTY_PARSER)
    paths = [str(folder), *filter(None, sys.path), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))


@pytest.mark.usefixtures("faulty_parser")
@pytest.mark.parametrize("kind", ["KILL", "STUCK"])
def test_poisonous_line_becomes_a_dead_letter(
    kind: str, launch: Any, log_lines: Any, expected: Any, until: Any, documents: Any, agree: Any, tmp_path: Path
) -> None:
    lines = log_lines(4_000)
    poison = b"081109 203615 148 INFO dfs.DataNode: POISON-%s" % kind.encode()
    log = tmp_path / "app.log"
    log.write_bytes(b"\n".join([*lines[:1_000], poison, *lines[1_000:]]) + b"\n")
    starts = [0]
    for i, line in enumerate(lines):
        starts.append(starts[-1] + len(line) + 1 + (len(poison) + 1 if i == 999 else 0))
    wanted = expected(lines, str(log), starts.__getitem__)
    alerts = tmp_path / "alerts.jsonl"
    engine = launch(
        {"type": "file", "paths": [str(log)], "follow": True, "rescan_s": 0.1, "block_bytes": 65_536},
        [{"type": "jsonl", "path": str(alerts)}],
        workers=2,
        telemetry={"port": free_port(2), "stall_s": 1.0, "kill_stuck_s": 2.0},
    )

    def letters() -> list[Any]:
        return documents(tmp_path / "dead.0.jsonl") + documents(tmp_path / "dead.1.jsonl")

    def found() -> list[Any]:
        return documents(tmp_path / "alerts.0.jsonl") + documents(tmp_path / "alerts.1.jsonl")

    until(lambda: letters() and len(found()) >= len(wanted), "the line is rejected, and the others are read")
    assert engine.drain() == 0
    (letter,) = letters()
    assert letter["reason"] == "took the worker down each time it was parsed"
    assert letter["raw"] == poison.decode()
    agree(found(), wanted, once=True)
    assert engine.text().count("it is restarted") == 3
    assert engine.text().count("stands still; it is killed") == (3 if kind == "STUCK" else 0)
