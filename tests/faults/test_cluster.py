"""The same flow under Bytewax's own launcher: two processes, sessions that cross partitions."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from bytewax.recovery import init_db_dir

from connectors.ports import free_port
from tests.support.processes import LIMIT_S

pytestmark = pytest.mark.process

LINES = 20_000


def _by_session(documents: list[dict[str, Any]]) -> list[tuple[str, float, int, str]]:
    return sorted((d["session"], round(d["score"], 5), d["line_count"], d["last_time"]) for d in documents)


def test_two_processes_alert_like_one(
    broker: Any, new_topic: Any, launch: Any, log_lines: Any, until: Any, produce: Any, documents: Any, tmp_path: Path,
) -> None:  # fmt: skip
    # Without the line of weeks later: read before the other partition begins, it would end that one's sessions.
    topic, lines = new_topic(2), log_lines(LINES)[:-1]
    for start in range(0, len(lines), 500):  # lines of a session lie in both partitions
        produce(broker.brokers, topic, lines[start : start + 500 : 2], 0)
        produce(broker.brokers, topic, lines[start + 1 : start + 500 : 2], 1)
    source = {"type": "kafka", "brokers": broker.brokers, "topic": topic, "stop_at_end": True}
    # A gap beyond how far the partitions are apart while they are read: within it the order of reading does not matter.
    window = {"kind": "session", "gap_s": 43_200, "growth": []}
    sections: dict[str, Any] = {"route": "session", "shards": 2, "window": window}
    alone = launch(source, [{"type": "jsonl", "path": str(tmp_path / "alone.jsonl")}], **sections)
    assert alone.end() == 0
    wanted = _by_session([d for i in "01" for d in documents(tmp_path / f"alone.{i}.jsonl")])
    assert len(wanted) > 20

    together = launch(source, [{"type": "jsonl", "path": str(tmp_path / "both.jsonl")}], run=False, **sections)
    together.sections["telemetry"]["port"] = free_port(2)
    together.write()
    recovery = tmp_path / "cluster"
    recovery.mkdir()
    init_db_dir(recovery, 2)
    first = free_port(2)
    addresses = f"127.0.0.1:{first};127.0.0.1:{first + 1}"
    command = [
        sys.executable, "-m", "bytewax.run", f"engine.runtime.cluster:flow({str(together.region)!r})",
        "-r", str(recovery), "-s", "1", "-b", "0", "-a", addresses, "-i",
    ]  # fmt: skip
    with (tmp_path / "engine.log").open("ab") as log:
        processes = [subprocess.Popen([*command, str(i)], stdout=log, stderr=log) for i in range(2)]
    together.processes += processes
    for process in processes:
        assert process.wait(LIMIT_S) == 0
    files = [documents(tmp_path / f"both.{i}.jsonl") for i in "01"]
    assert all(files), "one of the shards alerted nothing"
    assert _by_session([document for file in files for document in file]) == wanted
